"""The SQLite catalog: its tables, its connections, and its errors in our own words."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mmrag.core.errors import Damaged, Locked, NeedsMigration, StoreError, Unsupported
from mmrag.core.identity import digest_json
from mmrag.core.protocols import Rows
from mmrag.core.types import Source, SourceId
from mmrag.store.codec import pack_json, unpack_integers, unpack_pages, unpack_strings, whole
from mmrag.store.disk import fsync_path, out_of_space
from mmrag.store.filter_sql import add_text_functions
from mmrag.store.records import SourceRecord

FORMAT = 1
_APPLICATION = 0x6D6D7267  # "mmrg"
_BUSY_SECONDS = 30.0

# Bodies stand apart so that scans of `items` stay narrow (60 bytes a row instead of 1,500).
# `metadata.value` has no type: SQLite then keeps and compares text, numbers and blobs as they are.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    digest TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT NOT NULL, modified INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, fix TEXT NOT NULL,
    reader TEXT NOT NULL, splitter TEXT NOT NULL, pages TEXT NOT NULL, depends TEXT NOT NULL,
    title TEXT NOT NULL, items INTEGER NOT NULL DEFAULT 0, root TEXT NOT NULL DEFAULT ''
);
CREATE TABLE segments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    dim INTEGER NOT NULL, vectors INTEGER NOT NULL, size INTEGER NOT NULL, digest TEXT NOT NULL
);
CREATE TABLE vectors (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    segment INTEGER NOT NULL REFERENCES segments, first INTEGER NOT NULL, count INTEGER NOT NULL
);
CREATE INDEX vectors_segment ON vectors (segment);
CREATE TABLE items (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL REFERENCES sources ON DELETE CASCADE,
    id TEXT NOT NULL, vector INTEGER NOT NULL REFERENCES vectors,
    added INTEGER NOT NULL, modality TEXT NOT NULL, page INTEGER,
    UNIQUE (source, id)
);
CREATE INDEX items_vector ON items (vector);
CREATE INDEX items_added ON items (added);
CREATE INDEX items_modality ON items (modality);
CREATE INDEX items_page ON items (page);
CREATE TABLE bodies (
    row INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE ON UPDATE CASCADE, body BLOB NOT NULL
);
CREATE TABLE metadata (
    row INTEGER NOT NULL REFERENCES items ON DELETE CASCADE ON UPDATE CASCADE, key TEXT NOT NULL, value,
    PRIMARY KEY (row, key)
) WITHOUT ROWID;
CREATE INDEX metadata_value ON metadata (key, value);
CREATE TABLE removed (row INTEGER PRIMARY KEY, added INTEGER NOT NULL, generation INTEGER NOT NULL);
CREATE INDEX removed_generation ON removed (generation);
CREATE TABLE blobs (
    digest TEXT NOT NULL, source INTEGER NOT NULL REFERENCES sources ON DELETE CASCADE,
    media_type TEXT NOT NULL, PRIMARY KEY (digest, source)
) WITHOUT ROWID;
CREATE INDEX blobs_source ON blobs (source);
CREATE TABLE cache (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key));
INSERT INTO meta VALUES ('generation', '0');
"""

_SOURCE_COLUMNS = (
    "id, folder, name, kind, digest, size, media_type, modified, state, reason, fix, reader, splitter,"
    " pages, depends, title"
)
UPSERT_SOURCE = (
    f"INSERT INTO sources ({_SOURCE_COLUMNS}) VALUES ({', '.join('?' * 16)}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _SOURCE_COLUMNS.split(", ")[1:])
)
UPDATE_SOURCE = (
    f"UPDATE sources SET {', '.join(f'{name} = ?' for name in _SOURCE_COLUMNS.split(', '))} WHERE id = ?"
)
SELECT_SOURCE = (
    "SELECT id, digest, size, media_type, modified, state, reason, fix, reader, splitter, pages, depends,"
    " items, title FROM sources"
)


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
    db = connect(draft, write=True)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        set_meta(db, "identity", pack_json(dict(identity)))
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
    finally:
        db.close()
    fsync_path(draft)
    draft.replace(path)
    fsync_path(path.parent)


def empty_catalog(path: Path, identity: Mapping[str, str]) -> None:
    """Forget all but the cache, in one transaction; a catalog that cannot be read is made anew."""
    try:
        with errors_named(path, ""), closing(connect(path, write=True)) as db:
            check_format(db, path, "")
            db.execute("BEGIN IMMEDIATE")
            now = generation(db) + 1
            db.execute("INSERT INTO removed SELECT row, added, ? FROM items", (now,))
            for table in ("metadata", "bodies", "items", "vectors", "segments", "blobs", "sources"):
                db.execute(f"DELETE FROM {table}")
            db.execute("DELETE FROM meta WHERE key = 'root'")
            set_meta(db, "identity", pack_json(dict(identity)))
            set_meta(db, "generation", str(now))
            db.execute("COMMIT")
    except (Damaged, NeedsMigration):
        path.unlink()
        create_catalog(path, identity)


