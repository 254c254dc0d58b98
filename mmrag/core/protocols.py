"""The contracts between the steps; `mmrag.testing` has an executable suite for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import MmragError, SourceError
from mmrag.core.fields import SearchText
from mmrag.core.reading import About, Format, Reading
from mmrag.core.types import (
    Box,
    Embeddings,
    Hit,
    Item,
    Matches,
    Modality,
    Part,
    Query,
    Source,
)

Rows = NDArray[np.int64]
"""Row numbers of a store: one an item and source, never used twice."""


@dataclass(frozen=True, slots=True)
class OcrLine:
    """A line of text read out of a picture; confidence is 0 to 1."""

    text: str
    box: Box
    confidence: float


@runtime_checkable
class Ocr(Protocol):
    """Reads the words of a picture."""

    identity: str

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        """Return the lines of an encoded picture (PNG, JPEG, ...) in reading order."""
        ...


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds that keep one hostile file from taking the run with it.

    Units:
        bytes; pixels of one picture (Pillow itself refuses above 178,956,970); pages and table rows of
        one source; seconds without any progress. `max_unpacked_bytes` bounds what an archive such as a
        .docx unpacks to, `max_memory_bytes` the process that reads (less where the machine's
        memory, shared among the processes, is less), `max_output_bytes` what it hands on, `max_blocks_bytes`
        how much of that may be blocks, as pickled, and no pictures.

    Prose takes 1.5 times its bytes as pickled and 7 times in memory: `max_blocks_bytes` lets a text of
    `max_text_bytes` through. Blocks of short lines take up to 15 times their pickle in the process that
    receives them, so the bound should not be higher; pictures, pages of scans above all, take what they are.
    """

    max_bytes: int = 2_000_000_000
    max_text_bytes: int = 200_000_000
    max_unpacked_bytes: int = 1_000_000_000
    max_pixels: int = 170_000_000
    max_pages: int = 10_000
    max_rows: int = 200_000
    max_memory_bytes: int = 3_000_000_000
    max_output_bytes: int = 1_000_000_000
    max_blocks_bytes: int = 300_000_000
    max_idle_s: float = 120.0


def no_progress(done: int, total: int) -> None:
    """Ignore how far a reader is."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What a reader may use beside the file: nothing else, and never the network.

    `ocr` is None when no OCR engine is installed or wanted. `progress` takes how many pages, slides,
    sheets or pictures of how many are done: a reader that says nothing for `limits.max_idle_s` is stopped.
    """

    root: Path
    ocr: Ocr | None = None
    limits: ReadLimits = field(default_factory=ReadLimits)
    progress: Callable[[int, int], None] = no_progress


@runtime_checkable
class Reader(Protocol):
    """Reads one family of files into blocks in reading order.

    It holds no state and can be pickled: a worker process runs it. Packages that it needs beyond
    mmrag's own are imported in `read`.
    """

    name: str
    version: int
    formats: tuple[Format, ...]
    about: tuple[About, ...]

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a file.

        Raises:
            SourceError: The file cannot be read; the subclass and its fix say why.
            MissingExtra: A package that this reader needs is not installed.
        """
        ...


@runtime_checkable
class Splitter(Protocol):
    """Cuts what a reader saw into items."""

    identity: str

    def split(self, source: Source, reader: str, reading: Reading) -> list[Item]:
        """Return the items of a source in reading order; `reader` enters their ids."""
        ...


Media = Callable[[Item, Part], bytes]
"""Returns the encoded picture (PNG, JPEG, ...) of an item's part; raises a `SourceError` when it is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What became of one of many inputs: its vectors, or the error that it alone has; notes say what was cut.

    Shapes:
        vectors float32 [n_vectors, dim]
    """

    position: int
    vectors: NDArray[np.float32] | None = None
    error: MmragError | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Embedder(Protocol):
    """Turns items and queries into vectors of one space, compared by inner product."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What the vectors depend on, `dim` among it; equal identities give equal vectors."""
        ...

    @property
    def modalities(self) -> frozenset[Modality]:
        """What parts of a query it takes."""
        ...

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages it knows, as ISO 639-1 codes; None for any."""
        ...

    @property
    def dim(self) -> int:
        """The length of a vector."""
        ...

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Embed items; row i belongs to item i, whatever the batch.

        Args:
            items: What to embed; each has only modalities that the embedder takes.
            media: Opens their pictures; an embedder of text needs none.
        """
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many of its tokens each text takes: what splitters measure passages by."""
        ...

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Embed queries.

        Raises:
            UnsupportedModality: A part has a modality that the embedder does not take.
        """
        ...


