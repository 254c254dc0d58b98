from __future__ import annotations

import numpy as np
import pytest

from mmrag.core.errors import Damaged, StoreError
from mmrag.core.protocols import VectorSource
from mmrag.core.types import Embeddings, SourceId
from mmrag.store import Store, stream


def _put_ragged(store: Store, fakes, sources: dict[str, list[tuple[str, int]]]) -> None:
    """Put sources of (text, number of vectors); a text that stands in two shares its vectors."""
    with store.writer() as writer:
        for id, texts in sources.items():
            keys = [text for text, _ in texts]
            offsets = np.concatenate([[0], np.cumsum([count for _, count in texts])]).astype(np.int64)
            vectors = np.repeat(fakes.vectors(keys).vectors, [count for _, count in texts], axis=0)
            vectors[:, 1] = np.arange(len(vectors))
            writer.add_vectors(keys, Embeddings(vectors, offsets))
            writer.put(fakes.record(id), [fakes.item(id, key, number=i) for i, key in enumerate(keys)], keys)
            writer.commit()


@pytest.fixture
def filled(store, fakes) -> Store:
    """Three segments; `c.txt` repeats texts of the others."""
    dense = {
        "a.txt": [(f"a{i}", 1) for i in range(10)],
        "b.txt": [(f"b{i}", 1) for i in range(7)],
        "c.txt": [("a4", 1), ("c0", 1), ("b2", 1), ("a4 ", 1)],
    }
    _put_ragged(store, fakes, dense)
    return store


def _check(store: Store, source: VectorSource, rows: np.ndarray) -> None:
    assert isinstance(source, VectorSource)
    np.testing.assert_array_equal(source.rows, rows)
    for size in (1, 3, 100):
        batches = list(source.batches(size))
        assert max((len(some) for some, _ in batches), default=0) <= size
        np.testing.assert_array_equal(np.concatenate([[], *(some for some, _ in batches)]), rows)
        for some, embeddings in batches:
            wanted = store.embeddings(some)
            np.testing.assert_array_equal(embeddings.vectors, wanted.vectors)
            np.testing.assert_array_equal(embeddings.offsets, wanted.offsets)


def test_all_vectors_come_in_batches_in_the_order_of_rows(filled):
    source = filled.vectors()
    assert (source.dim, len(source)) == (4, 21)
    _check(filled, source, filled.rows())


def test_late_interaction_comes_in_batches_too(store, fakes):
    _put_ragged(store, fakes, {"a.txt": [("x", 3), ("y", 0), ("z", 2)], "b.txt": [("z", 2), ("w", 1)]})
    _check(store, store.vectors(), store.rows())


@pytest.mark.parametrize("some", [slice(3, 9), slice(None, None, 6), [0, 1, 20], []])
def test_some_rows_are_a_source_of_their_own(filled, some):
    rows = filled.rows()[some]
    _check(filled, filled.vectors(rows[::-1]), rows)


def test_a_sample_comes_in_the_order_asked(filled):
    rows = filled.rows()[[20, 3, 3, 17]]
    np.testing.assert_array_equal(filled.vectors().take(rows).vectors, filled.embeddings(rows).vectors)


def test_a_run_is_a_view_and_scattered_rows_a_copy(filled):
    source = filled.vectors()
    (_, first), (_, second) = list(source.batches(10))[:2]
    assert not first.vectors.flags.owndata
    assert not first.vectors.flags.writeable
    assert second.vectors.flags.owndata


def test_stretches_name_every_row_once_with_its_vectors(filled):
    stretches = list(filled.vectors().stretches())
    assert len(stretches) == 3
    found = {}
    for stretch in stretches:
        assert not stretch.vectors.flags.writeable
        assert (np.diff(stretch.rows) > 0).all()
        for row, first, count in zip(stretch.rows, stretch.firsts, stretch.counts, strict=True):
            found[int(row)] = stretch.vectors[first : first + count]
    assert sorted(found) == filled.rows().tolist()
    for row, vectors in found.items():
        np.testing.assert_array_equal(vectors, filled.embeddings(np.array([row])).vectors)


def test_rows_beyond_a_slice_are_found(filled, monkeypatch):
    monkeypatch.setattr(stream, "_SLICE", 4)
    _check(filled, filled.vectors(), filled.rows())
    mixed = filled.rows()[[9, 0, 20, 0, 5]]
    assert len(filled.embeddings(mixed)) == 5


def test_it_outlives_packing_and_closing(store, fakes):
    texts = [f"t{i}" for i in range(40)]
    with store.writer() as writer:
        for text in texts:
            fakes.put(writer, f"{text}.txt", text)
            writer.commit()
        source = store.vectors()
        writer.finish()
    assert len(list((store.path / "vectors").iterdir())) == 1
    store.close()
    found = np.concatenate([embeddings.vectors for _, embeddings in source.batches(7)])
    np.testing.assert_array_equal(found, fakes.vectors(texts).vectors)


def test_an_empty_store_is_an_empty_source(store):
    source = store.vectors()
    assert (source.dim, len(source), list(source.batches(5)), list(source.stretches())) == (4, 0, [], [])


@pytest.mark.parametrize("rows", [[99], [1, 99], [-5, 1]])
def test_a_row_that_is_gone_is_named(filled, rows):
    with pytest.raises(StoreError, match="not in the store"):
        filled.vectors(np.array(rows))
    with pytest.raises(StoreError, match="not in the store"):
        filled.vectors().take(np.array(rows))


def test_a_torn_segment_is_found_when_the_source_is_opened(filled):
    with filled.writer() as writer:
        writer.remove(SourceId("a.txt"))
        writer.commit()
    path = sorted((filled.path / "vectors").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-200])
    filled.let_go()
    with pytest.raises(Damaged, match=path.name):
        filled.vectors()
