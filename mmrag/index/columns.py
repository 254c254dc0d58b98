"""Filters by columns: what SQL finds row by row, found by comparing each distinct value once.

`Columns.rows` finds what `Store.rows` finds, which stays the reference and does whatever the columns do not
hold. A million rows take 20 to 40 MB on the disk, mapped, and most filters 1 to 10 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mmrag.core.conditions import META, And, Compare, Filter, Not, Or
from mmrag.core.errors import Damaged
from mmrag.core.protocols import Rows
from mmrag.index.coded import Coded, Mask
from mmrag.index.column_table import (
    Table,
    integers,
    joined_tables,
    load_table,
    places_among,
    read_coded,
    read_some,
    read_table,
    write_table,
)
from mmrag.index.files import damaged
from mmrag.store import Derived, Store
from mmrag.store.filter_sql import filter_sql

IDENTITY: Mapping[str, str] = MappingProxyType({"columns": "2"})
"""What the files depend on."""

_OF_SOURCE: Mapping[str, str] = MappingProxyType(
    {"source": "id"} | {name: name for name in ("name", "folder", "kind", "media_type", "size", "modified")}
)
"""Columns of the catalog's sources by field: they change while rows stay, so no file holds them."""
_TEXT = ("heading", "title", "language")
"""Fields that are metadata of the item, if they are text."""
_REREAD_SHARE = 4
_FEW_ROWS = 5000
"""SQL filters as many in 1 to 5 ms."""


def write(folder: Path, store: Store) -> None:
    """Write the columns of all rows into an empty folder."""
    with store.snapshot():
        table = read_table(store)
    write_table(folder, table)


def update(old: Path, folder: Path, store: Store, added: Rows, removed: Rows) -> None:
    """Write the columns of `old` with some rows added and others removed into an empty folder.

    Raises:
        Damaged: `old` cannot be read.
    """
    table = load_table(old)
    changed = table.changed + len(added) + len(removed)
    if _REREAD_SHARE * changed > len(table.rows):
        # So many new rows, of one update or many, may bring keys of their own: only `write` looks for them.
        write(folder, store)
        return
    with store.snapshot():
        fresh = read_some(store, added, list(table.columns))
    write_table(folder, replace(joined_tables([table.without(removed), fresh]), changed=changed))


def is_due(count: int, added: int, removed: int) -> bool:
    """Tell whether to publish columns, or to update them: 10,000 newer rows cost each opening 0.2 s.

    Args:
        count: How many rows the store has.
        added: How many of them are newer than the published columns; all where there are none.
        removed: How many that those have are gone.
    """
    return added + removed > max(_FEW_ROWS, count // 50)


class Columns:
    """The columns of one state of a store: published ones, and newer rows read beside them.

    Threads may share it. Asked inside a snapshot of another state, it leaves the answer to SQL.
    """

    def __init__(self, store: Store, generation: int, tables: Sequence[Table], dead: Rows) -> None:
        self._store, self._generation = store, generation
        self._tables, self._dead = tuple(tables), dead
        self._sources: dict[str, Coded] = {}
        self._numbers: Rows | None = None
        self._held: Derived | None = None
        self._torn = False

    @classmethod
    def open(cls, store: Store, published: Derived | None) -> Columns:
        """Open published columns, and read what is newer; None leaves everything to SQL.

        Raises:
            Damaged: The files are not what was written, or belong to another catalog.
            StoreError: What was removed since they were published is not known any more.
        """
        if published is None:
            return cls(store, -1, (), np.empty(0, np.int64))
        base = load_table(published.path)
        with store.snapshot():
            added, removed = store.changes(published.generation)
            dead = places_among(base.rows, removed)
            newer = len(added) and len(base.rows) and added[0] <= base.rows[-1]
            # A catalog restored from a backup may count its generations past the published one.
            if newer or len(base.rows) - len(dead) + len(added) != store.count():
                raise damaged(published.path, "columns", "its rows are not those of the catalog")
            fresh = [read_some(store, added, list(base.columns))] if len(added) else []
            tables = [table for table in (base, *fresh) if len(table.rows)]
            columns = cls(store, store.generation, tables, dead)
        # As long as it is held, the files stay when newer ones are published.
        columns._held = published
        return columns

    def rows(self, where: Filter) -> Rows:
        """Return the rows that meet a filter, sorted, read-only.

        Raises:
            UnknownField, BadFilter: The filter was built by hand and makes no sense.
        """
        with self._store.snapshot():
            found = self._found(where)
        found.setflags(write=False)
        return found

    def __len__(self) -> int:
        return sum(len(table.rows) for table in self._tables) - len(self._dead)

    def _found(self, where: Filter) -> Rows:
        if self._torn or not self._tables or self._store.generation != self._generation:
            return self._store.rows(where)
        filter_sql(where)  # It refuses what makes no sense.
        try:
            masks = self._masks(where)
        except Damaged:
            # The values of a column are read when they are first asked for; SQL has them as well.
            self._torn = True
            return self._store.rows(where)
        masks[0][self._dead] = False
        return np.concatenate([t.rows[mask] for t, mask in zip(self._tables, masks, strict=True)])

    def _masks(self, where: Filter) -> list[Mask]:
        """Return a mask for each table; they are the caller's to change."""
        if isinstance(where, And | Or):
            join = np.logical_and if isinstance(where, And) else np.logical_or
            parts = [self._masks(part) for part in where.parts]
            return [reduce(join, masks) for masks in zip(*parts, strict=True)]
        if isinstance(where, Not):
            return [np.logical_not(mask) for mask in self._masks(where.part)]
        assert isinstance(where, Compare)
        if where.field in _OF_SOURCE:
            met = self._sources_that_meet(where)
            return [met.take(table.sources) for table in self._tables]
        name = META + where.field if where.field in _TEXT else where.field
        if name in self._tables[0].columns:
            only_text = where.field in _TEXT
            return [t.columns[name].mask(where, only_text=only_text) for t in self._tables]
        found = self._store.rows(where)
        return [_marked(table.rows, found) for table in self._tables]

    def _sources_that_meet(self, where: Compare) -> Mask:
        """Return for each number of a source whether it meets a comparison."""
        coded = self._source_column(where.field)
        assert self._numbers is not None
        met = np.zeros(len(self._numbers) and int(self._numbers[-1]) + 1, bool)
        met[self._numbers] = coded.mask(where)
        largest = max((int(table.sources.max(initial=0)) for table in self._tables), default=0)
        return np.append(met, np.zeros(max(0, largest + 1 - len(met)), bool))

    def _source_column(self, field: str) -> Coded:
        if field not in self._sources:
            column = _OF_SOURCE[field]
            with self._store.connection() as db:
                numbers = integers(db.execute("SELECT group_concat(number) FROM sources").fetchone()[0])
                numbers.sort()
                sql = f"SELECT {column}, group_concat(number), count(*) FROM sources GROUP BY {column}"
                coded = read_coded(db, sql, (), numbers, bounded=False)
            assert coded is not None
            self._numbers, self._sources[field] = numbers, coded
        return self._sources[field]


def _marked(rows: Rows, some: Rows) -> Mask:
    mask = np.zeros(len(rows), bool)
    mask[places_among(rows, some)] = True
    return mask
