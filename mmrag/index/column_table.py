"""What filters ask of rows, as columns: read out of a catalog, joined, and kept in files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mmrag.core.conditions import META
from mmrag.core.protocols import Rows
from mmrag.core.types import Scalar
from mmrag.index.coded import Coded, Values, fitting, given, joined, unpacked
from mmrag.index.files import damaged, prepare, read_header, write_arrays, write_header, write_synced
from mmrag.store import Store

_KIND = "columns"
_SHARE = 32
"""A key that fewer than one row in this many has gets no column: SQL finds its few rows as fast."""
_VALUES_BYTES = 32 << 20
"""A key whose distinct values take more gets none either: each row has a long value of its own."""
_GROUP_ROWS = 200_000
_Line = tuple[Any, str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of rows in rising order.

    Args:
        rows: The rows.
        sources: The number of each row's source in the catalog; it keeps that as long as it is there.
        columns: `modality`, `page` and `meta.<key>`. Nothing of them ever changes for a row.
        changed: How many rows came and went since all were read, and keys were looked for.

    Shapes:
        rows int64 [n], sources int32 [n], codes of a column [n]
    """

    rows: Rows
    sources: NDArray[np.int32]
    columns: Mapping[str, Coded]
    changed: int = 0

    def without(self, rows: Rows) -> Table:
        """Drop rows; unknown ones are ignored."""
        keep = np.ones(len(self.rows), bool)
        keep[places_among(self.rows, rows)] = False
        columns = {name: Coded(c.codes[keep], c.values) for name, c in self.columns.items()}
        return Table(self.rows[keep], self.sources[keep], columns)


def read_table(store: Store) -> Table:
    """Read the columns of all rows; call it inside a snapshot."""
    with store.connection() as db:
        rows, sources = _rows_and_sources(db)
        columns = {}
        for name in ("modality", "page"):
            sql = f"SELECT {name}, group_concat(row), count(*) FROM items WHERE {name} IS NOT NULL GROUP BY 1"
            coded = read_coded(db, sql, (), rows)
            assert coded is not None
            columns[name] = coded
        for key, count in db.execute("SELECT key, count(*) FROM metadata GROUP BY key").fetchall():
            if count * _SHARE >= len(rows):
                sql = "SELECT value, group_concat(row), count(*) FROM metadata WHERE key = ? GROUP BY value"
                coded = read_coded(db, sql, (key,), rows)
                if coded is not None:
                    columns[META + key] = coded
    return Table(rows, sources, columns)


def read_some(store: Store, rows: Rows, names: Sequence[str]) -> Table:
    """Read some columns of a few rows; call it inside a snapshot."""
    wanted = msgspec.json.encode(rows.tolist()).decode()
    found: dict[str, tuple[list[int], list[Scalar]]] = {name: ([], []) for name in names}
    within = "row IN (SELECT value FROM json_each(?))"
    with store.connection() as db:
        items = db.execute(
            f"SELECT row, source, modality, page FROM items WHERE {within} ORDER BY row", (wanted,)
        ).fetchall()
        for row, _, *values in items:
            for name, value in zip(("modality", "page"), values, strict=True):
                if value is not None:
                    found[name][0].append(row)
                    found[name][1].append(value)
        for row, key, value in db.execute(f"SELECT row, key, value FROM metadata WHERE {within}", (wanted,)):
            if (name := META + key) in found:
                found[name][0].append(row)
                found[name][1].append(_scalar(value))
    own = np.array([row for row, *_ in items], np.int64)
    sources = np.array([source for _, source, *_ in items], np.int32)
    columns = {
        name: Coded.of(len(own), np.searchsorted(own, np.array(at, np.int64)), values)
        for name, (at, values) in found.items()
    }
    return Table(own, sources, columns)


def read_coded(
    db: sqlite3.Connection, sql: str, values: Sequence[object], numbers: Rows, *, bounded: bool = True
) -> Coded | None:
    """Code what a query gives: (value, numbers that have it, how many), sorted by value.

    Args:
        db: The catalog.
        sql: The query.
        values: Its values.
        numbers: All numbers, rising: place i of the column is that of `numbers[i]`.
        bounded: Give up on values that take more than 32 MiB.

    Returns:
        None for values that take too much room.
    """
    codes = np.zeros(len(numbers), np.uint32)
    known: list[Scalar] = []
    room = 0
    for group in _groups(db, sql, values):
        first = len(known) + 1
        for value, _, _ in group:
            known.append(_scalar(value))
            room += 9 + (len(value) if isinstance(value, str) else 0)
        if bounded and room > _VALUES_BYTES:
            return None
        # Numbers that stand in one text are parsed at once: a million single ones took 1.5 s.
        found = integers(",".join(text for _, text, _ in group))
        own = np.arange(first, len(known) + 1, dtype=np.uint32)
        codes[np.searchsorted(numbers, found)] = np.repeat(own, [count for _, _, count in group])
    return Coded(codes.astype(fitting(len(known))), given(known))


