"""Send inputs of any number, several requests at once, and give their vectors back in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from mmrag.core.errors import MmragError
from mmrag.core.protocols import Embedded
from mmrag.embed.content import Content
from mmrag.embed.remote.options import OpenAiOptions
from mmrag.embed.remote.requests import Input, write_input

Placed = tuple[int, Input]
"""An input and its position in the stream."""


class Send(Protocol):
    """Embeds a batch: one result an input, in order."""

    def __call__(self, batch: Sequence[Placed], stop: threading.Event) -> list[Embedded]:
        """Send it; give up early when `stop` is set."""
        ...


def stream(contents: Iterable[Content], options: OpenAiOptions, send: Send) -> Generator[Embedded]:
    """Embed contents as they come; yield one result a content, in order.

    At most `2 * concurrency` requests are made ahead of what was taken. An error of the server's own ends the
    stream, one of an input is its result.
    """
    flow = _Flow(options, send)
    try:
        for position, content in enumerate(contents):
            flow.take(position, content)
            yield from flow.ready()
        yield from flow.rest()
    finally:
        flow.stop()


class _Flow:
    def __init__(self, options: OpenAiOptions, send: Send) -> None:
        self._options = options
        self._send = send
        self._ahead = 2 * options.server.concurrency
        self._pool = ThreadPoolExecutor(options.server.concurrency, thread_name_prefix="mmrag-remote")
        self._stop = threading.Event()
        self._open: dict[str, list[Placed]] = {}
        self._running: deque[Future[list[Embedded]]] = deque()
        self._done: dict[int, Embedded] = {}
        self._next = 0

    def take(self, position: int, content: Content) -> None:
        """Add a content to its batch; send the batch when it is full."""
        try:
            one = write_input(content, self._options)
        except MmragError as error:
            self._done[position] = Embedded(position, error=error)
            return
        kind = one.kind if self._options.images == "modality" else one.content.role
        batch = self._open.setdefault(kind, [])
        if batch and sum(other.tokens for _, other in batch) + one.tokens > self._options.batch_tokens:
            self._submit(kind)
        self._open.setdefault(kind, []).append((position, one))
        # A chat has one vector.
        most = 1 if self._options.images == "messages" else self._options.batch_items
        if len(self._open[kind]) >= most:
            self._submit(kind)
        if position - self._next >= self._ahead * most:
            # A batch that waits for its kind holds up all that came after it.
            self._submit_all()

    def ready(self) -> Iterator[Embedded]:
        """Yield what is done in order; wait when too much is on its way."""
        while len(self._running) >= self._ahead:
            self._collect()
        while self._running and self._running[0].done():
            self._collect()
        yield from self._in_order()

    def rest(self) -> Iterator[Embedded]:
        """Send what is left and yield all that is to come."""
        self._submit_all()
        while self._running:
            self._collect()
            yield from self._in_order()
        yield from self._in_order()

    def stop(self) -> None:
        """Send nothing more; requests that are on their way end by themselves."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit_all(self) -> None:
        for kind in list(self._open):
            self._submit(kind)

    def _submit(self, kind: str) -> None:
        batch = self._open.pop(kind)
        self._running.append(self._pool.submit(self._send, batch, self._stop))

    def _collect(self) -> None:
        for one in self._running.popleft().result():
            self._done[one.position] = one

    def _in_order(self) -> Iterator[Embedded]:
        while self._next in self._done:
            self._next += 1
            yield self._done.pop(self._next - 1)
