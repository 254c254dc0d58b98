"""Measure recall, and find the cheapest operating points that reach a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmrag.index.ann import costs
from mmrag.index.ann.allow import compiled
from mmrag.index.ann.base import Base, Point
from mmrag.index.ann.engine import Layers, centroids_of, layers_of, parameters, selector
from mmrag.index.ranking import TIE

Value = TypeVar("Value", bound=np.generic)

_DEPTHS = (10, 100)
_RERANKS = (1, 2, 4, 8, 16, 32, 64)
_REACH = 4
"""More lists than that many times those that hold the true best add nothing that codes can show."""

_FINE = 1 / 16
"""Probes are found to this share: recall does not change measurably within it."""

_BREADEST = 4096
_DECODED = 65_536
_HARDER = 1.5
"""Rows that ask are linked to their neighbours, so that a graph finds those more easily than a question's.
At 100k vectors rows that asked missed .028 of their best ten with efSearch 50, .026 with 64 and .022 with
100; other vectors missed .064, .042 and .022."""

_FILTERED_SHARE = 0.985
"""Of the true best, the share whose lists a filtered search reads. At 100k vectors and .985 it found .99
of the best 10 under random filters and half-spaces, near and far; at .95 it found .965 to .98."""


def calibrate(
    base: Base,
    queries: NDArray[np.float32],
    truth: NDArray[np.int64],
    own: NDArray[np.int64],
    target: float,
) -> tuple[Point, ...]:
    """Return operating points for the best 10 and 100, as far as the truth goes.

    Each is the cheapest that finds the target share and one standard error of the measurement more. Where
    nothing does, because codes are too coarse, the point is the best that was found and its recall says so.

    Args:
        base: What to search; its own points are not looked at.
        queries: Vectors of some rows of the base, or of others.
        truth: The true best positions of each, best first; -1 where there are no more.
        own: The queries' own positions, which count neither as found nor as true; -1 for none.
        target: The share of the true best that searches should find.

    Shapes:
        queries float32 [n, d], truth int64 [n, depth], own int64 [n]
    """
    if len(queries) == 0:
        return ()
    truth = _moved_last(truth, truth == own[:, None])
    # Where the own position was among them, the last place is taken by it.
    depth = truth.shape[1] - int((truth[:, -1:] == own[:, None]).any()) if truth.size else 0
    live = len(base) - len(base.dead)
    depths = [k for k in _DEPTHS if k <= depth and k < live] or [k for k in (min(depth, live - 1),) if k > 0]
    truth = truth[:, : max(depths, default=0)]
    known = _scores_of(base, queries, truth)
    return tuple(_Bench(base, queries, truth[:, :k], known[:, :k], own, k).point(target) for k in depths)


@dataclass(frozen=True, slots=True)
class _Trial:
    probes: int
    rerank: int
    recall: float
    error: float
    last: NDArray[np.float32]

    def meets(self, target: float) -> bool:
        return self.recall - self.error >= target or self.recall >= 1


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """The search for the best `k`, tried out."""

    base: Base
    queries: NDArray[np.float32]
    truth: NDArray[np.int64]
    known: NDArray[np.float32]
    own: NDArray[np.int64]
    k: int

    def point(self, target: float) -> Point:
        layers = layers_of(self.base)
        reranks = _RERANKS if layers.is_refined else (1,)
        if layers.structure == "lists":
            return self._of_lists(layers, reranks, target)
        if layers.structure == "graph":
            return self._of_graph(target)
        trials = []
        for rerank in reranks:
            trials.append(self._try(0, rerank))
            if trials[-1].meets(target):
                break
        return _point(self.k, trials[-1])

    def _of_lists(self, layers: Layers, reranks: tuple[int, ...], target: float) -> Point:
        scores, ranks = self._places(layers)
        # A list that is not read gives nothing: fewer probes than these cannot reach the target.
        least = max(1, int(np.quantile(ranks, target, method="higher")) + 1)
        most = min(layers.lists, _REACH * least)
        best = chosen = self._try(most, reranks[0])
        for rerank in reranks:
            if not best.meets(target):
                trial = best if rerank == best.rerank else self._try(most, rerank)
                chosen = best = max(best, trial, key=lambda one: one.recall)
            if not best.meets(target):
                continue
            trial = self._least(rerank, least, chosen.probes, target)
            # More candidates need fewer lists; from where that costs more, it goes on doing so.
            if not trial.meets(target) or (chosen is not best and self._cost(trial) >= self._cost(chosen)):
                break
            chosen = trial
            if chosen.probes <= least * (1 + _FINE):
                break
        share = max(_FILTERED_SHARE, (1 + target) / 2)
        lengths = np.linalg.norm(self.queries, axis=1)
        gaps = (best.last[:, None] - scores) / np.maximum(lengths, 1e-12)[:, None]
        real = np.isfinite(gaps) & (self.truth >= 0)
        gap = float(np.quantile(gaps[real], share)) if real.any() else 0.0
        return _point(self.k, chosen, gap=max(gap, 1e-3))

    def _of_graph(self, target: float) -> Point:
        harder = _HARDER if (self.own >= 0).any() else 1.0
        trial = self._least(1, self.k, _BREADEST, 1 - (1 - target) / harder)
        return _point(self.k, replace(trial, recall=max(0.0, 1 - (1 - trial.recall) * harder)))

    def _places(self, layers: Layers) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return how the lists of the true best score for their query, and at which rank each is."""
        assert self.base.lists is not None
        lists = self.base.lists[self.truth]
        every = self.queries @ centroids_of(self.base).T
        scores = np.take_along_axis(every, lists, axis=1)
        every.sort(axis=1)
        above = [len(a) - np.searchsorted(a, b, side="right") for a, b in zip(every, scores, strict=True)]
        return scores, np.stack(above)[self.truth >= 0]

    def _least(self, rerank: int, low: int, high: int, target: float) -> _Trial:
        """Return the least probes that meet the target; the most that were tried where none do."""
        below, trial = low - 1, self._try(low, rerank)
        while not trial.meets(target) and trial.probes < high:
            below = trial.probes
            trial = self._try(min(high, 2 * trial.probes), rerank)
        while trial.meets(target) and trial.probes - below > max(1, _FINE * trial.probes):
            middle = self._try((below + trial.probes) // 2, rerank)
            if middle.meets(target):
                trial = middle
            else:
                below = middle.probes
        return trial

    def _try(self, probes: int, rerank: int) -> _Trial:
        layers, wanted = layers_of(self.base), self.k + 1
        params = parameters(layers, probes, rerank, rows=compiled(self.base, None).rows)
        scores, positions = layers.engine.search(self.queries, wanted, params=params)
        mine = positions == self.own[:, None]
        scores = _moved_last(scores, mine)[:, : self.k]
        positions = _moved_last(positions, mine)[:, : self.k]
        shares = _shares(positions, scores, self.truth, self.known)
        error = float(shares.std() / np.sqrt(len(shares))) if len(shares) else 0.0
        last = np.where(positions[:, -1] >= 0, scores[:, -1], -np.inf).astype(np.float32)
        return _Trial(probes, rerank, float(shares.mean()) if len(shares) else 1.0, error, last)

    def _cost(self, trial: _Trial) -> float:
        layers, total = layers_of(self.base), len(self.base)
        reading = costs.reading(layers, trial.probes, total, layers.lists, total)
        return reading + costs.rescoring(self.k * trial.rerank, int(layers.engine.d))


def _point(k: int, trial: _Trial, gap: float = 0.0) -> Point:
    return Point(k, round(trial.recall, 4), trial.probes, trial.rerank, round(gap, 4))


def _moved_last(values: NDArray[Value], mine: NDArray[np.bool_]) -> NDArray[Value]:
    if not mine.any():
        return values
    return np.take_along_axis(values, np.argsort(mine, axis=1, kind="stable"), 1)


def _scores_of(base: Base, queries: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how the engine scores each query's true best; in any order."""
    layers, depth = layers_of(base), truth.shape[1]
    scores = np.full(truth.shape, -np.inf, np.float32)
    if depth == 0:
        return scores
    if layers.codes is None:
        mask = np.zeros(len(base), np.bool_)
        mask[truth[truth >= 0]] = True
        params = parameters(layers, max(1, layers.lists), 1, rows=selector(layers, mask))
        found, positions = layers.engine.search(queries, depth, params=params)
        return np.where(positions >= 0, found, -np.inf).astype(np.float32)
    step = max(1, _DECODED // depth)
    for at in range(0, len(queries), step):
        some = truth[at : at + step]
        vectors = layers.codes.reconstruct_batch(np.maximum(some, 0).ravel()).reshape(*some.shape, -1)
        products = np.einsum("qd,qkd->qk", queries[at : at + step], vectors)
        scores[at : at + step] = np.where(some >= 0, products, -np.inf)
    return scores


def _shares(
    positions: NDArray[np.int64],
    scores: NDArray[np.float32],
    truth: NDArray[np.int64],
    known: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return for each query the share of its true best that was found.

    Copies of one item score the same, and a corpus is full of them: which of them were found does not
    matter, so a position counts when it is one of the true best or ties with one.
    """
    lines = np.arange(len(truth))[:, None]
    span = max(int(positions.max(initial=0)), int(truth.max(initial=0))) + 2
    hits = np.isin(positions + 1 + lines * span, (truth + 1 + lines * span)[truth >= 0])
    ties = np.zeros(hits.shape, np.bool_)
    for line, line_scores, known_scores in zip(ties, scores, np.sort(known, axis=1), strict=True):
        low = np.searchsorted(known_scores, line_scores - np.float32(TIE))
        line[:] = low < np.searchsorted(known_scores, line_scores + np.float32(TIE), side="right")
    counted = (hits | ties) & (positions >= 0)
    wanted = np.count_nonzero(truth >= 0, axis=1)
    found = np.minimum(np.count_nonzero(counted, axis=1), wanted)
    return np.where(wanted > 0, found / np.maximum(wanted, 1), 1.0)
