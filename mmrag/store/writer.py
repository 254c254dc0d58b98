"""The one writer of a store: changes become visible all at once, by `commit`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmrag.core.errors import OutOfSpace, StoreError
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, Page, Scalar, SourceId
from mmrag.store import catalog
from mmrag.store.blobs import Blobs
from mmrag.store.codec import pack_item, whole
from mmrag.store.compact import compact, worn_segments, worth_compacting
from mmrag.store.connections import errors_named
from mmrag.store.filter_sql import stored_boolean
from mmrag.store.records import SourceRecord
from mmrag.store.seals import source_root
from mmrag.store.vectors import SegmentReader, SegmentWriter, pick, remove_segments

_CHUNK = 500


class Writer:
    """Changes a store; made by `Store.writer`. What is not committed is rolled back.

    One thread at a time. A change that fails leaves no trace of itself.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, rebuild: str) -> None:
        self._db, self._path, self._rebuild = db, path, rebuild
        self._segments = SegmentWriter(db, path / "vectors", rebuild)
        self._blobs = Blobs(path / "blobs", path / "tmp")
        self._changed = False
        self._removed = False
        self._released: set[str] = set()

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Return those keys that have no vectors yet, each once, in order."""
        unique = list(dict.fromkeys(keys))
        known = self._known(unique)
        return [key for key in unique if key not in known]

    def add_vectors(self, keys: Sequence[str], embeddings: Embeddings) -> None:
        """Add the vectors of keys; a key that has vectors keeps them.

        Raises:
            IdentityMismatch: The vectors have another dim than those of the store.
            StoreError: They hold NaN or infinity.
        """
        if len(keys) != len(embeddings):
            raise ValueError(f"{len(keys)} keys, but vectors of {len(embeddings)}")
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        new = self.missing(keys)
        if not new:
            return
        self._begin()
        try:
            with self._errors():
                self._segments.add(new, pick(embeddings, [first[key] for key in new]))
        except OutOfSpace:
            self.rollback()
            raise

    def put(
        self, record: SourceRecord, items: Sequence[Item], keys: Sequence[str], blobs: Iterable[Blob] = ()
    ) -> None:
        """Make a source hold exactly these items; `keys` name their vectors.

        An item that the source holds already keeps its row if nothing of it has changed: a row
        never changes what it stands for. Items with the same id are kept once.

        Raises:
            StoreError: A key has no vectors.
            Unsupported: The source's name is not valid Unicode.
        """
        unique = {item.id: (item, key) for item, key in zip(items, keys, strict=True)}
        known = self._known([key for _, key in unique.values()])
        lost = [key for _, key in unique.values() if key not in known]
        if lost:
            raise StoreError(
                f"{len(lost)} items of {record.source.id} have no vectors.",
                fix="Call add_vectors with their keys first.",
            )
        wanted = {}
        for id, (item, key) in unique.items():
            wanted[id] = _Row(item, known[key][0], *pack_item(item))
        root = source_root((id, key, known[key][1], wanted[id].body) for id, (_, key) in unique.items())
        with self._change() as db:
            source = self._upsert(record)
            db.execute("UPDATE sources SET items = ?, root = ? WHERE number = ?", (len(wanted), root, source))
            catalog.seal_source(db, source)
            gone = []
            for row, id, vector, body in db.execute(
                "SELECT row, id, vector, body FROM items JOIN bodies USING (row) WHERE source = ?", (source,)
            ):
                if id in wanted and (wanted[id].vector, wanted[id].body) == (vector, body):
                    del wanted[id]
                else:
                    gone.append(row)
            self._drop(gone)
            self._insert(source, list(wanted.values()))
            self._set_blobs(source, blobs)

    def update(self, record: SourceRecord) -> None:
        """Replace what is known of a source, not its items.

        Raises:
            StoreError: There is no such source.
        """
        self.move(record.source.id, record)

    def move(self, old: SourceId, record: SourceRecord) -> None:
        """Give a source another path, with its items and vectors; what stood there is removed.

        Rows survive a change of folder; a new file name gives new rows, since search reads names.
        Keys are kept: `put` a source whose vectors depend on its name (pictures).

        Raises:
            StoreError: There is no source `old`.
            Unsupported: The new name is not valid Unicode.
        """
        values = catalog.source_values(record)
        with self._change() as db:
            if record.source.id != old:
                self.remove(record.source.id)
            number = self._source(old)
            if number is None:
                raise StoreError(f"There is no source {old!r} to change.", fix="Call put with its items.")
            db.execute(catalog.UPDATE_SOURCE, (*values, old))
            catalog.seal_source(db, number)
            db.execute(
                "UPDATE OR REPLACE cache_uses SET source = ? WHERE source = ?", (record.source.id, old)
            )
            if record.source.name != old.rpartition("/")[2]:
                self._renumber(number)

    def remove(self, source_id: SourceId) -> None:
        """Remove a source with its items; an unknown one is no error."""
        number = self._source(source_id)
        if number is None:
            return
        with self._change() as db:
            self._drop([row for (row,) in db.execute("SELECT row FROM items WHERE source = ?", (number,))])
            self._set_blobs(number, ())
            db.execute("DELETE FROM sources WHERE number = ?", (number,))

    def cache(self, kind: str, key: str, value: bytes, source: SourceId | None = None) -> None:
        """Keep a result that was dear to get; it outlives its source and a rebuild.

        Args:
            kind: What made it.
            key: What it was made of.
            value: The result.
            source: The source that it was made for: the entry goes when `forget` removes all of these,
                or when a compaction finds them gone. None keeps it until it is written over.
        """
        owned = int(source is not None)
        self._begin()
        with self._errors():
            self._db.execute(
                "INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?)",
                (kind, key, value, owned, catalog.cache_seal(owned, value)),
            )
        if source is not None:
            self.cache_used(kind, key, source)

    def cache_used(self, kind: str, key: str, source: SourceId) -> None:
        """Note that a source needs a kept result too; call it whenever `cached` gave one for a source."""
        if whole(source) != source:
            return  # No source can have that name: `put` refuses it.
        self._begin()
        with self._errors():
            self._db.execute("INSERT OR IGNORE INTO cache_uses VALUES (?, ?, ?)", (source, kind, key))

    def cached(self, kind: str, key: str) -> bytes | None:
        """Return a kept result, committed or not."""
        return catalog.cached(self._db, kind, key)

    def note(self, key: str, text: str) -> None:
        """Keep a line about the whole store: it outlives a rebuild, and is no part of an export."""
        self._begin()
        with self._errors():
            catalog.set_meta(self._db, catalog.note_key(key), text)

    def commit(self) -> int:
        """Make all changes visible and safe; return the generation, which is new if anything changed.

        Raises:
            OutOfSpace: Nothing of this commit is kept.
        """
        if self._db.in_transaction:
            try:
                with self._errors():
                    # The vectors are on the disk before the catalog names them.
                    self._segments.flush()
                    if self._changed:
                        catalog.set_meta(self._db, "generation", str(self._next()))
                        self._db.execute("DELETE FROM meta WHERE key = 'root'")
                    self._db.execute("COMMIT")
            except BaseException:
                self.rollback()
                raise
            self._changed = False
        return catalog.generation(self._db)

    def rollback(self) -> None:
        """Forget what is not committed."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._segments.forget()
        self._changed = False

    def finish(self) -> None:
        """Tidy up after the last commit: pack vectors, drop blobs, keep the root for readers."""
        self.rollback()
        if worth_compacting(self._db, removed=self._removed):
            self._begin()
            reader = SegmentReader(self._path / "vectors", self._rebuild)
            compact(self._db, self._segments, reader, worn_segments(self._db))
            self.commit()
            left = self._db.execute("SELECT number FROM segments").fetchall()
            remove_segments(self._path / "vectors", (number for (number,) in left))
        for digest in self._released:
            if not self._db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
                self._blobs.delete(digest)
        if catalog.get_meta(self._db, "root") is None:
            catalog.set_meta(self._db, "root", catalog.root(self._db))

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            self._begin()
            self._db.execute("SAVEPOINT change")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK TO change")
                    self._db.execute("RELEASE change")
                else:  # A full disk makes SQLite roll back everything by itself.
                    self.rollback()
                raise
            self._db.execute("RELEASE change")
            self._changed = True

    def _errors(self) -> AbstractContextManager[None]:
        return errors_named(self._path / "catalog.db", self._rebuild)

    def _next(self) -> int:
        return catalog.generation(self._db) + 1

    def _source(self, id: SourceId) -> int | None:
        found = self._db.execute("SELECT number FROM sources WHERE id = ?", (id,)).fetchone()
        return int(found[0]) if found else None

    def _upsert(self, record: SourceRecord) -> int:
        self._db.execute(catalog.UPSERT_SOURCE, catalog.source_values(record))
        number = self._source(record.source.id)
        assert number is not None
        return number

    def _known(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """Return the number and the seal of the vectors of keys, as far as there are any."""
        found: dict[str, tuple[int, bytes]] = {}
        for start in range(0, len(keys), _CHUNK):
            some = keys[start : start + _CHUNK]
            marks = ", ".join("?" * len(some))
            for key, *vector in self._db.execute(
                f"SELECT key, number, seal FROM vectors WHERE key IN ({marks})", some
            ):
                found[key] = vector[0], vector[1]
        return found

    def _drop(self, rows: Sequence[int]) -> None:
        self._tombstones(rows)
        self._db.executemany("DELETE FROM items WHERE row = ?", [(row,) for row in rows])

    def _tombstones(self, rows: Sequence[int]) -> None:
        self._removed = self._removed or bool(rows)
        generation = self._next()
        self._db.executemany(
            "INSERT INTO removed SELECT row, added, ? FROM items WHERE row = ? AND added < ?",
            [(generation, row, generation) for row in rows],
        )

    def _insert(self, source: int, rows: Sequence[_Row]) -> None:
        first, added = self._next_row(), self._next()
        numbered = list(enumerate(rows, first))
        self._db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(n, source, r.item.id, r.vector, added, r.item.modality, r.page) for n, r in numbered],
        )
        self._db.executemany("INSERT INTO bodies VALUES (?, ?)", [(n, r.body) for n, r in numbered])
        self._db.executemany(
            "INSERT INTO metadata VALUES (?, ?, ?)",
            [
                (n, key, stored_boolean(value) if isinstance(value, bool) else value)
                for n, r in numbered
                for key, value in r.metadata.items()
            ],
        )

    def _renumber(self, source: int) -> None:
        found = self._db.execute("SELECT row FROM items WHERE source = ? ORDER BY row", (source,))
        rows = [row for (row,) in found]
        self._tombstones(rows)
        first, added = self._next_row(), self._next()
        self._db.executemany(
            "UPDATE items SET row = ?, added = ? WHERE row = ?",
            [(new, added, row) for new, row in enumerate(rows, first)],
        )
        # Only an INSERT raises the sequence by itself.
        self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'items'", (first + len(rows) - 1,))

    def _next_row(self) -> int:
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
        return int(found[0]) + 1 if found else 1

    def _set_blobs(self, source: int, blobs: Iterable[Blob]) -> None:
        held = self._db.execute("SELECT digest FROM blobs WHERE source = ?", (source,)).fetchall()
        self._released.update(digest for (digest,) in held)
        self._db.execute("DELETE FROM blobs WHERE source = ?", (source,))
        for blob in blobs:
            self._released.add(blob.digest)  # Until `finish` sees that a commit holds it.
            self._blobs.write(blob)
            self._db.execute(
                "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (blob.digest, source, blob.media_type)
            )


@dataclass(frozen=True, slots=True)
class _Row:
    """An item ready for the catalog."""

    item: Item
    vector: int
    body: bytes
    metadata: dict[str, Scalar]

    @property
    def page(self) -> int | None:
        return self.item.locator.number if isinstance(self.item.locator, Page) else None
