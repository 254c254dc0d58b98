from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, Damaged, QueryError
from mmrag.core.types import Embeddings, Item, ItemId, Matches, Part, Source, SourceId, Span
from mmrag.index import exact
from mmrag.index.chunks import Chunk
from mmrag.index.exact import ExactIndex, ExactOptions
from mmrag.index.maxsim import maxsim
from mmrag.index.ranking import best
from mmrag.index.running import RunningBest
from mmrag.store import SourceRecord, Store


def vectors(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def ragged(lengths: list[int], dim: int = 8, seed: int = 0) -> Embeddings:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Embeddings(vectors(sum(lengths), dim, seed), offsets)


def test_over_makes_no_copy():
    embeddings = Embeddings.dense(vectors(50))
    index = ExactIndex.over(np.arange(50), embeddings)
    assert index._settled()[0].vectors is embeddings.vectors
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


@pytest.mark.parametrize("writeable", [True, False])
def test_nan_is_refused(writeable):
    wrong = np.array([[np.nan, 1]], np.float32)
    wrong.setflags(write=writeable)
    with pytest.raises(ConfigError, match="NaN"):
        ExactIndex(2).add(np.array([1]), Embeddings.dense(wrong))
    with pytest.raises(ConfigError, match="NaN"):
        ExactIndex.over(np.array([1]), Embeddings.dense(wrong))


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
        assert isinstance(ExactIndex.load(folder)._settled()[0].vectors, np.memmap)

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
        assert np.shares_memory(index._settled()[0].vectors, data) == (data is fixed)


class Copying:
    """A source of vectors that copies its batches."""

    def __init__(self, rows: np.ndarray, embeddings: Embeddings) -> None:
        self.rows, self._embeddings, self.dim = rows, embeddings, embeddings.dim

    def batches(self, size: int):
        for start in range(0, len(self.rows), size):
            some = [self._embeddings[i] for i in range(start, min(start + size, len(self.rows)))]
            offsets = np.append(0, np.cumsum([len(own) for own in some])).astype(np.int64)
            yield self.rows[start : start + size], Embeddings(np.concatenate(some), offsets)

    def take(self, rows: np.ndarray) -> Embeddings:
        raise AssertionError("exact search takes no sample")


def same(found: Matches, wanted: Matches) -> None:
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)


@pytest.mark.parametrize("items", [Embeddings.dense(vectors(20_000)), ragged([1, 2, 0, 3] * 5000)])
def test_a_source_of_vectors_is_searched_as_one_matrix_is(items):
    rows, queries = np.arange(20_000) * 3, Embeddings.dense(vectors(4, seed=1))
    whole = ExactIndex.over(rows, items)
    built = ExactOptions().build(Copying(rows, items))
    assert len(built._settled()) > 1
    for allow in (None, rows[::7], rows[100:19_000], rows[::7][:5]):
        same(built.search(queries, 12, allow=allow), whole.search(queries, 12, allow=allow))


@pytest.mark.parametrize("allowed", [30, 150, 290, 300])
@pytest.mark.parametrize("queries", [1, 40])
def test_blocks_of_vectors_give_what_all_at_once_give(monkeypatch, allowed, queries):
    data, asked = vectors(300), Embeddings.dense(vectors(queries, seed=1))
    order = np.random.default_rng(0).permutation(300)
    lies = Chunk.within(np.arange(300), data, order, np.ones(300, np.int64))
    index = ExactIndex._of(8, [lies])
    allow = np.sort(order[:allowed])
    wanted = ExactIndex.over(np.arange(300), Embeddings.dense(data[order])).search(asked, 7, allow=allow)
    monkeypatch.setattr(exact, "BLOCK_VECTORS", 32)
    monkeypatch.setattr(exact, "_BLOCK_SCORES", 64)
    same(index.search(asked, 7, allow=allow), wanted)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Store]:
    """120 rows in three segments, 20 of them with a vector of an earlier one."""
    record = SourceRecord(Source(SourceId("a.txt"), "d", 1, "text/plain"), 0, "indexed")
    with Store.create(tmp_path / "store", identity={}) as store, store.writer() as writer:
        keys = [f"k{i}" for i in range(100)]
        for some in np.array_split(np.arange(100), 3):
            writer.add_vectors([keys[i] for i in some], Embeddings.dense(vectors(100)[some]))
            writer.commit()
        keys += [*keys[5:100:5], "k0"]
        items = [
            Item(ItemId(f"{i}"), record.source.id, Span(0, 1), (Part("text", text="t"),), {})
            for i in range(120)
        ]
        writer.put(record, items, keys)
        writer.commit()
        yield store


