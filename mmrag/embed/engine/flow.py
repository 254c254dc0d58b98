"""The threads of one stream: some prepare inputs, one a device runs batches, the caller takes results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from mmrag.core.errors import MmragError
from mmrag.core.protocols import Embedded
from mmrag.embed.content import Content, Model, Prepared
from mmrag.embed.engine.buckets import Budget, cut
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.engine.runner import Outcome, Runner, unexpected, without_frames

_WINDOWS_AHEAD = 3
"""One that is taken, one that runs, one that is prepared."""

_BATCHES_A_WINDOW = 8
_MAX_WINDOW_TOKENS = 131_072
"""2.5 GB of a picture's patches in float32."""

_FIRST_SHARE = 8
"""The device waits until an eighth of a batch is prepared, and no longer."""

_Ready = tuple[int, Prepared]


class Flow:
    """Where the inputs of one stream stand: read, prepared, gathered in a window, cut into batches, done.

    Windows hold consecutive inputs and close by number and tokens alone, never by time, so that the same
    inputs make the same batches in every run. The first ones are small, so that the device starts early.

    Args:
        model: Prepares.
        runners: Run batches.
        options: How large windows are.
        threads: How many prepare.
    """

    def __init__(self, model: Model, runners: Sequence[Runner], options: EngineOptions, threads: int) -> None:
        self._model = model
        self._runners = runners
        self._budget = _least([runner.budget for runner in runners])
        self._windows = _Windows(self._budget, options.window * len(runners))
        self._max_read = _WINDOWS_AHEAD * options.window * len(runners)
        self._max_live = 2 * self._windows.max_tokens
        self._max_threads = threads
        # One lock for all that follows, and a condition for each kind of thread, so that no other wakes up.
        # It can be taken twice: the collector may close a stream in the middle of one of its own threads.
        lock = threading.RLock()
        self._can_prepare = threading.Condition(lock)
        self._can_run = threading.Condition(lock)
        self._can_take = threading.Condition(lock)
        self._read = 0
        self._taken = 0
        self._complete = False
        self._closed = False
        self._failure: BaseException | None = None
        self._live_tokens = 0
        self._inputs: deque[tuple[int, Content]] = deque()
        self._prepared: dict[int, Prepared | None] = {}
        self._batches: deque[list[_Ready]] = deque()
        self._done: dict[int, Embedded] = {}
        self._workers: list[threading.Thread] = []

    def results(self, contents: Iterable[Content]) -> Iterator[Embedded]:
        """Yield the result of each input in order."""
        source = iter(contents)
        while True:
            self._fill(source)
            one = self._take()
            if one is None:
                return
            yield one

    def close(self) -> None:
        """Stop the threads and wait for what they are doing; what is not yet done is dropped."""
        with self._can_take:
            self._stop()
        if threading.current_thread() not in self._workers:
            for worker in self._workers:
                worker.join()

    def _fill(self, source: Iterator[Content]) -> None:
        while not self._complete and self._read - self._taken < self._max_read:
            try:
                content = next(source)
            except StopIteration:
                with self._can_take:
                    self._complete = True
                    self._gather()
                return
            self._grow()
            with self._can_prepare:
                self._inputs.append((self._read, content))
                self._read += 1
                self._can_prepare.notify()

    def _grow(self) -> None:
        """Start a thread for each of the first inputs: a single question needs no more than one."""
        if self._read < self._max_threads:
            self._start(self._prepare_inputs, f"mmrag-prepare-{self._read}")
        if self._read < len(self._runners):
            runner = self._runners[self._read]
            self._start(lambda: self._run_batches(runner), f"mmrag-run-{self._read}")

    def _start(self, work: Callable[[], None], name: str) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - the thread that takes the results raises it
                with self._can_take:
                    self._failure = self._failure or error
                    self._stop()

        # A process that ends does not wait for a stream that nobody takes from.
        worker = threading.Thread(target=guarded, name=name, daemon=True)
        self._workers.append(worker)
        worker.start()

    def _stop(self) -> None:
        self._closed = True
        for condition in (self._can_prepare, self._can_run, self._can_take):
            condition.notify_all()

    def _take(self) -> Embedded | None:
        with self._can_take:
            while True:
                if self._failure is not None:
                    raise self._failure
                one = self._done.pop(self._taken, None)
                if one is not None:
                    self._taken += 1
                    return one
                if self._complete and self._taken == self._read:
                    return None
                # Windows does not interrupt a wait without an end.
                self._can_take.wait(1.0)

    def _prepare_inputs(self) -> None:
        while (found := self._next_input()) is not None:
            position, content = found
            try:
                made: Prepared | MmragError = self._model.prepare(content)
            except MmragError as error:
                made = without_frames(error)
            except Exception as error:  # noqa: BLE001 - a bug that one picture shows must not end the run
                made = unexpected("prepare", error)
            with self._can_take:
                if isinstance(made, Prepared):
                    self._prepared[position] = made
                    self._live_tokens += made.tokens
                else:
                    self._prepared[position] = None
                    self._finish(Embedded(position, error=made))
                self._gather()
            del found, content, made

    def _next_input(self) -> tuple[int, Content] | None:
        with self._can_prepare:
            while not self._closed and (not self._inputs or self._live_tokens >= self._max_live):
                self._can_prepare.wait()
            return None if self._closed else self._inputs.popleft()

    def _gather(self) -> None:
        """Move what is prepared into the window, in order; cut the window into batches when it is full."""
        windows = self._windows
        while windows.next in self._prepared:
            window = windows.add(self._prepared.pop(windows.next))
            if window:
                self._schedule(window)
        if self._complete and windows.next == self._read and (window := windows.close()):
            self._schedule(window)

    def _schedule(self, window: list[_Ready]) -> None:
        for batch in cut([prepared for _, prepared in window], self._budget):
            self._batches.append([window[i] for i in batch])
            self._can_run.notify()

    def _run_batches(self, runner: Runner) -> None:
        while (batch := self._next_batch()) is not None:
            outcomes = runner.run([prepared for _, prepared in batch])
            with self._can_take:
                for (position, prepared), outcome in zip(batch, outcomes, strict=True):
                    self._live_tokens -= prepared.tokens
                    self._finish(_embedded(position, prepared, outcome))
                self._can_prepare.notify_all()
            # A thread that waits for the next batch holds nothing of the last.
            del batch, prepared, outcomes, outcome

    def _next_batch(self) -> list[_Ready] | None:
        with self._can_run:
            while not self._closed and not self._batches:
                self._can_run.wait()
            return None if self._closed else self._batches.popleft()

    def _finish(self, one: Embedded) -> None:
        self._done[one.position] = one
        if one.position == self._taken:
            self._can_take.notify()


