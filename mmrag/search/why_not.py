"""Say where an expected source was lost on the way into a result."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

import numpy as np

from mmrag.core.protocols import Rows
from mmrag.core.types import Query, Source
from mmrag.search.hybrid import HybridRetriever
from mmrag.search.lanes import Lane

_DEEPEST = 5_000
"""How far down the fused list is read: past this the answer is "below rank 5000"."""

Outcome = Literal["found", "cut", "no_match", "filtered", "not_indexed"]


class ExpectedSource(Protocol):
    """What a store's record says of a source: which it is, and why it is not wholly indexed."""

    @property
    def source(self) -> Source: ...  # noqa: D102

    @property
    def reason(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """Where the best of the expected items stands in one lane; rank 0 when it is not there.

    `reason` says why the lane was not used, or why nothing of the source is in it.
    """

    name: str
    rank: int
    score: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What became of an expected source.

    `rank` is its place in the fused list (0 when it is not in it), `score` its fused score,
    `last_score` that of the k-th hit. `reason` is what the store says about a source that
    gave no items.
    """

    expected: str
    k: int
    outcome: Outcome
    reason: str = ""
    lanes: tuple[LaneStanding, ...] = ()
    rank: int = 0
    score: float | None = None
    last_score: float | None = None

    @property
    def gap(self) -> float | None:
        """How much fused score it lacks to the k-th hit."""
        if self.score is None or self.last_score is None:
            return None
        return max(0.0, self.last_score - self.score)

    def sentences(self) -> list[str]:
        """Return the story in plain English, one fact a sentence."""
        if self.outcome == "not_indexed":
            return [f"{self.expected} has nothing in the index.", *([self.reason] if self.reason else [])]
        if self.outcome == "filtered":
            return [f"{self.expected} is indexed, but the filter removes all of it."]
        told = [_lane_sentence(lane) for lane in self.lanes]
        if self.outcome == "found":
            return [f"{self.expected} is there, at rank {self.rank} of {self.k}.", *told]
        if self.outcome == "no_match":
            return [f"{self.expected} is indexed, but none of it was found down to rank {_DEEPEST}.", *told]
        lacking = "" if self.gap is None else f", {self.gap:.3f} of score short of the last one shown"
        return [
            f"{self.expected} was cut: it stands at rank {self.rank} and {self.k} were asked for{lacking}.",
            *told,
        ]


def why_not(
    retriever: HybridRetriever,
    query: Query,
    rows: Rows,
    record: ExpectedSource,
    k: int,
    *,
    allow: Rows | None = None,
) -> WhyNot:
    """Find where a source was lost.

    Args:
        retriever: The search that did not show it.
        query: What was asked.
        rows: The rows of the source; none when it was never indexed.
        record: What the store knows about the source.
        k: How many hits were asked for.
        allow: The rows that the filter allows, sorted; None for all.
    """
    expected, reason = str(record.source.id), record.reason
    if len(rows) == 0:
        return WhyNot(expected, k, "not_indexed", reason)
    allowed = rows if allow is None else np.intersect1d(rows, allow)
    if len(allowed) == 0:
        return WhyNot(expected, k, "filtered")
    reports = {report.name: report for report in retriever.reports(query)}
    lanes = tuple(
        _standing(lane, query, allowed, allow)
        if reports[lane.name].used
        else LaneStanding(lane.name, 0, None, reports[lane.name].reason)
        for lane in retriever.lanes
        if reports[lane.name].meant
    )
    wanted = set(allowed.tolist())
    last_score: float | None = None
    for rank, found in enumerate(islice(retriever.found(query, allow=allow), _DEEPEST), start=1):
        if rank == k:
            last_score = found.score
        if not wanted.isdisjoint(found.rows):
            outcome: Outcome = "found" if rank <= k else "cut"
            return WhyNot(expected, k, outcome, reason, lanes, rank, found.score, last_score)
    return WhyNot(expected, k, "no_match", reason, lanes, last_score=last_score)


def _standing(lane: Lane, query: Query, rows: Rows, allow: Rows | None) -> LaneStanding:
    """Look into a lane four times deeper each time, until the best expected row turns up."""
    best = lane.search(query, 1, allow=rows)
    row, score = int(best.rows[0, 0]), float(best.scores[0, 0])
    if row < 0:
        return LaneStanding(lane.name, 0, None, "Nothing in it matches the query there.")
    depth, total = 100, len(lane)
    while True:
        depth = min(depth, max(total, 1))
        places = np.flatnonzero(np.isin(lane.search(query, depth, allow=allow).rows[0], rows))
        if len(places) or depth >= total:
            rank = int(places[0]) + 1 if len(places) else 0
            return LaneStanding(lane.name, rank, score)
        depth *= 4


def _lane_sentence(lane: LaneStanding) -> str:
    if lane.score is None:
        return f"{lane.name}: {lane.reason}"
    where = f"rank {lane.rank}" if lane.rank else "not among the rows that the lane looks at"
    return f"{lane.name}: {where}, score {lane.score:.3f}."
