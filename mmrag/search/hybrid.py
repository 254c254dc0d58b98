"""Search several lanes at once and explain what each of them saw."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from time import perf_counter

from mmrag.core.errors import ConfigError, QueryError, UnsupportedModality
from mmrag.core.protocols import Fusion, Rows
from mmrag.core.types import Hit, Item, Matches, Modality, Query, SourceId, Step
from mmrag.search.calibrated import QueryFusion
from mmrag.search.fusion import family
from mmrag.search.lanes import Demanding, Lane, Noting
from mmrag.search.shared_rows import SharedRows, frozen

_DEEPER = 4
_PAGE = 40
"""How many items are loaded at a time: enough for k = 10 with copies, few enough to cost about 1 ms."""


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What a lane did: `reason` says why it was not used, or what it left out.

    `meant` tells whether it looks at anything that the query holds.
    """

    name: str
    used: bool
    reason: str = ""
    meant: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """A search with its whole story; `notes` are sentences for the reader."""

    query: Query
    lanes: tuple[LaneReport, ...]
    hits: tuple[Hit, ...]
    notes: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(slots=True)
class Found:
    """A hit while copies of it are still being gathered, with the rows that it stands for."""

    item: Item
    score: float
    scores: dict[str, float]
    ranks: dict[str, int]
    rows: list[int]
    also_in: list[SourceId] = field(default_factory=list)

    def hit(self) -> Hit:
        """Return the finished hit."""
        return Hit(self.item, self.score, self.scores, self.ranks, tuple(self.also_in))


class HybridRetriever:
    """Ranks items by the fused lists of its lanes.

    Lanes are searched `depth` deep, whatever k is, and only when that gives too few hits deeper,
    with the new ones put behind: a shorter result is always the beginning of a longer one.
    Copies (the same item in another file, the same picture) are one hit that names the others.

    Args:
        lanes: The lanes, by different names.
        fusion: Joins their lists.
        load: Returns the items of rows; rows that are gone are left out.
        depth: How many rows each lane is asked for.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        fusion: Fusion | QueryFusion,
        load: Callable[[Sequence[int]], Mapping[int, Item]],
        *,
        depth: int = 100,
    ) -> None:
        if len({lane.name for lane in lanes}) < max(1, len(lanes)):
            raise ConfigError("A hybrid search needs lanes with different names.", fix="Name each lane once.")
        if depth < 1:
            raise ConfigError(f"A depth of {depth} finds nothing.", fix="Use 100.")
        self.lanes = tuple(lanes)
        self._fusion = fusion
        self._load = load
        self._depth = depth
        self._shared = SharedRows()

    def retrieve(self, query: Query, k: int, *, allow: Rows | None = None) -> list[Hit]:
        """Return at most k hits, best first.

        Raises:
            QueryError: The query is empty, or k is below 1.
            UnsupportedModality: No lane takes what the query holds.
        """
        return list(self.explain(query, k, allow=allow).hits)

    def explain(self, query: Query, k: int, *, allow: Rows | None = None) -> Explanation:
        """Return at most k hits with what each lane did, in how many milliseconds.

        Raises:
            QueryError: The query is empty, or k is below 1.
            UnsupportedModality: No lane takes what the query holds.
        """
        if not isinstance(k, int) or k < 1:
            raise QueryError(f"A search for k={k!r} results finds nothing.", fix="Ask for k of at least 1.")
        reports = self.reports(query)
        clock = _Clock()
        found = list(islice(self.found(query, allow=allow, clock=clock), min(k, sys.maxsize)))
        notes = self._notes(query, reports)
        said = (lane.notes(query) for lane in self.lanes if isinstance(lane, Noting))
        notes += dict.fromkeys(note for some in said for note in some)
        if allow is not None and len(allow) == 0:
            notes.append("The filter leaves no item to search.")
        return Explanation(
            query, reports, tuple(one.hit() for one in found), tuple(notes), self._steps(query, clock)
        )

    def reports(self, query: Query) -> tuple[LaneReport, ...]:
        """Return which lanes take a query.

        Raises:
            QueryError: The query is empty.
            UnsupportedModality: No lane takes what the query holds.
        """
        reports = []
        for lane in self.lanes:
            reason = lane.why_not_usable(query)
            meant = not query.parts or not query.modalities.isdisjoint(lane.modalities)
            reports.append(LaneReport(lane.name, reason is None, reason or lane.limits(query) or "", meant))
        if not any(report.used for report in reports):
            _refuse(query, reports)
        return tuple(reports)

    def found(
        self, query: Query, *, allow: Rows | None = None, clock: _Clock | None = None
    ) -> Iterator[Found]:
        """Yield everything that the lanes find, best first, searching deeper when it runs out."""
        clock = clock or _Clock()
        used = {report.name for report in self.reports(query) if report.used}
        lanes = [lane for lane in self.lanes if lane.name in used]
        allow = self._demanded(lanes, query, allow)
        fusion = self._fusion.for_query(query) if isinstance(self._fusion, QueryFusion) else self._fusion
        by_key: dict[object, Found] = {}
        seen: set[int] = set()
        depth, limit = self._depth, float("inf")
        while True:
            matches = {}
            for lane in lanes:
                with clock.step(lane.name):
                    matches[lane.name] = lane.search(query, depth, allow=allow)
            width = sum(one.rows.shape[1] for one in matches.values())
            with clock.step("fuse"):
                fused = fusion(matches, width)
            for one in self._fresh(fused, matches, seen, by_key, clock):
                # Deeper lists are fused anew, on another scale: what comes later never scores higher.
                limit = one.score = min(one.score, limit)
                yield one
            if not any(_is_full(one) for one in matches.values()):
                return
            depth *= _DEEPER

    def _demanded(self, lanes: Sequence[Lane], query: Query, allow: Rows | None) -> Rows | None:
        """Narrow what is allowed to what a query's own marks leave: in every lane, not only that of words."""
        for lane in lanes:
            if isinstance(lane, Demanding) and (rows := lane.demanded(query)) is not None:
                allow = frozen(rows) if allow is None else self._shared.of(allow, rows)
        return allow

    def _notes(self, query: Query, reports: Sequence[LaneReport]) -> list[str]:
        """Say what the query missed: not that a lane for pictures had nothing to do with words."""
        notes = [
            f"Searched without the {family(report.name)} lane. {report.reason}"
            for report in reports
            if report.meant and not report.used
        ]
        taken: set[Modality] = set()
        if any(part.role == "ocr" for part in query.parts):
            taken.add("image")
        looked_at = [lane.modalities for lane, report in zip(self.lanes, reports, strict=True) if report.used]
        if not query.modalities <= taken.union(*looked_at):
            notes += [report.reason for report in reports if report.used and report.reason]
        return list(dict.fromkeys(notes))

    def _steps(self, query: Query, clock: _Clock) -> tuple[Step, ...]:
        told = {lane.name: lane.told(query) for lane in self.lanes if isinstance(lane, Demanding)}
        if isinstance(self._fusion, QueryFusion):
            told["fuse"] = self._fusion.told(query)
        return tuple(replace(step, detail=told.get(step.name, step.detail)) for step in clock.steps())

    def _fresh(
        self,
        fused: Matches,
        matches: Mapping[str, Matches],
        seen: set[int],
        by_key: dict[object, Found],
        clock: _Clock,
    ) -> Iterator[Found]:
        """Yield the hits of one depth that no earlier depth gave, a page of items at a time."""
        history = {name: _ranks(one) for name, one in matches.items()}
        ranked = [
            (row, score)
            for row, score in zip(fused.rows[0].tolist(), fused.scores[0].tolist(), strict=True)
            if row >= 0 and row not in seen
        ]
        for start in range(0, len(ranked), _PAGE):
            page = ranked[start : start + _PAGE]
            with clock.step("load"):
                items = self._load([row for row, _ in page])
            fresh = []
            for row, score in page:
                seen.add(row)
                if (item := items.get(row)) is None:
                    continue
                if (first := by_key.get(_copy_key(item))) is not None:
                    _join(first, row, item)
                    continue
                ranks = {name: lane[row] for name, lane in history.items() if row in lane}
                scores = {name: float(matches[name].scores[0, rank - 1]) for name, rank in ranks.items()}
                fresh.append(Found(item, score, scores, ranks, [row]))
                by_key[_copy_key(item)] = fresh[-1]
            yield from fresh


