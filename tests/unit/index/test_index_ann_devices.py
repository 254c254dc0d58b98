from importlib import metadata

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, MissingExtra
from mmrag.index.ann.devices import FaissBuild, choose, describe_pair, shown
from mmrag.index.ann.kinds import KINDS, Parts
from mmrag.index.ann.options import FaissOptions

CPU = FaissBuild("1.15.1", is_cuda=False, gpus=0)
NO_GPU = FaissBuild("1.15.1", is_cuda=True, gpus=0)
ONE, FOUR = FaissBuild("1.15.1", is_cuda=True, gpus=1), FaissBuild("1.15.1", is_cuda=True, gpus=4)


@pytest.mark.parametrize("build", [CPU, NO_GPU])
@pytest.mark.parametrize("kind", list(KINDS))
def test_auto_without_a_gpu_is_the_cpu_without_a_word(build, kind):
    found = choose(build, KINDS[kind], "auto")
    assert (found.device, found.note) == ("cpu", "")


def test_cpu_is_the_cpu_whatever_there_is():
    assert choose(FOUR, KINDS["flat"], "cpu").device == "cpu"


@pytest.mark.parametrize(
    ("kind", "device"),
    [
        ("flat", "cuda"),
        ("ivf-flat", "cuda"),
        ("ivf-sq8", "cuda"),
        ("ivf-pq", "cpu"),
        ("ivf-rabitq", "cpu"),
        ("hnsw", "cpu"),
        ("flat-sq8", "cpu"),
        ("flat-binary", "cpu"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_what_a_gpu_cannot_search_stays_on_the_cpu_and_says_so(kind, device, wanted):
    found = choose(ONE, KINDS[kind], wanted)
    assert found.device == device
    assert ("cannot be moved" in found.note) == (device == "cpu")


def test_with_cuda_wanted_ivf_pq_is_built_with_codes_that_a_gpu_can_search():
    parts = FaissOptions(kind="ivf-pq", device="cuda").parts
    assert parts == Parts("ivf", "pq8", "f16")
    assert choose(FOUR, parts, "cuda").note == "Searched on 4 GPUs; filtered searches on the CPU."


def test_a_gpu_wanted_from_a_cpu_build_names_the_wheel():
    with pytest.raises(MissingExtra) as caught:
        choose(CPU, KINDS["flat"], "cuda")
    assert "faiss-gpu-cu12" in caught.value.fix
    assert "never both" in caught.value.fix


def test_a_gpu_wanted_where_there_is_none_is_told():
    with pytest.raises(ConfigError, match="no GPU"):
        choose(NO_GPU, KINDS["flat"], "cuda")


def test_an_index_for_a_gpu_is_refused_here_before_anything_is_built():
    faiss = pytest.importorskip("faiss")
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS is compiled for GPUs")
    with pytest.raises(MissingExtra, match="CPU only"):
        FaissOptions(kind="flat", device="cuda").empty(8)


def test_the_pair_names_every_wheel_and_the_cuda_of_torch():
    installed = {"faiss-cpu": "1.15.1", "faiss-gpu-cu12": "1.14.1", "torch": "2.9.0+cu130"}

    def version_of(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    pair = describe_pair(version_of)
    assert pair.wheels == ("faiss-cpu", "faiss-gpu-cu12")
    assert pair.torch == "2.9.0+cu130"
    installed |= {"torch": "2.9.0", "nvidia-cuda-runtime": "13.0.48"}
    assert describe_pair(version_of).torch == "2.9.0 with CUDA 13.0.48"
    del installed["torch"]
    assert describe_pair(version_of).torch is None


def test_dead_rows_of_a_gpu_copy_are_dropped_and_missing_places_padded():
    found = np.array([[4, 2, 7, -1], [3, 1, 2, 0]])
    scores = np.array([[0.9, 0.8, 0.8, -np.inf], [0.5, 0.5, 0.4, 0.3]], np.float32)
    positions, kept = shown(found, scores, np.array([2, 4]), 3)
    np.testing.assert_array_equal(positions, [[7, -1, -1], [1, 3, 0]])
    np.testing.assert_array_equal(kept, np.array([[0.8, -np.inf, -np.inf], [0.5, 0.5, 0.3]], np.float32))
    positions, kept = shown(found[:, :1], scores[:, :1], np.array([4]), 2)
    np.testing.assert_array_equal(positions, [[-1, -1], [3, -1]])
    assert kept.dtype == np.float32
