"""What is known of a built index and kept with its files: how it was made, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmrag.index.ann.base import Point
from mmrag.index.ann.kinds import Parts


@dataclass(frozen=True, slots=True)
class Price:
    """What a saving costs: the recall of the true best `k` by the full vectors that is left with it."""

    saving: str
    k: int
    recall: float


@dataclass(frozen=True, slots=True)
class Facts:
    """How a base was built.

    Args:
        kind: The kind that was asked for.
        parts: What it is put together from; a small index is flat whatever its kind.
        full_dim: The length of a vector that is given.
        dim: How many of its first dimensions are kept.
        lists: The number of inverted lists; 0 without.
        trained: How many rows there were when it was trained.
        measured: How many rows there were when the points were measured.
        sample: How many queries the points were measured with.
        target: The recall that the points aim at.
        points: Operating points; none for an exact index.
        prices: What truncation and coarse codes without lists cost in quality.
        build_cpu_s: CPU-seconds of the build, of all threads.
        rising: Whether the rows rise strictly with their positions.
    """

    kind: str
    parts: Parts
    full_dim: int
    dim: int
    lists: int
    trained: int
    measured: int
    sample: int
    target: float
    points: tuple[Point, ...]
    prices: tuple[Price, ...]
    build_cpu_s: float
    rising: bool

    def with_points(self, points: tuple[Point, ...], measured: int, sample: int) -> Facts:
        """Return the facts after a new measurement."""
        return replace(self, points=points, measured=measured, sample=sample)
