"""Read e-books: chapters in reading order, with their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from zipfile import ZipFile

from mmrag.core.errors import Empty, SourceError
from mmrag.core.fields import PLACE
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Format, Reading
from mmrag.core.types import Source
from mmrag.corpus.readers.archive import open_archive, read_member
from mmrag.corpus.readers.book.package import Package, member_of, read_package
from mmrag.corpus.readers.figures import PictureShelf, is_elsewhere, with_neighbours
from mmrag.corpus.readers.flow import placed, text_block
from mmrag.corpus.readers.sentences import few_of
from mmrag.corpus.readers.web.html import as_html, decode_html, page_blocks, without_spans
from mmrag.corpus.readers.web.html_tree import parse_page

_MAX_PLACE_CHARS = 60
_LISTED = 3


class BookReader:
    """Reads EPUB 2 and 3; its contents page is left out, as it only repeats the titles."""

    name = "book"
    version = 2
    formats = (Format("application/epub+zip", "an EPUB", (".epub",), rb"PK\x03\x04"),)
    about = (
        About(
            "EPUB",
            "chapters in reading order with titles, tables, code and pictures; title, author, language, date",
            "books with digital rights management; fonts, sound and film",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a book; spans count the characters of the blocks' texts, two more between blocks.

        Raises:
            Corrupt: It is no EPUB, or torn.
            Empty: Its chapters hold nothing.
            Encrypted: It has digital rights management.
            TooLarge: It or what it unpacks to exceeds a limit.
        """
        with open_archive(path, source, context.limits) as archive:
            package = read_package(archive, source, context.limits)
            walk = _Walk(archive, package, PictureShelf(source, context))
            blocks = list(walk.blocks())
        problems = (*walk.problems(), *walk.shelf.problems())
        if not blocks and not problems:
            raise Empty("The book holds no words.", fix="Nothing to do, or restore it.", where=source.id)
        return Reading(
            tuple(placed(with_neighbours(blocks))),
            title=package.title,
            blobs=tuple(walk.shelf.blobs.values()),
            problems=problems,
            metadata=package.metadata,
        )


class _Walk:
    """Goes over the chapters once."""

    def __init__(self, archive: ZipFile, package: Package, shelf: PictureShelf) -> None:
        self.shelf = shelf
        self._archive = archive
        self._package = package
        self._names = set(archive.namelist())
        self._missing: list[str] = []
        self._broken: list[str] = []
        self._left = 0
        self._too_long = False

    def blocks(self) -> Iterator[Block]:
        limits, progress = self.shelf.context.limits, self.shelf.context.progress
        chapters = self._package.chapters
        read = number = 0
        for i, name in enumerate(chapters):
            if i >= limits.max_pages or read > limits.max_text_bytes:
                self._left, self._too_long = len(chapters) - i, i < limits.max_pages
                return
            if name not in self._names:
                self._missing.append(name)
                continue
            try:
                data = read_member(self._archive, name, limits)
                made = self._chapter(name, data)
            except SourceError:
                self._broken.append(name)
                continue
            read += len(data)
            if made:
                number += 1
                place = _place(number, self._package.titles.get(name, ""))
                yield from (replace(block, metadata={**block.metadata, PLACE: place}) for block in made)
            progress(i + 1, len(chapters))

    def problems(self) -> Iterator[str]:
        for names, what in ((self._missing, "missing"), (self._broken, "broken")):
            if len(names) == 1:
                yield f"The chapter {names[0]} is {what}."
            elif names:
                yield f"{len(names)} chapters are {what}: {few_of(names, _LISTED)}."
        if self._left:
            limits = self.shelf.context.limits
            what = f"{limits.max_text_bytes} bytes" if self._too_long else f"{limits.max_pages} chapters"
            yield f"The last {self._left} chapters were left out: the limit is {what}."

    def _chapter(self, name: str, data: bytes) -> list[Block]:
        self.shelf.inside = partial(self._picture, name)
        tree = parse_page(as_html(decode_html(data, name).text))
        blocks = [without_spans(block) for block in page_blocks(tree, self.shelf, has_frame=False)]
        title = self._package.titles.get(name, "")
        first = next((block.text for block in blocks if block.kind == "heading"), "")
        if not blocks or not title or _is_alike(title, first):
            return blocks
        # The chapter's own headings stand below the title that only the contents give.
        lower = (replace(b, level=b.level + 1) if b.kind == "heading" else b for b in blocks)
        return [text_block("heading", title, level=1), *lower]

    def _picture(self, chapter: str, link: str) -> bytes | None:
        """Return the picture of a link; b'' if there is none, as none of it lies beside the book."""
        if not link or is_elsewhere(link):
            return b""
        name = member_of(chapter, link)
        if name not in self._names:
            self.shelf.missing.append(name)
            return b""
        return read_member(self._archive, name, self.shelf.context.limits)


def _place(number: int, title: str) -> str:
    return f"chapter {number}: {title}" if title and len(title) <= _MAX_PLACE_CHARS else f"chapter {number}"


def _is_alike(title: str, heading: str) -> bool:
    """Whether a heading is the chapter's title, perhaps with its number: '1. Care' and 'Care'."""
    one, other = ("".join(filter(str.isalnum, words.casefold())) for words in (title, heading))
    return bool(one and other) and (one in other or other in one)
