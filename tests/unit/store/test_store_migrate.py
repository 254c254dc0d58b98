"""Stores of every released format open, hold what they held, and stay as they are when opened again."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from mmrag.core.errors import Damaged, NeedsMigration
from mmrag.index.exact import ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import Indexes, publish
from mmrag.index.upkeep import row_lists
from mmrag.store import Store, migrate, verify
from mmrag.store.schema import FORMAT
from mmrag.store.seals import vector_seal

STORES = Path(__file__).parents[2] / "fixtures" / "stores"
FORMATS = sorted(path.name.removesuffix(".tar.gz") for path in STORES.glob("*.tar.gz"))


def _describe(store: Store) -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("make_stores", STORES / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.describe(store)


@pytest.fixture
def old(request, tmp_path) -> Path:
    with tarfile.open(STORES / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "docs" / ".mmrag"


def _expected(format: str) -> dict[str, object]:
    return json.loads((STORES / f"{format}.json").read_text("utf-8"))


def _format(path: Path) -> int:
    with closing(sqlite3.connect(path / "catalog.db")) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_there_is_a_store_of_each_format():
    assert [f"format-{n + 1}" for n in range(FORMAT)] == FORMATS


@pytest.mark.parametrize(("old", "name"), [(name, name) for name in FORMATS], indirect=["old"])
def test_an_old_store_holds_and_finds_what_it_did(old, name):
    with Store.open(old) as store:
        assert _describe(store) == _expected(name)
        root, report = store.root, verify(store)
        assert (report.problems, report.root) == ((), root)
        publish(store, Indexes(ExactOptions(), LexicalOptions()))
        assert _describe(store) == _expected(name)
        report = verify(store, row_lists(store, Indexes(ExactOptions(), LexicalOptions())))
        assert (report.problems, [state.rows for state in report.indexes]) == ((), [6])
    assert _format(old) == FORMAT
    before = (old / "catalog.db").read_bytes()
    with Store.open(old) as store:
        assert store.root == root
    assert (old / "catalog.db").read_bytes() == before


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_a_migrated_store_equals_one_that_was_written_anew(old, tmp_path):
    with Store.open(old) as store, Store.create(tmp_path / "new", identity=store.identity) as new:
        with new.writer() as writer, store.connection() as db:
            for record in reversed(store.sources()):
                rows = store.rows_of(record.source.id)
                items = list(store.items(rows).values())
                keys = [
                    db.execute(
                        "SELECT key FROM vectors v JOIN items i ON i.vector = v.number WHERE row = ?", (row,)
                    ).fetchone()[0]
                    for row in rows.tolist()
                ]
                writer.add_vectors(keys, store.embeddings(rows))
                writer.put(record, items, keys)
            writer.commit()
        assert new.root == store.root
        with new.connection() as fresh, store.connection() as migrated:
            for what in ("SELECT key, seal FROM vectors", "SELECT id, seal, root FROM sources"):
                assert sorted(fresh.execute(what)) == sorted(migrated.execute(what))


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_what_ocr_gave_stays_until_nobody_uses_it(old):
    with Store.open(old) as store:
        with store.connection() as db:
            kept = db.execute("SELECT kind, key FROM cache WHERE kind = 'ocr'").fetchall()
        ((kind, key),) = kept
        assert store.cached(kind, key) is not None
        with store.writer() as writer:
            writer.cache_used(kind, key, "relay.png")
            writer.commit()
        assert store.compact().cached == 0
        assert store.cached(kind, key) is not None
        assert store.cached("sync", "looked") is not None
        with store.writer() as writer:
            writer.remove("relay.png")
            writer.commit()
        assert store.compact().cached == 1
        assert store.cached(kind, key) is None
        assert store.cached("sync", "looked") is not None


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_a_migration_that_breaks_leaves_the_old_format(old, monkeypatch):
    calls = []

    def breaks(vectors):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return vector_seal(vectors)

    monkeypatch.setattr(migrate, "vector_seal", breaks)
    with pytest.raises(KeyboardInterrupt):
        Store.open(old)
    assert _format(old) == 1
    monkeypatch.undo()
    with Store.open(old) as store:
        assert _describe(store) == _expected("format-1")


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_a_store_that_is_being_written_is_not_migrated(old):
    with migrate.writer_lock(old / "lock"), pytest.raises(NeedsMigration) as caught:
        Store.open(old)
    assert "process" in caught.value.message
    assert "Wait until that writer is done" in caught.value.fix
    assert _format(old) == 1


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_a_store_that_cannot_be_written_is_not_migrated(old):
    # As on a read-only disk, also for a user whom modes do not bind.
    (old / "lock").unlink()
    (old / "lock").mkdir()
    with pytest.raises(NeedsMigration, match="cannot be brought to it") as caught:
        Store.open(old)
    assert "where you may write" in caught.value.fix


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_an_old_store_with_a_torn_file_is_damaged(old):
    segment = min((old / "vectors").iterdir())
    segment.write_bytes(segment.read_bytes()[:100])
    with pytest.raises(Damaged, match="cannot be read") as caught:
        Store.open(old)
    assert "--rebuild" in caught.value.fix
    assert _format(old) == 1


@pytest.mark.parametrize("old", ["format-1"], indirect=True)
def test_a_rebuild_of_an_old_store_keeps_what_ocr_gave(old):
    with closing(sqlite3.connect(old / "catalog.db")) as db:
        (key,) = db.execute("SELECT key FROM cache WHERE kind = 'ocr'").fetchone()
    with Store.create(old, identity={"name": "other"}, replace=True) as store:
        assert store.count() == 0
        assert store.cached("ocr", key) is not None
        assert verify(store).problems == ()
