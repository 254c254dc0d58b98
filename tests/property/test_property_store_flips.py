"""A flipped bit, wherever it is, is found by verify, or changes nothing that can be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrag.core.errors import MmragError
from mmrag.core.fields import embedding_key
from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob, PageCoverage
from mmrag.core.types import Item, ItemId, Page, Part, Source, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import Indexes, publish
from mmrag.index.upkeep import row_lists
from mmrag.store import SourceRecord, Store, verify
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()
INDEXES = Indexes(FaissOptions(kind="flat"), LexicalOptions())


def _fill(path: Path) -> None:
    with Store.create(path, identity=EMBEDDER.identity) as store:
        with store.writer() as writer:
            for number in range(8):
                id = SourceId(f"folder {number % 2}/file-{number}.md")
                items = [
                    Item(
                        ItemId(digest_bytes(f"{number} {i}".encode())[:32]),
                        id,
                        Page(i + 1) if number % 3 else Span(i, i + 9),
                        (Part("text", text=f"Source {number} speaks of subject {i}. " * 9),),
                        {"title": f"Title {number}", "n": i, "x": 0.5 * i, "good": bool(i % 2)},
                    )
                    for i in range(6)
                ]
                keys = [embedding_key(item) for item in items]
                writer.add_vectors(keys, EMBEDDER.embed_items(items))
                data = f"picture {number}".encode() * 50
                source = Source(id, digest_bytes(id.encode()), 100 + number, "text/markdown")
                pages = (PageCoverage(1, text=True, ocr=False, figures=number),)
                record = SourceRecord(source, 10**18, "partial", "why", "do", "r/1", "s/1", pages, {"d": "e"})
                writer.put(record, items, keys, [Blob(digest_bytes(data), data, "image/png")])
                writer.cache("ocr", f"key {number}", data, id)
                writer.commit()
            writer.cache("sync", "looked", b"1")
            writer.remove(SourceId("folder 1/file-3.md"))
            writer.commit()
        publish(store, INDEXES)


def _content(path: Path) -> object:
    with Store.open(path) as store, store.snapshot(), store.connection() as db:
        rows = store.rows()
        blobs = [digest for (digest,) in db.execute("SELECT DISTINCT digest FROM blobs ORDER BY digest")]
        return (
            (store.root, store.generation, store.identity, store.horizon, store.sources(), store.count()),
            (store.items(rows), store.embeddings(rows).vectors.tobytes(), rows.tolist()),
            [tuple(x.tolist() for x in store.changes(n)) for n in range(store.generation + 1)],
            [store.rows_of(record.source.id).tolist() for record in store.sources()],
            [store.blob(digest) for digest in blobs],
            db.execute("SELECT kind, key, value FROM cache ORDER BY kind, key").fetchall(),
            db.execute("SELECT * FROM cache_uses ORDER BY 1, 2, 3").fetchall(),
            db.execute("SELECT * FROM metadata ORDER BY 1, 2").fetchall(),
            db.execute("SELECT row, modality, page, added FROM items ORDER BY row").fetchall(),
        )


def _is_found(path: Path) -> bool:
    try:
        with Store.open(path) as store:
            return bool(verify(store, row_lists(store, INDEXES)).problems)
    except MmragError:
        return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Iterator[tuple[Path, object, dict[str, bytes]]]:
    path = tmp_path_factory.mktemp("flips") / "store"
    _fill(path)
    assert not _is_found(path)
    files = {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.stat().st_size and file.name != ".gitignore"
    }
    yield path, _content(path), files
    shutil.rmtree(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pick=st.integers(0, 10**6), place=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_or_changes_nothing(whole, pick, place, bit):
    path, content, files = whole
    name = sorted(files)[pick % len(files)]
    before = files[name]
    place %= len(before)
    torn = bytearray(before)
    torn[place] ^= 1 << bit
    (path / name).write_bytes(torn)
    try:
        assert _is_found(path) or _content(path) == content
    finally:
        for leftover in path.glob("catalog.db-*"):
            leftover.unlink()
        (path / name).write_bytes(before)
