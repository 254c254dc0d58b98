"""What a sync tells while it runs, and in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mmrag.core.types import SourceId
from mmrag.corpus.plan import Plan
from mmrag.store import SourceRecord, State

Stage = Literal["scan", "hash", "read", "embed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is: `done` of `total` files; `items` counts what this run has read so far.

    In stage "scan" the total is not known and equals `done`; in stage "embed" both count passages,
    and the total grows while files are read.

    Args:
        source: The file that has been read for longest.
        bytes_done: Of the files to read; part of a long file counts by its pages.
        bytes_total: Of all files to read.
        page: How many of the `pages` of `source` are read; 0 of 0 when it does not tell.
    """

    stage: Stage
    done: int
    total: int
    source: str = ""
    items: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    page: int = 0
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A source that did not become items as a whole."""

    source: SourceId
    state: State
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Speed:
    """What reading one kind of medium took.

    Units:
        seconds in the processes that read, added up.
    """

    files: int = 0
    pages: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did, and how every source of the store stands.

    Args:
        plan: What had to be done.
        states: How many sources of the store are in each state.
        troubles: Every source that is not indexed as a whole, sorted by id.
        items: How many items the store holds.
        read: How many items this run read out of files.
        embedded: How many of them were embedded.
        generation: The state of the store after it.
        dry_run: Nothing was done; states, troubles and items tell of before.
        new_troubles: Those that were not told before: other sources, or other reasons.
        speeds: What reading took by kind of medium: "pdf", "text", "image", ...
        spent: What "split", "embed" and "write" took in this process.
        indexes: The search indexes that were written at its end.
        notes: What the embedder said of items, such as words that it cut.
        lost: How many items no vector could be made of.

    Units:
        seconds of wall time, all of them.
    """

    plan: Plan
    states: Mapping[State, int]
    troubles: tuple[Trouble, ...]
    items: int
    seconds: float
    generation: int
    read: int = 0
    embedded: int = 0
    dry_run: bool = field(default=False, kw_only=True)
    new_troubles: tuple[Trouble, ...] = ()
    speeds: Mapping[str, Speed] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: int = 0

    @property
    def reused(self) -> int:
        """How many items that were read needed no embedding."""
        return max(self.read - self.embedded - self.lost, 0)


def states_of(records: Sequence[SourceRecord]) -> dict[State, int]:
    """Count records by state, all four states named."""
    counted = Counter(record.state for record in records)
    every: tuple[State, ...] = ("indexed", "partial", "skipped", "failed")
    return {state: counted[state] for state in every}


def troubles_of(records: Sequence[SourceRecord]) -> tuple[Trouble, ...]:
    """Return what is not indexed as a whole."""
    return tuple(
        Trouble(record.source.id, record.state, record.reason, record.fix)
        for record in records
        if record.state != "indexed"
    )


def new_troubles(
    before: Sequence[SourceRecord], after: Sequence[SourceRecord], plan: Plan
) -> tuple[Trouble, ...]:
    """Return the troubles of `after` that `before` did not have under the same or the former name."""
    former = {move.new.found.id: move.old.source.id for move in plan.moved}
    known = {(trouble.source, trouble.state, trouble.reason) for trouble in troubles_of(before)}
    return tuple(
        trouble
        for trouble in troubles_of(after)
        if (former.get(trouble.source, trouble.source), trouble.state, trouble.reason) not in known
    )
