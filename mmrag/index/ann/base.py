"""What a built FAISS index is: positions, the rows they stand for, and where it is to be searched."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point: what a search for `k` rows looks at, and the recall measured with it.

    Args:
        k: The recall is of the best `k`.
        recall: The share of the true best `k` found, over the sample of queries.
        probes: How many inverted lists a query reads, or `efSearch` of a graph; 0 where neither is.
        rerank: How many candidates a wanted row are scored again with finer codes; 1 where none are.
        gap: How far below the `k`-th best score the centroid of a list may score that still holds one of
            the best: what a filtered search decides by how many lists to read. 0 where it is unknown.
    """

    k: int
    recall: float
    probes: int
    rerank: int
    gap: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """An immutable FAISS index over positions 0 to n - 1.

    Args:
        rows: The row of each position.
        engine: The FAISS index to search: an `IndexRefine` where candidates are scored again.
        lists: Which inverted list holds each position; None without lists.
        dead: Positions whose rows were removed or replaced, sorted; they are never shown.
        points: Operating points by rising k, measured when it was built; none for an exact index.
        memo: What searches worked out about this base and need again; nothing in it is a fact of its own.

    Shapes:
        rows int64 [n], lists int32 [n], dead int64 [n_dead]
    """

    rows: Rows
    engine: Any
    lists: NDArray[np.int32] | None
    dead: NDArray[np.int64]
    points: tuple[Point, ...]
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.rows)
