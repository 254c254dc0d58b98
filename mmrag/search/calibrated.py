"""Join lanes of which some are parts of one: put the parts on one scale first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from mmrag.core.protocols import Fusion
from mmrag.core.types import Matches, Query, Scalar
from mmrag.search.calibration import Background, Calibration
from mmrag.search.fusion import Part, check_weights, family, found, stretched, weighted_sum


@runtime_checkable
class QueryFusion(Protocol):
    """A fusion that depends on what the query is made of."""

    def for_query(self, query: Query) -> Fusion:
        """Return the fusion to join the lanes of a query with."""
        ...

    def told(self, query: Query) -> Mapping[str, Scalar]:
        """Return what a reader of an explanation should know of it, by name."""
        ...


@dataclass(frozen=True, slots=True)
class CalibratedFusion:
    """Min-max fusion in which the parts of a lane (`dense:text`, `dense:image`) share one scale.

    Each part's scores are counted in standard deviations above what unrelated items score there, as
    `learn_calibration` found it, and then stretched to 0-1 together. A picture is then as good as a
    text when it stands out as far among pictures as the text does among texts. Lanes without parts, and
    parts without a calibration, are stretched alone, as in `MinMaxFusion`.

    Args:
        weights: As in every fusion; a whole lane (`dense`) names all its parts.
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_weights(self.weights)

    def with_calibration(self, calibration: Calibration) -> Calibrated:
        """Return the fusion with what was learned on a corpus."""
        return Calibrated(self.weights, calibration)

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query; scores lie in 0-1."""
        return _fuse(lanes, k, self.weights, {})


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A `CalibratedFusion` with its calibration."""

    weights: Mapping[str, float]
    calibration: Calibration

    def for_query(self, query: Query) -> Fusion:
        """Return the fusion on the scale that was learned for queries of these modalities."""
        backgrounds = self.calibration.for_query(query)
        return lambda lanes, k: _fuse(lanes, k, self.weights, backgrounds)

    def told(self, query: Query) -> Mapping[str, Scalar]:
        """Return what unrelated items score in each lane: mean and standard deviation."""
        return {
            lane: f"unrelated items score {one.mean:.3f}, give or take {one.std:.3f}"
            for lane, one in self.calibration.for_query(query).items()
        }

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        """Return the k best rows of one query in words."""
        return self.for_query(Query.of("words"))(lanes, k)


def _fuse(
    lanes: Mapping[str, Matches], k: int, weights: Mapping[str, float], backgrounds: Mapping[str, Background]
) -> Matches:
    families: dict[str, list[str]] = {}
    for lane in lanes:
        # A part that is weighed by itself stands by itself.
        families.setdefault(lane if lane in weights else family(lane), []).append(lane)
    parts = {}
    for name, members in families.items():
        own = {lane: found(lanes[lane]) for lane in members}
        if len(own) > 1 and all(lane in backgrounds for lane in own):
            parts[name] = stretched(*_joined([backgrounds[lane].scaled(*part) for lane, part in own.items()]))
        else:
            parts[name] = _joined([stretched(*part) for part in own.values()])
    return weighted_sum(k, weights, parts)


def _joined(parts: Sequence[Part]) -> Part:
    """Put lists together; a row in several keeps its best score."""
    rows = np.concatenate([rows for rows, _ in parts])
    scores = np.concatenate([scores for _, scores in parts])
    order = np.lexsort((-scores, rows))
    unique, first = np.unique(rows[order], return_index=True)
    return unique, scores[order][first]
