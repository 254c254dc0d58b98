"""Search a base: run the plan, then put equal scores in the order of their positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.index.ann.allow import Plan, plan_for
from mmrag.index.ann.base import Base
from mmrag.index.ranking import TIE, settle

Found = tuple[NDArray[np.int64], NDArray[np.float32]]

_SLACK = 16
_BLOCK = 1024
"""Queries at a time under a filter: their scores against 4096 centroids take 16 MB."""

_STEPS = 2
"""So many steps a doubling of the lists that are read."""

_WORTH = 1.25
"""A second look is worth its price when it reads that many times the lists of the first."""


def search(base: Base, vectors: NDArray[np.float32], k: int, allow: NDArray[np.int64] | None = None) -> Found:
    """Find the `k` best positions a query, best first, among `allow` only if it is given.

    Dead positions are never found. Scores within `TIE` count as equal and come in the order of their
    positions. A query's answer does not depend on the others in the batch. Threads may search at once.
    A query of zeros finds as many rows as another, with scores of 0.

    Args:
        base: Where.
        vectors: The queries.
        k: How many.
        allow: Sorted unique positions; a read-only array that is asked with again is only prepared once.

    Shapes:
        vectors float32 [n, d] -> positions int64 [n, k], scores float32 [n, k]; -1 and -inf where there
        are no more
    """
    queries = np.ascontiguousarray(vectors, np.float32)
    plan = plan_for(base, k, allow)
    if plan.way == "nothing" or len(queries) == 0:
        return _padded((np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)), k)
    if plan.way == "once" or len(queries) <= _BLOCK:
        return _padded(_run(plan, queries, k), k)
    blocks = [_run(plan, queries[at : at + _BLOCK], k) for at in range(0, len(queries), _BLOCK)]
    positions, scores = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return _padded((positions, scores), k)


def _run(plan: Plan, queries: NDArray[np.float32], k: int) -> Found:
    wanted = min(k, plan.count)
    if plan.is_complete:
        return _complete(plan, queries, wanted)
    zero = np.count_nonzero(queries, axis=1) == 0
    if not zero.any():
        return _nearest(plan, queries, wanted)
    # FAISS scales packed codes' look-ups by their span, and finds nothing where that is 0.
    positions, scores = _nearest(plan, np.where(zero[:, None], np.float32(1), queries), wanted)
    scores[zero] = np.where(positions[zero] < 0, -np.inf, np.float32(0))
    return settle(positions, scores, wanted)


def _nearest(plan: Plan, queries: NDArray[np.float32], wanted: int) -> Found:
    if plan.way == "walk":
        return _walked(plan, queries, wanted)
    positions, scores = _ask(plan.index, queries, wanted, plan.params)
    if plan.way == "widen":
        _widen(plan, queries, positions, scores)
    return settle(positions, scores, wanted)


def _ask(index: Any, queries: NDArray[np.float32], k: int, params: Any) -> Found:
    scores, positions = index.search(queries, k, params=params)
    if positions[:, -1].min() < 0:
        scores[positions < 0] = -np.inf
    return positions, scores


def _complete(plan: Plan, queries: NDArray[np.float32], k: int) -> Found:
    """Look so deep that of rows that tie with the last one the first are found."""
    depth = min(k + _SLACK, plan.count)
    positions, scores = _ask(plan.index, queries, depth, plan.params)
    settled = settle(positions, scores, k)
    todo = np.flatnonzero(scores[:, -1] >= scores[:, k - 1] - TIE) if depth < plan.count else np.empty(0, int)
    while len(todo):
        depth = min(4 * depth, plan.count)
        positions, scores = _ask(plan.index, queries[todo], depth, plan.params)
        settled[0][todo], settled[1][todo] = settle(positions, scores, k)
        if depth == plan.count:
            break
        todo = todo[scores[:, -1] >= scores[:, k - 1] - TIE]
    return settled


def _widen(
    plan: Plan, queries: NDArray[np.float32], positions: NDArray[np.int64], scores: NDArray[np.float32]
) -> None:
    """Read more lists for queries whose k-th best is so low that lists not read may hold better.

    A list may, when its centroid scores within `gap` of the k-th best; that is counted among the lists
    that hold allowed rows, so it is few when these are near the query and many when they are far.
    """
    assert plan.centroids is not None
    assert plan.wider is not None
    # The gap was measured with vectors of length one.
    margin = plan.gap * np.sqrt(np.einsum("ij,ij->i", queries, queries))
    bound = scores[:, -1] - margin
    near = queries @ plan.centroids.T >= bound[:, None]
    if plan.lists is not None:
        near &= plan.lists
    needed = np.count_nonzero(near, axis=1)
    # In steps, so that queries share a search and each finds the same in whatever company; whole
    # doublings read a third more lists than were needed.
    steps = np.ceil(_STEPS * np.log2(np.maximum(needed, 1) / plan.probes)).astype(np.int64)
    steps[needed <= _WORTH * plan.probes] = 0
    for step in np.unique(steps[steps > 0]):
        which = np.flatnonzero(steps == step)
        probes = min(round(plan.probes * 2 ** (int(step) / _STEPS)), plan.most)
        found = _ask(plan.index, queries[which], positions.shape[1], plan.wider(probes))
        positions[which], scores[which] = found


def _walked(plan: Plan, queries: NDArray[np.float32], k: int) -> Found:
    assert plan.mask is not None
    assert plan.spare is not None
    positions, scores = _ask(plan.index, queries, plan.probes, plan.params)
    shown = plan.mask[positions] & (positions >= 0)
    order = np.argsort(~shown, axis=1, kind="stable")[:, :k]
    positions, scores = np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)
    short = np.flatnonzero(np.count_nonzero(shown, axis=1) < k)
    enough = np.setdiff1d(np.arange(len(queries)), short)
    positions[enough], scores[enough] = settle(positions[enough], scores[enough], k)
    if len(short):
        positions[short], scores[short] = _complete(plan.spare, queries[short], k)
    return positions, scores


def _padded(found: Found, k: int) -> Found:
    positions, scores = found
    if positions.shape[1] == k:
        return found
    missing = ((0, 0), (0, k - positions.shape[1]))
    return (
        np.pad(positions, missing, constant_values=-1),
        np.pad(scores, missing, constant_values=-np.inf),
    )
