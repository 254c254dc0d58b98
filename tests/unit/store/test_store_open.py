from __future__ import annotations

import gc
import sqlite3

import pytest

from mmrag.core.errors import Damaged, IdentityMismatch, NeedsMigration, StoreError
from mmrag.store import Store, verify


def test_create_then_open(tmp_path, fakes):
    assert not Store.exists(tmp_path / "s")
    with Store.create(tmp_path / "s", identity=fakes.identity) as store:
        assert store.generation == 0
        assert store.count() == 0
        assert store.rows().tolist() == []
        assert store.sources() == []
        assert len(store.embeddings(store.rows())) == 0
        assert verify(store).problems == ()
    assert Store.exists(tmp_path / "s")
    with Store.open(tmp_path / "s", identity=fakes.identity) as store:
        assert store.identity == fakes.identity


def test_version_control_ignores_the_store(store):
    assert (store.path / ".gitignore").read_text() == "*\n"


def test_open_without_store_names_the_command(tmp_path):
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path / "my docs" / ".mmrag")
    assert caught.value.fix == f"Run: mmrag sync '{tmp_path}/my docs'"


def test_create_over_a_store_is_refused(store, fakes):
    with pytest.raises(StoreError, match="already"):
        Store.create(store.path, identity=fakes.identity)


def test_identity_mismatch_names_each_difference(store, fakes):
    with pytest.raises(IdentityMismatch) as caught:
        Store.open(store.path, identity={"name": "fake", "dim": "8", "pooling": "mean"})
    assert "dim: 4 -> 8" in caught.value.message
    assert "pooling: none -> mean" in caught.value.message
    assert "name: " not in caught.value.message
    assert caught.value.fix == f"Run: mmrag sync {store.path.parent} --rebuild"
    with pytest.raises(IdentityMismatch) as caught:
        Store.open(store.path, identity={}, fix="mmrag sync x --store y --rebuild")
    assert caught.value.fix == "Run: mmrag sync x --store y --rebuild"


@pytest.mark.parametrize(("version", "fix"), [(0, "--rebuild"), (99, "pip install -U mmrag")])
def test_other_formats_are_refused(store, version, fix):
    store.close()
    db = sqlite3.connect(store.path / "catalog.db")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(NeedsMigration) as caught:
        Store.open(store.path)
    assert fix in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_foreign_catalog_is_damaged(tmp_path, content):
    (tmp_path / "catalog.db").write_bytes(content)
    with pytest.raises(Damaged) as caught:
        Store.open(tmp_path)
    assert "--rebuild" in caught.value.fix


def test_torn_catalog_is_damaged_when_read(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", *[f"text {i}" * 50 for i in range(200)])
        writer.commit()
    store.close()
    path = store.path / "catalog.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x07" * (len(whole) - 4096))
    with pytest.raises(Damaged), Store.open(store.path) as torn:
        torn.items(torn.rows())


def test_closed_store_says_so(store):
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.count()


def test_replace_empties_but_keeps_the_cache(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two")
        writer.cache("ocr", "k", b"dear")
        before = writer.commit()
    rows = store.rows()
    with Store.create(store.path, identity={"name": "new"}, replace=True) as fresh:
        assert fresh.identity == {"name": "new"}
        assert fresh.count() == 0
        assert fresh.cached("ocr", "k") == b"dear"
        assert fresh.generation > before
        with fresh.writer() as writer:
            fakes.put(writer, "a.txt", "one", "two")
            writer.commit()
        assert not set(fresh.rows().tolist()) & set(rows.tolist())
        report = verify(fresh)
        assert (report.problems, report.orphans) == ((), 0)
    # A reader that was open all the time learns what is gone.
    assert store.changes(before)[1].tolist() == rows.tolist()


def test_replace_makes_an_unreadable_store_anew(tmp_path, fakes):
    (tmp_path / "catalog.db").write_bytes(b"not a database" * 100)
    (tmp_path / "catalog.db-wal").write_bytes(b"old log")
    with Store.create(tmp_path, identity=fakes.identity, replace=True) as store:
        assert verify(store).problems == ()


def test_a_store_made_anew_keeps_nothing_that_the_old_catalog_named(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two")
        generation = writer.commit()
    store.publish("lexical", {"v": "1"}, generation, lambda folder: (folder / "a").write_text("old"))
    store.close()
    for leftover in store.path.glob("catalog.db*"):
        leftover.unlink()
    with Store.create(store.path, identity=fakes.identity) as fresh:
        assert fresh.derived("lexical") is None
        report = verify(fresh)
        assert (report.problems, report.vectors) == ((), 0)
        assert not list((store.path / "vectors").glob("*"))


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path, fakes):
    for name in ("vectors/mine.svg", "tmp/draft.txt", "letter.txt", ".gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    for replace in (False, True):
        with pytest.raises(StoreError, match=r"'letter\.txt', which is no part of a store"):
            Store.create(tmp_path, identity=fakes.identity, replace=replace)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_folder_names_with_odd_characters(tmp_path, fakes):
    with Store.create(tmp_path / "50% ?#ü'", identity=fakes.identity) as store:
        with store.writer() as writer:
            fakes.put(writer, "a.txt", "one")
            writer.commit()
        assert store.count() == 1


def test_a_place_that_is_no_folder_is_a_store_error(tmp_path, fakes):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(StoreError, match="cannot be written") as caught:
            Store.create(place, identity=fakes.identity)
        assert "--store" in caught.value.fix
        assert not Store.exists(place)


def test_a_store_that_nobody_closes_closes_its_connections(tmp_path):
    store = Store.create(tmp_path / "store", identity={"dim": "2"})
    assert store.sources() == []
    (connection,) = store._readers._free
    del store
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
