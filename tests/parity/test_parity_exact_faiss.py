"""Exact search against FAISS flat: two implementations of one definition."""

import numpy as np
import pytest

from mmrag.core.types import Embeddings
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactIndex
from mmrag.index.maxsim import maxsim
from mmrag.testing.samples import unit_embeddings

pytest.importorskip("faiss")
ROWS = np.arange(0, 9000, 3)


@pytest.fixture(scope="module")
def items() -> Embeddings:
    """Some of the vectors stand there twice: ties must agree too."""
    items = unit_embeddings(len(ROWS), 64, seed=0)
    items.vectors[1500:1700] = items.vectors[:200]
    return items


@pytest.mark.parametrize("k", [1, 10, 200])
@pytest.mark.parametrize("allowed", [None, 5, 300, 2900])
def test_exact_and_flat_agree(items, k, allowed):
    queries = unit_embeddings(30, 64, seed=1)
    queries.vectors[:5] = items.vectors[:5]
    chosen = np.random.default_rng(0).permutation(ROWS)[:allowed]
    allow = None if allowed is None else np.sort(chosen)
    exact = ExactIndex.over(ROWS, items).search(queries, k, allow=allow)
    flat = FaissOptions(kind="flat").over(ROWS, items).search(queries, k, allow=allow)
    np.testing.assert_allclose(exact.scores, flat.scores, atol=2e-6)
    # Two rows whose scores differ by just about what counts as a tie may stand in another order.
    differ = exact.rows != flat.rows
    assert differ.mean() < 0.001
    for i in np.flatnonzero(differ.any(axis=1)):
        assert np.ptp(exact.scores[i][differ[i]]) < 4e-6


def test_vectors_that_stand_there_twice_come_in_the_same_order(items):
    queries = Embeddings.dense(items.vectors[:40])
    exact = ExactIndex.over(ROWS, items).search(queries, 2)
    np.testing.assert_array_equal(
        exact.rows, FaissOptions(kind="flat").over(ROWS, items).search(queries, 2).rows
    )
    np.testing.assert_array_equal(exact.rows, np.stack([ROWS[:40], ROWS[1500:1540]], axis=1))


def test_maxsim_is_the_sum_of_best_matches():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 12, 50)
    items = Embeddings(
        rng.standard_normal((lengths.sum(), 16)).astype(np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    queries = Embeddings(rng.standard_normal((9, 16)).astype(np.float32), np.array([0, 4, 9]))
    slow = [[sum(max(float(q @ v) for v in item) for q in query) for item in items] for query in queries]
    np.testing.assert_allclose(maxsim(queries, items), slow, rtol=1e-4)
