"""Connections to the SQLite catalog, and its errors in our own words."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mmrag.core.errors import Damaged, Locked, StoreError
from mmrag.store.disk import disk_failed, out_of_space
from mmrag.store.filter_sql import add_text_functions
from mmrag.store.swap import FileKey, file_key, finish_swap, is_swapping

BUSY_SECONDS = 30.0
_TRIES = 10
_FOREIGN = re.compile(
    "no such (table|column|index)|has no column|malformed|unsupported file format|Could not decode"
    "|has [0-9]+ columns but|unable to use function|non-unique|no query solution"
)
"""What SQLite says, as errors of the statement, of a catalog whose tables are not the store's."""


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a connection without implicit transactions."""
    target = str(path)
    if not write:
        # A catalog on a read-only disk cannot take the shared memory file that WAL needs.
        frozen = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
        target = path.absolute().as_uri() + ("?immutable=1" if frozen else "?mode=rw")
    db = sqlite3.connect(
        target, uri=not write, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
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
        raise _damaged(path, error, rebuild) from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise out_of_space(path.parent) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _damaged(path, error, rebuild) from error
        if code == sqlite3.SQLITE_ERROR and _FOREIGN.search(str(error)):
            raise _damaged(path, error, rebuild) from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            raise StoreError(
                f"{path} cannot be opened ({error}).", fix="Check that you may read and write it."
            ) from error
        if code == sqlite3.SQLITE_IOERR:
            raise disk_failed(path.parent, error) from error
        if code == sqlite3.SQLITE_BUSY:
            raise Locked(f"{path} is locked by another program.", fix="Close that program.") from error
        raise


def _damaged(path: Path, error: Exception, rebuild: str) -> Damaged:
    return Damaged(f"{path} cannot be read ({error}).", fix=f"Run: {rebuild}")


class Readers:
    """A pool of read connections: one for each thread that reads at this moment.

    Args:
        path: The catalog.
        rebuild: The command that makes the store anew, for error messages.
        connect: Opens another connection; one to the file unless given.
    """

    def __init__(
        self, path: Path, rebuild: str, connect: Callable[[], sqlite3.Connection] | None = None
    ) -> None:
        self._path, self._rebuild = path, rebuild
        self._connect = connect or self._to_file
        self._file: FileKey | None = None
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
                db = self._connect()
            try:
                self.check_file()
                yield db
            except sqlite3.DatabaseError:
                self.check_file()  # What SQLite says then is of files that were taken from under it.
                raise
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
                # SQLite takes the snapshot at the first read, not at BEGIN.
                db.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
                yield
            finally:
                self._pinned.db = None
                db.execute("ROLLBACK")

    @property
    def in_snapshot(self) -> bool:
        """Whether this thread is inside a snapshot."""
        return getattr(self._pinned, "db", None) is not None

    @property
    def file(self) -> FileKey | None:
        """Which catalog was opened; None before the first read, and in memory."""
        return self._file

    def check_file(self) -> None:
        """Refuse to go on with a catalog that is not the one at its path any more.

        Raises:
            StoreError: It was removed, or another store was put in its place.
        """
        if self._file is None:
            return
        now = file_key(self._path)
        if now != self._file:
            was = "removed" if now is None else "replaced by another one"
            raise StoreError(
                f"The store {self._path.parent} was {was} while it was open.",
                fix="Open it again, or run the command again.",
            )

    def close(self) -> None:
        """Close the connections; one in use is closed when it comes back."""
        self._closed.set()
        _close_all(self._free)

    def _to_file(self) -> sqlite3.Connection:
        for _ in range(_TRIES):
            file = file_key(self._path)
            try:
                db = _connected(self._path)
            except sqlite3.DatabaseError:
                if file_key(self._path) == file and not is_swapping(self._path.parent):
                    raise
            else:
                if file_key(self._path) == file and self._file in (None, file):
                    self._file = file
                    return db
                db.close()
            # Another store is taking this one's place: who has read the old one is told, others wait.
            self.check_file()
            finish_swap(self._path.parent)
        raise Locked(f"{self._path} is replaced again and again.", fix="Run the command again.")


def _connected(path: Path) -> sqlite3.Connection:
    db = connect(path, write=False)
    try:
        # SQLite opens the log by its name when it first reads: it must be the log of the same store.
        db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()
