"""Worker processes that read files side by side while the sync embeds and writes."""

from __future__ import annotations

import os
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from mmrag.core.errors import ConfigError
from mmrag.core.types import SourceId
from mmrag.corpus.ocr import OcrMemory, on_threads
from mmrag.corpus.plan import Hashed
from mmrag.corpus.read_file import Failure, FileReader, Outcome, ReadTools, cost_by, quick_first
from mmrag.corpus.worker_process import WorkerProcess

MAX_WORKERS = 8
_TICK_S = 0.1
_WORTH_A_WORKER = 2_000_000
"""Bytes of plain text that are read in the time that one more process takes to start."""
_BATCH = 256_000
_ROOM_BYTES = 8_000_000
"""How much, as pickled, may wait for the one that takes results, for each worker: some 50 MB in memory."""


@dataclass(frozen=True, slots=True)
class AtHand:
    """What is being read at this moment.

    Args:
        source: The file that has been read for longest.
        page: How many of its `pages` are done; 0 of 0 when it does not tell.
        read_bytes: What is done of the files at hand, as far as they tell.
    """

    source: SourceId
    page: int = 0
    pages: int = 0
    read_bytes: int = 0


ReadFiles = Callable[[Sequence[Hashed]], Iterator[tuple[Hashed, Outcome] | AtHand]]
"""Reads files in an order of its own; says now and then what it is at."""


