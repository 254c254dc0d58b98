"""Put the results of a stream together: one matrix or the first error, and what was said of queries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from mmrag.core.protocols import Embedded
from mmrag.core.types import Embeddings, Query

_QUERIES = 64


def gather(
    found: Generator[Embedded],
    count: int,
    dim: int,
    on_notes: Callable[[int, tuple[str, ...]], None] | None = None,
) -> Embeddings:
    """Return the vectors of a stream of `count` results, each one vector of `dim` numbers.

    `on_notes` hears what was said of an input, such as that words were cut, by its position.

    Raises:
        MmragError: The first error among the results; the stream is closed.
    """
    vectors = np.empty((count, dim), np.float32)
    # Closed at once: an error that someone keeps would keep the threads of its stream.
    with closing(found):
        for one in found:
            if one.error is not None:
                raise one.error
            assert one.vectors is not None
            vectors[one.position] = one.vectors[0]
            if on_notes is not None:
                on_notes(one.position, one.notes)
    return Embeddings.dense(vectors)


class QueryNotes:
    """What was said of the last 64 queries; threads may share it."""

    def __init__(self) -> None:
        self._notes: dict[Query, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def keep(self, query: Query, notes: tuple[str, ...]) -> None:
        """Remember what was said of a query."""
        with self._lock:
            self._notes.pop(query, None)
            if notes:
                self._notes[query] = notes
            while len(self._notes) > _QUERIES:
                del self._notes[next(iter(self._notes))]

    def of(self, query: Query) -> tuple[str, ...]:
        """Return what was said of a query when it was embedded last."""
        with self._lock:
            return self._notes.get(query, ())
