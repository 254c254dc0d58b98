from __future__ import annotations

import numpy as np
import pytest

from mmrag.core.errors import Locked, StoreError
from mmrag.core.types import SourceId
from mmrag.store import Store, verify


@pytest.fixture
def worn(store, fakes):
    """A store that has seen much come and go."""
    with store.writer() as writer:
        for i in range(40):
            texts = [f"text {i} {j} " * 40 for j in range(20)]
            fakes.put(writer, f"{i}.txt", *texts, blobs=[fakes.blob(b"%d" % i)])
            writer.cache("ocr", f"k{i}", b"dear" * 100, SourceId(f"{i}.txt"))
            writer.commit()
        writer.cache("sync", "looked", b"5")
        for i in range(30):
            writer.remove(SourceId(f"{i}.txt"))
        writer.commit()
    return store


def test_compact_gives_back_room_and_changes_nothing(worn, fakes):
    before, root, generation = fakes.texts(worn), worn.root, worn.generation
    (worn.path / "tmp" / "draft").write_bytes(b"half")
    report = worn.compact()
    assert report.bytes_after < report.bytes_before / 2
    assert (report.cached, report.tombstones) == (30, 600)
    assert (fakes.texts(worn), worn.root, worn.generation) == (before, root, generation)
    assert worn.cached("ocr", "k39") is not None
    assert worn.cached("ocr", "k0") is None
    assert worn.cached("sync", "looked") == b"5"
    assert len(list((worn.path / "vectors").iterdir())) == 1
    checked = verify(worn)
    assert (checked.problems, checked.orphans) == ((), 0)
    again = worn.compact()
    assert (again.vectors, again.cached, again.tombstones) == (0, 0, 0)


def test_tombstones_stay_until_every_index_knows_them(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        fakes.put(writer, "b.txt", "two")
        first = writer.commit()
        store.publish("dense", {}, first, lambda folder: (folder / "x").write_bytes(b""))
        writer.remove(SourceId("a.txt"))
        second = writer.commit()
    assert store.compact().tombstones == 0
    assert store.changes(first)[1].tolist() == [1]
    store.publish("dense", {}, second, lambda folder: (folder / "x").write_bytes(b""))
    assert store.compact().tombstones == 1
    assert store.horizon == second
    assert store.changes(second)[1].tolist() == []
    with pytest.raises(StoreError, match="not known any more"):
        store.changes(first)


def test_readers_keep_their_state_while_the_store_is_compacted(worn):
    with worn.snapshot():
        rows = worn.rows()
        vectors = worn.embeddings(rows).vectors.copy()
        worn.compact()
        np.testing.assert_array_equal(worn.embeddings(rows).vectors, vectors)
        assert len(worn.items(rows)) == len(rows) == 200
    assert len(worn.embeddings(worn.rows())) == 200


def test_only_one_writes(worn):
    with worn.writer(), pytest.raises(Locked):
        worn.compact()


def test_an_empty_view_shows_nothing_and_writes_nothing(tmp_path, fakes):
    path = tmp_path / "docs" / ".mmrag"
    with Store.empty(path, identity=fakes.identity) as store:
        assert (store.path, store.identity, store.count(), store.generation) == (path, fakes.identity, 0, 0)
        with store.snapshot():
            assert store.sources() == []
            assert len(store.embeddings(store.rows())) == 0
        assert store.derived("lexical") is None
        assert store.blob("ab" * 32) is None
        assert store.cached("sync", "looked") is None
        assert len(store.root) == 64
        with pytest.raises(StoreError, match="There is no store"), store.writer():
            pass
    assert not path.parent.exists()


def test_a_kept_result_goes_with_the_last_source_that_used_it(store, fakes):
    with store.writer() as writer:
        # What is read out of a file comes before the file's own row.
        writer.cache("ocr", "shared", b"words", SourceId("a.txt"))
        writer.cache_used("ocr", "shared", SourceId("b.txt"))
        writer.commit()
        fakes.put(writer, "a.txt", "one")
        fakes.put(writer, "b.txt", "two")
        writer.remove(SourceId("a.txt"))
        writer.move(SourceId("b.txt"), fakes.record("moved/c.txt"))
        writer.commit()
    assert store.compact().cached == 0
    with store.writer() as writer:
        writer.remove(SourceId("moved/c.txt"))
        writer.commit()
    assert store.cached("ocr", "shared") == b"words"
    assert store.compact().cached == 1
    assert store.cached("ocr", "shared") is None
