from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from mmrag.core.errors import Damaged
from mmrag.core.types import SourceId
from mmrag.store import IndexState, Store, verify


@pytest.fixture
def filled(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two", blobs=[fakes.blob(b"picture")])
        fakes.put(writer, "b.txt", "three")
        writer.cache("ocr", "k", b"dear", SourceId("a.txt"))
        writer.commit()
    assert verify(store).problems == ()
    return store


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("DELETE FROM items WHERE row = 1", "a.txt holds 1 items, its record says 2"),
        ("UPDATE items SET id = 'x' WHERE row = 1", "are not those that were put"),
        ("UPDATE bodies SET body = x'01' WHERE row = 2", "row 2 (a.txt) cannot be read"),
        ("DELETE FROM bodies WHERE row = 2", "row 2 (a.txt) cannot be read"),
        ("UPDATE vectors SET first = 99 WHERE key = 'one'", "key one lie outside"),
        ("DELETE FROM vectors WHERE key = 'one'", "refers to a row of vectors"),
        ("UPDATE sources SET digest = 'x' WHERE id = 'a.txt'", "root that the store keeps"),
        ("UPDATE sources SET title = 'x' WHERE id = 'a.txt'", "What is known of a.txt is not"),
        ("UPDATE items SET page = 7 WHERE row = 1", "The filters of row 1 (a.txt)"),
        ("INSERT INTO metadata VALUES (1, 'k', 'v')", "The filters of row 1 (a.txt)"),
        ("UPDATE vectors SET seal = x'00' WHERE key = 'one'", "key one are not those that were added"),
        ("UPDATE vectors SET first = 1 WHERE key = 'one'", "key one are not those that were added"),
        ("UPDATE segments SET digest = 'x'", "is not what was written"),
        ("UPDATE cache SET value = x'00'", "What is kept as ocr k is not"),
        ("UPDATE items SET added = 99", "of generation 1, and something of it of generation 99"),
        ("UPDATE meta SET value = '99' WHERE key = 'generation'", ""),
        ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'items'", "used a second time"),
        ("INSERT INTO removed VALUES (1, 0, 1)", "both there and removed"),
        ("INSERT INTO meta VALUES ('horizon', '50')", "forgot what was before 50"),
        ("DROP TABLE removed", "removed is missing"),
        ("DROP TABLE bodies", "bodies is missing"),
        ("DROP TABLE meta", "meta is missing"),
        ("ALTER TABLE sources DROP COLUMN title", "sources has other columns"),
        ("DROP INDEX items_page", "items_page is missing"),
        ("CREATE TABLE mine (x)", "mine is not of mmrag"),
    ],
)
def test_a_changed_catalog_is_found(filled, sql, problem):
    filled.close()
    with closing(sqlite3.connect(filled.path / "catalog.db")) as db:
        db.execute(sql)
        db.commit()
    found = verify(filled).problems
    assert any(problem in one for one in found) if problem else not found


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE sources", "DROP TABLE meta", "ALTER TABLE sources DROP COLUMN title", "DROP TABLE items"],
)
def test_a_catalog_without_a_table_is_damaged_for_readers_and_writers(filled, fakes, sql):
    filled.close()
    with closing(sqlite3.connect(filled.path / "catalog.db")) as db:
        db.execute(sql)
        db.commit()
    with pytest.raises(Damaged, match=r"catalog\.db cannot be read") as caught:
        _read(filled.path)
    assert "--rebuild" in caught.value.fix
    with pytest.raises(Damaged), Store.open(filled.path) as store, store.writer() as writer:
        fakes.put(writer, "c.txt", "four")


def _read(path) -> None:
    with Store.open(path) as store:
        assert store.identity
        assert store.sources()
        assert len(store.rows())


def test_the_root_is_derived_again(filled):
    report = verify(filled)
    assert report.root == filled.root
    assert len(report.root) == 64


