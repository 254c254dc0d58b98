from __future__ import annotations

import numpy as np
import pytest

from mmrag.core.errors import Damaged, StoreError
from mmrag.core.types import Embeddings, SourceId
from mmrag.store import Store, verify
from mmrag.store.vectors import pick


def _ragged(counts, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Embeddings(rng.standard_normal((int(offsets[-1]), 4)).astype(np.float32), offsets)


def test_ragged_embeddings_come_back_in_the_order_asked(store, fakes):
    texts = [f"t{i}" for i in range(6)]
    embeddings = _ragged([3, 0, 1, 5, 2, 4])
    with store.writer() as writer:
        for start in (0, 2, 4):
            some = pick(embeddings, range(start, start + 2))
            writer.add_vectors(texts[start : start + 2], some)
            items = [fakes.item(f"{start}.txt", t) for t in texts[start : start + 2]]
            writer.put(fakes.record(f"{start}.txt"), items, texts[start : start + 2])
            writer.commit()
    rows = store.rows()
    for order in ([0, 1, 2, 3, 4, 5], [5, 0, 3], [3, 3, 1], [1], []):
        found = store.embeddings(rows[order])
        assert len(found) == len(order)
        for got, i in zip(found, order, strict=True):
            np.testing.assert_array_equal(got, embeddings[i])


def test_one_run_is_a_view_of_the_file(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", *[f"t{i}" for i in range(10)])
        writer.commit()
    rows = store.rows()
    run = store.embeddings(rows[2:7]).vectors
    assert not run.flags.owndata
    assert not run.flags.writeable
    assert store.embeddings(rows[[2, 4]]).vectors.flags.owndata
    np.testing.assert_array_equal(run, fakes.vectors([f"t{i}" for i in range(2, 7)]).vectors)
    store.close()
    np.testing.assert_array_equal(run[0], fakes.vectors(["t2"]).vectors[0])


def test_rows_that_are_gone_are_named(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        writer.commit()
    with pytest.raises(StoreError, match="not in the store"):
        store.embeddings(np.array([99]))
    assert store.items(np.array([99])) == {}


@pytest.mark.parametrize("harm", ["missing", "torn", "short"])
def test_harmed_segment_is_damaged_with_its_name(store, fakes, harm):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", *[f"t{i}" for i in range(50)])
        writer.commit()
    (path,) = (store.path / "vectors").iterdir()
    if harm == "missing":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        with Store.create(store.path / "other", identity={}) as other:
            with other.writer() as writer:
                fakes.put(writer, "a.txt", "one")
                writer.commit()
            (path_of_other,) = (other.path / "vectors").iterdir()
            path.write_bytes(path_of_other.read_bytes())
    with pytest.raises(Damaged) as caught:
        store.embeddings(store.rows())
    assert path.name in caught.value.message
    assert "--rebuild" in caught.value.fix
    assert any(path.name in problem for problem in verify(store).problems)


def test_many_small_segments_are_joined(store, fakes):
    texts = [f"t{i}" for i in range(40)]
    with store.writer() as writer:
        for text in texts:
            fakes.put(writer, f"{text}.txt", text)
            writer.commit()
        assert len(list((store.path / "vectors").iterdir())) == 40
        before = store.embeddings(store.rows()).vectors.copy()
        generation = store.generation
    assert len(list((store.path / "vectors").iterdir())) == 1
    assert store.generation == generation
    np.testing.assert_array_equal(store.embeddings(store.rows()).vectors, before)
    assert not store.embeddings(store.rows()).vectors.flags.owndata
    report = verify(store)
    assert (report.problems, report.orphans, report.vectors) == ((), 0, 40)


def test_dead_vectors_are_dropped_when_they_are_many(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", *[f"a{i}" for i in range(30)])
        fakes.put(writer, "b.txt", *[f"b{i}" for i in range(10)])
        writer.commit()
    with store.writer() as writer:
        writer.remove(SourceId("b.txt"))
        writer.commit()
    assert verify(store).vectors == 40
    with store.writer() as writer:
        assert writer.missing(["b0"]) == []
        fakes.put(writer, "a.txt", "a3", "a7")
        writer.commit()
    assert verify(store).vectors == 2
    np.testing.assert_array_equal(store.embeddings(store.rows()).vectors, fakes.vectors(["a3", "a7"]).vectors)


def test_everything_removed_leaves_no_vectors(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two")
        writer.commit()
    with store.writer() as writer:
        writer.remove(SourceId("a.txt"))
        writer.commit()
    report = verify(store)
    assert (report.problems, report.vectors, report.orphans) == ((), 0, 0)
    assert list((store.path / "vectors").iterdir()) == []


def test_a_snapshot_outlives_packing(store, fakes):
    texts = [f"t{i}" for i in range(40)]
    with store.snapshot():
        pass
    with store.writer() as writer:
        for text in texts:
            fakes.put(writer, f"{text}.txt", text)
            writer.commit()
        with store.snapshot():
            rows = store.rows()
            writer.finish()
            with_old = store.embeddings(rows).vectors.copy()
    np.testing.assert_array_equal(with_old, fakes.vectors(texts).vectors)
    np.testing.assert_array_equal(store.embeddings(rows).vectors, with_old)


def test_large_batches_become_several_segments(store, fakes):
    # 3 x 22.4 MB: more than what waits in memory for the commit.
    part = 1_400_000
    with store.writer() as writer:
        for i in range(3):
            vectors = np.full((part, 4), i, dtype=np.float32)
            writer.add_vectors([f"k{i}"], Embeddings(vectors, np.array([0, part], dtype=np.int64)))
        assert len(list((store.path / "vectors").iterdir())) == 1
        fakes.put(writer, "b.txt", "one")
        keys = [f"k{i}" for i in range(3)]
        writer.put(fakes.record(), [fakes.item("a.txt", key) for key in keys], keys)
        writer.commit()
    assert len(list((store.path / "vectors").iterdir())) == 2
    found = store.embeddings(store.rows_of(SourceId("a.txt")))
    assert [float(v[0, 0]) for v in found] == [0, 1, 2]
    assert [len(v) for v in found] == [part] * 3
