"""Join the lists of several lanes into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, did_you_mean
from mmrag.core.types import Matches


@dataclass(frozen=True, slots=True)
class MinMaxFusion:
    """Stretch each lane's scores to 0-1 over its own candidates, then add them up by weight.

    A row that a lane did not find counts 0 there; a lane whose candidates all score the same
    counts 1 for each. Weights are shared out among the lanes that took part; none given means
    equal ones.
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.weights)

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query; scores lie in 0-1."""
        return _weighted_sum(lanes, k, self.weights, {name: _stretched(one) for name, one in lanes.items()})


@dataclass(frozen=True, slots=True)
class RrfFusion:
    """Add up reciprocal ranks, weight / (k + rank): scores are not looked at.

    With k = 60 and equal weights of two lanes, a row that is first in both scores 1 / 61.

    Source: Cormack, Clarke and Buettcher, Reciprocal Rank Fusion, SIGIR 2009. The weights sum
    to 1 here, which changes no order.
    """

    k: int = 60
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.weights)
        if self.k < 0:
            raise ConfigError(f"Rank fusion needs a k from 0, not {self.k}.", fix="Leave it out to use 60.")

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query."""
        parts = {}
        for name, one in lanes.items():
            rows, _ = _found(one)
            parts[name] = rows, 1.0 / (self.k + np.arange(1, len(rows) + 1, dtype=np.float64))
        return _weighted_sum(lanes, k, self.weights, parts)


@dataclass(frozen=True, slots=True)
class WeightedFusion:
    """Add up raw scores by weight: for lanes whose scores share a scale."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.weights)

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query."""
        parts = {name: _found(one) for name, one in lanes.items()}
        return _weighted_sum(lanes, k, self.weights, parts)


_Part = tuple[NDArray[np.int64], NDArray[np.float64]]


def _check(weights: Mapping[str, float]) -> None:
    for lane, weight in weights.items():
        if not 0 <= weight < np.inf:
            raise ConfigError(
                f"The weight {weight} of lane {lane!r} is not a number from 0.", fix="Use 0 to 1."
            )


def _shares(weights: Mapping[str, float], lanes: Mapping[str, Matches]) -> dict[str, float]:
    """Return each present lane's share of 1."""
    if not weights:
        return {lane: 1 / len(lanes) for lane in lanes}
    for lane in lanes:
        if lane not in weights:
            raise ConfigError(f"The fusion has no weight for lane {lane!r}.", fix=did_you_mean(lane, weights))
    total = sum(weights[lane] for lane in lanes)
    # Lanes of weight 0 that are left alone still rank.
    return {lane: weights[lane] / total if total else 1 / len(lanes) for lane in lanes}


def _found(matches: Matches) -> _Part:
    """Return the rows and scores of one query, without the empty places."""
    there = matches.rows[0] >= 0
    return matches.rows[0][there], matches.scores[0][there].astype(np.float64)


def _stretched(matches: Matches) -> _Part:
    rows, scores = _found(matches)
    if len(rows) == 0:
        return rows, scores
    low, high = scores.min(), scores.max()
    return rows, (scores - low) / (high - low) if high > low else np.ones(len(rows))


def _weighted_sum(
    lanes: Mapping[str, Matches], k: int, weights: Mapping[str, float], parts: Mapping[str, _Part]
) -> Matches:
    shares = _shares(weights, lanes)
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *(found for found, _ in parts.values())]))
    total = np.zeros(len(rows), np.float64)
    for lane, (found, scores) in parts.items():
        total[np.searchsorted(rows, found)] += shares[lane] * scores
    # Ties go to the smaller row: rows are sorted and the sort is stable. Rounding to float32 first
    # keeps equal sums equal.
    fused = total.astype(np.float32)
    order = np.argsort(-fused, kind="stable")[:k]
    out_rows, out_scores = np.full((1, k), -1, np.int64), np.full((1, k), -np.inf, np.float32)
    out_rows[0, : len(order)], out_scores[0, : len(order)] = rows[order], fused[order]
    return Matches(out_rows, out_scores)
