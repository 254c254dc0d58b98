"""Proves that a store is whole: derives its root again, and compares all that is kept twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np

from mmrag.core.errors import MmragError
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Rows
from mmrag.store import audit, catalog
from mmrag.store.blobs import Blobs
from mmrag.store.connections import connect, errors_named
from mmrag.store.derived import Shelf
from mmrag.store.records import Derived, IndexState, VerifyReport
from mmrag.store.seals import store_root
from mmrag.store.store import Store
from mmrag.store.vectors import segment_path

RowsOf = Callable[[Derived], Rows | None]
"""Opens a published index and returns the rows that it holds, sorted; None if that cannot be told.

Raises:
    MmragError: It cannot be opened.
"""

# What SQLite's bytes can do to Python when they are not those that were written.
_BROKEN = (
    *(sqlite3.Error, MmragError, msgspec.MsgspecError, OSError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
)


def verify(store: Store, indexes: Mapping[str, RowsOf] = MappingProxyType({})) -> VerifyReport:
    """Read all of a store and report what is wrong with it.

    Args:
        store: The store; a writer may be at work, its last commit is looked at.
        indexes: How to look into the published indexes, by name; of others only the files are checked.
    """
    path, file = store.path, store.path / "catalog.db"
    problems: list[str] = []
    of_indexes: list[str] = []
    states: list[IndexState] = []
    counts, root, orphans = (0, 0, 0), "", 0
    try:
        with errors_named(file, store.rebuild_command), closing(connect(file, write=False)) as db:
            db.execute("BEGIN")
            for section in audit.SECTIONS:
                problems += _guarded(section(db, path))
            problems += _guarded(_blobs(db, path))
            of_indexes = list(_guarded(_derived(db, store, indexes, states)))
            problems += of_indexes
            root = store_root(db)
            counts = db.execute(
                "SELECT (SELECT count(*) FROM sources), (SELECT count(*) FROM items),"
                " (SELECT coalesce(sum(count), 0) FROM vectors)"
            ).fetchone()
            orphans = _orphans(db, path)
    except _BROKEN as error:
        problems.append(f"The catalog cannot be read: {_said(error)}.")
    return VerifyReport(
        tuple(dict.fromkeys(problems)),
        *counts,
        orphans,
        root,
        tuple(states),
        indexes_only=bool(problems) and set(problems) <= set(of_indexes),
    )


def _guarded(problems: Iterator[str]) -> Iterator[str]:
    """Go on with the other sections when one cannot be read."""
    try:
        yield from problems
    except _BROKEN as error:
        yield f"The catalog cannot be read: {_said(error)}."


def _said(error: Exception) -> str:
    return (error.message if isinstance(error, MmragError) else str(error)).rstrip(".")


def _blobs(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    blobs = Blobs(path / "blobs", path / "tmp")
    for (digest,) in db.execute("SELECT DISTINCT digest FROM blobs"):
        data = blobs.read(digest)
        if data is None:
            yield f"Blob {digest} is missing."
        elif digest_bytes(data) != digest:
            yield f"Blob {digest} is not what was written."


def _derived(
    db: sqlite3.Connection, store: Store, indexes: Mapping[str, RowsOf], states: list[IndexState]
) -> Iterator[str]:
    for name in ("derived", "vectors", "blobs", "tmp"):
        if (store.path / name).exists() and not (store.path / name).is_dir():
            yield f"{store.path / name} is not a folder; delete it."
    shelf = Shelf(store.path / "derived")
    for name in shelf.names():
        damage, derived = shelf.damage(name), shelf.find(name)
        if damage is not None or derived is None:
            what = damage or "a file has another size"
            yield f"The derived index {name} is torn ({what}); mmrag reindex builds it again."
            continue
        # A writer may have published since this look at the catalog began.
        if derived.generation > store.generation:
            yield f"The derived index {name} covers generation {derived.generation} of {store.generation}."
        is_known = catalog.horizon(db) <= derived.generation <= catalog.generation(db)
        rows = None
        if name in indexes and is_known:
            try:
                rows = indexes[name](derived)
            except MmragError as error:
                yield f"The derived index {name} cannot be opened: {_said(error)}."
                continue
            wrong = [] if rows is None else np.setxor1d(rows, _rows_at(db, derived.generation)).tolist()
            if wrong:
                yield (
                    f"The derived index {name} and the catalog differ in {len(wrong)} rows"
                    f" ({wrong[0]} is one of them); mmrag reindex builds it again."
                )
        states.append(IndexState(name, derived.generation, None if rows is None else len(rows)))


def _rows_at(db: sqlite3.Connection, generation: int) -> Rows:
    """Return the rows that the store held at a generation since the horizon."""
    return catalog.fetch_rows(
        db,
        "SELECT row FROM items WHERE added <= ? UNION ALL"
        " SELECT row FROM removed WHERE added <= ? AND generation > ?",
        (generation, generation, generation),
    )


def _orphans(db: sqlite3.Connection, path: Path) -> int:
    segments = {
        segment_path(path / "vectors", number) for (number,) in db.execute("SELECT number FROM segments")
    }
    blobs = {digest for (digest,) in db.execute("SELECT digest FROM blobs")}
    return (
        len(set((path / "vectors").glob("*")) - segments)
        + len(set(Blobs(path / "blobs", path / "tmp").digests()) - blobs)
        + len(list((path / "tmp").glob("*")))
        + len(list(Shelf(path / "derived").strays()))
    )
