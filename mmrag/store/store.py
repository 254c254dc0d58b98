"""The store: one folder that holds everything mmrag knows of a corpus."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from mmrag.core.errors import IdentityMismatch, StoreError
from mmrag.core.filters import Filter
from mmrag.core.identity import differences
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings, Item, SourceId
from mmrag.store import catalog
from mmrag.store.blobs import Blobs
from mmrag.store.codec import unpack_item, unpack_strings
from mmrag.store.derived import Shelf
from mmrag.store.disk import permission_checked
from mmrag.store.filter_sql import filter_sql
from mmrag.store.lock import writer_lock
from mmrag.store.records import Derived, SourceRecord
from mmrag.store.vectors import Placements, SegmentReader, remove_segments
from mmrag.store.writer import Writer


class Store:
    """Sources, items, vectors and derived indexes of a corpus; made by `create` or `open`.

    Any number of threads and processes may read while one writes: each call sees one committed
    state, and calls inside `snapshot` see the same one.
    """

    def __init__(self, path: Path, rebuild: str) -> None:
        self.path = path
        self._rebuild = rebuild
        self._readers = catalog.Readers(_catalog(path), rebuild)
        self._segments = SegmentReader(path / "vectors", rebuild)
        self._blobs = Blobs(path / "blobs", path / "tmp")
        self._shelf = Shelf(path / "derived")

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether a folder holds a store."""
        # Not Path.exists: it raises for a folder that may not be entered or a name that cannot be.
        return os.path.exists(_catalog(path))

    @classmethod
    def create(cls, path: Path, *, identity: Mapping[str, str], replace: bool = False) -> Store:
        """Make an empty store.

        Args:
            path: The folder; it is made where needed.
            identity: What the vectors depend on.
            replace: Empty a store that is there already. What `Writer.cache` keeps is carried over.

        Raises:
            StoreError: There is a store and `replace` is not set, the folder holds other files, or it
                cannot be written.
            Locked: Another writer is at work.
        """
        with permission_checked(path):
            _refuse_foreign(path)
        rebuild = _rebuild_command(path)
        with writer_lock(path / "lock"), catalog.errors_named(_catalog(path), rebuild):
            if not cls.exists(path):
                catalog.create_catalog(_catalog(path), identity)
            elif replace:
                catalog.empty_catalog(_catalog(path), identity)
            else:
                raise StoreError(f"There is a store at {path} already.", fix=f"Run: {rebuild}")
        if not (path / ".gitignore").exists():
            # Version control and backup tools leave the store alone.
            (path / ".gitignore").write_text("*\n")
        return cls.open(path, identity=identity)

    @classmethod
    def open(cls, path: Path, *, identity: Mapping[str, str] | None = None, fix: str | None = None) -> Store:
        """Open a store.

        Args:
            path: Its folder.
            identity: What the caller's vectors depend on; None takes the store as it is.
            fix: The command that makes the store anew, for error messages.

        Raises:
            StoreError: There is none.
            IdentityMismatch: It was built with another embedder.
            NeedsMigration: It has another format.
            Damaged: Its catalog cannot be read.
        """
        rebuild = fix or _rebuild_command(path)
        if not cls.exists(path):
            raise StoreError(f"There is no store at {path}.", fix=f"Run: {rebuild.replace(' --rebuild', '')}")
        store = cls(path, rebuild)
        try:
            with store._readers.use() as db:
                catalog.check_format(db, _catalog(path), rebuild)
            wrong = differences(store.identity, identity) if identity is not None else []
            if wrong:
                raise IdentityMismatch(
                    f"The store {path} was built with another embedder ({'; '.join(wrong)}).",
                    fix=f"Run: {rebuild}",
                )
        except BaseException:
            store.close()
            raise
        return store

    @property
    def identity(self) -> dict[str, str]:
        """What the vectors depend on."""
        with self._readers.use() as db:
            return unpack_strings(catalog.get_meta(db, "identity") or "{}")

    @property
    def generation(self) -> int:
        """The number of the last commit that changed sources or items."""
        with self._readers.use() as db:
            return catalog.generation(db)

    @property
    def root(self) -> str:
        """The digest of what is indexed: equal roots mean equal sources, items and vector keys."""
        with self._readers.snapshot(), self._readers.use() as db:
            return catalog.root(db)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread inside the block see one and the same state."""
        with self._segments.lease(), self._readers.snapshot():
            yield

    def sources(self) -> list[SourceRecord]:
        """Return the record of every source, sorted by id."""
        with self._readers.use() as db:
            return [catalog.source_record(r) for r in db.execute(catalog.SELECT_SOURCE + " ORDER BY id")]

    def source(self, id: SourceId) -> SourceRecord | None:
        """Return the record of a source, None if it is unknown."""
        with self._readers.use() as db:
            found = db.execute(catalog.SELECT_SOURCE + " WHERE id = ?", (id,)).fetchone()
            return catalog.source_record(found) if found else None

    def count(self) -> int:
        """Return the number of rows."""
        with self._readers.use() as db:
            return int(db.execute("SELECT coalesce(sum(items), 0) FROM sources").fetchone()[0])

    def languages(self) -> dict[str, int]:
        """Count the items by their language, as far as it is known."""
        with self._readers.use() as db:
            sql = "SELECT value, count(*) FROM metadata WHERE key = 'language' GROUP BY value"
            return {str(language): int(count) for language, count in db.execute(sql)}

    def rows(self, where: Filter | None = None) -> Rows:
        """Return the rows that meet a filter, or all, sorted.

        Raises:
            UnknownField, BadFilter: The filter was built by hand and makes no sense.
        """
        condition, values = filter_sql(where) if where else ("1", [])
        with self._readers.use() as db:
            return catalog.fetch_rows(db, f"SELECT row FROM items WHERE {condition}", values)

    def rows_of(self, source_id: SourceId) -> Rows:
        """Return the rows of a source, sorted."""
        with self._readers.use() as db:
            sql = "SELECT row FROM items WHERE source = (SELECT number FROM sources WHERE id = ?)"
            return catalog.fetch_rows(db, sql, (source_id,))

    def items(self, rows: Rows | Sequence[int]) -> dict[int, Item]:
        """Return the items of rows; rows that are gone are left out."""
        with self._readers.use() as db:
            found = db.execute(
                "SELECT i.row, i.id, s.id, b.body FROM items i JOIN bodies b USING (row)"
                " JOIN sources s ON s.number = i.source WHERE i.row IN (SELECT value FROM json_each(?))",
                (_json(rows),),
            ).fetchall()
            return {row: unpack_item(id, source, body) for row, id, source, body in found}

    def changes(self, since_generation: int) -> tuple[Rows, Rows]:
        """Return the rows added and removed since a generation: what a derived index has to catch up on."""
        with self._readers.snapshot(), self._readers.use() as db:
            added = catalog.fetch_rows(db, "SELECT row FROM items WHERE added > ?", (since_generation,))
            removed = catalog.fetch_rows(
                db,
                "SELECT row FROM removed WHERE generation > ? AND added <= ?",
                (since_generation, since_generation),
            )
        return added, removed

    def embeddings(self, rows: Rows) -> Embeddings:
        """Return the vectors of rows, in their order.

        A run of rows that were embedded one after the other is a view of the file: read-only, and
        loaded page by page.

        Raises:
            StoreError: A row is gone; read rows and embeddings inside one `snapshot`.
            Damaged: A file is torn or missing.
        """
        with self._segments.lease():
            at, dim = self._placements(np.asarray(rows, dtype=np.int64))
            return self._segments.gather(at, dim)

    def blob(self, digest: str) -> bytes | None:
        """Return encoded media by its digest, None if it is not here."""
        return self._blobs.read(digest)

    def cached(self, kind: str, key: str) -> bytes | None:
        """Return what `Writer.cache` keeps."""
        with self._readers.use() as db:
            return catalog.cached(db, kind, key)

    def derived(self, name: str) -> Derived | None:
        """Return the published index of that name, None if there is none or it is torn."""
        return self._shelf.find(name)

    def publish(
        self, name: str, stamp: Mapping[str, str], generation: int, build: Callable[[Path], None]
    ) -> Derived:
        """Build an index aside and make it the published one of that name.

        Args:
            name: Letters, digits, dots and dashes.
            stamp: What it depends on.
            generation: The state of the store that it covers.
            build: Fills an empty folder.

        Raises:
            OutOfSpace: The published one stays.
        """
        return self._shelf.publish(name, stamp, generation, build)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Become the writer until the end of the block; what is not committed then is dropped.

        Raises:
            Locked: There is another writer; the message names it.
        """
        errors = catalog.errors_named(_catalog(self.path), self._rebuild)
        with writer_lock(self.path / "lock") as untidy, errors:
            db = catalog.connect(_catalog(self.path), write=True)
            try:
                self._sweep(db, all=untidy)
                writer = Writer(db, self.path, self._rebuild)
                yield writer
                writer.finish()
            finally:
                db.close()

    def close(self) -> None:
        """Close the catalog; embeddings that were handed out stay valid."""
        self._readers.close()
        self._segments.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _placements(self, rows: Rows) -> tuple[Placements, int]:
        with self._readers.use() as db:
            found = db.execute(
                "SELECT i.row, v.segment, v.first, v.count FROM items i JOIN vectors v ON v.number = i.vector"
                " WHERE i.row IN (SELECT value FROM json_each(?))",
                (_json(rows),),
            ).fetchall()
            dim = catalog.dim(db)
        table = np.array(found, dtype=np.int64).reshape(-1, 4)
        table = table[np.argsort(table[:, 0])]
        places = np.minimum(np.searchsorted(table[:, 0], rows), max(0, len(table) - 1))
        if len(rows) and (not len(table) or (table[places, 0] != rows).any()):
            raise StoreError(
                "Some rows are not in the store any more.",
                fix="Read rows and embeddings inside one store.snapshot().",
            )
        return Placements(table[places, 1], table[places, 2], table[places, 3]), dim

    def _sweep(self, db: sqlite3.Connection, *, all: bool) -> None:
        """Remove what earlier writers left, or had to leave to their readers."""
        segments = db.execute("SELECT number FROM segments").fetchall()
        remove_segments(self.path / "vectors", (number for (number,) in segments))
        self._shelf.sweep()
        if all:
            shutil.rmtree(self.path / "tmp", ignore_errors=True)
            used = {digest for (digest,) in db.execute("SELECT DISTINCT digest FROM blobs")}
            for digest in set(self._blobs.digests()) - used:
                self._blobs.delete(digest)


def _catalog(path: Path) -> Path:
    return path / "catalog.db"


_OWN_NAMES = frozenset({"blobs", "catalog", "derived", "lock", "reading", "tmp", "vectors"})


def _refuse_foreign(path: Path) -> None:
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


def _json(rows: Rows | Sequence[int]) -> str:
    return json.dumps(np.asarray(rows).tolist())


def _rebuild_command(path: Path) -> str:
    folder = path.parent if path.name == ".mmrag" else path
    return f"mmrag sync {shlex.quote(str(folder))} --rebuild"
