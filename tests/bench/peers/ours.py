"""mmrag through its public API: the FAISS index, calibrated when it is built, and the exact one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# As the peers' packages are: before the clock starts.
import faiss  # noqa: F401
import numpy as np
from dense.data import Data, Filter
from numpy.typing import NDArray

from mmrag.core.protocols import Index
from mmrag.core.types import Embeddings
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactIndex
from peers.engine import Engine, Found, Knob


class Mmrag(Engine):
    """`FaissOptions(kind="ivf-pq")`; there is nothing to tune, as it measures its own recall."""

    settings = "ivf-pq, calibrated by itself"
    knobs = ({},)
    _index: Index
    _rows: NDArray[np.int64] | None = None

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        index = self._options().over(np.arange(len(data.vectors)), Embeddings.dense(data.vectors))
        index.save(folder)
        return {}

    def open(self, folder: Path) -> None:
        self._index = self._options().load(folder)

    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        return self._index.search(Embeddings.dense(queries), k).rows

    def allow(self, data: Data, chosen: Filter) -> None:
        self._rows = data.allowed(chosen).copy()
        # As `Pipeline` gives them: what is worked out for a filter is kept for the next question under it.
        self._rows.setflags(write=False)

    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        return self._index.search(Embeddings.dense(query), k, allow=self._rows).rows

    def _options(self) -> FaissOptions:
        return FaissOptions(kind="ivf-pq", recall=self.recall, device="cpu")


class Exact(Mmrag):
    """Every row scored, by numpy: the oracle."""

    settings = "every row scored"

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        ExactIndex.over(np.arange(len(data.vectors)), Embeddings.dense(data.vectors)).save(folder)
        return {}

    def open(self, folder: Path) -> None:
        self._index = ExactIndex.load(folder)