@runtime_checkable
class TextEmbedder(Protocol):
    """An embedder that can also compare bare texts: sentences against a question."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 [n_texts, dim]."""
        ...


@runtime_checkable
class StreamEmbedder(Protocol):
    """An embedder that takes items of any number, a few at a time, and lets a bad one fail alone."""

    def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Iterator[Embedded]:
        """Embed items as they come; yield one result an item, in order."""
        ...


@runtime_checkable
class NotingEmbedder(Protocol):
    """An embedder that tells what became of a query, such as words that were cut."""

    def notes_on(self, query: Query) -> tuple[str, ...]:
        """Return sentences on a query that was embedded a moment ago."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """Describes pictures in words."""

    @property
    def identity(self) -> str:
        """What the words depend on: model, prompt, length."""
        ...

    def describe(self, pictures: Sequence[bytes]) -> list[str | SourceError]:
        """Return the description of each encoded picture, or why there is none.

        Raises:
            ModelError: The model cannot run at all.
        """
        ...


@runtime_checkable
class VectorSource(Protocol):
    """Embeddings that may be too many to hold at once: read in batches, in the order of their rows."""

    @property
    def dim(self) -> int:
        """The length of a vector."""
        ...

    @property
    def rows(self) -> Rows:
        """All rows, rising strictly."""
        ...

    def batches(self, size: int) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield all rows with their embeddings, at most `size` rows at a time."""
        ...

    def take(self, rows: Rows) -> Embeddings:
        """Return the embeddings of some rows, in their order: a sample."""
        ...


@runtime_checkable
class Index(Protocol):
    """A searchable structure over embeddings, keyed by rows."""

    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        """Add rows; a row that is already there is replaced."""
        ...

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        ...

    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query, among `allow` only if it is given (sorted, unique)."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder and sync it to disk."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class TextIndex(Protocol):
    """A searchable structure over words, keyed by rows."""

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        """Add rows; a row that is already there is replaced."""
        ...

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        ...

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query; rows that share no term with it are not matches."""
        ...

    def commit(self) -> None:
        """Make all changes so far visible to searches, and durable when the index is on disk."""
        ...

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return each term's inverse document frequency; a term that is nowhere gets the largest."""
        ...

    def analyze(self, text: str) -> list[str]:
        """Return the terms that the index keeps of a text, in order."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Retriever(Protocol):
    """Finds the hits of a query."""

    def retrieve(self, query: Query, k: int, *, allow: Rows | None = None) -> list[Hit]:
        """Return at most k hits, best first."""
        ...


Fusion = Callable[[Mapping[str, Matches], int], Matches]
"""Joins the lanes' matches of one query (name -> matches) into one list of at most k."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Words that an answer takes from the hit at position `hit` of its evidence."""

    hit: int
    text: str
    support: float


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer before its quotes are checked; `notes` say why it is empty or partial."""

    text: str
    quotes: tuple[Quote, ...]
    complete: bool
    notes: tuple[str, ...] = ()


@runtime_checkable
class Answerer(Protocol):
    """Makes a draft from evidence."""

    def compose(self, query: Query, hits: Sequence[Hit]) -> Draft:
        """Answer from `hits` only, or return a draft without text."""
        ...
