"""The process that reads files for a sync: python -m mmrag.corpus.worker, started by `workers`."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NoReturn

from mmrag.core.protocols import ReadLimits
from mmrag.corpus.read_file import Failure, FileReader, Outcome, ReadTools, in_words
from mmrag.corpus.wire import (
    Asked,
    Batch,
    Channel,
    Chosen,
    Known,
    Learned,
    Packed,
    Ready,
    Step,
    Unusable,
    pack,
)

_STEP_S = 0.2
"""Pages of text come at 100 a second and more: the parent needs no more steps than its bar shows."""
_PR_SET_PDEATHSIG = 1
_SETUP_BYTES = 1 << 30


def main() -> None:
    """Read files for the process at the other end of stdin and stdout until it is gone."""
    _die_with_parent()
    channel = _take_over_standard_streams()
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox), daemon=True).start()
    try:
        sys.path[:] = inbox.get()
        tools: ReadTools = pickle.loads(inbox.get())
        reader = FileReader(tools)
    except Exception as error:  # noqa: BLE001 - whatever a foreign module raises when it is imported
        channel.send(Unusable(f"{type(error).__name__}: {error}"))
        return
    _bound_memory(tools.limits.max_memory_bytes)
    channel.send(Ready())
    # Until here the parent reads what Python says on stderr, to tell why a worker does not start.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        batch: Batch = inbox.get()
        for file in batch.files:
            outcome = reader.read(file, _Parent(channel, inbox))
            channel.send(_packed(outcome, tools.limits))


def _take_over_standard_streams() -> Channel:
    """Keep stdin and stdout to ourselves: what a library prints must not reach the parent."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    # Readers of any package come from the parent, by their pickles.
    return Channel(source, sink, _SETUP_BYTES, load=pickle.loads)


def _listen(channel: Channel, inbox: SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(channel.receive())
    finally:
        # The parent is gone, or there is no memory left to hear it.
        _end()


def _end() -> NoReturn:
    if sys.platform != "win32" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # The programs that readers started go too.
    os._exit(1)


def _die_with_parent() -> None:
    # The thread that listens needs the interpreter's lock, which a reader may hold for ever. A program
    # that a reader has started ends with its picture then.
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _bound_memory(limit_bytes: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # RLIMIT_AS would count what libraries only reserve: gigabytes with many threads.
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        bound = limit_bytes if most == resource.RLIM_INFINITY else min(limit_bytes, most)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


def _packed(outcome: Outcome, limits: ReadLimits) -> Packed:
    """Return an outcome ready to send, or in its place why it cannot be sent."""
    who = f"The reader {outcome.reader}"
    try:
        data = pack(outcome)
    except MemoryError:
        reason, fix = f"{who} left no memory to hand on what it read.", "Split the file."
    except Exception as error:  # noqa: BLE001 - a reader may put anything into its reading
        reason, fix = f"{who} gave what cannot be handed on: {error}", "Report it with the file."
    else:
        blocks_bytes = len(data.pickled)
        if data.size <= limits.max_output_bytes and blocks_bytes <= limits.max_blocks_bytes:
            return data
        size, most = data.size, limits.max_output_bytes
        if size <= most:
            size, most = blocks_bytes, limits.max_blocks_bytes
        reason = f"{who} gave {in_words(size)}, more than the limit of {in_words(most)}."
        fix = "Split the file, or list it in .mmragignore."
    failure = Failure("failed", reason, fix)
    return pack(Outcome(outcome.media_type, outcome.reader, failure, seconds=outcome.seconds))


class _Parent:
    """The listener of a reading: the process at the other end."""

    def __init__(self, channel: Channel, inbox: SimpleQueue[Any]) -> None:
        self._channel, self._inbox = channel, inbox
        self._asking = threading.Lock()
        self._told = 0.0

    def chosen(self, media_type: str, reader: str) -> None:
        self._send(Chosen(media_type, reader))

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _STEP_S:
            self._told = now
            self._send(Step(done, total))

    def cached(self, key: str) -> bytes | None:
        with self._asking:
            self._send(Asked(key))
            answer: Known = self._inbox.get()
        return answer.value

    def keep(self, key: str, value: bytes) -> None:
        self._send(Learned(key, value))

    def _send(self, message: object) -> None:
        try:
            self._channel.send(message)
        except OSError:
            _end()  # Readers turn exceptions into failures; there is nobody left to tell.


if __name__ == "__main__":
    main()
