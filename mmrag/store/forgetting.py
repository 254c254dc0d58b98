"""Forgets sources: removes all that came of them, and proves that no byte of it is left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from mmrag.core.types import Item, SourceId
from mmrag.store import catalog
from mmrag.store.codec import unpack_item, whole
from mmrag.store.erase import finish_forgetting, note_forgetting
from mmrag.store.needles import Needles
from mmrag.store.proof import collect, prove, stride_for
from mmrag.store.records import ForgetReport
from mmrag.store.seals import store_root
from mmrag.store.store import Store
from mmrag.store.tidy import drop_unused, stored_bytes, transaction

_FORGOTTEN = "(SELECT number FROM sources WHERE id IN (SELECT value FROM json_each(?)))"

_ITEMS = (
    "SELECT i.id, s.id, b.body FROM items i JOIN bodies b USING (row) JOIN sources s ON s.number = i.source"
    f" WHERE i.source IN {_FORGOTTEN}"
)


def forget(
    store: Store,
    sources: Sequence[SourceId],
    *,
    publish: Callable[[], object],
    leftovers: Callable[[Sequence[Item]], Sequence[str]] | None = None,
    patience_s: float = 10.0,
) -> ForgetReport:
    """Remove sources with all that came of them, and search every stored byte for what may be left.

    Rows, vectors, media, kept OCR and tombstones go, all derived indexes are built anew, and the catalog
    is written without free pages. What another source holds as well stays. A source is forgotten as
    a whole: its digest and its pages' words stand in one record, so that a part of it could not be
    proved to be gone. A file that is still in the folder comes back with the next sync.

    What the disk itself keeps (snapshots, backups, blocks that a file no longer has) is out of reach.
    Killed half-way, the next writer finishes the work, without the proof.

    Args:
        store: The store.
        sources: Their ids; of one that the store does not have, kept OCR and traces are erased.
        publish: Builds the derived indexes again, as at the end of a sync.
        leftovers: Looks for items in the published indexes through their own programming interface, as
            they may be compressed; says in sentences what it finds.
        patience_s: How long readers of the old state are waited for.

    Raises:
        Locked: There is a writer.
        OutOfSpace: It takes as much room again as the catalog and the indexes have.
    """
    ids = sorted({whole(source) for source in sources})
    wanted = json.dumps(ids)
    with store.exclusive() as db:
        before, vectors = stored_bytes(store.path), _count(db, "SELECT coalesce(sum(count), 0) FROM vectors")
        known = {
            id for (id,) in db.execute(f"SELECT id FROM sources WHERE number IN {_FORGOTTEN}", (wanted,))
        }
        needles = Needles(stride_for(db, store.path, wanted))
        collect(db, store, ids, needles)
        items = [unpack_item(*row) for row in db.execute(_ITEMS, (wanted,))] if leftovers else []
        db.execute("PRAGMA secure_delete = ON")
        with transaction(db):
            removed, blobs, cached = _remove(db, wanted)
        # Maps of this object would keep the bytes of removed files alive.
        store.let_go()
        waiting = finish_forgetting(db, store.path, store.rebuild_command, publish, patience_s=patience_s)
        found = [*(leftovers(items) if leftovers else ())]
        proof = prove(db, store, ids, needles, found)
        vectors -= _count(db, "SELECT coalesce(sum(count), 0) FROM vectors")
        after = stored_bytes(store.path)
    unknown = tuple(id for id in ids if id not in known)
    return ForgetReport(
        sources=len(known),
        items=removed,
        vectors=vectors,
        blobs=blobs,
        cached=cached,
        bytes_before=before,
        bytes_after=after,
        proof=proof,
        unknown=unknown,
        waiting=waiting,
    )


def _remove(db: sqlite3.Connection, wanted: str) -> tuple[int, int, int]:
    """Drop sources from the catalog; return how many items, blobs and kept results went with them."""
    now = catalog.generation(db) + 1
    blobs = _count(db, "SELECT count(DISTINCT digest) FROM blobs")
    items = db.execute(
        f"INSERT INTO removed SELECT row, added, ? FROM items WHERE source IN {_FORGOTTEN}", (now, wanted)
    ).rowcount
    db.execute(f"DELETE FROM items WHERE source IN {_FORGOTTEN}", (wanted,))
    db.execute("DELETE FROM sources WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
    db.execute("DELETE FROM cache_uses WHERE source IN (SELECT value FROM json_each(?))", (wanted,))
    cached = drop_unused(db)
    catalog.set_meta(db, "generation", str(now))
    catalog.set_meta(db, "root", store_root(db))
    note_forgetting(db)
    return items, blobs - _count(db, "SELECT count(DISTINCT digest) FROM blobs"), cached


def _count(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(sql).fetchone()[0])
