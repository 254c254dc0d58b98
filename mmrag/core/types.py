"""The nouns of mmrag: what flows from a corpus to an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType

import numpy as np
from numpy.typing import NDArray

from mmrag.core.media import kind_of

SourceId = NewType("SourceId", str)
"""A posix path relative to the corpus root."""

ItemId = NewType("ItemId", str)
"""A hash of an item's content, locator, reader and splitter: it survives a move of its source."""

Modality = Literal["text", "image", "audio", "video"]
Role = Literal["body", "caption", "alt", "ocr"]
Scalar = str | int | float | bool
Status = Literal["answered", "partial", "no_evidence"]

ITEM_SEPARATOR = "\n"
"""What joins the text parts of an item in `Item.text`."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page or picture.

    Units:
        Fractions of the page's width and height, 0 to 1, from the top left corner.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @staticmethod
    def around(boxes: Sequence[Box]) -> Box:
        """Return the smallest box that holds all of `boxes` (at least one)."""
        return Box(
            min(b.x0 for b in boxes),
            min(b.y0 for b in boxes),
            max(b.x1 for b in boxes),
            max(b.y1 for b in boxes),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A page (1-based), and where on it; a picture file is its own page 1."""

    number: int
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of a source's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A stretch of audio or video.

    Units:
        Seconds from the beginning.
    """

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows `first` to `last` (1-based, inclusive) of a sheet, or of a table file, whose sheet is ''.

    Rows are counted as a spreadsheet program shows them: in a table file the header is row 1.
    """

    sheet: str
    first: int
    last: int


Locator = Page | Span | TimeRange | Cells


def around(places: Sequence[Locator]) -> Locator:
    """Return the smallest locator that holds all of `places` (at least one).

    The first one says which kind, page and sheet it is; a page has a box if all of them have.
    """
    first = places[0]
    if isinstance(first, Page):
        pages = [p for p in places if isinstance(p, Page)]
        boxes = [p.box for p in pages if p.box]
        return Page(first.number, Box.around(boxes) if len(boxes) == len(pages) else None)
    if isinstance(first, Span):
        spans = [p for p in places if isinstance(p, Span)]
        return Span(min(s.start for s in spans), max(s.end for s in spans))
    if isinstance(first, Cells):
        rows = [p for p in places if isinstance(p, Cells) and p.sheet == first.sheet]
        return Cells(first.sheet, min(r.first for r in rows), max(r.last for r in rows))
    times = [p for p in places if isinstance(p, TimeRange)]
    return TimeRange(min(t.start for t in times), max(t.end for t in times))


@dataclass(frozen=True, slots=True)
class Place:
    """Where characters `start` to `end` of a text stand in the source."""

    start: int
    end: int
    locator: Locator


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the corpus.

    Units:
        size in bytes; digest is the hex BLAKE2b-256 of the bytes.
    """

    id: SourceId
    digest: str
    size: int
    media_type: str

    @property
    def name(self) -> str:
        """The file name without its folder."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def kind(self) -> str:
        """The file family: text, markdown, html, pdf, image, ..."""
        return kind_of(self.media_type)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of interleaved content: words, or a picture, sound or film by its digest.

    `role` says what the words are to the item: its own text, or a caption, alternative
    text or text read out of its picture. `places` map stretches of `text` back to the source.
    """

    modality: Modality
    text: str | None = None
    media: str | None = None
    role: Role = "body"
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """What is embedded, found and cited: a passage, a page, a figure, a table.

    `metadata` holds flat scalars. Readers and the splitter fill the keys of `mmrag.core.fields`
    (title, heading, context, language, anchor); anything else is the source's own.
    """

    id: ItemId
    source: SourceId
    locator: Locator
    parts: tuple[Part, ...]
    metadata: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text parts joined by `ITEM_SEPARATOR`: what quotes are checked against."""
        return ITEM_SEPARATOR.join(part.text for part in self.parts if part.text)

    @property
    def modality(self) -> Modality:
        """The modality of the first part that is not text, else text."""
        return next((p.modality for p in self.parts if p.modality != "text"), "text")


@dataclass(frozen=True, slots=True)
class Query:
    """A question or an example to search with.

    A part of a query carries its media as a path in `media`. `instruction` and `task` are for embedders
    that know such: the words of an instruction, or the name of a task of the index recipe.
    """

    parts: tuple[Part, ...]
    instruction: str | None = None
    task: str | None = None

    @classmethod
    def of(
        cls,
        text: str | None = None,
        *,
        image: str | Path | Sequence[str | Path] | None = None,
        instruction: str | None = None,
        task: str | None = None,
    ) -> Query:
        """Make a query from what a person has at hand: words, paths of pictures, or both."""
        parts = []
        if text:
            parts.append(Part("text", text=text))
        images = [image] if isinstance(image, str | Path) else image or ()
        parts += [Part("image", media=str(path)) for path in images]
        return cls(tuple(parts), instruction, task)

    @property
    def text(self) -> str:
        """The text parts joined by spaces."""
        return " ".join(part.text for part in self.parts if part.text)

    @property
    def modalities(self) -> frozenset[Modality]:
        """The modalities of the parts."""
        return frozenset(part.modality for part in self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """One or many vectors an item: dense embeddings have one, late interaction many.

    Shapes:
        vectors float32 [n_vectors, dim]; offsets int64 [n_items + 1], item i owns
        vectors[offsets[i]:offsets[i + 1]].
    """

    vectors: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @classmethod
    def dense(cls, vectors: NDArray[np.float32]) -> Embeddings:
        """Wrap a matrix with one row an item."""
        return cls(vectors, np.arange(len(vectors) + 1, dtype=np.int64))

    @property
    def dim(self) -> int:
        """The length of one vector."""
        return int(self.vectors.shape[1])

    @property
    def is_dense(self) -> bool:
        """Whether every item has exactly one vector."""
        return len(self.vectors) == len(self) and bool((np.diff(self.offsets) == 1).all())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        return self.vectors[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What an index found, best first; places without a match hold row -1 and score -inf.

    Shapes:
        rows int64 [n_queries, k], scores float32 [n_queries, k]
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """An item with its score and its whole history: raw score and 1-based rank a lane or stage."""

    item: Item
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    also_in: tuple[SourceId, ...] = ()
    """Other sources that hold the same item: copies of a file do not crowd a result."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A pointer from an answer to an item, checked: `quote` stands in the item word for word.

    `locator` is where the quote stands, finer than the item's own locator when the reader
    knows. `start` and `end` are the quote's characters in `Item.text`.
    """

    item: Item
    locator: Locator
    quote: str
    support: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an answer's trace.

    Units:
        ms is wall time in milliseconds.
    """

    name: str
    ms: float
    detail: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What `Pipeline.ask` returns: never an exception for a missing answer, always a status.

    `notes` are sentences for the reader: why nothing was found, which lane was left out.
    `root` is the digest of the store's state that the answer was computed on.
    """

    status: Status
    text: str
    citations: tuple[Citation, ...] = ()
    evidence: tuple[Hit, ...] = ()
    notes: tuple[str, ...] = ()
    trace: tuple[Step, ...] = ()
    root: str = ""
