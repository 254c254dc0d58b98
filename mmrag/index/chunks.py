"""Vectors where they lie, with the rows that they stand for: what exact search reads through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings

Places = NDArray[np.int64]
Vectors = NDArray[np.float32]

BLOCK_VECTORS = 16_384
"""Scattered vectors are copied together, and late interaction scored, this many at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows in rising order, each with its vectors in one matrix; never changed.

    Args:
        rows: The rows, rising strictly.
        vectors: A matrix that may hold more than theirs: a whole mapped file.
        firsts: The first vector of each row; None where row i owns vector i and no other.
        counts: How many vectors each row has; None for one each.
        lent: The vectors are a file's or the caller's, so that copying them would take room twice.

    Shapes:
        rows, firsts, counts int64 [n]; vectors float32 [n_vectors, dim]
    """

    rows: Rows
    vectors: Vectors
    firsts: Places | None = None
    counts: Places | None = None
    lent: bool = False

    @classmethod
    def of(cls, rows: Rows, embeddings: Embeddings) -> Chunk:
        """Wrap rows and their embeddings."""
        if embeddings.is_dense:
            return cls(rows, embeddings.vectors)
        return cls(rows, embeddings.vectors, embeddings.offsets[:-1], np.diff(embeddings.offsets))

    @classmethod
    def within(cls, rows: Rows, vectors: Vectors, firsts: Places, counts: Places) -> Chunk:
        """Wrap rows whose vectors lie anywhere in a matrix."""
        if (counts != 1).any():
            return cls(rows, vectors, firsts, counts)
        if len(firsts) and is_run(firsts):
            return cls(rows, vectors[int(firsts[0]) : int(firsts[0]) + len(firsts)])
        return cls(rows, vectors, firsts)

    @property
    def is_dense(self) -> bool:
        """Whether each row has exactly one vector."""
        return self.counts is None

    def without(self, rows: Rows) -> Chunk:
        """Drop rows, given in rising order; unknown ones are ignored. No vector is copied."""
        gone = self.places(rows)
        if not len(gone):
            return self
        keep = np.ones(len(self.rows), bool)
        keep[gone] = False
        firsts = np.flatnonzero(keep) if self.firsts is None else self.firsts[keep]
        counts = self.counts if self.counts is None else self.counts[keep]
        return Chunk(self.rows[keep], self.vectors, firsts, counts, self.lent)

    def places(self, rows: Rows) -> Places:
        """Return where rows, given in rising order, stand; unknown ones are left out."""
        if not len(self.rows):
            return np.empty(0, np.int64)
        low, high = np.searchsorted(rows, (self.rows[0], self.rows[-1] + 1))
        rows = rows[low:high]
        if self.rows[-1] - self.rows[0] == len(self.rows) - 1:
            near: Places = rows - self.rows[0]
            return near
        places: Places = np.searchsorted(self.rows, rows)
        known: Places = places[self.rows[places] == rows]
        return known

    def lengths(self) -> Places:
        """Return how many vectors each row has."""
        return np.ones(len(self.rows), np.int64) if self.counts is None else self.counts

    def targets(self, places: Places | None) -> Places:
        """Return the first vector of the rows at some places, or of all."""
        if self.firsts is None:
            return np.arange(len(self.rows), dtype=np.int64) if places is None else places
        return self.firsts if places is None else self.firsts[places]

    def gathered(self, places: Places | None) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield the rows at some places, or all, with their embeddings, a block at a time.

        A block whose vectors lie in one run is a view, another one a copy.
        """
        rows, firsts = self.rows if places is None else self.rows[places], self.targets(places)
        counts = self.lengths() if places is None else self.lengths()[places]
        ends = np.cumsum(counts)
        for start, end in pairwise(_cuts(ends)):
            offsets = np.append(0, ends[start:end] - (ends[start] - counts[start]))
            spans = expanded(firsts[start:end], counts[start:end])
            if len(spans) and is_run(spans):
                vectors = self.vectors[int(spans[0]) : int(spans[-1]) + 1]
            else:
                vectors = self.vectors.take(spans, axis=0)
            yield rows[start:end], Embeddings(vectors, offsets)


def joined(chunks: Sequence[Chunk], dim: int) -> Chunk:
    """Copy chunks that share no row into one."""
    rows = np.concatenate([np.empty(0, np.int64), *(chunk.rows for chunk in chunks)])
    order = np.argsort(rows)
    return Chunk.of(rows[order], copied(chunks, order, dim))


def copied(chunks: Sequence[Chunk], places: Places, dim: int) -> Embeddings:
    """Copy the embeddings at some places, counted through all chunks, in that order."""
    lengths = np.empty(len(places), np.int64)
    pieces = []
    start = 0
    for chunk in chunks:
        mine = np.flatnonzero((places >= start) & (places < start + len(chunk.rows)))
        own = places[mine] - start
        counts = chunk.lengths()[own]
        lengths[mine] = counts
        pieces.append((mine, chunk.vectors, expanded(chunk.targets(own), counts)))
        start += len(chunk.rows)
    offsets = np.zeros(len(places) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    vectors = np.empty((int(offsets[-1]), dim), np.float32)
    for mine, source, spans in pieces:
        vectors[expanded(offsets[mine], lengths[mine])] = source[spans]
    return Embeddings(vectors, offsets)


def expanded(firsts: Places, counts: Places) -> Places:
    """Return the number of every vector of items that start at `firsts`, in order."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Places = np.repeat(firsts - (ends - counts), counts) + np.arange(total, dtype=np.int64)
    return numbers


def is_run(numbers: Places) -> bool:
    """Tell whether numbers, at least one, rise by one each."""
    return bool(numbers[-1] - numbers[0] == len(numbers) - 1 and (np.diff(numbers) == 1).all())


def _cuts(ends: Places) -> list[int]:
    """Cut items where a block would get more than `BLOCK_VECTORS`, unless one item alone has more."""
    cuts, start = [0], 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        start = max(start + 1, int(np.searchsorted(ends, before + BLOCK_VECTORS, side="right")))
        cuts.append(start)
    return cuts
