"""Rows newer than the base: few, kept whole, searched exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings
from mmrag.index.exact import ExactIndex

Change = tuple[Rows, NDArray[np.float32] | None]
"""Rows with their new vectors, or None for rows that are removed."""


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """Rows in rising order with their vectors; never changed.

    Shapes:
        rows int64 [n], vectors float32 [n, d]
    """

    rows: Rows
    vectors: NDArray[np.float32]
    exact: ExactIndex

    @classmethod
    def of(cls, rows: Rows, vectors: NDArray[np.float32]) -> Tail:
        """Hold rows that rise strictly."""
        return cls(rows, vectors, ExactIndex.over(rows, Embeddings.dense(vectors)))

    @classmethod
    def empty(cls, dim: int) -> Tail:
        """Hold nothing."""
        return cls.of(np.empty(0, np.int64), np.empty((0, dim), np.float32))

    def changed(self, changes: Sequence[Change]) -> Tail:
        """Replay changes in their order: of all that happened to a row, the last counts."""
        rows, vectors = [self.rows], [self.vectors]
        origins, start = [np.arange(len(self.rows))], len(self.rows)
        for touched, new in changes:
            rows.append(touched)
            if new is None:
                origins.append(np.full(len(touched), -1))
            else:
                origins.append(np.arange(start, start + len(touched)))
                vectors.append(new)
                start += len(touched)
        every, origin = np.concatenate(rows), np.concatenate(origins)
        order = np.argsort(every, kind="stable")
        every, origin = every[order], origin[order]
        last = np.append(every[1:] != every[:-1], True)[: len(every)]
        alive = last & (origin >= 0)
        return Tail.of(every[alive], np.concatenate(vectors)[origin[alive]])

    def __len__(self) -> int:
        return len(self.rows)
