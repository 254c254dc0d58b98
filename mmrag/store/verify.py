"""Proves that a store is whole: counts, digests, references."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from mmrag.core.identity import digest_bytes, digest_file, digest_json
from mmrag.store import catalog
from mmrag.store.blobs import Blobs
from mmrag.store.codec import unpack_item
from mmrag.store.derived import Shelf
from mmrag.store.records import VerifyReport
from mmrag.store.store import Store
from mmrag.store.vectors import segment_path


def verify(store: Store) -> VerifyReport:
    """Read all of a store and report what is wrong with it."""
    path = store.path
    with closing(catalog.connect(path / "catalog.db", write=False)) as db:
        db.execute("BEGIN")
        try:
            problems = [*_structure(db), *_sources(db), *_vectors(db, path), *_blobs(db, path)]
            orphans = _orphans(db, path)
            sources, items, vectors = db.execute(
                "SELECT (SELECT count(*) FROM sources), (SELECT count(*) FROM items),"
                " (SELECT coalesce(sum(count), 0) FROM vectors)"
            ).fetchone()
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            return VerifyReport((f"The catalog cannot be read: {error}.",), 0, 0, 0, 0)
        problems += _derived(path, catalog.generation(db))
    return VerifyReport(tuple(problems), sources, items, vectors, orphans)


def _structure(db: sqlite3.Connection) -> Iterator[str]:
    for (line,) in db.execute("PRAGMA integrity_check(10)"):
        if line != "ok":
            yield f"The catalog is damaged: {line}."
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        yield f"Row {row} of {table} refers to a row of {parent} that does not exist."


def _sources(db: sqlite3.Connection) -> Iterator[str]:
    for number, id, items, root in db.execute("SELECT number, id, items, root FROM sources").fetchall():
        found = db.execute(
            "SELECT i.row, i.id, v.key, b.body FROM items i JOIN vectors v ON v.number = i.vector"
            " LEFT JOIN bodies b ON b.row = i.row WHERE i.source = ?",
            (number,),
        ).fetchall()
        if len(found) != items:
            yield f"{id} holds {len(found)} items, its record says {items}."
        if root and digest_json(sorted([item, key] for _, item, key, _ in found)) != root:
            yield f"The items of {id} are not those that were put."
        for row, item, _, body in found:
            try:
                unpack_item(item, id, body or b"")
            except (msgspec.DecodeError, ValueError, TypeError, IndexError):
                yield f"The item of row {row} ({id}) cannot be read."
    kept = catalog.get_meta(db, "root")
    if kept is not None and kept != catalog.root(db, fresh=True):
        yield "The root that the store keeps is not the digest of its sources."


def _vectors(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    for number, digest in db.execute("SELECT number, digest FROM segments"):
        file = segment_path(path / "vectors", number)
        if not file.exists():
            yield f"{file} is missing."
        elif digest_file(file) != digest:
            yield f"{file} is not what was written."
    for (key,) in db.execute(
        "SELECT key FROM vectors v JOIN segments s ON s.number = v.segment"
        " WHERE v.first < 0 OR v.count < 0 OR v.first + v.count > s.vectors"
    ):
        yield f"The vectors of key {key} lie outside of their segment."


def _blobs(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    blobs = Blobs(path / "blobs", path / "tmp")
    for (digest,) in db.execute("SELECT DISTINCT digest FROM blobs"):
        data = blobs.read(digest)
        if data is None:
            yield f"Blob {digest} is missing."
        elif digest_bytes(data) != digest:
            yield f"Blob {digest} is not what was written."


def _derived(path: Path, generation: int) -> Iterator[str]:
    shelf = Shelf(path / "derived")
    for name in shelf.names():
        derived = shelf.find(name)
        if derived is None:
            yield f"The derived index {name} is torn; it is built again when it is needed."
        elif derived.generation > generation:
            yield f"The derived index {name} covers generation {derived.generation} of {generation}."


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
