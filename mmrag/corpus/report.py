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

    In stage "scan" the total is not known and equals `done`; in stage "embed" both count passages
    of the batch at hand.
    """

    stage: Stage
    done: int
    total: int
    source: str = ""
    items: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A source that did not become items as a whole."""

    source: SourceId
    state: State
    reason: str
    fix: str


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

    Units:
        seconds of wall time.
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

    @property
    def reused(self) -> int:
        """How many items that were read needed no embedding."""
        return self.read - self.embedded


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
