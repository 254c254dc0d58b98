from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from mmrag.store import verify


@pytest.fixture
def filled(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two", blobs=[fakes.blob(b"picture")])
        fakes.put(writer, "b.txt", "three")
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
    ],
)
def test_a_changed_catalog_is_found(filled, sql, problem):
    filled.close()
    with closing(sqlite3.connect(filled.path / "catalog.db")) as db:
        db.execute(sql)
        db.commit()
    assert any(problem in found for found in verify(filled).problems)


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
