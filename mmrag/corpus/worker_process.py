"""One worker process as the sync sees it: start it, give it files, watch it, end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import ReadLimits
from mmrag.corpus.ocr import OcrMemory
from mmrag.corpus.plan import Hashed
from mmrag.corpus.read_file import (
    IGNORE_FIX,
    UNKNOWN_TYPE,
    Failure,
    Outcome,
    in_words,
    out_of_memory,
)
from mmrag.corpus.wire import (
    Asked,
    Batch,
    Channel,
    Chosen,
    Garbled,
    Known,
    Learned,
    Ready,
    Step,
    TooLong,
    Unusable,
    pack,
)

_START_S = 60.0
_PACKAGES = str(Path(__file__).parents[2])
_HERE_FIX = "Run mmrag with the Python that it is installed for, or pass workers=0 to read in this process."
_SMALL_BYTES = 1 << 16
_OVERHEAD_BYTES = 1 << 20
"""What a message may have beside a reading: keys, small answers."""

_NEAR_LIMIT = 0.8
"""Of the memory's bound: who dies by a signal with more than this wanted too much."""

Verdict = Literal["silent", "memory", "output", "closed"]


@dataclass(slots=True)
class Job:
    """The file that a process has at hand, and how far it is."""

    file: Hashed
    started: float
    media_type: str = UNKNOWN_TYPE
    reader: str = ""
    done: int = 0
    total: int = 0


