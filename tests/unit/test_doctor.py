"""What `mmrag doctor` says of FAISS and of optional packages."""

from mmrag.doctor import _faiss, diagnose
from mmrag.index.ann.devices import FaissBuild, Pair

CPU, CUDA = FaissBuild("1.15.1", False, 0), FaissBuild("1.14.1", True, 2)


def test_two_wheels_of_one_module_are_a_fault():
    found = _faiss(Pair(CPU, ("faiss-cpu", "faiss-gpu-cu12"), None))
    assert found.verdict == "broken"
    assert "pip uninstall faiss-cpu faiss-gpu-cu12" in found.fix


def test_a_missing_faiss_names_the_extra():
    found = _faiss(Pair(None, (), None))
    assert (found.verdict, "mmrag[cpu]" in found.fix) == ("missing", True)


def test_what_faiss_and_torch_were_compiled_for_stands_side_by_side():
    assert _faiss(Pair(CPU, ("faiss-cpu",), None)).detail == "1.15.1, CPU only"
    told = _faiss(Pair(CUDA, ("faiss-gpu-cu12",), "2.13.0 with CUDA 13.0.1")).detail
    assert told == "1.14.1, CUDA, 2 GPUs seen; torch 2.13.0 with CUDA 13.0.1"


def test_the_packages_of_local_and_remote_models_are_listed():
    found = {finding.name for finding in diagnose()}
    assert {"torch", "transformers", "sentence-transformers", "peft", "httpx2"} <= found
