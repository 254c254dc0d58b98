"""Whatever happened to a dense index, it finds what a fresh one finds, and never what was removed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrag.core.types import Embeddings
from mmrag.index.ann.kinds import KINDS
from mmrag.index.ann.options import FaissOptions
from mmrag.index.vectors import GivenVectors

pytest.importorskip("faiss")
DIM, K, ROWS = 16, 10, 1200
_CENTRES = np.random.default_rng(99).standard_normal((20, DIM))

STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 400), st.integers(0, 2**16)),
    st.tuples(st.just("replace"), st.integers(1, 60), st.integers(0, 2**16)),
    st.tuples(st.just("remove"), st.integers(1, 300), st.integers(0, 2**16)),
    st.tuples(st.sampled_from(["merge", "save", "update"]), st.just(0), st.just(0)),
)


def drawn(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = _CENTRES[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("kind", list(KINDS))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 700), steps=st.lists(STEP, min_size=1, max_size=7))
def test_any_history_ends_as_a_fresh_build(kind, first, steps, tmp_path_factory):
    options = FaissOptions(kind=kind)
    folder = tmp_path_factory.mktemp("history")
    held = dict(enumerate(drawn(first, 0)))
    index = options.over(np.arange(first), Embeddings.dense(drawn(first, 0)))
    next_row = first
    for number, (step, size, seed) in enumerate(steps):
        some = np.array(sorted(held), np.int64)
        if step == "add":
            rows, vectors = np.arange(next_row, next_row + size), drawn(size, seed)
            next_row += size
        else:
            rows = np.sort(np.random.default_rng(seed).permutation(some)[:size])
            vectors = drawn(len(rows), seed)
        if step in ("add", "replace"):
            index.add(rows, Embeddings.dense(vectors))
            held |= dict(zip(rows.tolist(), vectors, strict=True))
        elif step == "remove":
            index.remove(rows)
            held = {row: held[row] for row in held.keys() - set(rows.tolist())}
        elif step == "merge":
            index.merge()
        else:
            index.save(folder / str(number))
            if step == "update":
                fresh = GivenVectors(np.arange(next_row, next_row + 30), Embeddings.dense(drawn(30, number)))
                held |= dict(zip(fresh.rows.tolist(), fresh.embeddings.vectors, strict=True))
                gone = some[:10]
                held = {row: held[row] for row in held.keys() - set(gone.tolist())}
                next_row += 30
                options.update(folder / str(number), folder / f"{number}b", fresh, gone)
                number = f"{number}b"
            index = options.load(folder / str(number))
        check(index, held)


def check(index, held: dict[int, np.ndarray]) -> None:
    rows = np.array(sorted(held), np.int64)
    np.testing.assert_array_equal(index.rows(), rows)
    assert len(index) == len(rows)
    vectors = np.stack([held[row] for row in rows.tolist()]) if len(rows) else np.empty((0, DIM), np.float32)
    # Recall is tuned to .95 on an index's own vectors, of which 40 x 10 answers stray by 1.1 %: .9 is four
    # times that. What else lies between the vectors is found less well: .885 at worst over 220 builds.
    own = vectors[np.random.default_rng(5).permutation(len(rows))[:40]]
    for queries, least in ((own, 0.9), (drawn(40, 12345), 0.85)):
        check_found(index.search(Embeddings.dense(queries), K), rows, queries @ vectors.T, least)
        allow = rows[::7]
        found = index.search(Embeddings.dense(queries), K, allow=np.append(allow, 10**9))
        check_found(found, allow, queries @ vectors[::7].T, least)


def check_found(found, rows: np.ndarray, scores: np.ndarray, least: float) -> None:
    order = np.argsort(-scores, axis=1)[:, :K]
    shared = 0
    for i, line in enumerate(found.rows):
        real = line[line >= 0]
        assert len(np.unique(real)) == len(real) == min(K, len(rows))
        assert np.isin(real, rows).all()
        shared += len(np.intersect1d(real, rows[order[i]]))
    assert shared >= least * order.size