class Room:
    """Room for what waits to be taken, shared by threads that come in turn.

    What is larger than all the room comes in when nothing else is there.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._is_closed = False
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        """Wait until there is room, and take it."""
        # One after another: a large one would wait for ever while small ones slip in.
        with self._turn, self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or not self._held or self._held + size <= self._size
            )
            self._held += size

    def leave(self, size: int) -> None:
        """Give room back."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Let everybody in: nothing is kept any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class WorkerProcess:
    """A process that reads one file after another, each within the limits.

    One thread starts and feeds it; `watch` and `kill` may be called by others. What it hands on takes
    its room before it is unpickled; `hand_over` says how much is to be left again.
    """

    def __init__(self, limits: ReadLimits, room: Room, *, max_files: int) -> None:
        self.files = 0
        self.has_crashed = False
        self.job: Job | None = None
        self._limits = limits
        self._is_listened_to = False
        self._heard = 0
        self._heard_before = 0
        self._idle_s = 0.0
        self._held_memory = 0
        self._verdict: Verdict | None = None
        self._killing = threading.Lock()
        self._process = _spawn()
        pipes = self._process.stdout, self._process.stdin, self._process.stderr
        answers, requests, self._complaints = map(_there, pipes)
        self._pipes = (answers, requests, self._complaints)
        self._room, self._held_bytes, self._max_files = room, 0, max_files
        self._channel = Channel(
            answers,
            requests,
            limits.max_output_bytes + _OVERHEAD_BYTES,
            limits.max_blocks_bytes + _OVERHEAD_BYTES,
            make_room=self._make_room,
        )
        self._is_ready = False

    def hand_over(self) -> int:
        """Return how much of the room the last outcome takes: whoever asks leaves it."""
        held, self._held_bytes = self._held_bytes, 0
        return held

    @property
    def is_alive(self) -> bool:
        """Whether it can be given another file."""
        return self._process.returncode is None

    @property
    def is_worn(self) -> bool:
        """Whether a fresh process should take its place."""
        if not self.is_alive or self.files >= self._max_files:
            return True
        return 2 * self._memory_bytes() > self._limits.max_memory_bytes

    def start(self, setup: bytes) -> None:
        """Hand over the pickled tools, and wait until the process is ready.

        Raises:
            ConfigError: It cannot start, or cannot load the readers.
        """
        said = ""
        try:
            self._channel.send(list(sys.path))
            self._channel.send(pack(setup))
            answer = self._receive()
        except (EOFError, OSError):
            answer = None
            self._end()
            said = self._complaints.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        if isinstance(answer, Ready):
            self._complaints.close()
            self._is_ready = True
            return
        self.close()
        if isinstance(answer, Unusable):
            raise ConfigError(
                f"The readers cannot be loaded in a worker process ({answer.said}).",
                fix="Define them in a module that can be imported, or pass workers=0.",
            )
        raise ConfigError(f"A worker process did not start ({said or 'it said nothing'}).", fix=_HERE_FIX)

    def read(self, files: Sequence[Hashed], memory: OcrMemory) -> Iterator[tuple[Hashed, Outcome]]:
        """Let the process read files, and give each one's outcome as it comes.

        When a file ends the process, its outcome says why, and is the last one.
        """
        self.job = Job(files[0], time.monotonic())
        try:
            with suppress(OSError):  # It died while it had nothing to do; hearing nothing says so too.
                self._channel.send(Batch(tuple(files)))
            for file in files:
                self.job = Job(file, time.monotonic())
                outcome = self._outcome(self.job, memory)
                self.files += 1
                yield file, outcome
                if not self.is_alive:
                    return
        finally:
            self.job = None

    def watch(self, passed_s: float) -> None:
        """Kill the process if it has been silent for too long, or has grown too large."""
        if self._is_ready and self.job is None:
            return
        # Time is added up in steps: after a suspend of this process, all others would seem to hang.
        if self._heard != self._heard_before or not self._is_listened_to:
            self._heard_before, self._idle_s = self._heard, 0.0
        self._idle_s += passed_s
        if self._idle_s > (self._limits.max_idle_s if self._is_ready else _START_S):
            self.kill("silent")
        else:
            # Of one that died nothing is told any more: what it held before counts.
            self._held_memory = self._memory_bytes() or self._held_memory
            if self._held_memory > self._limits.max_memory_bytes:
                self.kill("memory")

    def kill(self, verdict: Verdict) -> None:
        """End the process at once, with all that it started."""
        with self._killing:
            if self._process.returncode is not None:
                return
            self._verdict = self._verdict or verdict
            if sys.platform == "win32":
                self._process.kill()
                return
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and let go of its pipes."""
        self._end()
        self._room.leave(self.hand_over())
        for pipe in self._pipes:
            with suppress(OSError):  # Unsent bytes have nowhere to go.
                pipe.close()

    def _outcome(self, job: Job, memory: OcrMemory) -> Outcome:
        try:
            outcome = self._hear(job, memory)
            if not self._held_bytes:
                self._take_room(self._channel.received_bytes)
            return outcome
        except Garbled as error:
            self._room.leave(self.hand_over())
            reason = f"{_who(job)} gave what cannot be read back: {error}"
            failure = Failure("failed", reason, IGNORE_FIX)
        except (TooLong, EOFError, OSError) as error:
            if isinstance(error, TooLong):
                self.kill("output")
            self.has_crashed = self._verdict in (None, "memory")
            self._end()
            failure = self._epitaph(job)
        return Outcome(job.media_type, job.reader, failure, seconds=time.monotonic() - job.started)

    def _hear(self, job: Job, memory: OcrMemory) -> Outcome:
        source = job.file.found.id
        while True:
            message = self._receive()
            if not isinstance(message, Outcome):
                self._room.leave(self.hand_over())
            match message:
                case Outcome(result=Failure(out_of_memory=True)):
                    failure = out_of_memory(_who(job), self._limits.max_memory_bytes)
                    return replace(message, result=failure)
                case Outcome():
                    return message
                case Chosen():
                    job.media_type, job.reader = message.media_type, message.reader
                case Step():
                    job.done, job.total = message.done, message.total
                case Asked():
                    self._channel.send(Known(memory.get(message.key, source)))
                case Learned():
                    memory.put(message.key, message.value, source)

    def _make_room(self, length: int) -> None:
        # Steps and questions need no room: they must come through while much is waiting.
        if length > _SMALL_BYTES:
            self._is_listened_to = False
            self._take_room(length)
            self._heard += 1
            self._is_listened_to = True

    def _take_room(self, size: int) -> None:
        self._room.enter(size)
        self._held_bytes += size

    def _receive(self) -> Any:
        # While nobody listens here, the process may well wait for the pipe to be emptied.
        self._heard += 1
        self._is_listened_to = True
        try:
            return self._channel.receive()
        finally:
            self._is_listened_to = False

    def _end(self) -> None:
        self.kill("closed")
        self._process.wait()

    def _epitaph(self, job: Job) -> Failure:
        who, limits = _who(job), self._limits
        if self._verdict == "memory":
            return out_of_memory(who, limits.max_memory_bytes)
        if self._verdict == "silent":
            reason = f"{who} gave no sign of life for {limits.max_idle_s:g} s and was stopped."
            return Failure("failed", reason, "Repair or split the file, or list it in .mmragignore.")
        if self._verdict == "output":
            reason = f"{who} gave more than the limit of {in_words(limits.max_output_bytes)}."
            return Failure("failed", reason, "Split the file, or list it in .mmragignore.")
        if self._held_memory > _NEAR_LIMIT * limits.max_memory_bytes and self._process.returncode < 0:
            # Native code calls abort where it gets no memory, before the bound is reached.
            return out_of_memory(who, limits.max_memory_bytes)
        return Failure("failed", f"{who} crashed ({_ending(self._process.returncode)}).", IGNORE_FIX)

    def _memory_bytes(self) -> int:
        """Return what the process holds of the machine's memory; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


def _spawn() -> subprocess.Popen[bytes]:
    inherited = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_PACKAGES, inherited)))}
    # -P: a folder `mmrag` or `numpy` where the user happens to be must not be imported.
    command = [sys.executable, "-P", "-m", "mmrag.corpus.worker"]
    pipe = subprocess.PIPE
    try:
        # In a group of its own, Ctrl-C at the terminal reaches this process only, which ends it then.
        if sys.platform == "win32":
            apart = subprocess.CREATE_NEW_PROCESS_GROUP
            return subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, creationflags=apart
            )
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, process_group=0
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"A worker process did not start ({error}).", fix=_HERE_FIX) from error


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # Popen was asked for all three.
    return pipe


def _who(job: Job) -> str:
    return f"The reader {job.reader}" if job.reader else "Recognizing it"


def _ending(code: int) -> str:
    """Return how a process ended: 'SIGSEGV' or 'exit code 3'."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
