"""FAISS without mmrag: its usual recipe, and over mmrag's own files, to see what mmrag's layers cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from dense.data import Data, Filter, K
from dense.usage import disk_mb
from dense.vectors import DIM
from numpy.typing import NDArray

from peers.engine import Engine, Found, Knob

_FILE = "index.faiss"


class RawFaiss(Engine):
    """IVF with PQ fast-scan codes and half-precision rows to score the candidates again."""

    settings = f"IVF 4 sqrt(n), PQ{DIM // 2}x4fs, refined in fp16"
    knobs = tuple(
        {"nprobe": nprobe, "k_factor": factor}
        for factor in (2, 3, 4, 6, 8, 12, 16)
        for nprobe in (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192)
    )
    _selector: object = None

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        count = len(data.vectors)
        lists = min(round(4 * count**0.5), count // 39)
        index = faiss.index_factory(
            DIM, f"IVF{lists},PQ{DIM // 2}x4fs,Refine(SQfp16)", faiss.METRIC_INNER_PRODUCT
        )
        sample = np.random.default_rng(0).choice(count, min(count, 64 * lists), replace=False)
        index.train(data.vectors[np.sort(sample)])
        for start in range(0, count, 50_000):
            index.add(data.vectors[start : start + 50_000])
        faiss.write_index(index, str(folder / _FILE))
        return {"lists": lists}

    def open(self, folder: Path) -> None:
        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(folder / _FILE), faiss.IO_FLAG_MMAP_IFC)

    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        return self._index.search(queries, k, params=self._parameters(knob, None))[1]

    def allow(self, data: Data, chosen: Filter) -> None:
        bits = np.packbits(data.columns[chosen.column] < chosen.bound, bitorder="little")
        self._selector = faiss.IDSelectorBitmap(bits)

    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        return self._index.search(query, k, params=self._parameters(knob, self._selector))[1]

    def _parameters(self, knob: Knob, selector: object) -> object:
        return faiss.IndexRefineSearchParameters(
            k_factor=knob["k_factor"],
            base_index_params=faiss.SearchParametersIVF(nprobe=knob["nprobe"], sel=selector),
        )


class SameFaiss(RawFaiss):
    """The files that mmrag wrote, searched by FAISS alone with the settings that mmrag measured."""

    settings = "mmrag's files and settings"
    _theirs: Path

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        theirs = folder.with_name("mmrag")
        return {"cpu_s": _header(theirs)["facts"]["build_cpu_s"], "disk_mb": disk_mb(theirs)}

    def open(self, folder: Path) -> None:
        faiss.omp_set_num_threads(1)
        theirs = folder.with_name("mmrag")
        point = next(point for point in _header(theirs)["facts"]["points"] if point["k"] == K)
        self.knobs = ({"nprobe": point["probes"], "k_factor": point["rerank"]},)
        self._parts = [
            faiss.read_index(str(theirs / f"{name}.faiss"), faiss.IO_FLAG_MMAP_IFC)
            for name in ("engine", "codes")
        ]
        self._index = faiss.IndexRefine(*self._parts)


def _header(folder: Path) -> Any:
    return json.loads((folder / "index.json").read_text(encoding="utf-8"))
