"""Checks the catalog and the vectors: each row against what proves it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from mmrag.core.errors import Damaged
from mmrag.core.identity import digest_file
from mmrag.core.types import Item, Page
from mmrag.store import catalog
from mmrag.store.codec import unpack_item, unpack_strings
from mmrag.store.filter_sql import stored_boolean
from mmrag.store.schema import differences_of_schema
from mmrag.store.seals import source_root, store_root, vector_seal
from mmrag.store.vectors import SegmentReader, segment_path


def _structure(db: sqlite3.Connection, _: Path) -> Iterator[str]:
    for difference in differences_of_schema(db):
        yield f"The catalog is damaged: {difference}."
    for (line,) in db.execute("PRAGMA integrity_check(10)"):
        if line != "ok":
            yield f"The catalog is damaged: {line}."
    for table, row, parent, _number in db.execute("PRAGMA foreign_key_check"):
        yield f"Row {row} of {table} refers to a row of {parent} that does not exist."


def _sources(db: sqlite3.Connection, _: Path) -> Iterator[str]:
    for id in catalog.unsealed_sources(db):
        yield f"What is known of {id} is not what was written."
    for number, id, items, root in db.execute("SELECT number, id, items, root FROM sources").fetchall():
        found = db.execute(
            "SELECT i.row, i.id, i.modality, i.page, v.key, v.seal, b.body FROM items i"
            " JOIN vectors v ON v.number = i.vector LEFT JOIN bodies b ON b.row = i.row"
            " WHERE i.source = ? ORDER BY i.row",
            (number,),
        ).fetchall()
        if len(found) != items:
            yield f"{id} holds {len(found)} items, its record says {items}."
        if (
            root
            and source_root((item, key, seal, body or b"") for _, item, _, _, key, seal, body in found)
            != root
        ):
            yield f"The items of {id} are not those that were put."
        metadata = _metadata(db, number)
        for row, item_id, modality, page, _key, _seal, body in found:
            try:
                item = unpack_item(item_id, id, body or b"")
            except (msgspec.DecodeError, ValueError, TypeError, IndexError, StopIteration):
                yield f"The item of row {row} ({id}) cannot be read."
                continue
            if (modality, page) != (item.modality, _page(item)) or metadata.get(row, {}) != _kept(item):
                yield f"The filters of row {row} ({id}) are not those of its item."


def _metadata(db: sqlite3.Connection, source: int) -> dict[int, dict[str, tuple[type, object]]]:
    found = db.execute(
        "SELECT row, key, value FROM metadata WHERE row IN (SELECT row FROM items WHERE source = ?)"
        " ORDER BY row",
        (source,),
    )
    return {
        row: {key: (type(value), value) for _, key, value in some}
        for row, some in groupby(found, itemgetter(0))
    }


def _kept(item: Item) -> dict[str, tuple[type, object]]:
    values = {
        key: stored_boolean(value) if isinstance(value, bool) else value
        for key, value in item.metadata.items()
    }
    return {key: (type(value), value) for key, value in values.items()}


def _page(item: Item) -> int | None:
    return item.locator.number if isinstance(item.locator, Page) else None


def _vectors(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    reader = SegmentReader(path / "vectors", "")
    for number, dim, vectors, size, digest in db.execute("SELECT * FROM segments").fetchall():
        file = segment_path(path / "vectors", number)
        if not file.exists():
            yield f"{file} is missing."
            continue
        if (file.stat().st_size, digest_file(file)) != (size, digest):
            # Its map is not looked at: offsets that point outside of the file end the process.
            yield f"{file} is not what was written."
            continue
        outside = "first < 0 OR count < 0 OR first + count > ?"
        for (key,) in db.execute(
            f"SELECT key FROM vectors WHERE segment = ? AND ({outside})", (number, vectors)
        ):
            yield f"The vectors of key {key} lie outside of their segment."
        try:
            yield from _seals(db, reader, number, dim)
        except Damaged as error:
            yield error.message
        reader.close()


def _seals(db: sqlite3.Connection, reader: SegmentReader, segment: int, dim: int) -> Iterator[str]:
    known = db.execute(
        "SELECT key, first, count, seal FROM vectors WHERE segment = ? AND first >= 0 AND count >= 0",
        (segment,),
    )
    for key, first, count, seal in known:
        run = reader.run(segment, first, count)
        if vector_seal(run) != seal or run.shape[1] != dim:
            yield f"The vectors of key {key} are not those that were added."


def _numbers(db: sqlite3.Connection, _: Path) -> Iterator[str]:
    now = catalog.generation(db)
    (last,) = db.execute(
        "SELECT max((SELECT coalesce(max(added), 0) FROM items),"
        " (SELECT coalesce(max(generation), 0) FROM removed))"
    ).fetchone()
    if last > now:
        yield f"The store is of generation {now}, and something of it of generation {last}."
    if (horizon := catalog.horizon(db)) > now:
        yield f"The store is of generation {now}, and forgot what was before {horizon}."
    for table, number in (("items", "row"), ("segments", "number")):
        (high,) = db.execute(f"SELECT coalesce(max({number}), 0) FROM {table}").fetchone()
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        if high > (found[0] if found else 0):
            yield f"The numbers of {table} would be used a second time."
    (twice,) = db.execute("SELECT count(*) FROM removed WHERE row IN (SELECT row FROM items)").fetchone()
    if twice:
        yield f"{twice} rows are both there and removed."


def _kept_aside(db: sqlite3.Connection, _: Path) -> Iterator[str]:
    for kind, key, value, owned, seal in db.execute("SELECT kind, key, value, owned, seal FROM cache"):
        if catalog.cache_seal(owned, value) != seal:
            yield f"What is kept as {kind} {key} is not what was written."
    unpack_strings(catalog.get_meta(db, "identity") or "{}")
    kept = catalog.get_meta(db, "root")
    if kept is not None and kept != store_root(db):
        yield "The root that the store keeps is not the digest of its sources."


SECTIONS: tuple[Callable[[sqlite3.Connection, Path], Iterator[str]], ...] = (
    _structure,
    _sources,
    _vectors,
    _numbers,
    _kept_aside,
)
"""Each says what it finds wrong; one that cannot be read does not keep the others from being run."""