@contextmanager
def open_readers(tools: ReadTools, memory: OcrMemory, workers: int | None) -> Iterator[ReadFiles]:
    """Give what reads files: in so many worker processes, or for 0 in this process without bounds.

    Raises:
        ConfigError: The number is negative.
    """
    if workers == 0:
        yield lambda files: _read_here(tools, memory, files)
        return
    if workers is not None and workers < 0:
        raise ConfigError(f"There cannot be {workers} workers.", fix="Give a number from 0, or None.")
    with WorkerPool(tools, memory, workers or min(usable_cores(), MAX_WORKERS)) as pool:
        yield pool.read


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerPool:
    """Worker processes, started when there is something to read, all ended with the pool.

    Each is fed by a thread of its own. One takes the largest files first, so that the last one to come
    is no long one; the others take the smallest first, so that something is found within seconds. When
    nobody takes the results, reading waits.
    """

    def __init__(self, tools: ReadTools, memory: OcrMemory, workers: int) -> None:
        self._tools, self._memory, self._workers = tools, memory, workers
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._processes: list[WorkerProcess] = []
        self._threads: list[threading.Thread] = []
        self._todo: deque[Hashed] = deque()
        self._results: queue.SimpleQueue[tuple[tuple[Hashed, Outcome] | BaseException, int]] = (
            queue.SimpleQueue()
        )
        self._room = threading.Condition()
        self._room_bytes = _ROOM_BYTES
        self._waiting = 0
        self._cost = cost_by(tools.readers)

    def read(self, files: Sequence[Hashed]) -> Iterator[tuple[Hashed, Outcome] | AtHand]:
        """Give the outcome of each file as soon as it is there, and what is at hand while none is.

        Raises:
            ConfigError: A reader cannot be handed to a worker, or no worker can start.
        """
        if not files:
            return
        count = min(self._workers, len(files), 1 + sum(map(self._cost, files)) // _WORTH_A_WORKER)
        setup = _pickled(replace(self._tools, ocr=on_threads(self._tools.ocr, usable_cores() // count)))
        self._todo.extend(quick_first(files, self._cost))
        self._room_bytes = count * _ROOM_BYTES
        for number in range(count):
            self._spawn(self._feed, setup, number == 1)
        self._spawn(self._watch)
        left = len(files)
        while left:
            if result := self._get():
                left -= 1
                yield result
            elif at_hand := self._at_hand():
                yield at_hand

    def close(self) -> None:
        """End all processes and threads, whatever they are doing."""
        self._closed.set()
        with self._room:
            self._room.notify_all()
        with self._lock:
            for process in self._processes:
                process.kill("closed")
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _feed(self, setup: bytes, largest_first: bool) -> None:
        process: WorkerProcess | None = None
        files: deque[Hashed] = deque()
        try:
            while (files or (files := self._take(largest_first=largest_first))) and not self._closed.is_set():
                process = process or self._start(setup)
                for file, outcome in process.read(tuple(files), self._memory):
                    if process.files > 1 and _may_do_better(process, outcome):
                        # What earlier files left behind in the process may be to blame.
                        break
                    files.popleft()
                    self._put((file, outcome), process.received_bytes)
                if files or process.is_worn:
                    self._retire(process)
                    process = None
        except BaseException as error:  # noqa: BLE001 - the thread that takes the results raises it
            self._put(error, 0)
        finally:
            if process:
                self._retire(process)

    def _start(self, setup: bytes) -> WorkerProcess:
        with self._lock:
            process = WorkerProcess(self._tools.limits)
            self._processes.append(process)
            if self._closed.is_set():
                process.kill("closed")
        try:
            process.start(setup)
        except BaseException:
            self._retire(process)
            raise
        return process

    def _retire(self, process: WorkerProcess) -> None:
        process.close()
        with self._lock:
            self._processes.remove(process)

    def _take(self, *, largest_first: bool) -> deque[Hashed]:
        """Return the next files: many small ones at once, since each hand-over costs a millisecond."""
        batch: deque[Hashed] = deque()
        cost = 0
        while self._todo and cost < _BATCH and not self._closed.is_set():
            with suppress(IndexError):  # Another thread took the last one.
                batch.append(self._todo.pop() if largest_first else self._todo.popleft())
                cost += self._cost(batch[-1])
        return batch

    def _put(self, result: tuple[Hashed, Outcome] | BaseException, size: int) -> None:
        with self._room:
            while self._waiting and self._waiting + size > self._room_bytes and not self._closed.is_set():
                self._room.wait()
            self._waiting += size
        self._results.put((result, size))

    def _get(self) -> tuple[Hashed, Outcome] | None:
        try:
            result, size = self._results.get(timeout=_TICK_S)
        except queue.Empty:
            return None
        with self._room:
            self._waiting -= size
            self._room.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(_TICK_S):
            now = time.monotonic()
            with self._lock:
                for process in self._processes:
                    process.watch(min(now - last, 2 * _TICK_S))
            last = now

    def _at_hand(self) -> AtHand | None:
        with self._lock:
            jobs = [job for process in self._processes if (job := process.job)]
        if not jobs:
            return None
        longest = min(jobs, key=lambda job: job.started)
        read = sum(job.file.found.size * min(job.done / job.total, 1.0) for job in jobs if job.total > 0)
        return AtHand(longest.file.found.id, longest.done, longest.total, int(read))


def _may_do_better(process: WorkerProcess, outcome: Outcome) -> bool:
    result = outcome.result
    return isinstance(result, Failure) and (process.has_crashed or result.out_of_memory)


def _read_here(
    tools: ReadTools, memory: OcrMemory, files: Sequence[Hashed]
) -> Iterator[tuple[Hashed, Outcome] | AtHand]:
    reader = FileReader(tools)
    for file in quick_first(files, cost_by(tools.readers)):
        yield AtHand(file.found.id)
        yield file, reader.read(file, _Here(memory, file.found.id))


class _Here:
    """The listener of a reading in this process."""

    def __init__(self, memory: OcrMemory, source: SourceId) -> None:
        self._memory, self._source = memory, source

    def chosen(self, media_type: str, reader: str) -> None:
        return None

    def progress(self, done: int, total: int) -> None:
        return None

    def cached(self, key: str) -> bytes | None:
        return self._memory.get(key, self._source)

    def keep(self, key: str, value: bytes) -> None:
        self._memory.put(key, value, self._source)


def _pickled(tools: ReadTools) -> bytes:
    try:
        return pickle.dumps(tools)
    except Exception as error:
        raise ConfigError(
            f"A reader cannot be handed to a worker process ({error}).",
            fix="Define its class in a module, without open files or locks, or pass workers=0.",
        ) from error
