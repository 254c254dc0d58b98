from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, Damaged, QueryError
from mmrag.core.types import Embeddings
from mmrag.index.exact import ExactIndex
from mmrag.index.maxsim import maxsim
from mmrag.index.ranking import best


def vectors(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def ragged(lengths: list[int], dim: int = 8, seed: int = 0) -> Embeddings:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Embeddings(vectors(sum(lengths), dim, seed), offsets)


def test_over_makes_no_copy():
    embeddings = Embeddings.dense(vectors(50))
    index = ExactIndex.over(np.arange(50), embeddings)
    assert index._settled().embeddings.vectors is embeddings.vectors
    assert index.search(Embeddings.dense(embeddings.vectors[7:8]), 1).rows[0, 0] == 7


def test_over_takes_changes_without_touching_what_it_borrowed():
    embeddings = Embeddings.dense(vectors(5))
    before = embeddings.vectors.copy()
    index = ExactIndex.over(np.arange(5), embeddings)
    index.add(np.array([2, 9]), Embeddings.dense(vectors(2, seed=1)))
    index.remove(np.array([0]))
    assert len(index) == 5
    np.testing.assert_array_equal(embeddings.vectors, before)


@pytest.mark.parametrize("rows", [[3, 1, 2], [1, 1, 2]])
def test_over_refuses_rows_out_of_order(rows):
    with pytest.raises(ConfigError, match="rise"):
        ExactIndex.over(np.array(rows), Embeddings.dense(vectors(3)))


def test_the_last_of_equal_rows_in_one_batch_wins():
    index = ExactIndex(8)
    index.add(np.array([4, 4]), Embeddings.dense(vectors(2)))
    assert len(index) == 1
    assert index.search(Embeddings.dense(vectors(2)[1:]), 1).scores[0, 0] == pytest.approx(1, abs=1e-5)


def test_nan_is_refused():
    with pytest.raises(ConfigError, match="NaN"):
        ExactIndex(2).add(np.array([1]), Embeddings.dense(np.array([[np.nan, 1]], np.float32)))


def test_k_below_one_is_refused():
    with pytest.raises(QueryError, match="k=0"):
        ExactIndex(8).search(Embeddings.dense(vectors(1)), 0)


@pytest.mark.parametrize("allowed", [1, 3, 20, 90, 120])
def test_every_way_to_apply_an_allow_set_agrees(allowed):
    rows = np.arange(0, 240, 2)
    data, queries = vectors(120), Embeddings.dense(vectors(3, seed=1))
    index = ExactIndex.over(rows, Embeddings.dense(data))
    for allow in (
        np.sort(np.random.default_rng(allowed).choice(rows, allowed, replace=False)),
        rows[:allowed],
    ):
        found = index.search(queries, 5, allow=allow)
        for i in range(3):
            scores = data[np.searchsorted(rows, allow)] @ queries.vectors[i]
            expected = allow[np.argsort(-scores)][:5]
            np.testing.assert_array_equal(found.rows[i, : len(expected)], expected)
            assert (found.rows[i, len(expected) :] == -1).all()


def test_late_interaction_is_maxsim_and_survives_changes():
    items = ragged([3, 1, 0, 5, 2])
    queries = ragged([2, 4], seed=1)
    index = ExactIndex(8)
    index.add(np.arange(5), items)
    index.remove(np.array([1]))
    index.add(np.array([9]), Embeddings(items.vectors[3:4], np.array([0, 1])))
    found = index.search(queries, 5)
    for i, query in enumerate(queries):
        wanted = {row: sum((items[row] @ q).max() for q in query) for row in (0, 3, 4)}
        wanted[9] = sum(float((items[1] @ q).max()) for q in query)
        order = sorted(wanted, key=lambda row: -wanted[row])
        np.testing.assert_array_equal(found.rows[i], [*order, -1])
        np.testing.assert_allclose(found.scores[i, :4], [wanted[row] for row in order], atol=1e-5)


def test_maxsim_is_the_same_in_blocks():
    lengths = np.random.default_rng(0).integers(0, 9, 9000).tolist()
    items, queries = ragged(lengths), ragged([3, 2], seed=1)
    assert len(items.vectors) > 2 * 16_384
    found = ExactIndex.over(np.arange(9000), items).search(queries, 40)
    scores = maxsim(queries, items)
    for i in range(2):
        np.testing.assert_array_equal(found.rows[i], best(np.arange(9000), scores[i], 40)[0])


def test_ranking_joins_ties_and_keeps_prefixes():
    rng = np.random.default_rng(0)
    rows = rng.permutation(300)
    scores = (rng.integers(0, 20, 300) / 20 + rng.uniform(-2e-7, 2e-7, 300)).astype(np.float32)
    whole, whole_scores = best(rows, scores, 300)
    rounded = {row: round(float(score) * 20) for row, score in zip(rows, scores, strict=True)}
    assert whole.tolist() == sorted(rows.tolist(), key=lambda row: (-rounded[row], row))
    assert (np.diff(whole_scores) <= 0).all()
    for k in (1, 7, 20, 299):
        np.testing.assert_array_equal(best(rows, scores, k)[0], whole[:k])


class TestSaved:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        index = ExactIndex(8)
        index.add(np.arange(40), Embeddings.dense(vectors(40)))
        index.save(tmp_path)
        return tmp_path

    def test_it_is_memory_mapped(self, folder):
        assert isinstance(ExactIndex.load(folder)._settled().embeddings.vectors, np.memmap)

    @pytest.mark.parametrize("name", ["rows.npy", "vectors.npy", "offsets.npy", "index.json"])
    def test_a_missing_file_is_named(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(Damaged, match=name):
            ExactIndex.load(folder)

    @pytest.mark.parametrize("name", ["rows.npy", "vectors.npy", "offsets.npy", "index.json"])
    def test_a_torn_file_is_named(self, folder, name):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(Damaged, match=name):
            ExactIndex.load(folder)

    def test_a_foreign_file_of_the_same_size_is_refused(self, folder):
        size = (folder / "vectors.npy").stat().st_size
        (folder / "vectors.npy").write_bytes(b"x" * size)
        with pytest.raises(Damaged):
            ExactIndex.load(folder)


def test_read_only_vectors_are_shared_and_others_copied():
    writable, fixed = vectors(5), vectors(5)
    fixed.setflags(write=False)
    for data in (writable, fixed):
        index = ExactIndex(8)
        index.add(np.arange(5), Embeddings.dense(data))
        assert np.shares_memory(index._settled().embeddings.vectors, data) == (data is fixed)
