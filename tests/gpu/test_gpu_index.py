"""Searching on real GPUs; skipped where FAISS sees none."""

import numpy as np
import pytest

from mmrag.core.types import Embeddings
from mmrag.index.ann.options import FaissOptions

faiss = pytest.importorskip("faiss")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0,
        reason="needs a FAISS compiled for CUDA and a GPU",
    ),
]
COUNT, DIM = 20_000, 64
KINDS = ["flat", "ivf-flat", "ivf-sq8", "ivf-pq"]


def clustered(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((100, DIM))
    made = centres[rng.integers(0, 100, count)] + 0.5 * rng.standard_normal((count, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def recall(found: np.ndarray, queries: np.ndarray, rows: np.ndarray, vectors: np.ndarray) -> float:
    true = rows[np.argsort(-(queries @ vectors.T), axis=1)[:, :10]]
    return float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)]))


@pytest.mark.parametrize("spread", ["shard", "replicate"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_finds_what_the_target_says(kind, spread):
    data, queries = clustered(COUNT, 0), clustered(200, 1)
    options = FaissOptions(kind=kind, device="cuda", spread=spread)
    index = options.over(np.arange(COUNT), Embeddings.dense(data))
    assert index.report().device == "cuda"
    found = index.search(Embeddings.dense(queries), 10)
    assert recall(found.rows, queries, np.arange(COUNT), data) >= 0.93
    for i, rows in enumerate(found.rows):
        np.testing.assert_allclose(found.scores[i], data[rows] @ queries[i], atol=6e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_changes_filters_and_files_work_as_on_the_cpu(kind, tmp_path):
    data, queries = clustered(COUNT, 0), clustered(50, 1)
    options = FaissOptions(kind=kind, device="cuda")
    options.over(np.arange(COUNT), Embeddings.dense(data)).save(tmp_path)
    index = options.load(tmp_path)
    fresh = clustered(20, 2)
    index.remove(np.arange(30))
    index.add(np.arange(COUNT, COUNT + 20), Embeddings.dense(fresh))
    rows, vectors = np.arange(30, COUNT + 20), np.vstack([data[30:], fresh])
    found = index.search(Embeddings.dense(queries), 10).rows
    assert not np.isin(found, np.arange(30)).any()
    assert recall(found, queries, rows, vectors) >= 0.93
    allow = np.arange(0, COUNT, 9)
    found = index.search(Embeddings.dense(queries), 10, allow=allow).rows
    assert recall(found, queries, allow[allow >= 30], data[allow[allow >= 30]]) >= 0.93
    index.merge()
    assert index.report().device == "cuda"
    np.testing.assert_array_equal(index.search(Embeddings.dense(fresh), 1).rows[:, 0], rows[-20:])


@pytest.mark.parametrize("kind", ["hnsw", "ivf-rabitq"])
def test_what_a_gpu_cannot_search_says_so(kind):
    index = FaissOptions(kind=kind, device="cuda").over(np.arange(2000), Embeddings.dense(clustered(2000, 0)))
    assert index.report().device == "cpu"
    assert any("cannot be moved" in note for note in index.report().notes)
