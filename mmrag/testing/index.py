"""What every index over embeddings must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrag.core.errors import MmragError
from mmrag.core.protocols import Index, Rows
from mmrag.core.types import Embeddings, Matches
from mmrag.testing.samples import unit_embeddings

DIM = 32
COUNT = 400
FIRST_ROW = 2**40
"""Rows are 64 bits wide: an index that keeps 32 loses them."""


class IndexContract(ABC):
    """Subclass it as `Test...` and say how to make and load the index.

    `min_recall` is the share of the true best 10 that a search without `allow` must find: 1 for an
    exact index. Scores are true inner products within `score_tolerance`, also for found rows of an
    approximate index; a search among few allowed rows is always complete.
    """

    min_recall: float = 1.0
    score_tolerance: float = 1e-5

    @abstractmethod
    def make(self, dim: int) -> Index:
        """Make an empty index."""

    @abstractmethod
    def load(self, folder: Path) -> Index:
        """Load an index that `Index.save` wrote."""

    def settle(self, index: Index) -> None:  # noqa: B027 (a hook: most indexes need nothing)
        """Do what an index does with added rows in time: fold them into its base, say. Nothing by default."""

    @pytest.fixture
    def rows(self) -> Rows:
        return FIRST_ROW + 3 * np.arange(COUNT, dtype=np.int64)

    @pytest.fixture
    def items(self) -> Embeddings:
        return unit_embeddings(COUNT, DIM, seed=1)

    @pytest.fixture
    def queries(self) -> Embeddings:
        return unit_embeddings(20, DIM, seed=2)

    @pytest.fixture
    def index(self, rows: Rows, items: Embeddings) -> Index:
        index = self.make(DIM)
        index.add(rows, items)
        self.settle(index)
        return index

    def test_it_implements_the_protocol(self) -> None:
        assert isinstance(self.make(DIM), Index)

    def test_an_empty_index_finds_nothing(self, queries: Embeddings) -> None:
        index = self.make(DIM)
        assert len(index) == 0
        _check_nothing(index.search(queries, 5), len(queries), 5)

    def test_no_queries_give_no_matches(self, index: Index) -> None:
        found = index.search(unit_embeddings(0, DIM, seed=0), 5)
        assert found.rows.shape == found.scores.shape == (0, 5)

    def test_matches_are_well_formed(self, index: Index, rows: Rows, queries: Embeddings) -> None:
        found = index.search(queries, 10)
        assert found.rows.dtype == np.int64
        assert found.scores.dtype == np.float32
        assert found.rows.shape == found.scores.shape == (len(queries), 10)
        assert np.isin(found.rows[found.rows != -1], rows).all()
        for line in found.rows:
            real = line[line != -1]
            assert len(np.unique(real)) == len(real), "a row is found twice"
        assert (np.diff(found.scores) <= 0).all(), "scores must not rise"

    def test_scores_are_inner_products(
        self, index: Index, rows: Rows, items: Embeddings, queries: Embeddings
    ) -> None:
        found = index.search(queries, 10)
        for i, query in enumerate(queries.vectors):
            real = found.rows[i] != -1
            places = np.searchsorted(rows, found.rows[i][real])
            np.testing.assert_allclose(
                found.scores[i][real], items.vectors[places] @ query, atol=self.score_tolerance
            )

    def test_it_finds_what_brute_force_finds(
        self, index: Index, rows: Rows, items: Embeddings, queries: Embeddings
    ) -> None:
        found = index.search(queries, 10)
        best = _brute_force(rows, items, queries, 10)
        if self.min_recall == 1:
            np.testing.assert_array_equal(found.rows, best.rows)
        shared = sum(len(np.intersect1d(a, b)) for a, b in zip(found.rows, best.rows, strict=True))
        assert shared / best.rows.size >= self.min_recall

    def test_an_item_finds_itself(self, index: Index, rows: Rows, items: Embeddings) -> None:
        found = index.search(items, 1)
        np.testing.assert_array_equal(found.rows[:, 0], rows)
        np.testing.assert_allclose(found.scores[:, 0], 1.0, atol=max(1e-4, self.score_tolerance))

    def test_k_larger_than_the_index_is_padded(self, queries: Embeddings) -> None:
        index = self.make(DIM)
        index.add(np.array([7, 9], dtype=np.int64), unit_embeddings(2, DIM, seed=3))
        self.settle(index)
        found = index.search(queries, 5)
        assert found.rows.shape == (len(queries), 5)
        assert (np.sort(found.rows[:, :2]) == [7, 9]).all()
        assert (found.rows[:, 2:] == -1).all()
        assert (found.scores[:, 2:] == -np.inf).all()

    def test_ties_go_to_the_smaller_row(self) -> None:
        index = self.make(DIM)
        one = unit_embeddings(1, DIM, seed=4)
        rows = np.array([90, 10, 50, 70, 30], dtype=np.int64)
        index.add(rows, Embeddings.dense(np.repeat(one.vectors, 5, axis=0)))
        self.settle(index)
        np.testing.assert_array_equal(index.search(one, 5).rows, [[10, 30, 50, 70, 90]])
        np.testing.assert_array_equal(index.search(one, 2).rows, [[10, 30]], "the cut ignores the tie")

    def test_ties_among_allowed_rows_go_to_the_smaller_row(self) -> None:
        index = self.make(DIM)
        one = unit_embeddings(1, DIM, seed=4)
        index.add(np.array([90, 10, 50], dtype=np.int64), Embeddings.dense(np.repeat(one.vectors, 3, axis=0)))
        self.settle(index)
        found = index.search(one, 1, allow=np.array([50, 90], dtype=np.int64))
        assert found.rows[0, 0] == 50

    def test_adding_in_pieces_is_adding_at_once(
        self, index: Index, rows: Rows, items: Embeddings, queries: Embeddings
    ) -> None:
        pieces = self.make(DIM)
        order = np.random.default_rng(5).permutation(COUNT)
        for part in np.array_split(order, 7):
            pieces.add(rows[part], Embeddings.dense(items.vectors[part]))
        self.settle(pieces)
        assert len(pieces) == COUNT
        if self.min_recall == 1:
            _check_equal(pieces.search(queries, 10), index.search(queries, 10))

    def test_adding_nothing_changes_nothing(self, index: Index, queries: Embeddings) -> None:
        before = index.search(queries, 10)
        index.add(np.empty(0, dtype=np.int64), unit_embeddings(0, DIM, seed=0))
        assert len(index) == COUNT
        _check_equal(index.search(queries, 10), before)

    def test_adding_a_row_again_replaces_it(self, index: Index, rows: Rows, items: Embeddings) -> None:
        fresh = unit_embeddings(1, DIM, seed=6)
        index.add(rows[:1], fresh)
        assert len(index) == COUNT
        assert index.search(fresh, 1).rows[0, 0] == rows[0]
        old = index.search(Embeddings.dense(items.vectors[:1]), 1)
        assert old.rows[0, 0] != rows[0], "the old vector is still found"

    def test_removed_rows_are_not_found(self, index: Index, rows: Rows, items: Embeddings) -> None:
        gone = rows[::2]
        index.remove(gone)
        assert len(index) == COUNT - len(gone)
        assert not np.isin(index.search(items, 10).rows, gone).any()

    def test_removing_an_unknown_row_is_harmless(self, index: Index, rows: Rows) -> None:
        index.remove(np.array([1, 2, int(rows[-1]) + 1], dtype=np.int64))
        index.remove(np.empty(0, dtype=np.int64))
        assert len(index) == COUNT

    def test_a_removed_row_can_come_back(self, index: Index, rows: Rows, items: Embeddings) -> None:
        one = Embeddings.dense(items.vectors[:1])
        index.remove(rows[:1])
        index.add(rows[:1], one)
        assert len(index) == COUNT
        assert index.search(one, 1).rows[0, 0] == rows[0]

    def test_an_emptied_index_finds_nothing(self, index: Index, rows: Rows, queries: Embeddings) -> None:
        index.remove(rows)
        assert len(index) == 0
        _check_nothing(index.search(queries, 3), len(queries), 3)

    @pytest.mark.parametrize("size", [1, 5, 60, COUNT])
    def test_allow_is_exact(
        self, index: Index, rows: Rows, items: Embeddings, queries: Embeddings, size: int
    ) -> None:
        places = np.sort(np.random.default_rng(size).choice(COUNT, size, replace=False))
        allow = rows[places]
        found = index.search(queries, 10, allow=allow)
        assert np.isin(found.rows[found.rows != -1], allow).all()
        best = _brute_force(allow, Embeddings.dense(items.vectors[places]), queries, 10)
        if self.min_recall == 1 or size <= 10:
            np.testing.assert_array_equal(found.rows, best.rows)
        np.testing.assert_array_equal((found.rows == -1).sum(), max(0, 10 - size) * len(queries))

    def test_nothing_allowed_is_nothing_found(self, index: Index, queries: Embeddings) -> None:
        _check_nothing(index.search(queries, 5, allow=np.empty(0, dtype=np.int64)), len(queries), 5)

    def test_unknown_allowed_rows_are_ignored(self, index: Index, rows: Rows, queries: Embeddings) -> None:
        allow = np.array([1, 2, rows[5], rows[-1] + 1], dtype=np.int64)
        found = index.search(queries, 3, allow=allow)
        assert (found.rows[:, 0] == rows[5]).all()
        assert (found.rows[:, 1:] == -1).all()

    def test_removed_rows_are_not_allowed_back(self, index: Index, rows: Rows, queries: Embeddings) -> None:
        index.remove(rows[:3])
        found = index.search(queries, 5, allow=rows[:4])
        assert (found.rows[:, 0] == rows[3]).all()
        assert (found.rows[:, 1:] == -1).all()

    def test_the_batch_of_queries_does_not_matter(self, index: Index, queries: Embeddings) -> None:
        together = index.search(queries, 10)
        for i in range(len(queries)):
            alone = index.search(Embeddings.dense(queries.vectors[i : i + 1]), 10)
            np.testing.assert_array_equal(alone.rows[0], together.rows[i])
            np.testing.assert_allclose(alone.scores[0], together.scores[i], atol=self.score_tolerance)

    def test_the_same_steps_give_the_same_matches(
        self, index: Index, rows: Rows, items: Embeddings, queries: Embeddings
    ) -> None:
        twin = self.make(DIM)
        twin.add(rows, items)
        self.settle(twin)
        _check_equal(twin.search(queries, 10), index.search(queries, 10))

    def test_it_keeps_its_own_copy(self, rows: Rows, items: Embeddings, queries: Embeddings) -> None:
        index = self.make(DIM)
        index.add(rows, items)
        self.settle(index)
        before = index.search(queries, 10)
        items.vectors[:] = 0
        rows[:] = 0
        _check_equal(index.search(queries, 10), before)

    def test_read_only_vectors_are_taken(
        self, index: Index, rows: Rows, items: Embeddings, queries: Embeddings
    ) -> None:
        before = index.search(queries, 10)
        for array in (rows, items.vectors, queries.vectors):
            array.setflags(write=False)
        twin = self.make(DIM)
        twin.add(rows, items)
        self.settle(twin)
        _check_equal(twin.search(queries, 10), before)

    def test_a_saved_index_is_the_same(self, index: Index, queries: Embeddings, tmp_path: Path) -> None:
        index.save(tmp_path)
        loaded = self.load(tmp_path)
        assert len(loaded) == COUNT
        _check_equal(loaded.search(queries, 10), index.search(queries, 10))

    def test_a_saved_index_can_be_changed(
        self, index: Index, rows: Rows, items: Embeddings, tmp_path: Path
    ) -> None:
        index.save(tmp_path)
        loaded = self.load(tmp_path)
        loaded.remove(rows[:5])
        fresh = unit_embeddings(1, DIM, seed=7)
        loaded.add(np.array([5], dtype=np.int64), fresh)
        assert len(loaded) == COUNT - 4
        assert loaded.search(fresh, 1).rows[0, 0] == 5
        assert not np.isin(loaded.search(items, 10).rows, rows[:5]).any()

    def test_an_empty_index_can_be_saved(self, queries: Embeddings, tmp_path: Path) -> None:
        self.make(DIM).save(tmp_path)
        loaded = self.load(tmp_path)
        assert len(loaded) == 0
        _check_nothing(loaded.search(queries, 3), len(queries), 3)

    def test_a_query_of_another_dim_is_refused(self, index: Index) -> None:
        with pytest.raises(MmragError) as caught:
            index.search(unit_embeddings(1, DIM + 1, seed=8), 3)
        assert str(DIM) in str(caught.value)
        assert str(DIM + 1) in str(caught.value)

    def test_items_of_another_dim_are_refused(self, index: Index) -> None:
        with pytest.raises(MmragError):
            index.add(np.array([1], dtype=np.int64), unit_embeddings(1, DIM + 1, seed=8))
        assert len(index) == COUNT

    def test_threads_may_search_at_once(self, index: Index, queries: Embeddings) -> None:
        alone = index.search(queries, 10)
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: index.search(queries, 10), range(16)):
                _check_equal(found, alone)


def _brute_force(rows: Rows, items: Embeddings, queries: Embeddings, k: int) -> Matches:
    scores: NDArray[np.float32] = queries.vectors @ items.vectors.T
    found_rows = np.full((len(queries), k), -1, dtype=np.int64)
    found_scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for i, line in enumerate(scores):
        best = np.lexsort((rows, -line))[:k]
        found_rows[i, : len(best)] = rows[best]
        found_scores[i, : len(best)] = line[best]
    return Matches(found_rows, found_scores)


def _check_equal(one: Matches, other: Matches) -> None:
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)


def _check_nothing(found: Matches, queries: int, k: int) -> None:
    assert found.rows.shape == found.scores.shape == (queries, k)
    assert found.rows.dtype == np.int64
    assert found.scores.dtype == np.float32
    assert (found.rows == -1).all()
    assert (found.scores == -np.inf).all()
