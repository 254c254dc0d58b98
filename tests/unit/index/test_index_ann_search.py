from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from mmrag.core.types import Embeddings
from mmrag.index.ann.build import build
from mmrag.index.ann.options import FaissOptions
from mmrag.index.ann.search import search
from mmrag.index.ranking import best
from mmrag.index.vectors import GivenVectors

faiss = pytest.importorskip("faiss")

COUNT, DIM = 2500, 32
KINDS = ("flat", "flat-sq8", "flat-binary", "ivf-flat", "ivf-sq8", "ivf-pq", "ivf-rabitq", "hnsw")
TRUE_SCORES = {"flat": 1e-6, "ivf-flat": 1e-6, "hnsw": 1e-6, "ivf-pq": 2e-3, "ivf-rabitq": 2e-3}
ENOUGH = 0.85


def clustered(count: int, seed: int, dim: int = DIM) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((60, dim))
    made = centres[rng.integers(0, 60, count)] + 0.7 * rng.standard_normal((count, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def items():
    return clustered(COUNT, 1)


@pytest.fixture(scope="module")
def queries():
    return clustered(40, 2)


@pytest.fixture(scope="module")
def bases(items):
    source = GivenVectors(np.arange(COUNT) * 3, Embeddings.dense(items))
    return {kind: build(source, FaissOptions(kind)).base for kind in KINDS}


@pytest.fixture(params=KINDS)
def base(request, bases):
    return bases[request.param]


@pytest.fixture
def vectors(base, items):
    """The vectors by position, which need not be the order of the rows."""
    return items[base.rows // 3]


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, true, strict=True)])


def truth(vectors: np.ndarray, queries: np.ndarray, k: int, among: np.ndarray) -> np.ndarray:
    return np.stack([best(among, vectors[among] @ query, k)[0] for query in queries])


def check_well_formed(positions: np.ndarray, scores: np.ndarray, n: int, k: int) -> None:
    assert positions.shape == scores.shape == (n, k)
    assert positions.dtype == np.int64
    assert scores.dtype == np.float32
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    assert ((positions < 0) == np.isneginf(scores)).all()
    for line in positions:
        real = line[line >= 0]
        assert len(np.unique(real)) == len(real)


@pytest.mark.parametrize("k", [1, 10, 40, 200])
def test_the_best_come_first(base, vectors, queries, k):
    positions, scores = search(base, queries, k)
    check_well_formed(positions, scores, len(queries), k)
    assert overlap(positions, truth(vectors, queries, k, np.arange(COUNT))) > ENOUGH


@pytest.mark.parametrize("base", list(TRUE_SCORES), indirect=True)
def test_scores_are_inner_products(base, vectors, queries, request):
    positions, scores = search(base, queries, 10)
    true = np.einsum("qkd,qd->qk", vectors[positions], queries)
    np.testing.assert_allclose(scores, true, atol=TRUE_SCORES[request.node.callspec.params["base"]])


@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.97])
def test_only_allowed_positions_are_found(base, vectors, queries, share):
    allow = np.flatnonzero(np.random.default_rng(3).random(COUNT) < share)
    positions, scores = search(base, queries, 10, allow)
    check_well_formed(positions, scores, len(queries), 10)
    assert np.isin(positions[positions >= 0], allow).all()
    assert overlap(positions, truth(vectors, queries, 10, allow)) > 0.9


def test_nothing_allowed_is_nothing_found(base, queries):
    positions, scores = search(base, queries, 3, np.empty(0, np.int64))
    check_well_formed(positions, scores, len(queries), 3)
    assert (positions == -1).all()


def test_no_queries_find_nothing(base):
    positions, scores = search(base, np.empty((0, DIM), np.float32), 3)
    assert positions.shape == scores.shape == (0, 3)


def test_fewer_rows_than_wanted_are_padded(base, queries):
    allow = np.array([5, 900, 2499])
    positions, scores = search(base, queries, 10, allow)
    check_well_formed(positions, scores, len(queries), 10)
    assert (np.sort(positions[:, :3]) == allow).all()
    assert (positions[:, 3:] == -1).all()


def test_more_rows_than_there_are_can_be_wanted(base, queries):
    positions, scores = search(base, queries[:2], COUNT + 5, np.arange(0, COUNT, 2))
    check_well_formed(positions, scores, 2, COUNT + 5)
    assert np.count_nonzero(positions >= 0) > 0.9 * COUNT


