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
from mmrag.corpus.worker_process import Room, WorkerProcess

MAX_WORKERS = 8
_TICK_S = 0.1
MIN_MEMORY_BYTES = 1_000_000_000
"""What any worker may take: with OCR models loaded it holds half of that before it reads."""
_MEMORY_A_WORKER = 1_500_000_000


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What a pool does with its workers; the defaults are measured.

    Args:
        worth_a_worker: Bytes of plain text that are read in the time that one more process takes to start.
        batch_bytes: Bytes of plain text that are given out at once.
        room_bytes: How much, as pickled, may wait for the one that takes results, for each worker: 20 to
            60 MB in memory.
        max_files: Files that one process reads. Most leaks show as memory; starting anew costs 0.4 s, a
            tenth of what so many small files take.
        memory_bytes: What the machine has; None asks it.
    """

    worth_a_worker: int = 2_000_000
    batch_bytes: int = 256_000
    room_bytes: int = 4_000_000
    max_files: int = 5000
    memory_bytes: int | None = None


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
def open_readers(
    tools: ReadTools, memory: OcrMemory, workers: int | None, options: PoolOptions | None = None
) -> Iterator[ReadFiles]:
    """Give what reads files: in so many worker processes, or for 0 in this process without bounds.

    Raises:
        ConfigError: The number is negative.
    """
    if workers == 0:
        yield lambda files: _read_here(tools, memory, files)
        return
    if workers is not None and workers < 0:
        raise ConfigError(f"There cannot be {workers} workers.", fix="Give a number from 0, or None.")
    options = options or PoolOptions()
    if options.memory_bytes is None:
        options = replace(options, memory_bytes=machine_memory())
    count = workers or usual_workers(usable_cores(), options.memory_bytes or 0)
    with WorkerPool(tools, memory, count, options) as pool:
        yield pool.read


def usual_workers(cores: int, memory_bytes: int) -> int:
    """Return how many workers suit a machine; 0 bytes of memory are not known."""
    most = max(1, memory_bytes // _MEMORY_A_WORKER) if memory_bytes else MAX_WORKERS
    return min(cores, MAX_WORKERS, most)


def memory_share(limit_bytes: int, workers: int, memory_bytes: int) -> int:
    """Return what each worker may take, so that all of them and this process fit into the memory."""
    if not memory_bytes:
        return limit_bytes
    return min(limit_bytes, max(MIN_MEMORY_BYTES, memory_bytes // (workers + 1)))


def machine_memory() -> int:
    """Return the bytes of memory that the machine has; 0 where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


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

    def __init__(self, tools: ReadTools, memory: OcrMemory, workers: int, options: PoolOptions) -> None:
        self._tools, self._memory, self._workers = tools, memory, workers
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._processes: list[WorkerProcess] = []
        self._threads: list[threading.Thread] = []
        self._todo: deque[Hashed] = deque()
        self._results: queue.SimpleQueue[tuple[tuple[Hashed, Outcome] | BaseException, int]] = (
            queue.SimpleQueue()
        )
        self._options = options
        self._room = Room(options.room_bytes)
        self._cost = cost_by(tools.readers)

    def read(self, files: Sequence[Hashed]) -> Iterator[tuple[Hashed, Outcome] | AtHand]:
        """Give the outcome of each file as soon as it is there, and what is at hand while none is.

        Raises:
            ConfigError: A reader cannot be handed to a worker, or no worker can start.
        """
        if not files:
            return
        worth = 1 + sum(map(self._cost, files)) // self._options.worth_a_worker
        count = min(self._workers, len(files), worth)
        limits = self._tools.limits
        share = memory_share(limits.max_memory_bytes, count, self._options.memory_bytes or 0)
        ocr = on_threads(self._tools.ocr, usable_cores() // count)
        self._tools = replace(self._tools, ocr=ocr, limits=replace(limits, max_memory_bytes=share))
        setup = _pickled(self._tools)
        self._todo.extend(quick_first(files, self._cost))
        self._room = Room(count * self._options.room_bytes)
        for number in range(count):
            self._spawn(self._feed, setup, number == 1)
        self._spawn(self._watch)
        left = len(files)
        while left:
            if got := self._get():
                left -= 1
                yield got[0]
                # Only now the next large one may be unpickled.
                self._room.leave(got[1])
                del got
            elif at_hand := self._at_hand():
                yield at_hand

    def close(self) -> None:
        """End all processes and threads, whatever they are doing."""
        self._closed.set()
        self._room.close()
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
                    self._results.put(((file, outcome), process.hand_over()))
                    del outcome
                if files or process.is_worn:
                    self._retire(process)
                    process = None
        except BaseException as error:  # noqa: BLE001 - the thread that takes the results raises it
            self._results.put((error, 0))
        finally:
            if process:
                self._retire(process)

    def _start(self, setup: bytes) -> WorkerProcess:
        with self._lock:
            process = WorkerProcess(self._tools.limits, self._room, max_files=self._options.max_files)
            self._processes.append(process)
            if self._closed.is_set():
                process.kill("closed")
        try:
            process.start(setup)
        except BaseException:
            # Whatever ends the start, a KeyboardInterrupt too, must not leave the process behind.
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
        while self._todo and cost < self._options.batch_bytes and not self._closed.is_set():
            with suppress(IndexError):  # Another thread took the last one.
                batch.append(self._todo.pop() if largest_first else self._todo.popleft())
                cost += self._cost(batch[-1])
        return batch

    def _get(self) -> tuple[tuple[Hashed, Outcome], int] | None:
        try:
            result, size = self._results.get(timeout=_TICK_S)
        except queue.Empty:
            return None
        if isinstance(result, BaseException):
            raise result
        return result, size

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
    except Exception as error:  # What a reader holds may raise anything when it is pickled.
        raise ConfigError(
            f"A reader cannot be handed to a worker process ({error}).",
            fix="Define its class in a module, without open files or locks, or pass workers=0.",
        ) from error
