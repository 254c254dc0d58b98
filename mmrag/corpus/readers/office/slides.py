"""Read presentations slide by slide: texts with their places, tables, charts, pictures, speaker notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmrag.core.errors import Empty
from mmrag.core.fields import PLACE
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Format, PageCoverage, Reading
from mmrag.core.types import Page, Source
from mmrag.corpus.readers.figures import with_neighbours
from mmrag.corpus.readers.flow import text_block
from mmrag.corpus.readers.office.package import P, Package, R, is_on, local, number, open_package
from mmrag.corpus.readers.office.pictures import OfficePictures, coverage_of
from mmrag.corpus.readers.office.slide_blocks import SlideBlocks, text_lines
from mmrag.corpus.readers.office.slide_shapes import Layout, shapes_of
from mmrag.corpus.readers.sentences import counted

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_SUFFIXES = (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm")
_USUAL_WIDTH, _USUAL_HEIGHT = 12_192_000, 6_858_000


class SlidesReader:
    """Reads the XML of PowerPoint presentations as it stands in them."""

    name = "slides"
    version = 1
    formats = (Format(_MEDIA_TYPE, "a presentation", _SUFFIXES, rb"PK\x03\x04"),)
    about = (
        About(
            "PowerPoint (.pptx, .pptm, .ppsx)",
            "each slide's title, texts with their places, tables, values of charts, SmartArt, speaker notes, "
            "comments; pictures with alt text and the words in them; hidden slides too",
            "embedded files, EMF drawings, films and sounds; what only the master shows",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a presentation; a slide is a page.

        Raises:
            Corrupt: It is torn, or another kind of file.
            Encrypted: It needs a password.
            Empty: It has no slides, or nothing on them.
            TooLarge: It exceeds a limit.
        """
        with open_package(path, source, context.limits) as package:
            return _Deck(package, context).read()


@dataclass(slots=True)
class _Deck:
    package: Package
    context: ReadContext
    pictures: OfficePictures = field(init=False)
    left_out: Counter[str] = field(default_factory=Counter)
    _layouts: dict[str, Layout] = field(default_factory=dict)
    _footers: set[str] = field(default_factory=set)
    _authors: dict[str, str] = field(default_factory=dict)
    _width: int = _USUAL_WIDTH
    _height: int = _USUAL_HEIGHT

    def __post_init__(self) -> None:
        self.pictures = OfficePictures(self.package, self.context)

    def read(self) -> Reading:
        name, root = self.package.main(f"{P}presentation", "a presentation")
        size = root.find(f"{P}sldSz")
        self._width = max(number(size, "cx", _USUAL_WIDTH), 1)
        self._height = max(number(size, "cy", _USUAL_HEIGHT), 1)
        self._authors = self._named(name)
        slides = [
            self.package.target(name, entry.get(f"{R}id")) for entry in root.iterfind(f"{P}sldIdLst/{P}sldId")
        ]
        limit = self.context.limits.max_pages
        problems = []
        if len(slides) > limit:
            problems.append(f"Slides from {limit + 1} on were left out: the limit is {limit}.")
        blocks: list[Block] = []
        coverage: list[PageCoverage] = []
        own_title = ""
        for at, part in enumerate(slides[:limit], 1):
            try:
                made = list(self._slide(at, part))
            except RecursionError:
                self.left_out["slide nested too deeply"] += 1
                made = []
            coverage.append(coverage_of(at, [b for b in made if "is_made_up" not in b.metadata]))
            if not own_title and made and "is_made_up" not in made[0].metadata:
                own_title = next((b.text for b in made if b.kind == "heading"), "")
            blocks.extend(_plain(block) for block in made)
            self.context.progress(at, len(slides))
        problems += [*self.pictures.problems(), *self.package.problems]
        if self.left_out:
            problems.append(counted("shape", self.left_out))
        if not any(page.text or page.figures for page in coverage) and not problems:
            raise Empty(
                "There is nothing on the slides.",
                fix="Nothing to do, or restore its content.",
                where=self.package.source.id,
            )
        title, metadata = self.package.properties()
        return Reading(
            tuple(with_neighbours(blocks)),
            title=title or own_title,
            blobs=tuple(self.pictures.blobs.values()),
            pages=tuple(coverage),
            problems=tuple(problems),
            metadata=metadata,
        )

    def _slide(self, at: int, part: str | None) -> Iterator[Block]:
        root = self.package.optional(part)
        if root is None or part is None:
            if part is None:
                self.left_out["missing slide"] += 1
            return
        is_hidden = not is_on(root, "show")
        place = f"slide {at} (hidden)" if is_hidden else f"slide {at}"
        reader = SlideBlocks(self.package, part, at, self.pictures, {PLACE: place}, self.left_out)
        shapes = shapes_of(root, self._layout(part))
        blocks = [b for shape in shapes if not shape.is_frame for b in reader.of(shape)]
        if not any(block.kind == "heading" for block in blocks):
            heading = text_block("heading", f"Slide {at}", level=1, metadata={"is_made_up": True})
            yield reader.placed(heading, Page(at))
        yield from blocks
        for footer in (b for shape in shapes if shape.role == "ftr" for b in reader.of(shape)):
            if footer.text not in self._footers:
                self._footers.add(footer.text)
                yield footer
        for words in (*self._notes(part), *self._comments(part)):
            yield reader.placed(text_block("paragraph", words), Page(at))

    def _layout(self, slide: str) -> Layout:
        name = next(iter(self.package.related(slide, "slideLayout")), "")
        if name not in self._layouts:
            layout = Layout(self._width, self._height)
            layout.learn(self.package.optional(name or None))
            for master in self.package.related(name, "slideMaster") if name else ():
                layout.learn(self.package.optional(master))
            self._layouts[name] = layout
        return self._layouts[name]

    def _notes(self, slide: str) -> Iterator[str]:
        for name in self.package.related(slide, "notesSlide"):
            root = self.package.optional(name)
            shapes = root.iter(f"{P}sp") if root is not None else ()
            for shape in shapes:
                holder = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph")
                if holder is None or holder.get("type", "body") == "body":
                    lines = [line for _, line in text_lines(shape.find(f"{P}txBody"))]
                    if lines:
                        yield "Notes: " + "\n".join(lines)

    def _comments(self, slide: str) -> Iterator[str]:
        """Yield the comments of a slide, those of older programs and those in threads."""
        for name in self.package.related(slide, "comments"):
            root = self.package.optional(name)
            for comment in root.iter() if root is not None else ():
                if local(comment.tag) not in ("cm", "reply"):
                    continue
                body = next((e for e in comment if local(e.tag) in ("txBody", "text")), None)
                words = "" if body is None else (body.text or "").strip()
                words = words or " ".join(line for _, line in text_lines(body))
                if words:
                    author = self._authors.get(comment.get("authorId", ""), "")
                    yield f"Comment by {author}: {words}" if author else f"Comment: {words}"

    def _named(self, name: str) -> dict[str, str]:
        roots = [
            self.package.optional(part)
            for kind in ("commentAuthors", "authors")
            for part in self.package.related(name, kind)
        ]
        return {
            author.get("id", ""): " ".join(author.get("name", "").split())
            for root in roots
            if root is not None
            for author in root
        }


def _plain(block: Block) -> Block:
    return replace(block, metadata={k: v for k, v in block.metadata.items() if k != "is_made_up"})