@pytest.mark.parametrize("share", [0.004, 0.4, 1.0])
def test_dead_positions_are_never_found(base, vectors, queries, share):
    dead = np.flatnonzero(np.random.default_rng(4).random(COUNT) < share)
    wounded = replace(base, dead=dead)
    for allow in (None, np.arange(1500)):
        positions, _ = search(wounded, queries, 10, allow)
        assert not np.isin(positions, dead).any()
        among = np.setdiff1d(np.arange(COUNT) if allow is None else allow, dead)
        if len(among):
            assert overlap(positions, truth(vectors, queries, 10, among)) > ENOUGH
        else:
            assert (positions == -1).all()


@pytest.mark.parametrize("share", [0.01, 0.3, None])
def test_an_answer_does_not_depend_on_the_batch(base, queries, share):
    allow = None if share is None else np.flatnonzero(np.random.default_rng(5).random(COUNT) < share)
    together, _ = search(base, queries, 10, allow)
    alone = np.concatenate([search(base, query[None], 10, allow)[0] for query in queries])
    np.testing.assert_array_equal(together, alone)


def test_large_batches_under_a_filter_are_cut_in_blocks(bases, queries):
    many = np.tile(queries, (60, 1))
    allow = np.arange(0, COUNT, 3)
    positions, _ = search(bases["ivf-pq"], many, 5, allow)
    np.testing.assert_array_equal(positions, np.tile(search(bases["ivf-pq"], queries, 5, allow)[0], (60, 1)))


def test_threads_may_search_at_once(base, queries):
    filters = [None, np.arange(20), np.arange(0, COUNT, 2)]
    alone = [search(base, queries, 10, allow)[0] for allow in filters]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda i: search(base, queries, 10, filters[i % 3])[0], range(24))
        for i, positions in enumerate(found):
            np.testing.assert_array_equal(positions, alone[i % 3])


def test_searching_leaves_the_engine_as_it_is(bases, queries):
    inner = faiss.downcast_index(bases["ivf-pq"].engine.base_index)
    before = inner.nprobe, bases["ivf-pq"].engine.k_factor, bases["hnsw"].engine.hnsw.efSearch
    for kind in ("ivf-pq", "hnsw"):
        search(bases[kind], queries, 10, np.arange(0, COUNT, 2))
    assert before == (inner.nprobe, bases["ivf-pq"].engine.k_factor, bases["hnsw"].engine.hnsw.efSearch)


@pytest.mark.parametrize("allow", [None, np.arange(2, 90), np.arange(1, 2400)])
def test_of_many_equal_rows_the_first_are_found(allow, items, queries):
    copies = np.concatenate([np.repeat(queries[:1], 100, axis=0), items])
    rows = np.arange(len(copies))
    base = build(GivenVectors(rows, Embeddings.dense(copies)), FaissOptions("flat")).base
    positions, scores = search(base, queries[:3], 7, allow)
    first = 0 if allow is None else allow[0]
    np.testing.assert_array_equal(positions[0], np.arange(first, first + 7))
    assert (scores[0] == scores[0, 0]).all()
    np.testing.assert_array_equal(positions, truth(copies, queries[:3], 7, rows if allow is None else allow))


def test_vectors_in_any_memory_order_are_taken(bases, queries):
    allow = np.arange(0, COUNT, 2)
    for kind in ("flat", "ivf-pq"):
        plain, _ = search(bases[kind], queries, 5, allow)
        for given in (np.asfortranarray(queries), queries.astype(np.float64), queries.repeat(2, axis=0)[::2]):
            np.testing.assert_array_equal(search(bases[kind], given, 5, allow)[0], plain)


@pytest.mark.parametrize("share", [0.004, 0.4, 0.97, None])
def test_a_query_of_zeros_finds_rows_that_score_nothing(base, queries, share):
    allow = None if share is None else np.flatnonzero(np.random.default_rng(6).random(COUNT) < share)
    some = queries[:5].copy()
    some[2] = 0
    positions, scores = search(base, some, 5, allow)
    check_well_formed(positions, scores, 5, 5)
    assert positions.min() >= 0
    assert (scores[2] == 0).all()
    assert (np.diff(positions[2]) > 0).all()
    assert allow is None or np.isin(positions, allow).all()
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(positions[others], search(base, queries[others], 5, allow)[0])
