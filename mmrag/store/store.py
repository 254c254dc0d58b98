"""The store: one folder that holds everything mmrag knows of a corpus."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from mmrag.core.errors import IdentityMismatch, OutOfSpace, StoreError
from mmrag.core.filters import Filter
from mmrag.core.identity import differences
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings, Item, SourceId
from mmrag.store import catalog
from mmrag.store.blobs import Blobs
from mmrag.store.codec import unpack_item, unpack_strings
from mmrag.store.connections import Readers, connect, errors_named
from mmrag.store.create import catalog_in_memory, create_catalog, empty_catalog, refuse_foreign
from mmrag.store.derived import Shelf
from mmrag.store.disk import permission_checked
from mmrag.store.erase import finish_forgetting
from mmrag.store.filter_sql import filter_sql
from mmrag.store.lock import writer_lock
from mmrag.store.migrate import migrate
from mmrag.store.records import CompactReport, Derived, SourceRecord
from mmrag.store.schema import FORMAT, stored_format
from mmrag.store.stream import StoredVectors, find_placements, stored_vectors
from mmrag.store.swap import FileKey, finish_swap
from mmrag.store.tidy import compact_store, sweep
from mmrag.store.vectors import SegmentReader
from mmrag.store.writer import Writer


class Store:
    """Sources, items, vectors and derived indexes of a corpus; made by `create` or `open`.

    Any number of threads and processes may read while one writes: each call sees one committed
    state, and calls inside `snapshot` see the same one.
    """

    def __init__(
        self, path: Path, rebuild: str, connect: Callable[[], sqlite3.Connection] | None = None
    ) -> None:
        self.path = path
        self.rebuild_command = rebuild
        """The command that makes the store anew."""
        self._passing = connect is not None
        self._readers = Readers(_catalog(path), rebuild, connect)
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
            finish_swap(path)
            refuse_foreign(path)
        rebuild = _rebuild_command(path)
        with writer_lock(path / "lock"), errors_named(_catalog(path), rebuild):
            if not cls.exists(path):
                create_catalog(_catalog(path), identity)
            elif replace:
                empty_catalog(_catalog(path), identity)
            else:
                raise StoreError(f"There is a store at {path} already.", fix=f"Run: {rebuild}")
        if not (path / ".gitignore").exists():
            # Version control and backup tools leave the store alone.
            (path / ".gitignore").write_text("*\n")
        return cls.open(path, identity=identity)

    @classmethod
    def open(cls, path: Path, *, identity: Mapping[str, str] | None = None, fix: str | None = None) -> Store:
        """Open a store; one of an older format is brought to this one first.

        Args:
            path: Its folder.
            identity: What the caller's vectors depend on; None takes the store as it is.
            fix: The command that makes the store anew, for error messages.

        Raises:
            StoreError: There is none.
            IdentityMismatch: It was built with another embedder.
            NeedsMigration: It has an older format and cannot be brought to this one now, or a newer one.
            Damaged: Its catalog cannot be read.
        """
        rebuild = fix or _rebuild_command(path)
        finish_swap(path)
        if not cls.exists(path):
            raise StoreError(f"There is no store at {path}.", fix=f"Run: {rebuild.replace(' --rebuild', '')}")
        store = cls(path, rebuild)
        try:
            with store._readers.use() as db:
                format = stored_format(db, _catalog(path), rebuild)
            if format < FORMAT:
                migrate(path, rebuild)
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

    @classmethod
    def empty(cls, path: Path, *, identity: Mapping[str, str]) -> Store:
        """Return what a store that is not there yet would show: it can be read, and nothing is written."""
        return cls(path, _rebuild_command(path), lambda: catalog_in_memory(identity))

    @property
    def identity(self) -> dict[str, str]:
        """What the vectors depend on."""
        with self._readers.use() as db:
            return unpack_strings(catalog.get_meta(db, "identity") or "{}")

    @property
    def file(self) -> FileKey | None:
        """Which catalog this is: another store in its place has another one."""
        return self._readers.file

    @property
    def generation(self) -> int:
        """The number of the last commit that changed sources or items."""
        with self._readers.use() as db:
            return catalog.generation(db)

    @property
    def horizon(self) -> int:
        """The generation since which removals are known: an older derived index must be built anew."""
        with self._readers.use() as db:
            return catalog.horizon(db)

    @property
    def root(self) -> str:
        """The digest of what is indexed: equal roots mean equal sources, items and vectors."""
        with self._readers.snapshot(), self._readers.use() as db:
            return catalog.root(db)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread inside the block see one and the same state."""
        if self._readers.in_snapshot:
            yield
            return
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
        """Return the rows added and removed since a generation: what a derived index has to catch up on.

        Raises:
            StoreError: Removals since then are not known any more: the generation is before `horizon`.
        """
        with self._readers.snapshot(), self._readers.use() as db:
            if since_generation < catalog.horizon(db):
                raise StoreError(
                    f"What was removed since generation {since_generation} is not known any more.",
                    fix="Build the index anew from all rows.",
                )
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
        with self.snapshot(), self._readers.use() as db:
            at = find_placements(db, np.asarray(rows, dtype=np.int64))
            return self._segments.gather(at, catalog.dim(db))

    def vectors(self, rows: Rows | None = None) -> StoredVectors:
        """Open the vectors of rows, or of all, to be read in batches: as many as memory does not hold.

        Raises:
            StoreError: A row is gone.
            Damaged: A file is torn or missing.
        """
        with self.snapshot(), self._readers.use() as db:
            return stored_vectors(db, self._segments, rows)

    def blob(self, digest: str) -> bytes | None:
        """Return encoded media by its digest, None if it is not here."""
        return self._blobs.read(digest)

    def cached(self, kind: str, key: str) -> bytes | None:
        """Return what `Writer.cache` keeps."""
        with self._readers.use() as db:
            return catalog.cached(db, kind, key)

    def note(self, key: str) -> str | None:
        """Return what `Writer.note` keeps."""
        with self._readers.use() as db:
            return catalog.get_meta(db, catalog.note_key(key))

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
            StoreError: Its generation is before `horizon`: what has been forgotten might be in it.
        """

        def build_known(folder: Path) -> None:
            # Inside the builders' lock, which `forget` takes after it has set the horizon.
            if generation < self.horizon:
                raise StoreError(
                    f"The index {name} was to cover generation {generation}, before what has been forgotten.",
                    fix="Run the command again.",
                )
            build(folder)

        return self._shelf.publish(name, stamp, generation, build_known)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Become the writer until the end of the block; what is not committed then is dropped.

        Raises:
            Locked: There is another writer; the message names it.
        """
        with self.exclusive() as db:
            writer = Writer(db, self.path, self.rebuild_command)
            yield writer
            writer.finish()

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer's lock with a connection that may write: for maintenance, tidied up first.

        Raises:
            Locked: There is a writer.
            StoreError: The store is only a view of one that is not there.
        """
        if self._passing:
            raise StoreError(f"There is no store at {self.path}.", fix="Make one with Store.create.")
        errors = errors_named(_catalog(self.path), self.rebuild_command)
        with (
            writer_lock(self.path / "lock") as untidy,
            errors,
            closing(connect(_catalog(self.path), write=True)) as db,
        ):
            self._readers.check_file()
            # A newer mmrag may have brought the store to its own format since it was opened.
            stored_format(db, _catalog(self.path), self.rebuild_command)
            sweep(db, self.path, all=untidy)
            # It takes room to give some back: on a full disk, other work goes first.
            with suppress(OutOfSpace), errors_named(_catalog(self.path), self.rebuild_command):
                finish_forgetting(db, self.path, self.rebuild_command)
            yield db

    def compact(self) -> CompactReport:
        """Make the store as small as what it holds; readers go on meanwhile.

        Raises:
            Locked: There is a writer.
            OutOfSpace: It takes as much room again as the catalog has.
        """
        with self.exclusive() as db:
            return compact_store(db, self.path, self.rebuild_command)

    def let_go(self) -> None:
        """Drop the maps of vectors that this object keeps; arrays that were handed out stay valid."""
        self._segments.close()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that reads, in this thread's snapshot: for the other files of this room."""
        with self._readers.use() as db:
            yield db

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


def _catalog(path: Path) -> Path:
    return path / "catalog.db"


def _json(rows: Rows | Sequence[int]) -> str:
    return json.dumps(np.asarray(rows).tolist())


def _rebuild_command(path: Path) -> str:
    folder = path.parent if path.name == ".mmrag" else path
    return f"mmrag sync {shlex.quote(str(folder))} --rebuild"
