from dataclasses import replace

import numpy as np
import pytest

from mmrag.core.types import Embeddings
from mmrag.index.ann.base import Base
from mmrag.index.ann.build import build
from mmrag.index.ann.calibrate import calibrate
from mmrag.index.ann.options import FaissOptions
from mmrag.index.ann.search import search
from mmrag.index.vectors import GivenVectors

faiss = pytest.importorskip("faiss")

COUNT, DIM, ASKING = 6000, 32, 300


def clustered(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((100, DIM))
    made = centres[rng.integers(0, 100, count)] + rng.standard_normal((count, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def items():
    return clustered(COUNT, 1)


@pytest.fixture(scope="module")
def bases(items):
    source = GivenVectors(np.arange(COUNT), Embeddings.dense(items))
    kinds = ("ivf-flat", "ivf-pq", "ivf-rabitq", "hnsw", "flat-binary")
    return {kind: build(source, FaissOptions(kind)).base for kind in kinds}


@pytest.fixture(params=["ivf-flat", "ivf-pq", "ivf-rabitq", "hnsw", "flat-binary"])
def base(request, bases):
    return bases[request.param]


@pytest.fixture
def vectors(base, items):
    return items[base.rows]


OWN = np.arange(0, COUNT, COUNT // ASKING)


def truth(vectors: np.ndarray, queries: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    scores = queries @ vectors.T
    mine = own >= 0
    scores[np.flatnonzero(mine), own[mine]] = -np.inf
    return np.argsort(-scores, axis=1)[:, :k]


def measured(base: Base, queries: np.ndarray, true: np.ndarray, own: np.ndarray, k: int) -> float:
    found, _ = search(base, queries, k + 1)
    shares = []
    for line, best, mine in zip(found, true, own, strict=True):
        shares.append(len(np.intersect1d(line[line != mine][:k], best[:k])) / k)
    return float(np.mean(shares))


@pytest.mark.parametrize("target", [0.8, 0.95])
def test_the_points_reach_the_target_in_the_search_itself(base, vectors, target):
    true = truth(vectors, vectors[OWN], OWN, 100)
    points = calibrate(base, vectors[OWN], true, OWN, target)
    assert [point.k for point in points] == [10, 100]
    for point in points:
        assert point.recall >= target
        found = measured(replace(base, points=points), vectors[OWN], true, OWN, point.k)
        assert found >= point.recall - 0.02


def test_the_points_hold_for_queries_that_were_not_asked(bases, items):
    base = bases["ivf-pq"]
    points = calibrate(base, items[OWN], truth(items, items[OWN], OWN, 10), OWN, 0.9)
    others = clustered(300, 5)
    nobody = np.full(300, -1)
    true = truth(items, others, nobody, 10)
    assert measured(replace(base, points=points), others, true, nobody, 10) > 0.87


def test_a_higher_target_looks_further(bases, items):
    true = truth(items, items[OWN], OWN, 10)
    low, high = (calibrate(bases["ivf-flat"], items[OWN], true, OWN, target)[0] for target in (0.7, 0.99))
    assert low.probes < high.probes
    assert low.recall < high.recall


def test_probes_are_no_more_than_needed(bases, items):
    base = bases["ivf-flat"]
    true = truth(items, items[OWN], OWN, 10)
    point = calibrate(base, items[OWN], true, OWN, 0.9)[0]
    fewer = replace(base, points=(replace(point, probes=int(point.probes * 0.8)),))
    assert measured(fewer, items[OWN], true, OWN, 10) < 0.91


def test_a_target_out_of_reach_gives_the_best_and_says_so(bases, items):
    coarse = bases["ivf-rabitq"]
    bare = replace(coarse, engine=faiss.downcast_index(coarse.engine.base_index))
    point = calibrate(bare, items[OWN], truth(items, items[OWN], OWN, 10), OWN, 0.99)[0]
    assert point.recall < 0.9
    assert point.rerank == 1
    assert point.probes > 1


def test_coarse_codes_are_scored_again_more(bases, items):
    true = truth(items, items[OWN], OWN, 10)
    fine, coarse = (calibrate(bases[k], items[OWN], true, OWN, 0.95)[0] for k in ("ivf-pq", "ivf-rabitq"))
    assert coarse.rerank > fine.rerank


def test_the_own_position_counts_for_nothing(bases, items):
    base = bases["ivf-flat"]
    without = truth(items, items[OWN], OWN, 20)
    with_own = np.hstack([OWN[:, None], without])
    assert calibrate(base, items[OWN], with_own, OWN, 0.9) == calibrate(base, items[OWN], without, OWN, 0.9)


def test_copies_of_an_item_are_as_good_as_it(items):
    copies = np.repeat(items[:100], 40, axis=0)
    base = build(GivenVectors(np.arange(4000), Embeddings.dense(copies)), FaissOptions("ivf-flat")).base
    own = np.arange(0, 4000, 40)
    scores = copies[own] @ copies.T
    scores[np.arange(100), own] = -np.inf
    # The last copies, where the search finds the first.
    true = np.argsort(-scores[:, ::-1], axis=1, kind="stable")[:, :10]
    point = calibrate(base, copies[own], 3999 - true, own, 0.95)[0]
    assert point.recall >= 0.95
    assert point.probes == 1


def test_few_rows_have_points_for_what_they_are(items):
    base = build(GivenVectors(np.arange(300), Embeddings.dense(items[:300])), FaissOptions("ivf-flat")).base
    own = np.arange(0, 300, 3)
    true = truth(items[:300], items[own], own, 299)
    assert [point.k for point in calibrate(base, items[own], true, own, 0.9)] == [10, 100]
    assert [point.k for point in calibrate(base, items[own], true[:, :40], own, 0.9)] == [10]
    assert [point.k for point in calibrate(base, items[own], true[:, :4], own, 0.9)] == [4]
    assert calibrate(base, items[:0], true[:0], own[:0], 0.9) == ()


def test_dead_rows_are_neither_true_nor_found(bases, items):
    dead = np.arange(1, COUNT, 3)
    own = np.setdiff1d(OWN, dead)
    scores = items[own] @ items.T
    scores[np.arange(len(own)), own] = -np.inf
    scores[:, dead] = -np.inf
    true = np.argsort(-scores, axis=1)[:, :10]
    wounded = replace(bases["ivf-flat"], dead=dead)
    assert calibrate(wounded, items[own], true, own, 0.9)[0].recall >= 0.9


def test_measuring_twice_gives_the_same(base, vectors):
    true = truth(vectors, vectors[OWN], OWN, 10)
    assert calibrate(base, vectors[OWN], true, OWN, 0.9) == calibrate(base, vectors[OWN], true, OWN, 0.9)
