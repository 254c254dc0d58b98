import numpy as np
import pytest

from mmrag.core.types import Embeddings
from mmrag.index.ann.build import build, measured_again
from mmrag.index.ann.measure import askers
from mmrag.index.ann.options import FaissOptions
from mmrag.index.vectors import GivenVectors
from mmrag.testing.samples import unit_vectors


def source(vectors: np.ndarray) -> GivenVectors:
    return GivenVectors(3 * np.arange(len(vectors)), Embeddings.dense(vectors))


@pytest.mark.parametrize("size", [1, 40, 300])
def test_rows_without_copies_ask_first_and_none_twice(size):
    vectors = unit_vectors(1000, 8, seed=0)
    vectors[600:] = vectors[np.arange(400) % 5]
    places, asked = askers(source(vectors), size, 0)
    assert len(places) == size
    assert places.min() >= 5
    assert places.max() < 600
    np.testing.assert_array_equal(asked, vectors[places])


def test_where_there_are_only_copies_one_of_each_asks():
    places, asked = askers(source(np.repeat(unit_vectors(7, 8, seed=0), 30, axis=0)), 50, 0)
    assert len(np.unique(asked, axis=0)) == len(places) == 7


def test_who_asks_depends_on_the_seed_alone():
    vectors = source(unit_vectors(900, 8, seed=0))
    one, same, other = (askers(vectors, 50, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(askers(vectors, 5000, 0)[0]) == 900


@pytest.mark.parametrize("kind", ["ivf-flat", "ivf-pq", "hnsw"])
def test_copies_do_not_ask_when_an_index_is_measured(kind):
    pytest.importorskip("faiss")
    options = FaissOptions(kind=kind, device="cpu")
    built = build(source(np.repeat(unit_vectors(40, 16, seed=0), 50, axis=0)), options)
    assert built.facts.sample == 40
    assert measured_again(built, options).facts.sample == 40
