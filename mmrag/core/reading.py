"""What a reader hands to a splitter: blocks in reading order, and what it could not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmrag.core.types import Locator, Part, Scalar

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "figure"]


@dataclass(frozen=True, slots=True)
class Blob:
    """Encoded media found inside a source.

    Units:
        digest is the hex BLAKE2b-256 of data.
    """

    digest: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a source as its reader saw it.

    Words stand in `parts` with their places; a figure adds an image part whose media is a digest
    (of one of `Reading.blobs`, or of the source itself when it is a picture). `level` is a
    heading's depth from 1. `neighbours` are the lines around a figure.
    """

    kind: BlockKind
    locator: Locator
    parts: tuple[Part, ...]
    level: int = 0
    neighbours: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text parts joined by newlines."""
        return "\n".join(part.text for part in self.parts if part.text)


@dataclass(frozen=True, slots=True)
class PageCoverage:
    """What one page gave: its own text layer, text by OCR, pictures; all False says nothing."""

    page: int
    text: bool
    ocr: bool
    figures: int


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that a reader takes: how to tell it by name and first bytes, and what it gives.

    Args:
        media_type: What a source of this format is called, such as "application/pdf".
        title: For people, with its article: "a PDF", "a Word document".
        suffixes: In lower case with the dot; the first one is the usual one.
        magic: A regular expression that the first bytes of the file match; empty for plain text.
        names: File names without suffix ("readme") that mean this format as well.
    """

    media_type: str
    title: str
    suffixes: tuple[str, ...]
    magic: bytes = b""
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class About:
    """A row of the table "what happens to my file".

    Args:
        files: What people call these files: "Word (.docx)".
        reads: What becomes searchable.
        leaves: What does not; the limits.
        extra: The extra of mmrag that it needs, '' for none.
    """

    files: str
    reads: str
    leaves: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A source as its reader saw it.

    `problems` are sentences on what was left out (each makes the source partial);
    `depends` are the other files (relative posix paths) that the reading used, or would use if they
    were there. `read_with` names another source that holds all of this one's content, such as the film
    of a transcript: then there are no blocks, and the source counts as skipped for that reason.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    blobs: tuple[Blob, ...] = ()
    pages: tuple[PageCoverage, ...] = ()
    problems: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    read_with: str = ""
