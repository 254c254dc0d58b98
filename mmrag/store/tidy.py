"""Gives back the room of what is gone: strays, unused cache entries, dead vectors, free pages."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmrag.store import catalog
from mmrag.store.blobs import Blobs
from mmrag.store.compact import compact, segments_with_dead, small_segments
from mmrag.store.connections import BUSY_SECONDS
from mmrag.store.derived import Shelf
from mmrag.store.records import CompactReport
from mmrag.store.vectors import SegmentReader, SegmentWriter, remove_segments


def sweep(db: sqlite3.Connection, path: Path, *, all: bool) -> bool:
    """Remove what earlier writers left, or had to leave to their readers; tell whether nothing is left.

    Args:
        db: The catalog, of the one writer.
        path: The store.
        all: Also look for blobs and drafts, which only a writer that failed leaves.
    """
    segments = db.execute("SELECT number FROM segments").fetchall()
    removed = remove_segments(path / "vectors", (number for (number,) in segments))
    shelf = Shelf(path / "derived")
    shelf.sweep()
    if all:
        shutil.rmtree(path / "tmp", ignore_errors=True)
        blobs = Blobs(path / "blobs", path / "tmp")
        used = {digest for (digest,) in db.execute("SELECT DISTINCT digest FROM blobs")}
        for digest in set(blobs.digests()) - used:
            blobs.delete(digest)
        for folder in (path / "blobs").glob("*"):
            with suppress(OSError):  # It holds blobs.
                folder.rmdir()
    return removed and not any(shelf.strays())


def compact_store(db: sqlite3.Connection, path: Path, rebuild: str) -> CompactReport:
    """Make a store as small as what it holds.

    Drops cache entries whose sources are gone, vectors that no item has, tombstones that every published
    index knows, strays and free pages; joins small segments.
    """
    before = stored_bytes(path)
    with transaction(db):
        cached = trim_cache(db)
        tombstones = _trim_tombstones(db, Shelf(path / "derived"))
    vectors = pack_vectors(db, path, rebuild, {*segments_with_dead(db), *small_segments(db)})
    db.execute("VACUUM")
    shorten_log(db)
    sweep(db, path, all=True)
    return CompactReport(before, stored_bytes(path), vectors, cached, tombstones)


def trim_cache(db: sqlite3.Connection) -> int:
    """Drop the results of sources that are gone; return how many."""
    db.execute("DELETE FROM cache_uses WHERE source NOT IN (SELECT id FROM sources)")
    return drop_unused(db)


def drop_unused(db: sqlite3.Connection) -> int:
    """Drop the results that belong to sources but that none uses; return how many."""
    return db.execute(
        "DELETE FROM cache WHERE owned AND NOT EXISTS"
        " (SELECT 1 FROM cache_uses u WHERE u.kind = cache.kind AND u.key = cache.key)"
    ).rowcount


def pack_vectors(db: sqlite3.Connection, path: Path, rebuild: str, segments: Iterable[int]) -> int:
    """Write the living vectors of segments anew, drop the dead ones; return how many these were."""
    chosen = sorted(segments)
    if not chosen:
        return 0
    count = "SELECT coalesce(sum(count), 0) FROM vectors"
    (before,) = db.execute(count).fetchone()
    with transaction(db):
        writer = SegmentWriter(db, path / "vectors", rebuild)
        compact(db, writer, SegmentReader(path / "vectors", rebuild), chosen)
        writer.flush()
    (after,) = db.execute(count).fetchone()
    return int(before - after)


def shorten_log(db: sqlite3.Connection, *, wait_s: float = 0.0) -> bool:
    """Move the write-ahead log into the catalog and cut it to nothing; tell whether readers let it."""
    db.execute(f"PRAGMA busy_timeout = {round(1000 * wait_s)}")
    (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_SECONDS)}")
    return not busy


def stored_bytes(path: Path) -> int:
    """Return the size of all files of a store."""
    total = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # A reader's or publisher's, gone meanwhile.
            total += file.stat().st_size if file.is_file() else 0
    return total


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # A full disk makes SQLite roll back by itself.
            db.execute("ROLLBACK")
        raise


def _trim_tombstones(db: sqlite3.Connection, shelf: Shelf) -> int:
    published = [found.generation for name in shelf.names() if (found := shelf.find(name)) is not None]
    known = min([*published, catalog.generation(db)])
    if known > catalog.horizon(db):
        catalog.set_meta(db, "horizon", str(known))
    return db.execute("DELETE FROM removed WHERE generation <= ?", (known,)).rowcount
