import sys

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, Damaged, MissingExtra
from mmrag.core.types import Embeddings
from mmrag.index.faiss import FaissOptions


def test_without_faiss_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"mmrag\[cpu\]"):
        FaissOptions().build(4)


@pytest.mark.parametrize("wrong", [{"kind": "hnsw"}, {"lists": -1}, {"probes": -1}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        FaissOptions(**wrong)


@pytest.fixture(params=["flat", "ivf"])
def options(request) -> FaissOptions:
    pytest.importorskip("faiss")
    return FaissOptions(kind=request.param)


def clustered(count: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    made = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def test_many_vectors_an_item_are_refused(options):
    two = Embeddings(clustered(2, 4, 0), np.array([0, 2]))
    with pytest.raises(ConfigError, match="one vector"):
        options.build(4).add(np.array([1]), two)


def test_an_index_of_another_kind_is_refused(options, tmp_path):
    index = options.over(np.arange(50), Embeddings.dense(clustered(50, 8, 0)))
    index.save(tmp_path)
    other = FaissOptions(kind="ivf" if options.kind == "flat" else "flat")
    with pytest.raises(Damaged, match="wanted"):
        other.load(tmp_path)


def test_a_torn_file_is_named(options, tmp_path):
    options.over(np.arange(50), Embeddings.dense(clustered(50, 8, 0))).save(tmp_path)
    file = tmp_path / "vectors.faiss"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(Damaged, match=r"vectors\.faiss"):
        options.load(tmp_path)


def test_a_foreign_file_of_the_same_size_is_refused(options, tmp_path):
    options.over(np.arange(50), Embeddings.dense(clustered(50, 8, 0))).save(tmp_path)
    file = tmp_path / "vectors.faiss"
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(Damaged, match=r"vectors\.faiss"):
        options.load(tmp_path)


def test_ivf_finds_most_of_the_true_neighbours_in_clustered_vectors():
    pytest.importorskip("faiss")
    data, queries = clustered(4000, 16, 0), clustered(50, 16, 1)
    index = FaissOptions(kind="ivf").over(np.arange(4000), Embeddings.dense(data))
    found = index.search(Embeddings.dense(queries), 10).rows
    true = np.argsort(-(queries @ data.T), axis=1)[:, :10]
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)])
    assert recall >= 0.9


def test_ivf_is_exact_among_allowed_rows():
    pytest.importorskip("faiss")
    data, queries = clustered(4000, 16, 0), clustered(20, 16, 1)
    index = FaissOptions(kind="ivf", probes=1).over(np.arange(4000), Embeddings.dense(data))
    allow = np.arange(0, 4000, 7)
    found = index.search(Embeddings.dense(queries), 10, allow=allow).rows
    true = allow[np.argsort(-(queries @ data[allow].T), axis=1)[:, :10]]
    np.testing.assert_array_equal(found, true)


def test_more_ties_than_the_first_look_sees_still_go_to_the_smaller_rows(options):
    index = options.build(8)
    rows = np.random.default_rng(0).permutation(500)
    index.add(rows, Embeddings.dense(np.repeat(clustered(1, 8, 0), 500, axis=0)))
    found = index.search(Embeddings.dense(clustered(1, 8, 0)), 3)
    np.testing.assert_array_equal(found.rows, [[0, 1, 2]])
