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
class VerifyReport:
    """What `verify` found: problems are sentences, none when the store is whole.

    `orphans` counts files that nothing refers to: left by a killed writer, harmless, removed by
    the next one.
    """

    problems: tuple[str, ...]
    sources: int
    items: int
    vectors: int
    orphans: int
