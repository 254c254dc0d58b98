"""Packs vectors again when many are dead or lie in many small files."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from mmrag.store.vectors import Placements, SegmentReader, SegmentWriter

_SMALL_BYTES = 16_000_000
_MAX_SMALL = 32
"""Each commit makes a segment; this many small ones are joined."""
_LIVE_SHARE = 0.5
"""A segment is packed again when less than this share of its vectors belongs to an item."""

_LIVE = """
    SELECT s.number, s.vectors, s.size, coalesce(sum(v.count), 0) FROM segments s
    LEFT JOIN vectors v ON v.segment = s.number AND v.number IN (SELECT vector FROM items)
    GROUP BY s.number
"""


def worth_compacting(db: sqlite3.Connection, *, removed: bool) -> bool:
    """Tell whether `compact` would do anything; costs next to nothing if nothing was removed."""
    (small,) = db.execute("SELECT count(*) FROM segments WHERE size < ?", (_SMALL_BYTES,)).fetchone()
    return small > _MAX_SMALL or (removed and bool(worn_segments(db)))


def compact(
    db: sqlite3.Connection, writer: SegmentWriter, reader: SegmentReader, chosen: Sequence[int]
) -> None:
    """Move living vectors out of segments and forget these, in the current transaction.

    The files stay until `remove_segments` finds that nobody is about to read them.
    """
    marks = ", ".join("?" * len(chosen))
    # In the order of rows: those that are read together then lie together.
    living = db.execute(
        "SELECT v.number, v.segment, v.first, v.count, s.dim FROM vectors v"
        " JOIN segments s ON s.number = v.segment JOIN items i ON i.vector = v.number"
        f" WHERE v.segment IN ({marks}) GROUP BY v.number ORDER BY min(i.row)",
        chosen,
    ).fetchall()
    for start in range(0, len(living), 10_000):
        numbers, *at, dims = zip(*living[start : start + 10_000], strict=True)
        places = Placements(*(np.array(column, dtype=np.int64) for column in at))
        writer.move(numbers, reader.gather(places, dims[0]))
    db.execute(f"DELETE FROM vectors WHERE segment IN ({marks})", chosen)
    db.execute(f"DELETE FROM segments WHERE number IN ({marks})", chosen)


def worn_segments(db: sqlite3.Connection) -> list[int]:
    """Return the segments that are worth the work."""
    found = db.execute(_LIVE).fetchall()
    small = [number for number, _, size, _ in found if size < _SMALL_BYTES]
    worn = [number for number, vectors, _, live in found if live < _LIVE_SHARE * vectors]
    return sorted({*worn, *(small if len(small) > _MAX_SMALL else [])})


def segments_with_dead(db: sqlite3.Connection) -> list[int]:
    """Return the segments that hold a vector which no item has."""
    return [number for number, vectors, _, live in db.execute(_LIVE) if live < vectors]


def small_segments(db: sqlite3.Connection) -> list[int]:
    """Return the segments that can be joined; none when there is only one."""
    found = db.execute("SELECT number FROM segments WHERE size < ?", (_SMALL_BYTES,)).fetchall()
    return [number for (number,) in found] if len(found) > 1 else []