def test_stored_vectors_are_searched_where_they_lie(stored):
    rows = stored.rows()
    whole = ExactIndex.over(rows, stored.embeddings(rows))
    index = ExactOptions().build(stored.vectors())
    assert len(index) == 120
    assert all(not chunk.vectors.flags.owndata for chunk in index._settled())
    queries = Embeddings.dense(vectors(3, seed=1))
    for allow in (None, rows[::9], rows[10:90], rows[115:]):
        for k in (1, 10, 200):
            same(index.search(queries, k, allow=allow), whole.search(queries, k, allow=allow))


def test_changes_copy_what_is_new_and_nothing_else(stored):
    rows = stored.rows()
    index = ExactOptions().build(stored.vectors(rows[:100]))
    whole = ExactIndex.over(rows[:100], stored.embeddings(rows[:100]))
    for one in (index, whole):
        one.remove(rows[::4])
        one.add(rows[[2, 110]], Embeddings.dense(vectors(2, seed=5)))
    queries = Embeddings.dense(vectors(3, seed=1))
    same(index.search(queries, 9), whole.search(queries, 9))
    np.testing.assert_array_equal(index.rows(), whole.rows())


def test_what_the_index_searches_where_it_lies_is_not_copied_when_rows_change():
    data = vectors(200)
    index = ExactIndex.over(np.arange(200), Embeddings.dense(data))
    index.remove(np.arange(0, 200, 2))
    index.add(np.array([3]), Embeddings.dense(vectors(1, seed=1)))
    lent, added = index._settled()
    assert lent.vectors is data
    assert added.rows.tolist() == [3]


def test_many_small_additions_stay_few_chunks():
    index = ExactIndex(8)
    for start in range(0, 200, 10):
        index.add(np.arange(start, start + 10), Embeddings.dense(vectors(10, seed=start)))
        assert len(index) == start + 10
    assert len(index._settled()) == 1


def test_more_queries_than_a_block_are_all_answered():
    data, queries = vectors(50), vectors(2500, seed=1)
    found = ExactIndex.over(np.arange(50), Embeddings.dense(data)).search(Embeddings.dense(queries), 1)
    np.testing.assert_array_equal(found.rows[:, 0], (queries @ data.T).argmax(axis=1))


def test_blocks_of_scores_give_what_all_at_once_give():
    rng = np.random.default_rng(0)
    scores = (rng.integers(0, 40, (3, 5000)) / 40 + rng.uniform(-2e-7, 2e-7, (3, 5000))).astype(np.float32)
    scores[:, 7] = -np.inf
    rows = rng.permutation(5000)
    for k in (1, 10, 300, 6000):
        running = RunningBest(3, k)
        for some in np.array_split(np.arange(5000), 13):
            running.take(rows[some], scores[:, some])
        for line, (found_rows, found_scores) in zip(scores, running.ranked(), strict=True):
            real = line > -np.inf
            wanted_rows, wanted_scores = best(rows[real], line[real], k)
            np.testing.assert_array_equal(found_rows, wanted_rows)
            np.testing.assert_array_equal(found_scores, wanted_scores)


def test_many_equal_scores_do_not_pile_up():
    running = RunningBest(1, 5)
    for start in range(90_000, -1, -10_000):
        running.take(np.arange(start, start + 10_000), np.ones((1, 10_000), np.float32))
        assert running._kept + running._waiting <= 20_000
    assert running.ranked()[0][0].tolist() == [0, 1, 2, 3, 4]


def test_a_save_over_an_index_that_is_broken_off_leaves_none(tmp_path, monkeypatch):
    index = ExactIndex.over(np.arange(5), Embeddings.dense(vectors(5)))
    index.save(tmp_path)
    monkeypatch.setattr(exact, "copied", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.save(tmp_path)
    with pytest.raises(Damaged, match=r"index\.json"):
        ExactIndex.load(tmp_path)