def test_a_published_index_is_read_whole_and_its_rows_are_compared(filled):
    def build(folder):
        (folder / "rows").write_bytes(filled.rows().tobytes())

    def rows(derived):
        return np.frombuffer((derived.path / "rows").read_bytes(), np.int64)

    filled.publish("dense", {"v": "1"}, filled.generation, build)
    filled.publish("other", {"v": "1"}, filled.generation, build)
    with filled.writer() as writer:
        writer.remove(SourceId("b.txt"))
        writer.commit()
    # The index covers an older generation, with the row that is gone since.
    report = verify(filled, {"dense": rows})
    assert report.problems == ()
    assert report.indexes == (IndexState("dense", 1, 3), IndexState("other", 1, None))
    report = verify(filled, {"dense": lambda derived: rows(derived)[1:]})
    assert any("dense and the catalog differ in 1 rows" in problem for problem in report.problems)

    def broken(_):
        raise Damaged("The index is broken.", fix="Fix it.")

    report = verify(filled, {"dense": broken})
    assert report.problems == ("The derived index dense cannot be opened: The index is broken.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda home: next(home.rglob("rows")).write_bytes(b"\1" * 24), "rows is not what was written"),
        (lambda home: next(home.rglob("rows")).unlink(), "rows is missing"),
        (lambda home: (next(home.rglob("rows")).parent / "new").write_bytes(b"1"), "new is not of it"),
        (lambda home: (home / "current").write_text("nowhere"), "its stamp is missing"),
        (lambda home: (home / "current").write_bytes(b"\xff\xff"), "its stamp is missing"),
        (lambda home: _earlier(next(home.rglob("stamp.json"))), "its stamp is missing"),
    ],
)
def test_a_changed_index_is_found(filled, change, said):
    build = lambda folder: (folder / "rows").write_bytes(filled.rows().tobytes())  # noqa: E731
    filled.publish("dense", {"v": "1"}, filled.generation, build)
    assert verify(filled).problems == ()
    change(filled.path / "derived" / "dense")
    (problem,) = verify(filled).problems
    assert said in problem
    assert "builds it again" in problem


def _earlier(stamp) -> None:
    stamp.write_text(stamp.read_text().replace('"generation":1', '"generation":0'))


@pytest.mark.parametrize("name", ["derived", "derived/dense"])
def test_a_file_in_the_place_of_a_folder_is_named(filled, name):
    if "/" in name:
        (filled.path / "derived").mkdir()
    (filled.path / name).write_text("mine")
    assert filled.derived("dense") is None
    with pytest.raises(Damaged, match="is not a folder") as caught:
        filled.publish("dense", {}, 1, lambda folder: None)
    assert "Delete it" in caught.value.fix
    with filled.writer():
        pass
    if name == "derived":
        assert any("derived is not a folder" in problem for problem in verify(filled).problems)


def test_a_changed_file_is_found(filled, fakes):
    (segment,) = (filled.path / "vectors").iterdir()
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    digest = fakes.blob(b"picture").digest
    blob = filled.path / "blobs" / digest[:2] / digest
    blob.write_bytes(b"another")
    problems = verify(filled).problems
    assert any("is not what was written" in p and segment.name in p for p in problems)
    assert any("is not what was written" in p and digest in p for p in problems)
    blob.unlink()
    assert any(digest in p and "missing" in p for p in verify(filled).problems)


def test_leftovers_are_counted_not_blamed(filled):
    (filled.path / "vectors" / "00000099.arrow").write_bytes(b"half")
    (filled.path / "tmp").mkdir(exist_ok=True)
    (filled.path / "tmp" / "draft").write_bytes(b"half")
    (filled.path / "blobs" / "ab").mkdir()
    (filled.path / "blobs" / "ab" / ("ab" * 32)).write_bytes(b"unused")
    (filled.path / "lock").write_text('{"pid": 1}')
    report = verify(filled)
    assert (report.problems, report.orphans) == ((), 3)
    with filled.writer():
        pass
    report = verify(filled)
    assert (report.problems, report.orphans) == ((), 0)
