"""What the store tells about a source and about a derived index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmrag.core.reading import PageCoverage
from mmrag.core.types import Source

State = Literal["indexed", "partial", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source as the last sync left it.

    `reason` and `fix` are sentences, empty when all of the source was indexed. `depends` maps the
    other files that its reading used to their digests. `items` is counted by the store.
    """

    source: Source
    mtime_ns: int
    state: State
    reason: str = ""
    fix: str = ""
    reader: str = ""
    splitter: str = ""
    pages: tuple[PageCoverage, ...] = ()
    depends: Mapping[str, str] = field(default_factory=dict)
    items: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Derived:
    """A published index: its files stay on disk as long as this object lives.

    `stamp` says what it was built of and how, `generation` which state of the store it covers.
    """

    path: Path
    stamp: Mapping[str, str]
    generation: int
    hold: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class IndexState:
    """A published index as `verify` saw it; `rows` is None where nobody said how to look into it."""

    name: str
    generation: int
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found: problems are sentences, none when the store is whole.

    `orphans` counts files that nothing refers to: left by a killed writer, harmless, removed by
    the next one. `root` is the digest of sources, items and vectors, computed from what is stored.
    `indexes_only` tells that all problems are of derived indexes, which `reindex` builds again.
    """

    problems: tuple[str, ...]
    sources: int
    items: int
    vectors: int
    orphans: int
    root: str = ""
    indexes: tuple[IndexState, ...] = ()
    indexes_only: bool = False


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction gave back.

    Units:
        Bytes of all files; vectors, cache entries and tombstones (rows that are gone) that were dropped.
    """

    bytes_before: int
    bytes_after: int
    vectors: int
    cached: int
    tombstones: int


@dataclass(frozen=True, slots=True)
class Proof:
    """A search of every stored byte for what was to be forgotten.

    Args:
        files: How many files were read.
        bytes: How many bytes they hold.
        needles: How many byte strings were searched for: names, digests, and pieces of all texts, vectors
            and media.
        reach: A run of so many forgotten bytes cannot have been missed.
        shared: Needles that sources hold which stay; they are no findings.
        short: Names and texts too short to be told from chance.
        findings: Where something is left; empty is the proof.
    """

    files: int
    bytes: int
    needles: int
    reach: int
    shared: int
    short: int
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """What `forget` removed.

    `waiting` says what a reader still holds: it goes when that reader ends and the next writer comes.
    `unknown` are the names that the store did not have.
    """

    sources: int
    items: int
    vectors: int
    blobs: int
    cached: int
    bytes_before: int
    bytes_after: int
    proof: Proof
    unknown: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing of it is left anywhere in the store."""
        return not self.waiting and not self.proof.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export holds, and the root of the store that it was made of."""

    sources: int
    items: int
    blobs: int
    cached: int
    bytes: int
    root: str
