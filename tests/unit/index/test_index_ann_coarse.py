from dataclasses import replace

import numpy as np
import pytest

from mmrag.core.errors import Damaged
from mmrag.core.types import Embeddings
from mmrag.index.ann import coarse
from mmrag.index.ann.options import FaissOptions
from mmrag.index.vectors import GivenVectors
from mmrag.testing.samples import unit_vectors

pytest.importorskip("faiss")
COUNT, DIM = 3000, 16
KINDS = ["ivf-flat", "ivf-sq8", "ivf-pq"]


@pytest.fixture(autouse=True)
def few_lists_are_many(monkeypatch):
    monkeypatch.setattr(coarse, "LEAST_LISTS", 64)


def built(kind: str, lists: int = 64):
    vectors = GivenVectors(np.arange(COUNT), Embeddings.dense(unit_vectors(COUNT, DIM, seed=0)))
    return FaissOptions(kind=kind, lists=lists, recall=0.9).build(vectors)


def recall(found: np.ndarray, queries: np.ndarray) -> float:
    true = np.argsort(-(queries @ unit_vectors(COUNT, DIM, seed=0).T), axis=1)[:, :10]
    return float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)]))


@pytest.mark.parametrize("kind", KINDS)
def test_codes_of_many_centroids_find_what_the_centroids_find(kind):
    index = built(kind)
    state = index._state
    assert state.quick is not None
    queries = unit_vectors(200, DIM, seed=1)
    quick = index.search(Embeddings.dense(queries), 10)
    index._state = replace(state, quick=None)
    whole = index.search(Embeddings.dense(queries), 10)
    assert recall(quick.rows, queries) >= max(0.87, recall(whole.rows, queries) - 0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_changes_and_filters_hold_with_codes_of_centroids(kind, tmp_path):
    index = built(kind)
    vectors = unit_vectors(COUNT, DIM, seed=0)
    index.remove(np.arange(10))
    found = index.search(Embeddings.dense(vectors[:50]), 5).rows
    assert not np.isin(found, np.arange(10)).any()
    np.testing.assert_array_equal(found[10:, 0], np.arange(10, 50))
    allow = np.arange(0, COUNT, 3)
    assert np.isin(index.search(Embeddings.dense(vectors[:50]), 5, allow=allow).rows, allow).all()
    index.save(tmp_path)
    loaded = index.options.load(tmp_path)
    assert loaded._state.quick is not None
    np.testing.assert_array_equal(loaded.search(Embeddings.dense(vectors[:50]), 5).rows, found)


@pytest.mark.parametrize("kind", KINDS)
def test_updates_and_merges_keep_the_codes_of_centroids(kind, tmp_path):
    index = built(kind)
    options, fresh = index.options, unit_vectors(100, DIM, seed=5)
    added = GivenVectors(np.arange(COUNT, COUNT + 100), Embeddings.dense(fresh))
    index.save(tmp_path / "old")
    options.update(tmp_path / "old", tmp_path / "new", added, np.arange(10))
    index.add(added.rows, added.embeddings)
    index.merge()
    for one in (options.load(tmp_path / "new"), index):
        assert one._state.quick is not None
        np.testing.assert_array_equal(one.search(Embeddings.dense(fresh), 1).rows[:, 0], added.rows)


def test_few_lists_and_kinds_that_cannot_share_have_none():
    assert built("ivf-pq", lists=32)._state.quick is None
    assert built("ivf-rabitq")._state.quick is None


def test_damaged_codes_of_centroids_are_named(tmp_path):
    index = built("ivf-pq")
    index.save(tmp_path)
    file = tmp_path / "coarse.faiss"
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(Damaged, match=r"coarse\.faiss"):
        index.options.load(tmp_path)
