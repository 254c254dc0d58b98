"""hnswlib: the graph that most vector databases are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import hnswlib
import numpy as np
from dense.data import Data, Filter
from dense.vectors import DIM
from numpy.typing import NDArray

from peers.engine import Engine, Found, Knob

_FILE = "index.bin"


class Hnswlib(Engine):
    """M 16 and efConstruction 200, the values of its own examples; ef is tuned."""

    settings = "M 16, efConstruction 200"
    knobs = tuple({"ef": ef} for ef in (10, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 100, 120, 160, 200, 300))
    _allowed: NDArray[np.bool_]

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        index = hnswlib.Index("ip", DIM)
        index.init_index(len(data.vectors), M=16, ef_construction=200, random_seed=0)
        index.set_num_threads(1)
        for start in range(0, len(data.vectors), 10_000):
            index.add_items(data.vectors[start : start + 10_000], num_threads=1)
        index.save_index(str(folder / _FILE))
        return {}

    def open(self, folder: Path) -> None:
        self._index = hnswlib.Index("ip", DIM)
        self._index.load_index(str(folder / _FILE))
        self._index.set_num_threads(1)

    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        self._index.set_ef(knob["ef"])
        return self._index.knn_query(queries, k, num_threads=1)[0].astype(np.int64)

    def allow(self, data: Data, chosen: Filter) -> None:
        self._allowed = data.columns[chosen.column] < chosen.bound

    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        self._index.set_ef(knob["ef"])
        allowed = self._allowed
        try:
            found, _ = self._index.knn_query(query, k, num_threads=1, filter=lambda row: bool(allowed[row]))
        except RuntimeError:
            # It refuses to answer where the graph gave fewer than k allowed rows: nothing was found.
            return np.full((1, k), -1, np.int64)
        return found.astype(np.int64)
