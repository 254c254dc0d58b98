import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from mmrag.core.types import Embeddings
from mmrag.index.ann import allow as allow_module
from mmrag.index.ann import costs
from mmrag.index.ann.allow import Recent, compiled, plan_for, reach
from mmrag.index.ann.base import Base, Point
from mmrag.index.ann.build import build
from mmrag.index.ann.engine import layers_of
from mmrag.index.ann.options import FaissOptions
from mmrag.index.ann.search import search
from mmrag.index.vectors import GivenVectors

faiss = pytest.importorskip("faiss")

COUNT, DIM = 12_000, 48
KINDS = ("ivf-flat", "ivf-pq", "ivf-rabitq", "hnsw")


def clustered(count: int, seed: int) -> np.ndarray:
    """Make clusters with a falling spectrum, as embeddings have."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((300, DIM))
    made = centres[rng.integers(0, 300, count)] + rng.standard_normal((count, DIM))
    made *= np.arange(1, DIM + 1) ** -0.5
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def items():
    return clustered(COUNT, 1)


@pytest.fixture(scope="module")
def queries():
    return clustered(200, 2)


@pytest.fixture(scope="module")
def bases(items):
    source = GivenVectors(np.arange(COUNT), Embeddings.dense(items))
    return {kind: build(source, FaissOptions(kind)).base for kind in KINDS}


@pytest.fixture(params=KINDS)
def base(request, bases):
    return bases[request.param]


@pytest.fixture
def vectors(base, items):
    """The vectors by position, which need not be the order of the rows."""
    return items[base.rows]


def recall(base: Base, vectors: np.ndarray, queries: np.ndarray, allow: np.ndarray) -> float:
    found, _ = search(base, queries, 10, allow)
    scores = queries @ vectors[allow].T
    true = allow[np.argpartition(-scores, 10, axis=1)[:, :10]]
    return np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)])


@pytest.fixture
def no_copies(monkeypatch):
    """Copying some thousand short vectors is always the cheapest: leave the ways that large indexes take."""
    monkeypatch.setattr(costs, "copying", lambda *_, **__: float("inf"))


@pytest.fixture(params=["with copies", "without copies"])
def copies(request):
    if request.param == "without copies":
        request.getfixturevalue("no_copies")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.95])
def test_random_filters_find_nearly_all(base, vectors, queries, share, copies):
    allow = np.flatnonzero(np.random.default_rng(3).random(COUNT) < share)
    assert recall(base, vectors, queries, allow) >= 0.99


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("side", ["near", "far"])
def test_filters_that_follow_the_vectors_find_nearly_all(base, vectors, queries, share, side, copies):
    direction = np.zeros(DIM, np.float32)
    direction[0] = 1
    height = vectors @ direction
    allow = np.flatnonzero(height > np.quantile(height, 1 - share))
    order = np.argsort(queries @ direction)
    some = queries[order[-60:] if side == "near" else order[:60]]
    assert recall(base, vectors, some, allow) >= 0.95


def test_whole_clusters_far_from_the_query_are_searched_well(base, vectors, queries, copies):
    seed = vectors[7]
    height = vectors @ seed
    allow = np.flatnonzero(height > np.quantile(height, 0.7))
    far = queries[np.argsort(queries @ seed)[:60]]
    assert recall(base, vectors, far, allow) >= 0.95


def test_the_plain_plan_alone_would_miss_what_is_far(bases, items, queries, no_copies):
    height = items[:, 0]
    allow = np.flatnonzero(height > np.quantile(height, 0.5))
    far = queries[np.argsort(queries[:, 0])[:60]]
    base = bases["ivf-pq"]
    narrow = replace(base, points=tuple(replace(point, gap=1e-3) for point in base.points))
    assert recall(narrow, items, far, allow) < recall(base, items, far, allow) - 0.05


@pytest.mark.parametrize(
    ("kind", "share", "says"),
    [
        ("ivf-pq", 0.002, "few enough"),
        ("hnsw", 0.002, "few enough"),
        ("ivf-flat", 0.001, "all of these are read"),
        ("ivf-pq", 0.5, "few enough"),
        ("hnsw", 0.9, "from the graph"),
    ],
)
def test_the_plan_says_what_it_does(bases, kind, share, says):
    allow = np.flatnonzero(np.random.default_rng(4).random(COUNT) < share)
    plan = plan_for(bases[kind], 10, allow)
    assert says in plan.why
    assert f"{len(allow):,}" in plan.why
    assert plan.why.endswith(".")


def test_many_allowed_rows_are_looked_for_in_the_lists_that_hold_them(bases, no_copies):
    plan = plan_for(bases["ivf-pq"], 10, np.arange(0, COUNT, 2))
    assert (plan.way, "then more where" in plan.why) == ("widen", True)


def test_a_filter_that_is_asked_with_again_is_worth_a_dearer_copy(bases):
    layers = layers_of(bases["ivf-pq"])
    assert costs.copying(layers, 5000, is_kept=True) < 0.6 * costs.copying(layers, 5000, is_kept=False)


def test_allowing_everything_is_no_filter(base, queries):
    everything = np.arange(COUNT)
    assert plan_for(base, 10, everything).why == plan_for(base, 10).why
    np.testing.assert_array_equal(search(base, queries, 10, everything)[0], search(base, queries, 10)[0])


def test_nothing_allowed_is_said(base):
    assert plan_for(base, 10, np.empty(0, np.int64)).why == "No row is allowed."
    assert plan_for(replace(base, dead=np.array([4, 5])), 10, np.array([4, 5])).way == "nothing"


def test_many_dead_rows_are_searched_like_a_filter(bases, no_copies):
    base = bases["ivf-pq"]
    assert plan_for(replace(base, dead=np.arange(100)), 10).way == "once"
    assert plan_for(replace(base, dead=np.arange(2000)), 10).way == "widen"


def test_a_plan_for_a_read_only_filter_is_made_once(bases):
    base = bases["ivf-pq"]
    allow = np.arange(0, COUNT, 3)
    assert plan_for(base, 10, allow) is not plan_for(base, 10, allow)
    allow.setflags(write=False)
    assert plan_for(base, 10, allow) is plan_for(base, 10, allow)
    assert plan_for(base, 10, allow) is not plan_for(base, 20, allow)


@pytest.mark.parametrize("kind", ["ivf-flat", "ivf-pq"])
def test_a_lone_row_beside_whole_lists_is_found(items, kind, no_copies):
    source = GivenVectors(np.arange(COUNT), Embeddings.dense(items))
    base = build(source, FaissOptions(kind, lists=16)).base
    whole = np.flatnonzero(base.lists < 8)
    for stray in np.flatnonzero(base.lists == 12)[:20]:
        allow = np.sort(np.append(whole, stray))
        found, _ = search(base, items[base.rows[[stray]]], 10, allow)
        assert found[0, 0] == stray


def test_one_copy_of_allowed_rows_serves_every_k(bases):
    allow = np.arange(0, COUNT, 30)
    allow.setflags(write=False)
    plans = [plan_for(bases["ivf-pq"], k, allow) for k in (10, 11, 100)]
    assert all("few enough" in plan.why for plan in plans)
    assert plans[0].index is plans[1].index is plans[2].index


def test_what_was_made_from_a_filter_is_gone_with_it(bases):
    base = replace(bases["ivf-pq"])
    allow = np.arange(0, COUNT, 30)
    allow.setflags(write=False)
    made = [weakref.ref(plan_for(base, k, allow).index) for k in (10, 100)]
    made.append(weakref.ref(compiled(base, allow)))
    gc.collect()
    assert all(one() is not None for one in made)
    del allow
    gc.collect()
    assert all(one() is None for one in made)


@pytest.mark.parametrize(("name", "limit"), [("_COPY_BYTES", 1000 * 2 * DIM), ("_COPY_SHARE", 1000 / COUNT)])
def test_only_so_many_rows_are_copied(bases, monkeypatch, name, limit):
    monkeypatch.setattr(allow_module, name, limit)
    base = bases["ivf-pq"]
    assert plan_for(base, 10, np.arange(1000)).index is not base.engine
    assert plan_for(base, 10, np.arange(1001)).index is base.engine


class TestRecent:
    def made(self, recent: Recent[object], array: np.ndarray) -> object:
        return recent.get(array, object)

    def fixed(self, count: int) -> np.ndarray:
        array = np.arange(count)
        array.setflags(write=False)
        return array

    def test_equal_arrays_are_told_apart(self):
        recent, one, other = Recent(4), self.fixed(3), self.fixed(3)
        assert self.made(recent, one) is self.made(recent, one)
        assert self.made(recent, one) is not self.made(recent, other)

    def test_a_view_of_what_may_change_is_made_anew(self):
        array = np.arange(5)
        view = array[:3]
        view.setflags(write=False)
        recent = Recent(4)
        assert self.made(recent, view) is not self.made(recent, view)

    def test_the_oldest_is_let_go(self):
        recent, arrays = Recent(2), [self.fixed(count) for count in range(3)]
        first = self.made(recent, arrays[0])
        second = self.made(recent, arrays[1])
        assert self.made(recent, arrays[0]) is first
        self.made(recent, arrays[2])
        assert self.made(recent, arrays[0]) is first
        assert self.made(recent, arrays[1]) is not second

    def test_an_array_that_is_gone_gives_its_place_and_its_address(self):
        recent, kept = Recent(2), self.fixed(9)
        first = self.made(recent, kept)
        for _ in range(20):
            gone = self.fixed(3)
            made = self.made(recent, gone)
            assert self.made(recent, gone) is made
            del gone
        assert self.made(recent, kept) is first


@pytest.fixture
def measured(bases):
    points = (Point(10, 0.95, 40, 8, 0.4), Point(100, 0.95, 90, 4, 0.3))
    return replace(bases["ivf-pq"], points=points)


def test_a_measured_k_looks_as_far_as_was_measured(measured):
    assert (reach(measured, 10).probes, reach(measured, 10).rerank) == (40, 8)
    assert (reach(measured, 100).probes, reach(measured, 100).rerank) == (90, 4)


def test_between_points_a_search_looks_between_them(measured):
    assert 40 < reach(measured, 30).probes < 90
    assert reach(measured, 30).rerank == 8


def test_below_the_points_as_many_candidates_are_scored_again(measured):
    assert reach(measured, 1).probes == 40
    assert reach(measured, 1).rerank == 80


def test_above_the_points_more_lists_are_read_up_to_all(measured):
    assert reach(measured, 400).probes == 180
    assert reach(measured, 10**8).probes == faiss.downcast_index(measured.engine.base_index).nlist


def test_a_base_without_points_can_be_searched(bases, items, queries):
    base = replace(bases["ivf-pq"], points=())
    allow = np.arange(0, COUNT, 2)
    assert recall(base, items, queries, allow) > 0.95
    assert recall(base, items, queries, np.arange(COUNT)) > 0.5
