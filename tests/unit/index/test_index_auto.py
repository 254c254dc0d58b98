import sys

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, Damaged
from mmrag.core.types import Embeddings
from mmrag.index.ann.options import FaissOptions
from mmrag.index.auto import AutoOptions
from mmrag.index.exact import ExactIndex, ExactOptions
from mmrag.index.vectors import GivenVectors


def kind(options: AutoOptions, count: int, dim: int = 384) -> tuple[str, str]:
    chosen = options.choose(count, dim, has_faiss=True).options
    assert isinstance(chosen, FaissOptions)
    assert chosen.recall == options.recall
    return chosen.kind, chosen.refine


@pytest.mark.parametrize(("count", "dim"), [(0, 384), (1, 384), (10_000, 384), (1_900, 4096), (100_000, 32)])
def test_few_vectors_are_searched_exactly(count, dim):
    options = AutoOptions()
    choice = options.choose(count, dim, has_faiss=True)
    assert choice.options == ExactOptions()
    assert f"{count:,} rows" in choice.reasons[0]
    assert not options.keeps(count, dim)


def test_many_vectors_get_packed_codes():
    assert kind(AutoOptions(), 50_000) == ("ivf-pq", "f16")
    assert kind(AutoOptions(), 10_000_000) == ("ivf-pq", "f16")


def test_a_recall_of_one_is_exact_search():
    choice = AutoOptions(recall=1.0).choose(1_000_000, 384, has_faiss=True)
    assert choice.options == ExactOptions()
    assert "76.8 ms" in choice.reasons[0]


def test_less_memory_means_coarser_codes():
    kinds = [kind(AutoOptions(memory_mb=mb), 1_000_000) for mb in (2000, 600, 480, 130, 90, 1)]
    assert kinds == [
        ("ivf-pq", "f16"),
        ("ivf-pq", "sq8"),
        ("ivf-rabitq", "sq8"),
        ("ivf-pq", "sq8"),
        ("ivf-rabitq", "sq8"),
        ("ivf-rabitq", "sq8"),
    ]
    reasons = AutoOptions(memory_mb=130).choose(1_000_000, 384, has_faiss=True).reasons
    assert "130 MB" in reasons[-1]
    assert "from disk" in reasons[-1]


@pytest.mark.parametrize("dim", [16, 31, 97])
def test_short_vectors_and_prime_lengths_are_not_cut(dim):
    assert kind(AutoOptions(), 5_000_000, dim) == ("ivf-sq8", "none")
    assert kind(AutoOptions(recall=0.99), 5_000_000, dim) == ("ivf-flat", "none")


def test_reasons_are_sentences_with_numbers():
    for count, dim, memory in ((100, 384, 0), (10**6, 384, 0), (10**6, 384, 100), (10**7, 16, 5)):
        for has_faiss in (False, True):
            for reason in AutoOptions(memory_mb=memory).choose(count, dim, has_faiss=has_faiss).reasons:
                assert reason[0].isupper()
                assert reason.endswith(".")
                assert any(letter.isdigit() for letter in reason)


def test_without_faiss_the_price_and_the_cure_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    choice = AutoOptions().choose(1_000_000, 384)
    assert choice.options == ExactOptions()
    assert "76.8 ms" in choice.reasons[0]
    assert "pip install 'mmrag[cpu]'" in choice.reasons[0]
    assert not AutoOptions().keeps(1_000_000, 384)


@pytest.mark.parametrize("wrong", [{"recall": 0.2}, {"recall": 1.5}, {"memory_mb": -1}, {"seed": -1}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        AutoOptions(**wrong)


def test_the_identity_tells_options_apart_that_build_other_files():
    different = [{}, {"recall": 0.9}, {"memory_mb": 100}, {"seed": 1}]
    stamps = {tuple(sorted(AutoOptions(**each).identity.items())) for each in different}
    assert len(stamps) == len(different)


COUNT, DIM = 5_200, 997
"""Few, but too many to search exactly; and a length that is not cut, quick to train."""


def clustered(count: int, seed: int, dim: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.random.default_rng(9).standard_normal((50, dim))[rng.integers(0, 50, count)]
    made = made + 0.7 * rng.standard_normal((count, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def given(count: int, dim: int, start: int = 0) -> GivenVectors:
    return GivenVectors(np.arange(start, start + count), Embeddings.dense(clustered(count, start, dim)))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    pytest.importorskip("faiss")
    folder = tmp_path_factory.mktemp("auto") / "old"
    AutoOptions().write(folder, given(COUNT, DIM))
    return folder


def test_it_writes_what_it_chooses_and_opens_it(written):
    assert AutoOptions().keeps(COUNT, DIM)
    index = AutoOptions().load(written)
    assert len(index) == COUNT
    assert index.report().kind == "ivf-sq8"
    queries = Embeddings.dense(given(COUNT, DIM).embeddings.vectors[:20])
    np.testing.assert_array_equal(index.search(queries, 1).rows[:, 0], np.arange(20))


def test_it_goes_on_from_an_old_index(written, tmp_path):
    options = AutoOptions()
    assert options.is_due(written, COUNT, 10, 0)
    assert not options.is_due(written, COUNT, 0, 0)
    assert not options.is_worn(written, 10, 0)
    assert options.is_worn(written, 20_000, 0)
    more = given(10, DIM, start=COUNT)
    options.update(written, tmp_path / "new", more, np.array([3]))
    index = options.load(tmp_path / "new")
    assert len(index) == COUNT + 9
    assert index.search(more.embeddings, 1).rows[:, 0].tolist() == more.rows.tolist()


def test_an_index_is_worn_when_another_would_be_chosen_by_now(written):
    assert AutoOptions().is_worn(written, 0, 1_000)


def test_an_index_of_other_options_is_refused(written):
    with pytest.raises(Damaged):
        AutoOptions(recall=0.8).load(written)


def test_without_faiss_an_index_counts_as_damaged(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(Damaged, match="FAISS"):
        AutoOptions().load(written)


def test_in_memory_it_builds_what_it_chooses():
    pytest.importorskip("faiss")
    assert isinstance(AutoOptions().build(given(50, 8)), ExactIndex)
    assert AutoOptions(recall=0.9).build(given(COUNT, DIM)).report().target == 0.9
    assert len(AutoOptions().empty(8)) == 0