def integers(text: str | None) -> NDArray[np.int64]:
    """Return the numbers that SQLite's `group_concat` wrote; it gives NULL for none."""
    # A list of Python's integers between takes half as long again and five times the room.
    return np.fromstring(text, np.int64, sep=",") if text else np.empty(0, np.int64)


def places_among(rows: Rows, wanted: Rows) -> NDArray[np.int64]:
    """Return where those of `wanted` that are among `rows` stand there; both rise."""
    if not len(rows):
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    known: NDArray[np.int64] = places[rows[places] == wanted]
    return known


def joined_tables(tables: Sequence[Table]) -> Table:
    """Put tables with the same columns one after the other."""
    return Table(
        np.concatenate([table.rows for table in tables]),
        np.concatenate([table.sources for table in tables]),
        {name: joined([table.columns[name] for table in tables]) for name in tables[0].columns},
    )


def write_table(folder: Path, table: Table) -> None:
    """Write a table into a folder and sync it to disk; an older one there is gone from the start."""
    prepare(folder)
    arrays: dict[str, NDArray[Any]] = {"rows.npy": table.rows, "sources.npy": table.sources}
    for number, coded in enumerate(table.columns.values()):
        arrays[f"codes-{number}.npy"] = coded.codes
        data = coded.values.packed()
        write_synced(folder / f"values-{number}.msgpack", partial(_write_bytes, data))
    write_arrays(folder, arrays)
    values = [f"values-{number}.msgpack" for number in range(len(table.columns))]
    facts = {"count": len(table.rows), "changed": table.changed, "columns": list(table.columns)}
    write_header(folder, _KIND, facts, (*arrays, *values))


def load_table(folder: Path) -> Table:
    """Open a table, memory-mapped; the values of a column are read when a filter asks for them.

    Raises:
        Damaged: A file is missing, torn, or not of this kind.
    """
    header = read_header(folder, _KIND)
    try:
        count, names = int(header["count"]), [str(name) for name in header["columns"]]
        changed = int(header["changed"])
        rows, sources = _mapped(folder / "rows.npy", count), _mapped(folder / "sources.npy", count)
        columns = {}
        for number, name in enumerate(names):
            codes = _mapped(folder / f"codes-{number}.npy", count)
            columns[name] = Coded(codes, _values(folder, number, codes))
        if not {"modality", "page"} <= columns.keys():
            raise ValueError("it has no modality or no page")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, _KIND, str(error)) from error
    return Table(rows, sources, columns, changed)


def _rows_and_sources(db: sqlite3.Connection) -> tuple[Rows, NDArray[np.int32]]:
    rows, sources, last = [np.empty(0, np.int64)], [np.empty(0, np.int32)], -1
    sql = (
        "SELECT group_concat(row), group_concat(source) FROM"
        " (SELECT row, source FROM items WHERE row > ? ORDER BY row LIMIT ?)"
    )
    while (found := db.execute(sql, (last, _GROUP_ROWS)).fetchone())[0] is not None:
        rows.append(integers(found[0]))
        sources.append(integers(found[1]).astype(np.int32))
        last = int(rows[-1][-1])
    return np.concatenate(rows), np.concatenate(sources)


def _groups(
    db: sqlite3.Connection, sql: str, values: Sequence[object]
) -> Iterator[list[tuple[Any, str, int]]]:
    """Yield the lines of a query, as many at a time as stand for `_GROUP_ROWS` numbers or a few more."""
    group: list[_Line] = []
    rows = 0
    for line in db.execute(sql, tuple(values)):
        group.append(line)
        rows += line[2]
        if rows >= _GROUP_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _scalar(value: Any) -> Scalar:
    """Return a value of the catalog as filters see it: a truth value is kept as a blob."""
    scalar: Scalar = value == b"\x01" if isinstance(value, bytes) else value
    return scalar


def _values(folder: Path, number: int, codes: NDArray[Any]) -> Values:
    def read() -> list[Scalar]:
        try:
            values = unpacked((folder / f"values-{number}.msgpack").read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(folder, _KIND, f"values-{number}.msgpack cannot be read ({error})") from error
        if len(codes) and int(codes.max()) > len(values):
            raise damaged(folder, _KIND, f"codes-{number}.npy counts beyond its {len(values)} values")
        return values

    return Values(read)


def _mapped(path: Path, count: int) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r" if count else None)
    if array.shape != (count,):
        raise ValueError(f"{path.name} has shape {array.shape} where {count} rows are")
    # The bare array: arithmetic on numpy's own class for maps is slower.
    return np.asarray(array)


def _write_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)
