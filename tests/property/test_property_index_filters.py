"""Whatever is allowed and whatever is dead, a search of an index finds only live allowed positions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmrag.core.types import Embeddings
from mmrag.index.ann.base import Base
from mmrag.index.ann.build import build
from mmrag.index.ann.options import FaissOptions
from mmrag.index.ann.search import search
from mmrag.index.ranking import best
from mmrag.index.vectors import GivenVectors

pytest.importorskip("faiss")

COUNT, DIM, CLUSTERS = 1200, 16, 30
KINDS = ("flat", "flat-sq8", "ivf-flat", "ivf-sq8", "ivf-pq", "ivf-rabitq", "hnsw")

rng = np.random.default_rng(0)
CLUSTER = rng.integers(0, CLUSTERS, COUNT)
ITEMS = rng.standard_normal((CLUSTERS, DIM))[CLUSTER] + 0.8 * rng.standard_normal((COUNT, DIM))
# Every tenth is a copy of the one before.
ITEMS[9::10] = ITEMS[8::10]
ITEMS = (ITEMS / np.linalg.norm(ITEMS, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def bases() -> dict[str, Base]:
    source = GivenVectors(np.arange(COUNT), Embeddings.dense(ITEMS))
    return {kind: build(source, FaissOptions(kind)).base for kind in KINDS}


@st.composite
def positions(draw: st.DrawFn) -> NDArray[np.int64]:
    shape = draw(st.sampled_from(["random", "run", "cluster", "all but one", "few", "none", "all"]))
    if shape == "random":
        share = draw(st.floats(0, 1))
        chosen = np.random.default_rng(draw(st.integers(0, 2**16))).random(COUNT) < share
        return np.flatnonzero(chosen)
    if shape == "run":
        start, end = sorted((draw(st.integers(0, COUNT)), draw(st.integers(0, COUNT))))
        return np.arange(start, end)
    if shape == "cluster":
        return np.flatnonzero(np.isin(CLUSTER, draw(st.sets(st.integers(0, CLUSTERS - 1), max_size=4))))
    if shape == "all but one":
        return np.delete(np.arange(COUNT), draw(st.integers(0, COUNT - 1)))
    if shape == "few":
        return np.array(sorted(draw(st.sets(st.integers(0, COUNT - 1), max_size=12))), np.int64)
    return np.arange(COUNT if shape == "all" else 0)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    allow=st.none() | positions(),
    dead=st.just(np.empty(0, np.int64)) | positions(),
    k=st.integers(1, 60),
    seed=st.integers(0, 1000),
    frozen=st.booleans(),
)
def test_only_live_allowed_positions_are_found(bases, kind, allow, dead, k, seed, frozen):
    base = replace(bases[kind], dead=dead)
    queries = np.random.default_rng(seed).standard_normal((3, DIM)).astype(np.float32)
    queries[0] = ITEMS[seed]
    if allow is not None:
        allow.setflags(write=not frozen)
    among = np.setdiff1d(np.arange(COUNT) if allow is None else allow, dead)

    found, scores = search(base, queries, k, allow)

    assert found.shape == scores.shape == (3, k)
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    for line, line_scores in zip(found, scores, strict=True):
        real = line[line >= 0]
        assert (line[: len(real)] >= 0).all(), "a gap before the end"
        assert np.isneginf(line_scores[len(real) :]).all()
        assert np.isin(real, among).all()
        assert len(np.unique(real)) == len(real)
        assert len(real) <= min(k, len(among))
    if kind == "flat":
        for query, line in zip(queries, found, strict=True):
            true, _ = best(among, ITEMS[base.rows][among] @ query, k)
            np.testing.assert_array_equal(line[: len(true)], true)
    if allow is not None:
        again, _ = search(base, queries, k, allow)
        np.testing.assert_array_equal(again, found)
