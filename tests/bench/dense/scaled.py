"""The stages of the cost curve: mmrag's index from a source of vectors, opened from disk, at one size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

# As the peers' packages are: before the clock starts.
import faiss  # noqa: F401
import numpy as np

from dense import usage
from dense.asking import searched
from dense.data import K
from dense.vectors import Drawn, true_rows
from mmrag.core.protocols import Index
from mmrag.core.types import Embeddings
from mmrag.index.ann.options import FaissOptions
from mmrag.index.auto import AutoOptions
from mmrag.index.exact import ExactIndex

Facts = dict[str, object]


def truth(folder: str, items: int, queries: int) -> Facts:
    """Find the true rows of the queries of a size."""
    source = Drawn(items)
    asked = source.queries(queries)
    Path(folder).mkdir(parents=True, exist_ok=True)
    np.save(Path(folder) / "queries.npy", asked)
    np.save(Path(folder) / "true.npy", true_rows(source, asked, K))
    return {}


def build(kind: str, items: int, index: str, target: float) -> Facts:
    """Build mmrag's index over vectors that are drawn while it reads them; drawing is not counted."""
    source = Drawn(items)
    folder = Path(index)
    folder.mkdir(parents=True)
    cpu, wall = usage.cpu_s(), time.perf_counter()
    _KINDS[kind].write(folder, source, target)
    return {
        "wall_s": time.perf_counter() - wall - source.wall_s,
        "cpu_s": usage.cpu_s() - cpu - source.cpu_s,
        "drawing_s": source.cpu_s,
        "peak_rss_mb": usage.peak_rss_mb(),
        "disk_mb": usage.disk_mb(folder),
        "bytes_an_item": usage.disk_mb(folder) * 1e6 / items,
    }


def search(kind: str, folder: str, index: str, target: float) -> Facts:
    """Open mmrag's index of a size and search it."""
    queries, true = (np.load(Path(folder) / f"{name}.npy") for name in ("queries", "true"))
    before, start = usage.rss_mb(), time.perf_counter()
    opened = _KINDS[kind].load(Path(index), target)
    facts = {"open_s": time.perf_counter() - start, "rss_before_mb": before, "rss_open_mb": usage.rss_mb()}
    return facts | searched(lambda some: opened.search(Embeddings.dense(some), K).rows, queries, true)


class _Kind(Protocol):
    """A kind of index by name."""

    def write(self, folder: Path, source: Drawn, recall: float) -> None:
        """Build it on disk."""
        ...

    def load(self, folder: Path, recall: float) -> Index:
        """Open it."""
        ...


class _IvfPq:
    """The index on FAISS with 4-bit codes, refined in half precision."""

    def write(self, folder: Path, source: Drawn, recall: float) -> None:
        FaissOptions(kind="ivf-pq", recall=recall, device="cpu").write(folder, source)

    def load(self, folder: Path, recall: float) -> Index:
        return FaissOptions(kind="ivf-pq", recall=recall, device="cpu").load(folder)


class _Auto:
    """What mmrag chooses by itself."""

    def write(self, folder: Path, source: Drawn, recall: float) -> None:
        AutoOptions(recall=recall, device="cpu").write(folder, source)

    def load(self, folder: Path, recall: float) -> Index:
        return AutoOptions(recall=recall, device="cpu").load(folder)


class _Exact:
    """Every row scored; its vectors are in memory while it is built."""

    def write(self, folder: Path, source: Drawn, recall: float) -> None:
        ExactIndex.over(source.rows, source.take(source.rows)).save(folder)

    def load(self, folder: Path, recall: float) -> Index:
        return ExactIndex.load(folder)


_KINDS: dict[str, _Kind] = {"ivf-pq": _IvfPq(), "auto": _Auto(), "exact": _Exact()}
