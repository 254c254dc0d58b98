"""From features of both towers to one unit vector a row."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def add_features(count: int, towers: Iterable[tuple[list[int], Vectors, float]]) -> Vectors:
    """Add what the towers say of each row, weighted and not normalised: a longer feature counts more.

    Args:
        count: How many rows there are.
        towers: For each tower the rows that it saw, each at most once, its features and its weight.

    Shapes:
        features [len(rows), dim] -> [count, dim]

    Source: Wei et al., UniIR, ECCV 2024, section 4.1 (score-level fusion).
    """
    total: Vectors | None = None
    for rows, features, weight in towers:
        if total is None:
            total = np.zeros((count, features.shape[1]), np.float32)
        total[rows] += np.float32(weight) * features
    return np.zeros((count, 0), np.float32) if total is None else total


def shorten(vectors: Vectors, dim: int) -> Vectors:
    """Return the first `dim` numbers of unit vectors, as unit vectors again."""
    vectors = unit(vectors)
    return vectors if dim == vectors.shape[1] else unit(np.ascontiguousarray(vectors[:, :dim]))


def unit(vectors: Vectors) -> Vectors:
    """Return vectors of length 1; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    shown: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
    return shown
