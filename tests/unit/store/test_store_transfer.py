from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmrag.core.errors import Damaged, IdentityMismatch, NeedsMigration, StoreError
from mmrag.core.reading import PageCoverage
from mmrag.core.types import (
    Box,
    Cells,
    Embeddings,
    Item,
    ItemId,
    Page,
    Part,
    Place,
    SourceId,
    Span,
    TimeRange,
)
from mmrag.store import Store, export_store, import_store, importing, parquet, verify
from mmrag.store.lock import FileLock

LOCATORS = (Page(3, Box(0.1, 0.2, 1 / 3, 0.9)), Page(1), Span(4, 90), TimeRange(0.5, 2.25), Cells("Q1", 2, 9))


@pytest.fixture
def filled(store, fakes):
    with store.writer() as writer:
        for name in ("b.txt", "a.txt"):
            items = [
                Item(
                    *(ItemId(f"{name}{i}"), SourceId(name), locator),
                    (
                        Part(
                            "text",
                            text=f"Tëxt {i} of\n{name}",
                            places=tuple(Place(n, n + 1, x) for n, x in enumerate(LOCATORS)),
                        ),
                        Part("image", media="ab" * 32, role="caption"),
                    ),
                    {"title": "T", "n": 3, "x": 0.1, "good": True, "big": 2**60},
                )
                for i, locator in enumerate(LOCATORS)
            ]
            keys = [f"key {name} {i // 2}" for i in range(len(items))]
            counts = [1, 2, 3, 1, 1]
            vectors = np.random.default_rng(1).random((sum(counts), 4), np.float32)
            writer.add_vectors(keys, Embeddings(vectors, np.cumsum([0, *counts])))
            pages = (PageCoverage(1, text=True, ocr=False, figures=2),)
            record = fakes.record(
                name, title="T", pages=pages, depends={"x.png": "d"}, reason="r", state="partial"
            )
            writer.put(record, items, keys, [fakes.blob(b"shared"), fakes.blob(name.encode() * 999)])
        writer.put(fakes.record("empty.bin", state="skipped", reason="no reader"), [], [])
        writer.cache("ocr", "k", b"dear", SourceId("a.txt"))
        writer.cache_used("ocr", "k", SourceId("b.txt"))
        writer.cache("sync", "looked", b"5")
        writer.commit()
    return store


@pytest.fixture
def export(filled, tmp_path):
    export_store(filled, tmp_path / "export")
    return tmp_path / "export"


def _content(store: Store) -> object:
    by_id = {}
    for row, item in store.items(store.rows()).items():
        by_id[item.source, item.id] = item, store.embeddings(np.array([row])).vectors.tobytes()
    with store.connection() as db:
        cache = db.execute("SELECT * FROM cache ORDER BY 1, 2").fetchall()
        uses = db.execute("SELECT * FROM cache_uses ORDER BY 1, 2, 3").fetchall()
        blobs = db.execute(
            "SELECT b.digest, id, b.media_type FROM blobs b JOIN sources ON number = source ORDER BY 1, 2"
        ).fetchall()
    return store.identity, store.root, store.sources(), by_id, cache, uses, blobs


def test_a_store_comes_back_bit_by_bit(filled, tmp_path, fakes):
    report = export_store(filled, tmp_path / "export")
    assert (report.sources, report.items, report.blobs, report.cached) == (3, 10, 3, 2)
    assert report.root == filled.root
    with import_store(tmp_path / "export", tmp_path / "new") as new:
        assert _content(new) == _content(filled)
        assert new.blob(fakes.blob(b"shared").digest) == b"shared"
        checked = verify(new)
        assert (checked.problems, checked.orphans, checked.root) == ((), 0, filled.root)
        # A sync of the same folder finds every vector.
        with new.writer() as writer:
            assert writer.missing(["key a.txt 0", "key b.txt 2"]) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mmrag", "export", "new"]


