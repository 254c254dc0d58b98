"""Join the lists of several lanes into one.

Weights name lanes. A lane that is a part of another (`dense:image`) has the weight of the whole one unless
it is named itself. The lane of near-duplicate pictures need not be named: it takes part only in queries with
a picture, and then weighs as much as all others together, since what it finds is nearly certain. Any other
lane that the weights do not name is refused, so that a misspelt name cannot hide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, did_you_mean
from mmrag.core.types import Matches

UNASKED = "pictures"
"""The lane that weights need not name."""


@dataclass(frozen=True, slots=True)
class MinMaxFusion:
    """Stretch each lane's scores to 0-1 over its own candidates, then add them up by weight.

    A row that a lane did not find counts 0 there; a lane whose candidates all score the same
    counts 1 for each. Weights are shared out among the lanes that took part; none given means
    equal ones.
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_weights(self.weights)

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query; scores lie in 0-1."""
        return weighted_sum(k, self.weights, {name: stretched(*found(one)) for name, one in lanes.items()})


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
        check_weights(self.weights)
        if self.k < 0:
            raise ConfigError(f"Rank fusion needs a k from 0, not {self.k}.", fix="Leave it out to use 60.")

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query."""
        parts = {}
        for name, one in lanes.items():
            rows, _ = found(one)
            parts[name] = rows, 1.0 / (self.k + np.arange(1, len(rows) + 1, dtype=np.float64))
        return weighted_sum(k, self.weights, parts)


@dataclass(frozen=True, slots=True)
class WeightedFusion:
    """Add up raw scores by weight: for lanes whose scores share a scale."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_weights(self.weights)

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query."""
        parts = {name: found(one) for name, one in lanes.items()}
        return weighted_sum(k, self.weights, parts)


Part = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The rows that one lane found, each once, and their scores."""


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse weights that are no numbers from 0.

    Raises:
        ConfigError: A weight is below 0, infinite or not a number.
    """
    for lane, weight in weights.items():
        if not 0 <= weight < np.inf:
            raise ConfigError(
                f"The weight {weight} of lane {lane!r} is not a number from 0.", fix="Use 0 to 1."
            )


def found(matches: Matches) -> Part:
    """Return the rows and scores of one query, without the empty places."""
    there = matches.rows[0] >= 0
    return matches.rows[0][there], matches.scores[0][there].astype(np.float64)


def stretched(rows: NDArray[np.int64], scores: NDArray[np.float64]) -> Part:
    """Stretch scores to 0-1; equal ones become 1."""
    if len(rows) == 0:
        return rows, scores
    low, high = scores.min(), scores.max()
    return rows, (scores - low) / (high - low) if high > low else np.ones(len(rows))


def family(lane: str) -> str:
    """Return the lane that a lane is a part of: `dense` of `dense:image`, or itself."""
    return lane.partition(":")[0]


def weighted_sum(k: int, weights: Mapping[str, float], parts: Mapping[str, Part]) -> Matches:
    """Add up the scores of each row by the weights of its lanes, and return the k best rows.

    Raises:
        ConfigError: A lane has no weight.
    """
    shares = _shares(weights, parts)
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *(own for own, _ in parts.values())]))
    total = np.zeros(len(rows), np.float64)
    for lane, (own, scores) in parts.items():
        total[np.searchsorted(rows, own)] += shares[lane] * scores
    # Ties go to the smaller row: rows are sorted and the sort is stable. Rounding to float32 first
    # keeps equal sums equal.
    fused = total.astype(np.float32)
    order = np.argsort(-fused, kind="stable")[:k]
    out_rows, out_scores = np.full((1, k), -1, np.int64), np.full((1, k), -np.inf, np.float32)
    out_rows[0, : len(order)], out_scores[0, : len(order)] = rows[order], fused[order]
    return Matches(out_rows, out_scores)


def _shares(weights: Mapping[str, float], lanes: Collection[str]) -> dict[str, float]:
    """Return each present lane's share of 1."""
    own = {lane: _weight(weights, lane) for lane in lanes if lane != UNASKED or lane in weights}
    if UNASKED in lanes and UNASKED not in weights:
        own[UNASKED] = sum(own.values()) or 1.0
    total = sum(own.values())
    # Lanes of weight 0 that are left alone still rank.
    return {lane: weight / total if total else 1 / len(own) for lane, weight in own.items()}


def _weight(weights: Mapping[str, float], lane: str) -> float:
    if not weights:
        return 1.0
    for name in (lane, family(lane)):
        if name in weights:
            return weights[name]
    raise ConfigError(f"The fusion has no weight for lane {lane!r}.", fix=did_you_mean(lane, weights))
