"""Vectors of a store as a stream: where those of each row lie, and batches of them out of the maps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mmrag.core.errors import StoreError
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings
from mmrag.store import catalog
from mmrag.store.codec import pack_json, unpack_integers
from mmrag.store.vectors import Placements, SegmentReader, Vectors, gather

_SLICE = 50_000
_SPREAD = 4
"""A slice of rows that lie closer than one in this many is read as a range: no list of them is parsed."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The rows whose vectors lie in one segment, in rising order.

    Args:
        rows: The rows.
        vectors: The whole segment, mapped.
        firsts: The first vector of each row; rows may share theirs.
        counts: How many vectors each row has.

    Shapes:
        rows, firsts, counts int64 [n]; vectors float32 [n_vectors, dim]
    """

    rows: Rows
    vectors: Vectors
    firsts: Rows
    counts: Rows


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """A `VectorSource` over the segments of a store: 24 bytes a row in memory, vectors stay on the disk.

    All segments are mapped from the start, so it stays valid whatever happens to the store meanwhile.
    """

    dim: int
    rows: Rows
    _at: Placements
    _maps: Mapping[int, Vectors]

    def batches(self, size: int) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield all rows with their embeddings, at most `size` rows at a time.

        A batch whose vectors lie in one run is a read-only view of a file, another one a copy.
        """
        for start in range(0, len(self.rows), size):
            some = slice(start, start + size)
            yield self.rows[some], self._gather(self._at.take(some))

    def take(self, rows: Rows) -> Embeddings:
        """Return the embeddings of some rows, in their order.

        Raises:
            StoreError: A row is not among `rows`.
        """
        return self._gather(self._at.take(places_of(self.rows, np.asarray(rows, np.int64))))

    def stretches(self) -> Iterator[Stretch]:
        """Yield the rows segment by segment: for searches that read the vectors where they lie."""
        for number, vectors in self._maps.items():
            mine = np.flatnonzero(self._at.segments == number)
            at = self._at.take(mine)
            yield Stretch(self.rows[mine], vectors, at.firsts, at.counts.astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def _gather(self, at: Placements) -> Embeddings:
        return gather(at, self.dim, lambda number, start, end: self._maps[number][start:end])


def stored_vectors(db: sqlite3.Connection, segments: SegmentReader, rows: Rows | None) -> StoredVectors:
    """Open the vectors of rows, or of all; call it inside a snapshot.

    Raises:
        StoreError: A row is gone.
        Damaged: A file is torn or missing.
    """
    if rows is None:
        wanted = catalog.fetch_rows(db, "SELECT row FROM items")
    else:
        wanted = np.unique(np.asarray(rows, np.int64))
    at = find_placements(db, wanted)
    return StoredVectors(catalog.dim(db), wanted, at, segments.maps(at))


def find_placements(db: sqlite3.Connection, rows: Rows) -> Placements:
    """Return where the vectors of rows lie, in the order of `rows`; call it inside a snapshot.

    Raises:
        StoreError: A row is gone.
    """
    if len(rows) and not (np.diff(rows) > 0).all():
        unique, back = np.unique(rows, return_inverse=True)
        return find_placements(db, unique).take(back)
    segments, firsts = np.empty(len(rows), np.int32), np.empty(len(rows), np.int64)
    counts = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), _SLICE):
        some = slice(start, start + _SLICE)
        found = _fetch(db, rows[some])
        segments[some], firsts[some], counts[some] = found
    return Placements(segments, firsts, counts)


def places_of(sorted_rows: Rows, wanted: Rows) -> Rows:
    """Return where rows stand among sorted ones.

    Raises:
        StoreError: A row is not there.
    """
    places = np.minimum(np.searchsorted(sorted_rows, wanted), max(0, len(sorted_rows) - 1))
    if len(wanted) and (not len(sorted_rows) or (sorted_rows[places] != wanted).any()):
        raise StoreError(
            "Some rows are not in the store any more.",
            fix="Read rows and embeddings inside one store.snapshot().",
        )
    return places


def _fetch(db: sqlite3.Connection, rows: Rows) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    low, high = int(rows[0]), int(rows[-1])
    values: tuple[object, ...] = (low, high)
    condition = "BETWEEN ? AND ?"
    if high - low >= _SPREAD * len(rows):
        condition, values = "IN (SELECT value FROM json_each(?))", (pack_json(rows.tolist()),)
    # Four strings of 50,000 numbers each: half the time of as many tuples.
    columns = ", ".join(f"json_group_array({name})" for name in ("row", "segment", "first", "count"))
    lists = db.execute(
        f"SELECT {columns} FROM (SELECT i.row, v.segment, v.first, v.count"
        f" FROM items i JOIN vectors v ON v.number = i.vector WHERE i.row {condition})",
        values,
    ).fetchone()
    table = np.array([unpack_integers(column) for column in lists], np.int64)
    table = table[:, np.argsort(table[0])]  # SQLite promises no order.
    return table[1:, places_of(table[0], rows)]
