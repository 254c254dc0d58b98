"""What the benchmark asks of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dense.data import Data, Filter
from numpy.typing import NDArray

Knob = Mapping[str, int]
"""The settings of a search, such as ef: chosen by tuning to the recall that was asked for."""

Found = NDArray[np.int64]
"""Rows by query, best first, -1 where there are fewer than k."""


class Engine(ABC):
    """Builds an index on disk, opens it, searches it; every stage runs in a process of its own."""

    settings: str
    """How it is built, for the table."""

    knobs: Sequence[Knob]
    """The settings of a search to try when it is tuned; known once it is open."""

    def __init__(self, recall: float) -> None:
        self.recall = recall

    @abstractmethod
    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        """Index all vectors and columns into a folder; return what else is to be kept of the build."""

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Open what `build` wrote, as a user would at the start of a program."""

    @abstractmethod
    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        """Search a batch of queries, or one."""

    @abstractmethod
    def allow(self, data: Data, chosen: Filter) -> None:
        """Prepare searches under a filter; the time that it takes is not measured."""

    @abstractmethod
    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        """Search with one query [1, dim] under the filter of the last `allow`."""


def padded(rows: Sequence[Sequence[int]], k: int) -> Found:
    """Return lists of rows as one array."""
    found = np.full((len(rows), k), -1, np.int64)
    for i, some in enumerate(rows):
        found[i, : len(some)] = some
    return found
