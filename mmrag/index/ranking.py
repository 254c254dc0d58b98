"""Pick the best rows in one order that never depends on luck: score first, then the smaller row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import QueryError
from mmrag.core.protocols import Rows
from mmrag.core.types import Matches

TIE = 1e-6
"""Scores this near count as equal: BLAS and SIMD kernels give the same vectors sums that differ in
the last bits, depending on where in the matrix they stand."""

Ranked = tuple[Rows, NDArray[np.float32]]


def best(rows: Rows, scores: NDArray[np.float32], k: int, *, tie: float = TIE) -> Ranked:
    """Return the k best rows with their scores; the first j of k are the best j.

    Rows within `tie` of the best of their group come in the order of their numbers, with its score.

    Shapes:
        rows (n,), scores (n,) -> at most (k,) each
    """
    if len(rows) > k:
        bound = np.partition(scores, len(scores) - k)[len(scores) - k] - np.float32(tie)
        near = np.flatnonzero(scores >= bound)
        rows, scores = rows[near], scores[near]
    order = np.lexsort((rows, -scores))
    rows, scores = rows[order], scores[order]
    gaps = scores[:-1] - scores[1:]
    if ((gaps > 0) & (gaps <= tie)).any():
        _join_groups(rows, scores, tie)
    return rows[:k], scores[:k]


def _join_groups(rows: Rows, scores: NDArray[np.float32], tie: float) -> None:
    start = 0
    while start < len(scores):
        end = start + int(np.searchsorted(-scores[start:], tie - scores[start], side="right"))
        if end - start > 1:
            rows[start:end].sort()
            scores[start:end] = scores[start]
        start = max(end, start + 1)


def matches(found: Sequence[Ranked], k: int) -> Matches:
    """Stack one result a query; places without a match hold row -1 and score -inf."""
    rows = np.full((len(found), k), -1, np.int64)
    scores = np.full((len(found), k), -np.inf, np.float32)
    for i, (hit_rows, hit_scores) in enumerate(found):
        rows[i, : len(hit_rows)] = hit_rows
        scores[i, : len(hit_scores)] = hit_scores
    return Matches(rows, scores)


def check_k(k: int) -> None:
    """Refuse a k that asks for nothing.

    Raises:
        QueryError: k is below 1.
    """
    if k < 1:
        raise QueryError(f"A search for k={k} results finds nothing.", fix="Ask for k of at least 1.")