class _Windows:
    """The window that is being filled: the first holds a part of a batch, each other twice the one before."""

    def __init__(self, budget: Budget, most: int) -> None:
        self.max_tokens = max(budget.tokens, min(_BATCHES_A_WINDOW * budget.tokens, _MAX_WINDOW_TOKENS))
        self.next = 0
        self._max_items = most
        self._items = max(1, min(budget.items, most) // _FIRST_SHARE)
        self._tokens = max(1, budget.tokens // _FIRST_SHARE)
        self._held: list[_Ready] = []
        self._held_tokens = 0

    def add(self, prepared: Prepared | None) -> list[_Ready] | None:
        """Put the next input in, None for one that failed; return the window if that has filled it."""
        if prepared is not None:
            self._held.append((self.next, prepared))
            self._held_tokens += prepared.tokens
        self.next += 1
        full = len(self._held) >= self._items or self._held_tokens >= self._tokens
        return self.close() if full else None

    def close(self) -> list[_Ready]:
        """Return what the window holds, and begin the next."""
        held, self._held, self._held_tokens = self._held, [], 0
        self._items = min(2 * self._items, self._max_items)
        self._tokens = min(2 * self._tokens, self.max_tokens)
        return held


def _least(budgets: Sequence[Budget]) -> Budget:
    return Budget(
        min(one.tokens for one in budgets),
        min(one.visual_tokens for one in budgets),
        min(one.items for one in budgets),
        max(one.batch_cost for one in budgets),
    )


def _embedded(position: int, prepared: Prepared, outcome: Outcome) -> Embedded:
    if isinstance(outcome, MmragError):
        return Embedded(position, error=outcome, notes=prepared.notes)
    return Embedded(position, outcome[None], notes=prepared.notes)
