"""Look into a composite FAISS index: its lists or graph, its finer codes, and the parameters of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmrag.core.lazy import require
from mmrag.index.ann.base import Base

Structure = Literal["flat", "lists", "graph"]


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """What an engine is put together from.

    Args:
        lib: The module `faiss`.
        engine: The whole.
        structure: How candidates are found.
        inner: The index that finds them.
        codes: The finest codes, by position; None where they lie in lists only.
        is_refined: Whether candidates are scored again with `codes`.
    """

    lib: Any
    engine: Any
    structure: Structure
    inner: Any
    codes: Any
    is_refined: bool

    @property
    def lists(self) -> int:
        """The number of inverted lists."""
        return int(self.inner.nlist) if self.structure == "lists" else 0

    @property
    def is_packed(self) -> bool:
        """Whether lists are scanned by SIMD look-ups of packed codes."""
        return self.structure == "lists" and isinstance(self.inner, self.lib.IndexIVFFastScan)


def layers_of(base: Base) -> Layers:
    """Return what the engine of a base is put together from.

    Raises:
        MissingExtra: FAISS is not installed.
    """
    found = base.memo.get("layers")
    if found is None:
        found = base.memo.setdefault("layers", _layers(base.engine))
    layers: Layers = found
    return layers


def centroids_of(base: Base) -> NDArray[np.float32]:
    """Return the centroid of each list, as the engine compares queries with it.

    Shapes:
        float32 [lists, d]
    """
    found = base.memo.get("centroids")
    if found is None:
        layers = layers_of(base)
        found = base.memo.setdefault("centroids", layers.inner.quantizer.reconstruct_n(0, layers.lists))
    centroids: NDArray[np.float32] = found
    return centroids


def selector(layers: Layers, mask: NDArray[np.bool_]) -> Any:
    """Return FAISS' selector of what a mask holds."""
    return layers.lib.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def parameters(layers: Layers, probes: int, factor: float, *, rows: Any = None, lists: Any = None) -> Any:
    """Return the parameters of one search; the engine itself stays as it is, so threads may share it.

    Args:
        layers: The engine's.
        probes: How many lists to read, or `efSearch` of a graph.
        factor: How many candidates a wanted row are scored again.
        rows: A selector of positions.
        lists: A selector of lists.
    """
    lib = layers.lib
    found: Any
    if layers.structure == "lists":
        within = None if lists is None else _selecting(lib, layers.inner.quantizer, lists, probes)
        found = lib.SearchParametersIVF(nprobe=probes, sel=rows, quantizer_params=within)
    elif layers.structure == "graph":
        found = lib.SearchParametersHNSW(efSearch=probes, sel=rows)
    else:
        found = None if rows is None else lib.SearchParameters(sel=rows)
    if not layers.is_refined:
        return found
    return lib.IndexRefineSearchParameters(k_factor=factor, base_index_params=found)


def only(layers: Layers, positions: NDArray[np.int64]) -> Any:
    """Return an index over copies of some positions' finest codes: scores as the engine's own.

    It is one inverted list, because that gives the positions back, and because FAISS starts a team of
    threads even for one query over plain codes (24 ms on a machine that is busy).
    """
    lib, codes = layers.lib, layers.codes
    whole = lib.rev_swig_ptr(codes.codes.data(), codes.ntotal * codes.code_size)
    taken = whole.reshape(codes.ntotal, codes.code_size).take(positions, axis=0)
    nowhere = lib.IndexFlatIP(codes.d)
    nowhere.add(np.zeros((1, codes.d), np.float32))
    inner = lib.METRIC_INNER_PRODUCT
    if isinstance(codes, lib.IndexFlat):
        made = lib.IndexIVFFlat(nowhere, codes.d, 1, inner)
    else:
        made = lib.IndexIVFScalarQuantizer(nowhere, codes.d, 1, codes.sq.qtype, inner, False)
        made.sq = codes.sq
    made.is_trained = True
    made.invlists.add_entries(0, len(positions), lib.swig_ptr(positions), lib.swig_ptr(taken))
    made.ntotal = len(positions)
    return made


def _layers(engine: Any) -> Layers:
    lib = require("faiss", extra="cpu", feature="The FAISS index")
    inner, codes, is_refined = engine, None, isinstance(engine, lib.IndexRefine)
    if is_refined:
        inner = lib.downcast_index(engine.base_index)
        codes = lib.downcast_index(engine.refine_index)
    structure: Structure = "flat"
    if isinstance(inner, lib.IndexIVF):
        structure = "lists"
    elif isinstance(inner, lib.IndexHNSW):
        structure = "graph"
        codes = codes or lib.downcast_index(inner.storage)
    elif not is_refined:
        codes = engine
    has_plain_codes = isinstance(codes, (lib.IndexFlat, lib.IndexScalarQuantizer))
    return Layers(lib, engine, structure, inner, codes if has_plain_codes else None, is_refined)


def _selecting(lib: Any, index: Any, wanted: Any, breadth: int) -> Any:
    index = lib.downcast_index(index)
    if isinstance(index, lib.IndexRefine):
        inner = _selecting(lib, index.base_index, wanted, breadth)
        return lib.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, lib.IndexHNSW):
        return lib.SearchParametersHNSW(efSearch=breadth, sel=wanted)
    return lib.SearchParameters(sel=wanted)