def test_an_empty_store_comes_back(store, tmp_path):
    export_store(store, tmp_path / "export")
    with import_store(tmp_path / "export", tmp_path / "new") as new:
        assert (new.root, new.count()) == (store.root, 0)


def test_columns_are_what_a_reader_of_parquet_expects(export):
    """These names and types are a promise: other programs read them."""
    columns = {
        name: {field.name: str(field.type) for field in pq.read_schema(export / name)}
        for name in parquet.FILES
    }
    locator = (
        "struct<kind: string, page: int64, box: struct<x0: double, y0: double, x1: double, y1: double>, "
        "start: int64, end: int64, start_s: double, end_s: double, sheet: string, first_row: int64, "
        "last_row: int64>"
    )
    text = {"id": "string", "source": "string", "modality": "string", "text": "string", "metadata": "string"}
    numbers = {"key": "string", "vectors": "int32", "embedding": "list<element: float>"}
    part = (
        "list<element: struct<modality: string, text: string, media: string, role: string, "
        f"places: list<element: struct<start: int64, end: int64, locator: {locator}>>>>"
    )
    assert columns["items.parquet"] == {**text, **numbers, "locator": locator, "parts": part}
    assert columns["sources.parquet"] == {
        **dict.fromkeys(("id", "digest", "media_type", "state", "reason", "fix"), "string"),
        **dict.fromkeys(("reader", "splitter", "title"), "string"),
        **dict.fromkeys(("size", "modified_ns", "items"), "int64"),
        "pages": "list<element: struct<page: int64, text: bool, ocr: bool, figures: int64>>",
        "depends": "map<string, string ('depends')>",
    }
    assert columns["blobs.parquet"] == {
        "digest": "string",
        "media_type": "string",
        "sources": "list<element: string>",
        "bytes": "large_binary",
    }


def test_rows_read_without_mmrag_make_sense(export, filled):
    table = pq.read_table(export / "items.parquet").to_pylist()
    assert [row["source"] for row in table] == ["a.txt"] * 5 + ["b.txt"] * 5
    first = table[0]
    assert first["text"] == "Tëxt 0 of\na.txt"
    assert first["locator"]["box"] == {"x0": 0.1, "y0": 0.2, "x1": 1 / 3, "y1": 0.9}
    assert json.loads(first["metadata"]) == {"title": "T", "n": 3, "x": 0.1, "good": True, "big": 2**60}
    assert [row["vectors"] for row in table[:5]] == [1, 1, 3, 3, 1]
    manifest = json.loads((export / "manifest.json").read_text())
    assert (manifest["root"], manifest["dim"]) == (filled.root, 4)
    vectors = np.array(table[2]["embedding"], np.float32).reshape(-1, manifest["dim"])
    np.testing.assert_array_equal(vectors, filled.embeddings(filled.rows_of(SourceId("a.txt"))[2:3]).vectors)


def test_exports_go_in_batches(filled, tmp_path, monkeypatch):
    monkeypatch.setattr("mmrag.store.exporting.BATCH_ITEMS", 3)
    monkeypatch.setattr("mmrag.store.exporting.BATCH_BYTES", 100)
    monkeypatch.setattr("mmrag.store.importing._BATCH_ROWS", 2)
    monkeypatch.setattr("mmrag.store.importing._COMMIT_ITEMS", 2)
    export_store(filled, tmp_path / "export")
    assert pq.ParquetFile(tmp_path / "export" / "items.parquet").metadata.num_row_groups == 4
    assert pq.ParquetFile(tmp_path / "export" / "blobs.parquet").metadata.num_row_groups == 3
    with import_store(tmp_path / "export", tmp_path / "new") as new:
        assert _content(new) == _content(filled)


