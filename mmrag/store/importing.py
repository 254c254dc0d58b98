"""Makes a store of an export."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmrag.core.errors import Damaged, NeedsMigration, StoreError
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.reading import Blob, PageCoverage
from mmrag.core.types import Item, Source, SourceId
from mmrag.store.blobs import Blobs
from mmrag.store.disk import permission_checked
from mmrag.store.parquet import (
    BLOBS,
    CACHE,
    EXPORT_FORMAT,
    FILES,
    ITEMS,
    MANIFEST,
    SOURCES,
    read_items,
)
from mmrag.store.records import SourceRecord
from mmrag.store.store import Store
from mmrag.store.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

_COMMIT_ITEMS = 20_000
_BATCH_ROWS = 1000


def import_store(folder: Path, path: Path) -> Store:
    """Make a store of what `export_store` wrote, with the same root; nothing is embedded again.

    The store is made beside `path` and stands there only when it is whole and proved.

    Args:
        folder: The export.
        path: The folder of the new store.

    Raises:
        StoreError: `folder` is no export, or there is something at `path`.
        NeedsMigration: A newer mmrag wrote it.
        Damaged: The export is torn, or not what was written.
        OutOfSpace: Nothing is left behind.
    """
    manifest = _manifest(folder)
    with permission_checked(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreError(
                f"There is something at {path} already.", fix="Name a folder that is not there yet."
            )
        draft = path.with_name(path.name + ".importing")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            _fill(folder, draft, manifest)
            if path.exists():
                path.rmdir()
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return Store.open(path)


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export that is whole."""
    torn = f"The export {folder} is torn"
    again = "Export the store again."
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        is_ours = manifest["mmrag"] == "export"
    except FileNotFoundError as error:
        if any((folder / name).exists() for name in FILES):
            raise Damaged(f"{torn}: it has no {MANIFEST}.", fix=again) from error
        is_ours = False
    except (OSError, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise StoreError(
            f"{folder} holds no export of mmrag.", fix="Name a folder that `mmrag export` has written."
        )
    if manifest["format"] > EXPORT_FORMAT:
        raise NeedsMigration(
            f"The export {folder} has format {manifest['format']}, this mmrag reads {EXPORT_FORMAT}.",
            fix="Run: pip install -U mmrag",
        )
    for name in FILES:
        if not (folder / name).is_file():
            raise Damaged(f"{torn}: {name} is missing.", fix=again)
        if digest_file(folder / name) != manifest["files"][name]["digest"]:
            raise Damaged(f"{torn}: {name} is not what was written.", fix=again)
    return manifest


def _fill(folder: Path, path: Path, manifest: dict[str, Any]) -> None:
    with Store.create(path, identity=manifest["identity"]) as store:
        with store.writer() as writer:
            _put_sources(folder, path, writer, manifest["dim"])
            for batch in _batches(folder / CACHE):
                _keep(writer, batch.to_pylist())
            writer.commit()
        if store.root != manifest["root"]:
            raise Damaged(
                f"The export {folder} gives root {store.root[:16]}, not {manifest['root'][:16]}.",
                fix="Export the store again.",
            )


def _put_sources(folder: Path, path: Path, writer: Writer, dim: int) -> None:
    blobs = _write_blobs(folder, path)
    items = _items(folder, writer, dim)
    waiting = 0
    for batch in _batches(folder / SOURCES):
        for row in batch.to_pylist():
            own = [next(items) for _ in range(row["items"])]
            media = [Blob(digest, b"", media_type) for digest, media_type in blobs.get(row["id"], ())]
            writer.put(_record(row), [item for item, _ in own], [key for _, key in own], media)
            waiting += len(own)
            if waiting >= _COMMIT_ITEMS:
                writer.commit()
                waiting = 0


def _items(folder: Path, writer: Writer, dim: int) -> Iterator[tuple[Item, str]]:
    """Add the vectors of each batch to the store, and give its items one by one."""
    for batch in _batches(folder / ITEMS):
        items, keys, embeddings = read_items(batch, dim)
        writer.add_vectors(keys, embeddings)
        yield from zip(items, keys, strict=True)


def _write_blobs(folder: Path, path: Path) -> dict[str, list[tuple[str, str]]]:
    """Write the media of all sources; return the digests and types that each source has."""
    blobs = Blobs(path / "blobs", path / "tmp")
    held = defaultdict(list)
    for batch in _batches(folder / BLOBS):
        for row in batch.to_pylist():
            if digest_bytes(row["bytes"]) != row["digest"]:
                raise Damaged(
                    f"Blob {row['digest']} of {folder} is not what its digest says.",
                    fix="Export the store again.",
                )
            blobs.write(Blob(row["digest"], row["bytes"], row["media_type"]))
            for source in row["sources"]:
                held[source].append((row["digest"], row["media_type"]))
    return held


def _keep(writer: Writer, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        owners = [SourceId(source) for source in row["sources"]]
        if not row["owned"]:
            writer.cache(row["kind"], row["key"], row["value"])
        for source in owners[:1]:
            writer.cache(row["kind"], row["key"], row["value"], source)
        for source in owners[1:]:
            writer.cache_used(row["kind"], row["key"], source)


def _record(row: dict[str, Any]) -> SourceRecord:
    return SourceRecord(
        Source(SourceId(row["id"]), row["digest"], row["size"], row["media_type"]),
        row["modified_ns"],
        row["state"],
        row["reason"],
        row["fix"],
        row["reader"],
        row["splitter"],
        tuple(PageCoverage(**page) for page in row["pages"]),
        dict(row["depends"]),
        title=row["title"],
    )


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS)
    except pa.ArrowInvalid as error:
        raise Damaged(f"{path} cannot be read ({error}).", fix="Export the store again.") from error
