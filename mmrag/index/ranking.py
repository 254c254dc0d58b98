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
    found, leading = settle(rows[None], scores[None], k, tie=tie)
    return found[0], leading[0]


def settle(
    rows: Rows, scores: NDArray[np.float32], k: int, *, tie: float = TIE
) -> tuple[Rows, NDArray[np.float32]]:
    """Put rows that tie in the order of their numbers, with the score of the first of their group.

    Args:
        rows: Found rows, a line a query; -1 where there are no more.
        scores: Their scores, falling along each line; -inf where there are no more.
        k: How many to keep of each line.
        tie: A group is what is within this of its best.

    Shapes:
        rows (n, m), scores (n, m) -> (n, min(k, m)) each
    """
    # A tie with the first row that is cut off changes what is kept.
    near = np.zeros(len(rows), np.bool_) if rows.shape[1] < 2 else _ties(scores, tie).any(axis=1)
    if not near.any():
        return rows[:, :k], scores[:, :k]
    leading = _leading(scores[near], tie)
    order = np.lexsort((rows[near], -leading), axis=-1)[:, :k]
    settled, shown = rows[:, :k].copy(), scores[:, :k].copy()
    settled[near] = np.take_along_axis(rows[near], order, 1)
    shown[near] = np.take_along_axis(leading, order, 1)
    return settled, shown


def _ties(scores: NDArray[np.float32], tie: float) -> NDArray[np.bool_]:
    # Not by differences: of two -inf that is no number.
    ties: NDArray[np.bool_] = scores[:, 1:] >= scores[:, :-1] - np.float32(tie)
    return ties & (scores[:, 1:] > -np.inf)


def _leading(scores: NDArray[np.float32], tie: float) -> NDArray[np.float32]:
    """Return for each score the best of its group."""
    starts = np.ones(scores.shape, np.bool_)
    starts[:, 1:] = ~_ties(scores, tie)
    places = np.maximum.accumulate(np.where(starts, np.arange(scores.shape[1]), 0), axis=1)
    leading = np.take_along_axis(scores, places, 1)
    # A chain of near scores may be longer than a tie: then groups are cut one after the other.
    long = np.flatnonzero((scores < leading - np.float32(tie)).any(axis=1))
    for column in range(1, scores.shape[1] if len(long) else 0):
        best_of, here = leading[long, column - 1], scores[long, column]
        leading[long, column] = np.where(here >= best_of - np.float32(tie), best_of, here)
    return leading


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