@pytest.mark.parametrize("name", [*parquet.FILES, "manifest.json"])
def test_a_torn_export_is_refused_by_name(export, tmp_path, name):
    (export / name).unlink()
    with pytest.raises(Damaged, match=rf"torn: .*{name}"):
        import_store(export, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_changed_export_is_refused_by_name(export, tmp_path):
    data = bytearray((export / "items.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (export / "items.parquet").write_bytes(data)
    with pytest.raises(Damaged, match=r"items\.parquet is not what was written"):
        import_store(export, tmp_path / "new")


def test_an_export_with_another_root_is_refused(export, tmp_path):
    manifest = json.loads((export / "manifest.json").read_text())
    (export / "manifest.json").write_text(json.dumps({**manifest, "root": "0" * 64}))
    with pytest.raises(Damaged, match="gives root"):
        import_store(export, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mmrag", "export"]


def test_newer_and_foreign_folders_are_refused(export, tmp_path):
    manifest = json.loads((export / "manifest.json").read_text())
    (export / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(NeedsMigration) as caught:
        import_store(export, tmp_path / "new")
    assert caught.value.fix == "Run: pip install -U mmrag"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "app"}')
    for folder in ("other", "nowhere"):
        with pytest.raises(StoreError, match="holds no export of mmrag"):
            import_store(tmp_path / folder, tmp_path / "new")


def test_nothing_is_written_over(export, filled, tmp_path):
    with pytest.raises(StoreError, match="holds something already"):
        export_store(filled, export)
    with pytest.raises(StoreError, match="something at"):
        import_store(export, filled.path)
    (tmp_path / "there").mkdir()
    with import_store(export, tmp_path / "there") as new:
        assert new.root == filled.root


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


MANIFEST = {
    "mmrag": "export",
    "format": 1,
    "identity": {},
    "root": "0" * 64,
    "dim": 4,
    "files": {name: {"rows": 0, "digest": "d"} for name in parquet.FILES},
}


@pytest.mark.parametrize(
    "manifest",
    [
        {"mmrag": "export"},
        *({**MANIFEST, "format": wrong} for wrong in ("one", 1.5, True, None, 0)),
        *(
            {key: value for key, value in MANIFEST.items() if key != gone}
            for gone in MANIFEST
            if gone != "mmrag"
        ),
        *({**MANIFEST, "files": wrong} for wrong in ([], {"items.parquet": "d"}, {"items.parquet": {}})),
        {**MANIFEST, "files": {"items.parquet": {"rows": 0, "digest": "d"}}},
        *({**MANIFEST, "dim": wrong} for wrong in ("4", -1)),
        {**MANIFEST, "identity": {"dim": 4}},
    ],
)
def test_a_manifest_of_another_shape_is_damaged(tmp_path, manifest):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Damaged, match=r"is torn: its manifest\.json"):
        import_store(tmp_path / "export", tmp_path / "new")
    assert _names(tmp_path) == ["export"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": "app"}', b'{"x": ' + b"[" * 100_000]
)
def test_a_manifest_that_is_none_is_damaged_among_the_files_of_an_export(export, tmp_path, data):
    (export / "manifest.json").write_bytes(data)
    with pytest.raises(Damaged, match=r"is torn: its manifest\.json cannot be read"):
        import_store(export, tmp_path / "new")
    for name in parquet.FILES:
        (export / name).unlink()
    with pytest.raises(StoreError, match="holds no export of mmrag"):
        import_store(export, tmp_path / "new")


def test_a_newer_format_need_not_look_like_this_one(tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "manifest.json").write_text('{"mmrag": "export", "format": 2, "files": []}')
    with pytest.raises(NeedsMigration, match="has format 2, this mmrag reads 1"):
        import_store(tmp_path / "export", tmp_path / "new")


@pytest.mark.parametrize("dim", [0, 3])
def test_a_manifest_with_another_length_of_vectors_is_damaged(export, tmp_path, dim):
    manifest = json.loads((export / "manifest.json").read_text())
    (export / "manifest.json").write_text(json.dumps({**manifest, "dim": dim}))
    with pytest.raises(Damaged, match=f"do not have {dim} numbers each"):
        import_store(export, tmp_path / "new")
    assert _names(tmp_path) == [".mmrag", "export"]


def test_an_export_of_another_embedder_is_refused_before_anything_is_written(export, filled, tmp_path, fakes):
    with pytest.raises(IdentityMismatch, match=r"\(dim: 4 -> 8; extra: none -> x\)") as caught:
        import_store(export, tmp_path / "a" / "new", identity={**fakes.identity, "dim": "8", "extra": "x"})
    assert caught.value.fix == "Give the recipe that the export was made with."
    assert _names(tmp_path) == [".mmrag", "export"]
    with import_store(export, tmp_path / "a" / "new", identity=fakes.identity) as new:
        assert new.root == filled.root


def test_an_export_into_the_store_itself_is_refused(filled, tmp_path):
    (tmp_path / "link").symlink_to(filled.path)
    before = _names(filled.path)
    for target in (filled.path, filled.path / "tmp" / "export", tmp_path / "link" / "export"):
        with pytest.raises(StoreError, match="lies in the store"):
            export_store(filled, target)
    assert _names(filled.path) == before


def test_imports_side_by_side_leave_each_other_alone(export, filled, tmp_path, monkeypatch):
    """The second begins and ends while the first is half-way; both go to the same folder."""
    put = importing._put_sources
    won = []

    def overtaken(*arguments):
        if not won:
            won.append(None)
            won[0] = import_store(export, tmp_path / "new").root
        put(*arguments)

    monkeypatch.setattr(importing, "_put_sources", overtaken)
    with pytest.raises(StoreError, match="something at"):
        import_store(export, tmp_path / "new")
    assert won == [filled.root]
    assert _names(tmp_path) == [".mmrag", "export", "new"]
    with Store.open(tmp_path / "new") as new:
        assert verify(new).problems == ()


def test_an_import_beside_another_ends_as_if_alone(export, filled, tmp_path, monkeypatch):
    put = importing._put_sources
    roots = []

    def overtaken(*arguments):
        if not roots:
            roots.append("")
            roots[0] = import_store(export, tmp_path / "other").root
        put(*arguments)

    monkeypatch.setattr(importing, "_put_sources", overtaken)
    roots.append(import_store(export, tmp_path / "new").root)
    assert roots == [filled.root] * 2
    assert _names(tmp_path) == [".mmrag", "export", "new", "other"]


def test_only_drafts_of_imports_that_died_are_removed(export, tmp_path):
    dead, alive, foreign = (tmp_path / f".mmrag-import-{name}" for name in ("dead", "alive", "foreign"))
    for folder in (dead, alive, foreign, tmp_path / "new.importing"):
        folder.mkdir()
        (folder / "half").write_text("dear")
    (tmp_path / ".mmrag-import-file").write_text("dear")
    (foreign / "import").write_text("of goods")
    for folder in (dead, alive):
        (folder / "import").write_text(importing._MARKED)
    lock = FileLock(alive / "import", shared=False, wait=False)
    import_store(export, tmp_path / "new").close()
    kept = {".mmrag-import-alive", ".mmrag-import-foreign", ".mmrag-import-file", "new.importing"}
    assert set(_names(tmp_path)) == {*kept, ".mmrag", "export", "new"}
    assert (foreign / "half").read_text() == (tmp_path / "new.importing" / "half").read_text() == "dear"
    lock.release()


def test_what_a_killed_import_left_goes_with_the_next(export, tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from mmrag.store import importing\n"
        "importing._fill = lambda folder, draft, manifest: (draft.mkdir(), os._exit(9))\n"
        "importing.import_store(*map(Path, sys.argv[1:]))"
    )
    killed = subprocess.run([sys.executable, "-c", script, export, tmp_path / "new"], check=False)
    assert killed.returncode == 9
    assert len(list(tmp_path.glob(".mmrag-import-*/store"))) == 1
    import_store(export, tmp_path / "other").close()
    assert _names(tmp_path) == [".mmrag", "export", "other"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_an_imported_store_may_be_entered_like_any_other(export, filled, tmp_path):
    import_store(export, tmp_path / "new").close()
    assert (tmp_path / "new").stat().st_mode == filled.path.stat().st_mode
