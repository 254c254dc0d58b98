"""Writes a store as Parquet files that any tool reads."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmrag.core.errors import Damaged, StoreError
from mmrag.core.identity import digest_file
from mmrag.store import catalog
from mmrag.store.disk import fsync_path, permission_checked, write_whole
from mmrag.store.parquet import (
    BATCH_BYTES,
    BATCH_ITEMS,
    BLOBS,
    CACHE,
    EXPORT_FORMAT,
    FILES,
    ITEMS,
    MANIFEST,
    SOURCES,
    items_batch,
    schemas,
)
from mmrag.store.records import ExportReport
from mmrag.store.schema import FORMAT
from mmrag.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 10_000


def export_store(store: Store, folder: Path) -> ExportReport:
    """Write sources, items with their vectors, media and kept results as Parquet files.

    One state of the store is written, batch by batch; memory stays bounded. The manifest comes last: an
    export without one is torn.

    Args:
        store: The store; a writer may be at work.
        folder: An empty folder, or one that does not exist yet.

    Raises:
        StoreError: The folder holds something, lies in the store, or cannot be written.
        OutOfSpace: What was written stays, without a manifest.
    """
    with permission_checked(folder):
        if folder.resolve().is_relative_to(store.path.resolve()):
            raise StoreError(
                f"{folder} lies in the store {store.path}, which may remove it.",
                fix="Name a folder outside of it.",
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(
                f"{folder} holds something already.", fix="Name a folder that does not exist yet."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with store.snapshot(), store.connection() as db:
            batches = {
                SOURCES: _sources(store),
                ITEMS: _items(db, store),
                BLOBS: _blobs(db, store),
                CACHE: _cache(db),
            }
            counts = {name: _write(folder / name, name, batches[name]) for name in FILES}
            manifest = {
                "mmrag": "export",
                "format": EXPORT_FORMAT,
                "store_format": FORMAT,
                "identity": store.identity,
                "root": store.root,
                "dim": catalog.dim(db),
                "files": {
                    name: {"rows": counts[name], "digest": digest_file(folder / name)} for name in FILES
                },
            }
        write_whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode(), aside=folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return ExportReport(
        sources=counts[SOURCES],
        items=counts[ITEMS],
        blobs=counts[BLOBS],
        cached=counts[CACHE],
        bytes=size,
        root=str(manifest["root"]),
    )


def _write(path: Path, name: str, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches as row groups; return how many rows they have."""
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(path, schemas()[name], compression="zstd") as file:
        for batch in batches:
            file.write_batch(batch)
            rows += batch.num_rows
    fsync_path(path)
    return rows


def _sources(store: Store) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    records = store.sources()
    for start in range(0, len(records), _BATCH_ROWS):
        rows = [
            {
                "id": record.source.id,
                "digest": record.source.digest,
                "size": record.source.size,
                "media_type": record.source.media_type,
                "modified_ns": record.mtime_ns,
                "state": record.state,
                "reason": record.reason,
                "fix": record.fix,
                "reader": record.reader,
                "splitter": record.splitter,
                "title": record.title,
                "pages": [asdict(page) for page in record.pages],
                "depends": sorted(record.depends.items()),
                "items": record.items,
            }
            for record in records[start : start + _BATCH_ROWS]
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=schemas()[SOURCES])


def _items(db: sqlite3.Connection, store: Store) -> Iterator[pa.RecordBatch]:
    """List items by source, then in reading order."""
    found = db.execute(
        "SELECT i.row, v.key FROM sources s JOIN items i ON i.source = s.number"
        " JOIN vectors v ON v.number = i.vector ORDER BY s.id, i.row"
    )
    while some := found.fetchmany(BATCH_ITEMS):
        rows, keys = zip(*some, strict=True)
        items = store.items(rows)
        yield items_batch([items[row] for row in rows], keys, store.embeddings(np.array(rows, np.int64)))


def _blobs(db: sqlite3.Connection, store: Store) -> Iterator[pa.RecordBatch]:
    found = db.execute(
        "SELECT b.digest, b.media_type, json_group_array(s.id) FROM blobs b"
        " JOIN sources s ON s.number = b.source GROUP BY 1, 2 ORDER BY 1, 2"
    )

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        for digest, media_type, sources in found:
            data = store.blob(digest)
            if data is None:
                raise Damaged(f"Blob {digest} is missing.", fix=f"Run: {store.rebuild_command}")
            sources = json.loads(sources)
            yield (
                len(data),
                {"digest": digest, "media_type": media_type, "sources": sources, "bytes": data},
            )

    return _batches(BLOBS, rows())


def _cache(db: sqlite3.Connection) -> Iterator[pa.RecordBatch]:
    uses = "SELECT json_group_array(source) FROM cache_uses u WHERE u.kind = c.kind AND u.key = c.key"
    found = db.execute(f"SELECT kind, key, value, owned, ({uses}) FROM cache c ORDER BY kind, key")
    return _batches(
        CACHE,
        (
            (
                len(value),
                {
                    "kind": kind,
                    "key": key,
                    "sources": json.loads(sources),
                    "owned": bool(owned),
                    "value": value,
                },
            )
            for kind, key, value, owned, sources in found
        ),
    )


def _batches(name: str, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[pa.RecordBatch]:
    """Gather rows, each with its size, to groups that fit in memory."""
    waiting: list[dict[str, Any]] = []
    size = 0
    for bytes, row in rows:
        if waiting and (size + bytes > BATCH_BYTES or len(waiting) >= _BATCH_ROWS):
            yield _batch(name, waiting)
            waiting, size = [], 0
        waiting.append(row)
        size += bytes
    if waiting:
        yield _batch(name, waiting)


def _batch(name: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist(rows, schema=schemas()[name])
