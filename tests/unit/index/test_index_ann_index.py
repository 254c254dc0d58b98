import gc
import weakref
from threading import Event, Thread

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, QueryError
from mmrag.core.types import Embeddings
from mmrag.index.ann import fold
from mmrag.index.ann.index import FaissIndex
from mmrag.index.ann.kinds import KINDS
from mmrag.index.ann.options import FaissOptions
from mmrag.testing.samples import unit_vectors

pytest.importorskip("faiss")


def clustered(count: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    made = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=list(KINDS))
def options(request) -> FaissOptions:
    return FaissOptions(kind=request.param)


def over(options, count=600, dim=16, seed=0):
    return options.over(np.arange(count), Embeddings.dense(clustered(count, dim, seed)))


def test_many_vectors_an_item_are_refused(options):
    two = Embeddings(clustered(2, 4, 0), np.array([0, 2]))
    index = options.empty(4)
    with pytest.raises(ConfigError, match="one vector"):
        index.add(np.array([1]), two)
    with pytest.raises(QueryError, match="one query vector"):
        index.search(two, 1)


def test_a_vector_that_is_no_number_is_refused(options):
    index = over(options)
    wrong = clustered(3, 16, 1)
    wrong[1, 2] = np.nan
    with pytest.raises(ConfigError, match="NaN"):
        index.add(np.arange(3), Embeddings.dense(wrong))
    assert len(index) == 600


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 7, 24, 33])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_dim_is_taken(kind, dim):
    vectors = unit_vectors(300, dim, seed=0)
    index = FaissOptions(kind=kind).over(np.arange(300), Embeddings.dense(vectors))
    index.add(np.arange(300, 320), Embeddings.dense(vectors[:20]))
    index.merge()
    assert index.search(Embeddings.dense(vectors), 3).rows.min() >= 0
    assert len(index) == 320


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "flat"])
def test_most_of_the_true_neighbours_are_found_and_the_report_says_how_many(kind):
    data, queries = clustered(4000, 32, 0), clustered(800, 32, 1)
    index = FaissOptions(kind=kind).over(np.arange(4000), Embeddings.dense(data))
    found = index.search(Embeddings.dense(queries), 10).rows
    true = np.argsort(-(queries @ data.T), axis=1)[:, :10]
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)])
    assert recall >= 0.94
    report = index.report()
    assert abs(report.points[0].recall - recall) < 0.05
    assert (report.rows, report.sample, report.target) == (4000, 512, 0.95)


def test_a_merge_folds_the_tail_in_and_changes_no_answer(options):
    index = over(options)
    fresh = clustered(200, 16, 3)
    index.add(np.arange(600, 800), Embeddings.dense(fresh))
    index.remove(np.arange(50))
    assert (index.report().fresh, index.report().removed) == (200, 50)
    index.merge()
    report = index.report()
    assert (report.fresh, report.rows) == (0, 750)
    np.testing.assert_array_equal(index.rows(), np.arange(50, 800))
    np.testing.assert_array_equal(index.search(Embeddings.dense(fresh), 1).rows[:, 0], np.arange(600, 800))


def test_a_merge_builds_anew_when_much_is_dead_or_it_grew_fourfold(options):
    index = over(options)
    index.remove(np.arange(300))
    index.merge()
    assert index.report().removed == 0
    index.add(np.arange(1000, 2500), Embeddings.dense(clustered(1500, 16, 4)))
    index.merge()
    assert len(index) == 1800
    sample = clustered(1500, 16, 4)[:100]
    np.testing.assert_array_equal(index.search(Embeddings.dense(sample), 1).rows[:, 0], np.arange(1000, 1100))


def test_a_replaced_row_that_comes_behind_newer_ones_is_filtered_by_its_row(options):
    index = over(options)
    new = clustered(1, 16, 8)
    index.add(np.array([5]), Embeddings.dense(new))
    index.merge()
    assert len(index) == 600
    found = index.search(Embeddings.dense(new), 3, allow=np.array([4, 5, 6]))
    assert found.rows[0, 0] == 5
    np.testing.assert_array_equal(np.sort(found.rows[0]), [4, 5, 6])
    index.remove(np.array([5]))
    assert 5 not in index.search(Embeddings.dense(new), 600).rows


def test_searches_and_changes_go_on_while_a_merge_runs(options, monkeypatch):
    index = over(options)
    index.add(np.arange(600, 700), Embeddings.dense(clustered(100, 16, 3)))
    reached, go_on, real = Event(), Event(), fold.folded

    def slowly(*given):
        reached.set()
        assert go_on.wait(10)
        return real(*given)

    monkeypatch.setattr(fold, "folded", slowly)
    merging = Thread(target=index.merge)
    merging.start()
    assert reached.wait(10)
    late = clustered(3, 16, 9)
    index.add(np.array([900, 650, 7]), Embeddings.dense(late))
    index.remove(np.array([601, 8]))
    during = index.search(Embeddings.dense(late), 1).rows[:, 0]
    go_on.set()
    merging.join()
    expected = np.setdiff1d(np.append(np.arange(700), 900), [601, 8])
    np.testing.assert_array_equal(index.rows(), expected)
    np.testing.assert_array_equal(during, [900, 650, 7])
    np.testing.assert_array_equal(index.search(Embeddings.dense(late), 1).rows[:, 0], [900, 650, 7])
    assert index.report().fresh == 3
    index.merge()
    np.testing.assert_array_equal(index.rows(), expected)
    assert index.report().fresh == 0


