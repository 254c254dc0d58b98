"""Bring a store of an older format to this one, in place and in one transaction."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

from mmrag.core.errors import Locked, NeedsMigration, OutOfSpace, StoreError
from mmrag.store import catalog
from mmrag.store.codec import repack
from mmrag.store.connections import connect, errors_named
from mmrag.store.derived import Shelf
from mmrag.store.lock import writer_lock
from mmrag.store.schema import FORMAT, SCHEMA, stored_format
from mmrag.store.seals import source_root, vector_seal
from mmrag.store.vectors import SegmentReader

_BATCH = 2000
_BUILDERS_S = 1.0


def migrate(path: Path, rebuild: str) -> None:
    """Bring the catalog of a store to this format; one that has it already is left alone.

    A kill leaves the old format or the new one.

    Raises:
        NeedsMigration: A writer is at work, the disk cannot be written, or the format is a newer one.
        Damaged: The store cannot be read.
        OutOfSpace: It stays as it was.
    """
    file = path / "catalog.db"
    try:
        with (
            writer_lock(path / "lock"),
            errors_named(file, rebuild),
            closing(connect(file, write=True)) as db,
        ):
            upgrade(db, file, rebuild)
    except Locked as error:
        raise NeedsMigration(
            f"{file} has an older format than {FORMAT}. {error.message}", fix=error.fix
        ) from error
    except StoreError as error:
        if type(error) is not StoreError or isinstance(error, OutOfSpace):
            raise
        raise NeedsMigration(
            f"{file} has an older format than {FORMAT} and cannot be brought to it: {error.message}",
            fix="Open the store once where you may write to it, or a copy of it.",
        ) from error


def upgrade(db: sqlite3.Connection, file: Path, rebuild: str) -> None:
    """Bring an open catalog to this format, holding the writer's lock.

    Raises:
        NeedsMigration, Damaged: As `migrate`.
    """
    # Tables that others refer to are replaced under the same name.
    db.executescript("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON;")
    db.execute("BEGIN IMMEDIATE")
    try:
        if stored_format(db, file, rebuild) < FORMAT:
            # Their stamps are older as well; the next publish builds them from what is stored.
            Shelf(file.parent / "derived").withdraw(before=sys.maxsize, wait_s=_BUILDERS_S)
        while (version := stored_format(db, file, rebuild)) < FORMAT:
            _STEPS[version](db, file.parent, rebuild)
            db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        db.executescript("PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON;")


def _to_format_2(db: sqlite3.Connection, path: Path, rebuild: str) -> None:
    """Add the seals of vectors, sources and cache, and who uses the cache; item bodies get `cells`."""
    _replace(db, ("sources", "vectors", "cache"), "meta_value", "cache_uses", "cache_uses_key")
    _replace(db, (), "removed_generation", "blobs_source")
    names = "number, id, folder, name, kind, digest, size, media_type, modified, state, reason, fix"
    names += ", reader, splitter, pages, depends, title, items, root"
    db.execute(f"INSERT INTO sources ({names}) SELECT {names} FROM old_sources")
    _seal_vectors(db, SegmentReader(path / "vectors", rebuild))
    # What OCR gave is the sources'; which ones, the next sync notes as it reads them.
    db.create_function("seal_of", 2, catalog.cache_seal, deterministic=True)
    db.execute(
        "INSERT INTO cache SELECT kind, key, value, kind = 'ocr', seal_of(kind = 'ocr', value) FROM old_cache"
    )
    for table in ("sources", "vectors", "cache"):
        db.execute(f"DROP TABLE old_{table}")
    _repack_bodies(db)
    for (number,) in db.execute("SELECT number FROM sources").fetchall():
        held = db.execute(
            "SELECT i.id, v.key, v.seal, b.body FROM items i JOIN vectors v ON v.number = i.vector"
            " JOIN bodies b USING (row) WHERE i.source = ?",
            (number,),
        )
        # A source that was never put keeps the empty root that it was made with.
        db.execute("UPDATE sources SET root = ? WHERE number = ? AND root != ''", (source_root(held), number))
        catalog.seal_source(db, number)
    db.execute("DELETE FROM meta WHERE key = 'root'")


_STEPS: Mapping[int, Callable[[sqlite3.Connection, Path, str], None]] = MappingProxyType({1: _to_format_2})


def _replace(db: sqlite3.Connection, tables: Sequence[str], *made: str) -> None:
    """Put tables of format 2 in place of those that then are called `old_...`; make or remake indexes."""
    for table in tables:
        indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
        own = [name for (name,) in db.execute(indexes, (table,)).fetchall()]
        for index in own:
            db.execute(f"DROP INDEX {index}")
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        for name in (table, *own):
            db.execute(SCHEMA[name])
    for name in made:
        db.execute(f"DROP INDEX IF EXISTS {name}")
        db.execute(SCHEMA[name])


def _seal_vectors(db: sqlite3.Connection, segments: SegmentReader) -> None:
    for (segment,) in db.execute("SELECT number FROM segments").fetchall():
        known = db.execute(
            "SELECT number, key, segment, first, count FROM old_vectors WHERE segment = ?", (segment,)
        ).fetchall()
        db.executemany(
            "INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?)",
            [(*row, vector_seal(segments.run(segment, row[3], row[4]))) for row in known],
        )


def _repack_bodies(db: sqlite3.Connection) -> None:
    last = 0
    while found := db.execute(
        "SELECT row, body FROM bodies WHERE row > ? ORDER BY row LIMIT ?", (last, _BATCH)
    ).fetchall():
        db.executemany(
            "UPDATE bodies SET body = ? WHERE row = ?", [(repack(body), row) for row, body in found]
        )
        last = found[-1][0]
