"""New catalogs: in a folder that is fit for one, in place of another, and only in memory."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from mmrag.core.errors import Damaged, NeedsMigration, StoreError
from mmrag.store import catalog
from mmrag.store.codec import pack_json
from mmrag.store.connections import connect, errors_named
from mmrag.store.disk import fsync_path
from mmrag.store.filter_sql import add_text_functions
from mmrag.store.migrate import upgrade
from mmrag.store.schema import write_schema

_OWN_NAMES = frozenset({"blobs", "catalog", "derived", "lock", "reading", "tmp", "vectors"})


def create_catalog(path: Path, identity: Mapping[str, str]) -> None:
    """Write an empty catalog; `path` exists only once it is whole.

    What an earlier catalog named is removed: generations, rows and segments are counted from 1 anew, so
    that a derived index which outlived its catalog would answer with other items.
    """
    for folder in ("derived", "vectors"):
        shutil.rmtree(path.with_name(folder), ignore_errors=True)
    draft = path.with_name("catalog.new")
    # SQLite would replay the log of a catalog that was deleted into the new one.
    for leftover in (draft, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    with closing(connect(draft, write=True)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        _fill(db, identity)
    fsync_path(draft)
    draft.replace(path)
    fsync_path(path.parent)


def empty_catalog(path: Path, identity: Mapping[str, str]) -> None:
    """Forget all but the cache, in one transaction; a catalog that cannot be read is made anew."""
    try:
        with errors_named(path, ""), closing(connect(path, write=True)) as db:
            upgrade(db, path, "")
            db.execute("BEGIN IMMEDIATE")
            _empty(db, identity)
            db.execute("COMMIT")
    except (Damaged, NeedsMigration):
        path.unlink()
        create_catalog(path, identity)


def give_identity(db: sqlite3.Connection, identity: Mapping[str, str]) -> bool:
    """Let another embedder have a catalog without any source or item; return False where there is one."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("SELECT 1 FROM sources UNION ALL SELECT 1 FROM items LIMIT 1").fetchone():
            return False
        _empty(db, identity)
        db.execute("COMMIT")
        return True
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def catalog_in_memory(identity: Mapping[str, str]) -> sqlite3.Connection:
    """Return a connection to an empty catalog that no file holds."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        _fill(db, identity)
        db.execute("PRAGMA query_only = ON")
        add_text_functions(db)
    except BaseException:
        db.close()
        raise
    return db


def refuse_foreign(path: Path) -> None:
    """Refuse a folder with files that no store makes: a store deletes what it does not know."""
    if not path.is_dir():
        return
    foreign = sorted(
        entry.name
        for entry in path.iterdir()
        if not entry.name.startswith(".") and entry.name.partition(".")[0] not in _OWN_NAMES
    )
    if foreign:
        raise StoreError(
            f"The folder {path} holds {foreign[0]!r}, which is no part of a store.",
            fix="Choose an empty folder, or one that does not exist yet.",
        )


def _empty(db: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    now = catalog.generation(db) + 1
    db.execute("INSERT INTO removed SELECT row, added, ? FROM items", (now,))
    for table in ("metadata", "bodies", "items", "vectors", "segments", "blobs", "sources"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM meta WHERE key = 'root'")
    catalog.set_meta(db, "identity", pack_json(dict(identity)))
    catalog.set_meta(db, "generation", str(now))


def _fill(db: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    db.execute("BEGIN")
    write_schema(db)
    catalog.set_meta(db, "identity", pack_json(dict(identity)))
    db.execute("COMMIT")
