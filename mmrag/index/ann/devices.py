"""Which device searches: what there is, what a kind can be moved to, and a GPU's copy of an index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, MissingExtra
from mmrag.index.ann.base import Base
from mmrag.index.ann.codes import faiss
from mmrag.index.ann.kinds import Parts

Device = Literal["auto", "cpu", "cuda"]
WHEELS = ("faiss-cpu", "faiss-gpu-cu12", "faiss-gpu-cu11", "faiss-gpu", "faiss-gpu-cuvs")
_GPU_FIX = (
    "Run: pip uninstall faiss-cpu && pip install faiss-gpu-cu12 "
    "(never both: they install the same module), or set device: cpu."
)
_MOVABLE = {("flat", "f32"), ("ivf", "f32"), ("ivf", "sq8"), ("ivf", "pq8")}
_GPU_DEPTH = 2048
"""No GPU index of FAISS returns more rows a query, or reads more lists."""


@dataclass(frozen=True, slots=True)
class FaissBuild:
    """The installed FAISS: its version, whether it was compiled for NVIDIA's GPUs, and how many it sees."""

    version: str
    is_cuda: bool
    gpus: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The FAISS and the torch that share this environment.

    Args:
        build: FAISS; None where it is not installed.
        wheels: The installed wheels that bring the module `faiss`; more than one is a fault.
        torch: The version of torch with its CUDA version, such as `2.9.0+cu130`; None without torch.
    """

    build: FaissBuild | None
    wheels: tuple[str, ...]
    torch: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """Where an index is searched, and why; `note` is empty where there was nothing to choose."""

    device: Literal["cpu", "cuda"]
    note: str


def describe_pair(version_of: Callable[[str], str] = metadata.version) -> Pair:
    """Tell which FAISS is installed, what it was compiled for, and which CUDA torch brings.

    Torch is not imported for it: its metadata tell, and loading two CUDA runtimes is what to find out about.
    """
    wheels = tuple(wheel for wheel in WHEELS if _version(wheel, version_of) is not None)
    torch = _version("torch", version_of)
    if torch is not None and "+" not in torch:
        runtimes = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11")
        found = [version for name in runtimes if (version := _version(name, version_of)) is not None]
        torch += f" with CUDA {found[0]}" if found else ""
    try:
        build = faiss_build()
    except MissingExtra:
        build = None
    return Pair(build, wheels, torch)


def faiss_build() -> FaissBuild:
    """Tell what FAISS was compiled for and what it sees.

    Raises:
        MissingExtra: FAISS is not installed.
    """
    lib = faiss()
    is_cuda = hasattr(lib, "StandardGpuResources")
    return FaissBuild(str(lib.__version__), is_cuda, int(lib.get_num_gpus()) if is_cuda else 0)


def choose(build: FaissBuild, parts: Parts, wanted: Device) -> Choice:
    """Decide where to search.

    Raises:
        MissingExtra: A GPU is wanted and this FAISS cannot use one.
        ConfigError: A GPU is wanted and there is none, or the kind cannot be moved to it.
    """
    if wanted == "cpu":
        return Choice("cpu", "")
    movable = (parts.structure, parts.codes) in _MOVABLE
    if wanted == "auto":
        if build.gpus == 0:
            return Choice("cpu", "")
        if not movable:
            return Choice("cpu", f"{_told(parts)} cannot be moved to a GPU: searched on the CPU.")
        return Choice("cuda", _on_gpus(build))
    if not build.is_cuda:
        raise MissingExtra(f"The FAISS {build.version} here is compiled for the CPU only.", fix=_GPU_FIX)
    if build.gpus == 0:
        raise ConfigError(
            "FAISS sees no GPU.", fix="Check the driver with nvidia-smi, or set device: cpu or auto."
        )
    if not movable:
        return Choice("cpu", f"{_told(parts)} cannot be moved to a GPU: searched on the CPU.")
    return Choice("cuda", _on_gpus(build))


class GpuCopy:
    """A copy of a base on one or all GPUs, for searches without filters.

    Args:
        base: What is copied; candidates are scored again by its finer codes, on the CPU.
        parts: What the base is put together from.
        spread: Whether several GPUs share the rows or each hold all.
    """

    def __init__(self, base: Base, parts: Parts, spread: Literal["shard", "replicate"]) -> None:
        lib = faiss()
        coarse = lib.downcast_index(base.engine.base_index) if parts.refine != "none" else base.engine
        cloning = lib.GpuMultipleClonerOptions()
        cloning.shard = spread == "shard"
        moved = lib.index_cpu_to_all_gpus(coarse, co=cloning)
        if parts.structure == "ivf":
            probes = max((point.probes for point in base.points), default=1)
            lib.GpuParameterSpace().set_index_parameter(moved, "nprobe", min(probes, _GPU_DEPTH))
        self._engine = moved
        if parts.refine != "none":
            self._engine = lib.IndexRefine(moved, base.engine.refine_index)
            self._engine.k_factor = float(max((point.rerank for point in base.points), default=1))
        self._lock = Lock()

    def takes(self, k: int, dead: int) -> bool:
        """Tell whether a search for k rows among which some may be dead fits a GPU."""
        return (k + dead) * float(getattr(self._engine, "k_factor", 1.0)) <= _GPU_DEPTH

    def search(
        self, base: Base, vectors: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search as `mmrag.index.ann.search.search` does; dead positions are dropped from a longer list.

        Shapes:
            vectors float32 [n, d] -> positions int64 [n, k], scores float32 [n, k]
        """
        depth = min(k + len(base.dead), len(base))
        # One GPU's resources serve one search at a time.
        with self._lock:
            scores, positions = self._engine.search(vectors, depth)
        return shown(positions, scores, base.dead, k)


def shown(
    positions: NDArray[np.int64], scores: NDArray[np.float32], dead: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best k that are not dead, equal scores in the order of positions.

    Shapes:
        positions int64 [n, depth], scores float32 [n, depth] -> positions [n, k], scores [n, k]
    """
    hidden = (positions < 0) | np.isin(positions, dead)
    scores, positions = np.where(hidden, -np.inf, scores), np.where(hidden, -1, positions)
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    missing = ((0, 0), (0, k - order.shape[1]))
    return (
        np.pad(np.take_along_axis(positions, order, 1), missing, constant_values=-1),
        np.pad(np.take_along_axis(scores, order, 1), missing, constant_values=-np.inf).astype(np.float32),
    )


def _told(parts: Parts) -> str:
    return f"An index of structure {parts.structure} with codes {parts.codes}"


def _on_gpus(build: FaissBuild) -> str:
    return f"Searched on {build.gpus} GPU{'s' if build.gpus > 1 else ''}; filtered searches on the CPU."


def _version(name: str, version_of: Callable[[str], str]) -> str | None:
    try:
        return version_of(name)
    except metadata.PackageNotFoundError:
        return None