class _Clock:
    """Adds up the milliseconds of named steps, in the order in which they first ran."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self._ms[name] = self._ms.get(name, 0.0) + (perf_counter() - start) * 1000

    def steps(self) -> tuple[Step, ...]:
        return tuple(Step(name, ms) for name, ms in self._ms.items())


def _is_full(matches: Matches) -> bool:
    """Return whether a lane may have more than it was asked for."""
    return bool(matches.rows.shape[1]) and bool(matches.rows[0, -1] >= 0)


def _ranks(matches: Matches) -> dict[int, int]:
    rows = matches.rows[0]
    return {row: rank for rank, row in enumerate(rows[rows >= 0].tolist(), start=1)}


def _copy_key(item: Item) -> object:
    """Return what copies share: the bytes of its pictures for a picture, the content id otherwise."""
    pictures = tuple(part.media for part in item.parts if part.modality == "image" and part.media)
    return pictures if item.modality == "image" and pictures else item.id


def _join(first: Found, row: int, copy: Item) -> None:
    first.rows.append(row)
    if copy.source != first.item.source and copy.source not in first.also_in:
        first.also_in.append(copy.source)


def _refuse(query: Query, reports: Sequence[LaneReport]) -> None:
    others = sorted(query.modalities - {"text"})
    if others and not query.text.strip():
        raise UnsupportedModality(
            " ".join(dict.fromkeys(report.reason for report in reports)),
            fix=f"Add words to the {' and '.join(others)}, or choose a recipe whose embedder takes it.",
        )
    raise QueryError("The query has nothing to search for.", fix="Ask with at least one word.")