def check_format(db: sqlite3.Connection, path: Path, rebuild: str) -> None:
    """Refuse what is no catalog, or one of another format.

    Raises:
        Damaged, NeedsMigration.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise Damaged(f"{path} is not a catalog of mmrag.", fix=f"Run: {rebuild}")
    if version > FORMAT:
        raise NeedsMigration(
            f"{path} has format {version}, this mmrag reads {FORMAT}.", fix="Run: pip install -U mmrag"
        )
    if version < FORMAT:
        raise NeedsMigration(
            f"{path} has the old format {version}, this mmrag reads {FORMAT}.", fix=f"Run: {rebuild}"
        )


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a connection without implicit transactions."""
    target = str(path)
    if not write:
        # A catalog on a read-only disk cannot take the shared memory file that WAL needs.
        frozen = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
        target = path.absolute().as_uri() + ("?immutable=1" if frozen else "?mode=rw")
    db = sqlite3.connect(
        target, uri=not write, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        if write:
            # FULL: a commit is on the disk, not only in the system's cache, when it returns.
            db.executescript("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        else:
            db.execute("PRAGMA query_only = ON")
            add_text_functions(db)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def errors_named(path: Path, rebuild: str) -> Iterator[None]:
    """Turn SQLite's errors about the file into the store's."""
    try:
        yield
    except msgspec.DecodeError as error:
        # A page of the database that SQLite takes for whole holds something else.
        raise Damaged(f"{path} cannot be read ({error}).", fix=f"Run: {rebuild}") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise out_of_space(path.parent) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Damaged(f"{path} cannot be read ({error}).", fix=f"Run: {rebuild}") from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            raise StoreError(
                f"{path} cannot be opened ({error}).", fix="Check that you may read and write it."
            ) from error
        if code == sqlite3.SQLITE_BUSY:
            raise Locked(f"{path} is locked by another program.", fix="Close that program.") from error
        raise


class Readers:
    """A pool of read connections: one for each thread that reads at this moment."""

    def __init__(self, path: Path, rebuild: str) -> None:
        self._path, self._rebuild = path, rebuild
        self._free: list[sqlite3.Connection] = []
        self._pinned = threading.local()
        self._closed = threading.Event()
        # A store that nobody closes gives its connections back all the same; Python 3.13 warns otherwise.
        weakref.finalize(self, _close_all, self._free)

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to this thread."""
        with errors_named(self._path, self._rebuild):
            pinned: sqlite3.Connection | None = getattr(self._pinned, "db", None)
            if pinned is not None:
                yield pinned
                return
            if self._closed.is_set():
                raise StoreError(f"The store {self._path.parent} was closed.", fix="Open it again.")
            try:
                db = self._free.pop()
            except IndexError:
                db = connect(self._path, write=False)
            try:
                yield db
            finally:
                if self._closed.is_set():
                    db.close()
                else:
                    self._free.append(db)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread see one and the same state."""
        with self.use() as db:
            if db.in_transaction:
                yield
                return
            db.execute("BEGIN")
            self._pinned.db = db
            try:
                generation(db)  # SQLite takes the snapshot at the first read, not at BEGIN.
                yield
            finally:
                self._pinned.db = None
                db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connections; one in use is closed when it comes back."""
        self._closed.set()
        _close_all(self._free)


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def generation(db: sqlite3.Connection) -> int:
    """Return the number of the state that `db` sees."""
    return msgspec.json.decode(get_meta(db, "generation") or "0", type=int)


def get_meta(db: sqlite3.Connection, key: str) -> str | None:
    """Return a value about the whole store."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else None


def set_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    """Set a value about the whole store."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def fetch_rows(db: sqlite3.Connection, sql: str, values: Iterable[object] = ()) -> Rows:
    """Return the row numbers that a query selects as `row`, sorted."""
    # One string of 100,000 numbers takes 10 ms, as many tuples take 45.
    (found,) = db.execute(f"SELECT json_group_array(row) FROM ({sql})", tuple(values)).fetchone()
    rows = np.array(unpack_integers(found), dtype=np.int64)
    rows.sort()
    return rows


def source_values(record: SourceRecord) -> tuple[object, ...]:
    """Return what UPSERT_SOURCE and UPDATE_SOURCE take.

    Raises:
        Unsupported: The source's name is not valid Unicode.
    """
    source = record.source
    if whole(source.id) != source.id:
        raise Unsupported(
            "The file's name is not valid UTF-8.", fix="Rename the file.", where=ascii(source.id)
        )
    return (
        *(source.id, source.id.rpartition("/")[0], source.name, source.kind, source.digest, source.size),
        *(source.media_type, record.mtime_ns, record.state, whole(record.reason), whole(record.fix)),
        *(record.reader, record.splitter, pack_json(record.pages)),
        *(pack_json(whole(dict(record.depends))), whole(record.title)),
    )


def source_record(found: tuple[Any, ...]) -> SourceRecord:
    """Return the record of a row of SELECT_SOURCE."""
    id, digest, size, media_type, *said, pages, depends, items, title = found
    mtime_ns, state, reason, fix, reader, splitter = said
    source = Source(SourceId(id), digest, size, media_type)
    read = unpack_pages(pages), unpack_strings(depends)
    return SourceRecord(source, mtime_ns, state, reason, fix, reader, splitter, *read, items, title)


def cached(db: sqlite3.Connection, kind: str, key: str) -> bytes | None:
    """Return what `Writer.cache` keeps."""
    found = db.execute("SELECT value FROM cache WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    return bytes(found[0]) if found else None


def dim(db: sqlite3.Connection) -> int:
    """Return the length of the vectors; before the first one, what the identity says, or 0."""
    found = db.execute("SELECT dim FROM segments LIMIT 1").fetchone()
    if found:
        return int(found[0])
    told = unpack_strings(get_meta(db, "identity") or "{}").get("dim", "")
    return int(told) if told.isdecimal() else 0


def root(db: sqlite3.Connection, *, fresh: bool = False) -> str:
    """Return the digest of what is indexed: sources, their states, their items and vector keys.

    A writer keeps it for readers; `fresh` computes it in any case.
    """
    known = get_meta(db, "root")
    if known is not None and not fresh:
        return known
    return digest_json(db.execute("SELECT id, digest, state, root FROM sources ORDER BY id").fetchall())
