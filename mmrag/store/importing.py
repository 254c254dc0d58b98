"""Makes a store of an export."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mmrag.core.errors import Damaged, IdentityMismatch, NeedsMigration, StoreError
from mmrag.core.identity import differences, digest_bytes, digest_file
from mmrag.core.reading import Blob, PageCoverage
from mmrag.core.types import Item, Source, SourceId
from mmrag.store.blobs import Blobs
from mmrag.store.disk import permission_checked
from mmrag.store.lock import FileLock
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
_AGAIN = "Export the store again."

# A draft is a folder <_DRAFT>... beside the new store, with the store in it and the file _MARK, which holds
# _MARKED and is locked by the import that is at work.
_DRAFT = ".mmrag-import-"
_MARK = "import"
_MARKED = "An import of mmrag; it goes with the next one.\n"


class _Claim(msgspec.Struct):
    """What a manifest of any format has."""

    mmrag: Literal["export"]
    format: Annotated[int, msgspec.Meta(ge=1)]


class _File(msgspec.Struct):
    digest: str


class _Manifest(_Claim):
    identity: dict[str, str]
    root: str
    dim: Annotated[int, msgspec.Meta(ge=0)]
    files: dict[str, _File]


def import_store(folder: Path, path: Path, *, identity: Mapping[str, str] | None = None) -> Store:
    """Make a store of what `export_store` wrote, with the same root; nothing is embedded again.

    The store is made beside `path` and stands there only when it is whole and proved.

    Args:
        folder: The export.
        path: The folder of the new store.
        identity: What the caller's vectors depend on; None takes the export as it is.

    Raises:
        StoreError: `folder` is no export, or there is something at `path`.
        IdentityMismatch: The export was made with another embedder; nothing is written.
        NeedsMigration: A newer mmrag wrote it.
        Damaged: The export is torn, or not what was written.
        OutOfSpace: Nothing is left behind.
    """
    manifest = _manifest(folder)
    if identity is not None and (wrong := differences(manifest.identity, identity)):
        raise IdentityMismatch(
            f"The export {folder} was made with another embedder ({'; '.join(wrong)}).",
            fix="Give the recipe that the export was made with.",
        )
    _check_files(folder, manifest)
    with permission_checked(path):
        _refuse_taken(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with _draft(path.parent) as draft:
            _fill(folder, draft, manifest)
            # Another import or a sync may have made one since.
            _refuse_taken(path)
            if path.exists():
                path.rmdir()
            draft.rename(path)
    return Store.open(path)


def _manifest(folder: Path) -> _Manifest:
    """Return the manifest of an export that this mmrag can read."""
    try:
        data = (folder / MANIFEST).read_bytes()
        claim = msgspec.json.decode(data, type=_Claim)
        if claim.format > EXPORT_FORMAT:
            raise NeedsMigration(
                f"The export {folder} has format {claim.format}, this mmrag reads {EXPORT_FORMAT}.",
                fix="Run: pip install -U mmrag",
            )
        return msgspec.json.decode(data, type=_Manifest)
    except (OSError, ValueError, RecursionError) as error:
        if not _is_ours(folder):
            raise StoreError(
                f"{folder} holds no export of mmrag.", fix="Name a folder that `mmrag export` has written."
            ) from error
        is_there = (folder / MANIFEST).exists()
        said = f"its {MANIFEST} cannot be read ({error})" if is_there else f"it has no {MANIFEST}"
        raise Damaged(f"The export {folder} is torn: {said}.", fix=_AGAIN) from error


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder whose manifest cannot be read was meant as an export."""
    if any((folder / name).exists() for name in FILES):
        return True
    with suppress(OSError, ValueError, RecursionError):
        held = msgspec.json.decode((folder / MANIFEST).read_bytes())
        return isinstance(held, dict) and held.get("mmrag") == "export"
    return False


def _check_files(folder: Path, manifest: _Manifest) -> None:
    for name in FILES:
        if name not in manifest.files:
            raise Damaged(f"The export {folder} is torn: its {MANIFEST} does not name {name}.", fix=_AGAIN)
        if not (folder / name).is_file():
            raise Damaged(f"The export {folder} is torn: {name} is missing.", fix=_AGAIN)
        if digest_file(folder / name) != manifest.files[name].digest:
            raise Damaged(f"The export {folder} is torn: {name} is not what was written.", fix=_AGAIN)


def _refuse_taken(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(f"There is something at {path} already.", fix="Name a folder that is not there yet.")


@contextmanager
def _draft(beside: Path) -> Iterator[Path]:
    """Give a place for a store that nobody else uses; what is left there at the end is removed."""
    home = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=beside))
    lock = None
    try:
        # Marked once it is locked: one that sweeps in between takes it for foreign.
        lock = FileLock(home / _MARK, shared=False, wait=True)
        lock.write(_MARKED)
        # One level down, as mkdtemp lets nobody else into its folder.
        yield home / "store"
    finally:
        if lock is not None:
            lock.release()
        shutil.rmtree(home, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the drafts of imports that were killed."""
    for home in folder.glob(f"{_DRAFT}*"):
        if not _is_marked(home):
            continue
        with suppress(OSError):
            lock = FileLock(home / _MARK, shared=False, wait=False)
            lock.release()
            if lock.held and not home.is_symlink():
                shutil.rmtree(home, ignore_errors=True)


def _is_marked(home: Path) -> bool:
    try:
        return (home / _MARK).read_bytes() == _MARKED.encode()
    except OSError:
        return False


def _fill(folder: Path, path: Path, manifest: _Manifest) -> None:
    with Store.create(path, identity=manifest.identity) as store:
        with store.writer() as writer:
            _put_sources(folder, path, writer, manifest.dim)
            for batch in _batches(folder / CACHE):
                _keep(writer, batch.to_pylist())
            writer.commit()
        if store.root != manifest.root:
            raise Damaged(
                f"The export {folder} gives root {store.root[:16]}, not {manifest.root[:16]}.",
                fix=_AGAIN,
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
        if len(batch.column("embedding").flatten()) != dim * sum(batch.column("vectors").to_pylist()):
            raise Damaged(f"The vectors of {folder / ITEMS} do not have {dim} numbers each.", fix=_AGAIN)
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
                    fix=_AGAIN,
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
        source=Source(SourceId(row["id"]), row["digest"], row["size"], row["media_type"]),
        mtime_ns=row["modified_ns"],
        state=row["state"],
        reason=row["reason"],
        fix=row["fix"],
        reader=row["reader"],
        splitter=row["splitter"],
        pages=tuple(PageCoverage(**page) for page in row["pages"]),
        depends=dict(row["depends"]),
        title=row["title"],
    )


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS)
    except pa.ArrowInvalid as error:
        raise Damaged(f"{path} cannot be read ({error}).", fix=_AGAIN) from error