def test_a_row_removed_during_a_merge_stays_hidden_while_it_ends(options, monkeypatch):
    index = over(options)
    index.add(np.array([900]), Embeddings.dense(clustered(1, 16, 9)))
    folding, fold_on, ending, end = Event(), Event(), Event(), Event()
    real_folded, real_applied = fold.folded, FaissIndex._applied

    def folded(*given):
        folding.set()
        assert fold_on.wait(10)
        return real_folded(*given)

    def applied(*given):
        ending.set()
        assert end.wait(10)
        return real_applied(*given)

    monkeypatch.setattr(fold, "folded", folded)
    merging = Thread(target=index.merge)
    merging.start()
    assert folding.wait(10)
    index.remove(np.array([7]))
    monkeypatch.setattr(FaissIndex, "_applied", applied)
    fold_on.set()
    assert ending.wait(10)
    # It finds the change not yet taken in, and waits for the lock: an answer now would show the row.
    answers: list[np.ndarray] = []
    query = Embeddings.dense(clustered(600, 16, 0)[7:8])
    searching = Thread(target=lambda: answers.append(index.search(query, 600).rows))
    searching.start()
    searching.join(0.1)
    end.set()
    merging.join()
    searching.join()
    assert 7 not in answers[0]


def test_a_merge_that_fails_leaves_the_index_as_it_was(options, monkeypatch):
    index = over(options)
    index.add(np.array([900]), Embeddings.dense(clustered(1, 16, 9)))

    def fails(*_):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(fold, "folded", fails)
        with pytest.raises(MemoryError):
            index.merge()
    assert index.report().fresh == 1
    index.merge()
    assert index.report().fresh == 0


def test_fewer_dimensions_are_renormalised_and_their_price_is_told():
    data = clustered(2000, 32, 0)
    index = FaissOptions(kind="ivf-pq", dim=8).over(np.arange(2000), Embeddings.dense(data))
    cut = data[:, :8] / np.linalg.norm(data[:, :8], axis=1, keepdims=True)
    queries = clustered(50, 32, 1)
    cut_queries = queries[:, :8] / np.linalg.norm(queries[:, :8], axis=1, keepdims=True)
    found = index.search(Embeddings.dense(queries), 5)
    for i, rows in enumerate(found.rows):
        np.testing.assert_allclose(found.scores[i], cut[rows] @ cut_queries[i], atol=1e-3)
    (price,) = index.report().prices
    true = np.argsort(-(data @ data.T), axis=1)[:, :11]
    kept = np.argsort(-(cut @ cut.T), axis=1)[:, :11]
    expected = np.mean([(len(np.intersect1d(a, b)) - 1) / 10 for a, b in zip(true, kept, strict=True)])
    assert price.saving == "the first 8 of 32 dimensions"
    assert abs(price.recall - expected) < 0.03
    assert "8 of 32" in " ".join(index.report().notes)
    index.add(np.array([5000]), Embeddings.dense(queries[:1]))
    assert index.search(Embeddings.dense(queries[:1]), 1).scores[0, 0] == pytest.approx(1, abs=1e-3)
    index.merge()
    assert index.search(Embeddings.dense(queries[:1]), 1).rows[0, 0] == 5000


@pytest.mark.parametrize(("kind", "saving"), [("flat-sq8", "int8"), ("flat-binary", "one bit a dimension")])
def test_coarse_codes_without_lists_tell_their_price(kind, saving):
    data = clustered(2000, 32, 0)
    index = FaissOptions(kind=kind).over(np.arange(2000), Embeddings.dense(data))
    (price,) = index.report().prices
    assert price.saving.startswith(saving)
    assert 0.85 < price.recall <= 1


def test_fixed_probes_are_used_and_the_report_says_that_they_were_not_measured():
    data, queries = clustered(4000, 16, 0), clustered(50, 16, 1)
    found = {
        probes: FaissOptions(kind="ivf-flat", probes=probes)
        .over(np.arange(4000), Embeddings.dense(data))
        .search(Embeddings.dense(queries), 10)
        .rows
        for probes in (1, 64)
    }
    true = np.argsort(-(queries @ data.T), axis=1)[:, :10]
    np.testing.assert_array_equal(found[64], true)
    assert (found[1] != true).any()
    options = FaissOptions(kind="ivf-flat", probes=1)
    assert "fix 1 probes" in " ".join(over(options).report().notes)


@pytest.mark.parametrize(
    ("kind", "kept"), [("ivf-pq", 600 * (4 + 8)), ("ivf-sq8", 0), ("flat", 0), ("hnsw", 0)]
)
def test_what_stays_in_memory_is_counted_and_mapped_files_are_not(kind, kept, tmp_path):
    options = FaissOptions(kind=kind)
    index = over(options)
    assert index.report().memory_bytes >= 600 * 16
    assert index.report().disk_bytes == 0
    index.save(tmp_path)
    loaded = options.load(tmp_path).report()
    assert loaded.memory_bytes == kept
    assert loaded.disk_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_more_ties_than_the_first_look_sees_still_go_to_the_smaller_rows():
    index = FaissOptions(kind="flat").empty(8)
    rows = np.random.default_rng(0).permutation(500)
    index.add(rows, Embeddings.dense(np.repeat(clustered(1, 8, 0), 500, axis=0)))
    index.merge()
    found = index.search(Embeddings.dense(clustered(1, 8, 0)), 3)
    np.testing.assert_array_equal(found.rows, [[0, 1, 2]])


def test_what_a_filter_left_in_the_index_is_gone_with_it():
    index = over(FaissOptions(kind="flat"))
    allow = np.arange(0, 600, 3)
    allow.setflags(write=False)
    index.search(Embeddings.dense(clustered(1, 16, 1)), 10, allow=allow)
    positions = weakref.ref(index._state.allowed(allow))
    del allow
    gc.collect()
    assert positions() is None
