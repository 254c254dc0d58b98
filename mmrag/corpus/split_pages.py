"""Cut PDFs into pages, each a picture with its words; everything else into passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmrag.core.fields import ANCHOR, CONTEXT
from mmrag.core.identity import item_id
from mmrag.core.media import kind_of, page_media
from mmrag.core.reading import Reading
from mmrag.core.types import Item, Page, Part, Scalar, Source
from mmrag.corpus.split import CountTokens, PassageOptions, PassageSplitter

_VERSION = 1


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Options of the splitter `pages`: those of `passages`, for what has no pages.

    Args:
        max_tokens: As in `passages`.
        min_tokens: As in `passages`.
        overlap_sentences: As in `passages`.
    """

    max_tokens: int = 200
    min_tokens: int = 24
    overlap_sentences: int = 0

    def build(self, count_tokens: CountTokens) -> PageSplitter:
        """Make the splitter.

        Raises:
            ConfigError: A number is out of range.
        """
        passages = PassageOptions(self.max_tokens, self.min_tokens, self.overlap_sentences)
        return PageSplitter(passages.build(count_tokens))


class PageSplitter:
    """Makes one item of each page of a PDF: its picture, which the embedder sees, and all its words.

    The words are what the search by words looks in and what answers quote, each with its place on the page.

    Args:
        passages: Cuts what has no pages, and finds the words of those that have.
    """

    def __init__(self, passages: PassageSplitter) -> None:
        self._passages = passages
        self.identity = f"pages/{_VERSION} {passages.identity}"

    def split(self, source: Source, reader: str, reading: Reading) -> list[Item]:
        """Return the items of a source in reading order."""
        items = self._passages.split(source, reader, reading)
        if kind_of(source.media_type) != "pdf":
            return items
        pages: dict[int, list[Item]] = {coverage.page: [] for coverage in reading.pages}
        for item in items:
            number = item.locator.number if isinstance(item.locator, Page) else 1
            pages.setdefault(number, []).append(item)
        return [self._page(source, reader, number, pages[number]) for number in sorted(pages)]

    def _page(self, source: Source, reader: str, number: int, items: Sequence[Item]) -> Item:
        words = tuple(part for item in items for part in item.parts if part.modality == "text")
        parts = (Part("image", media=page_media(source.digest, number)), *words)
        metadata: dict[str, Scalar] = {}
        for item in reversed(items):
            metadata |= item.metadata
        for key in (ANCHOR, CONTEXT):
            metadata.pop(key, None)
        locator = Page(number)
        ident = item_id(parts, locator, reader=reader, splitter=self.identity)
        return Item(ident, source.id, locator, parts, metadata)
