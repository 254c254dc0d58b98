"""Turn the shapes of one slide into blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element

from mmrag.core.errors import SourceError
from mmrag.core.reading import Block, BlockKind
from mmrag.core.types import Page, Part, Place, Scalar
from mmrag.corpus.readers.flow import table_block, text_block
from mmrag.corpus.readers.office.charts import chart_blocks, diagram_lines
from mmrag.corpus.readers.office.package import DGM, MC, A, M, P, Package, R, is_on, local, number
from mmrag.corpus.readers.office.pictures import OfficePictures
from mmrag.corpus.readers.office.slide_shapes import Shape
from mmrag.corpus.readers.office.word_text import equation

_LISTS = ("body", "obj")
_FILMS = ("videoFile", "audioFile", "quickTimeFile", "wavAudioFile", "audioCd")
_BROKEN = (SourceError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What one broken shape may raise; the others are read all the same."""


@dataclass(slots=True)
class SlideBlocks:
    """Reads the shapes of one slide; `left_out` counts those that could not be read, by reason."""

    package: Package
    part: str
    slide: int
    pictures: OfficePictures
    metadata: dict[str, Scalar]
    left_out: Counter[str] = field(default_factory=Counter)

    def of(self, shape: Shape) -> list[Block]:
        """Return what a shape shows; an unreadable one is counted."""
        try:
            blocks = list(self._read(shape))
        except _BROKEN as error:
            reason = error.message if isinstance(error, SourceError) else f"broken {local(shape.element.tag)}"
            self.left_out[reason] += 1
            return []
        return [self.placed(block, Page(self.slide, shape.box)) for block in blocks]

    def placed(self, block: Block, locator: Page) -> Block:
        """Return a block at its place on the slide."""
        metadata = {**self.metadata, **block.metadata}
        if block.kind == "figure":
            return replace(block, metadata=metadata)
        parts = tuple(_placed(part, locator) for part in block.parts)
        return replace(block, locator=locator, parts=parts, metadata=metadata)

    def _read(self, shape: Shape) -> Iterator[Block]:
        element = shape.element
        if any(local(e.tag) in _FILMS for e in element.iterfind(f"*/{P}nvPr/*")):
            self.left_out["film or sound"] += 1
        if element.tag == f"{P}pic":
            yield from self._picture(shape, element.find(f"{P}blipFill/{A}blip"))
        elif element.tag == f"{P}graphicFrame":
            yield from self._frame(shape)
        elif element.tag == f"{P}contentPart":
            self.left_out["ink"] += 1
        else:
            yield from _texts(shape)
            # Pictures that fill a shape; textures have no such relation of their own.
            blip = element.find(f"{P}spPr/{A}blipFill/{A}blip")
            if blip is not None:
                yield from self._picture(shape, blip)

    def _picture(self, shape: Shape, blip: Element | None) -> Iterator[Block]:
        part = self.package.target(self.part, None if blip is None else blip.get(f"{R}embed"))
        yield from self.pictures.blocks(part, Page(self.slide, shape.box), alt=shape.alt)

    def _frame(self, shape: Shape) -> Iterator[Block]:
        """Read what another program put into the slide: a table, a chart, a diagram, a file."""
        for element in shape.element.iter():
            name = local(element.tag)
            if element.tag == f"{A}tbl":
                yield from _table(element)
                return
            if name == "chart" and element.get(f"{R}id"):
                root = self._target(element.get(f"{R}id", ""), "chart")
                yield from chart_blocks(root, shape.alt) if root is not None else ()
                return
            if element.tag == f"{DGM}relIds":
                root = self._target(element.get(f"{R}dm", ""), "diagram")
                if root is not None and (lines := diagram_lines(root)):
                    yield text_block("list", "\n".join(lines))
                return
            if name == "oleObj":
                self.left_out[f"embedded object ({element.get('progId', 'unknown')})"] += 1
                blip = next(shape.element.iter(f"{A}blip"), None)
                if blip is not None and blip.get(f"{R}embed"):
                    yield from self._picture(shape, blip)
                return

    def _target(self, relation: str, kind: str) -> Element | None:
        name = self.package.target(self.part, relation)
        if name is None:
            self.left_out[f"{kind} without content"] += 1
        return self.package.optional(name)


def text_lines(body: Element | None) -> list[tuple[int, str]]:
    """Return the paragraphs of a text with their levels of indentation, empty ones left out."""
    found: list[tuple[int, str]] = []
    for paragraph in body.iter(f"{A}p") if body is not None else ():
        words = "".join(_pieces(paragraph))
        level = number(paragraph.find(f"{A}pPr"), "lvl")
        lines = [" ".join(line.split()) for line in words.split("\n")]
        found.extend((level, line) for line in lines if line)
    return found


def _pieces(element: Element) -> Iterator[str]:
    for child in element:
        tag = child.tag
        if tag == f"{A}r":
            yield child.findtext(f"{A}t") or ""
        elif tag == f"{A}br":
            yield "\n"
        elif tag == f"{A}fld" and child.get("type") != "slidenum":
            yield child.findtext(f"{A}t") or ""
        elif tag in (f"{M}oMath", f"{M}oMathPara") or local(tag) == "m":
            yield f" {equation(child)} "
        elif tag == f"{MC}AlternateContent":
            yield from next(filter(None, (list(_pieces(copy)) for copy in child)), ())


def _texts(shape: Shape) -> Iterator[Block]:
    lines = text_lines(shape.element.find(f"{P}txBody"))
    if not lines:
        return
    if shape.is_title:
        yield text_block("heading", " ".join(line for _, line in lines), level=1)
        return
    kind: BlockKind = "list" if shape.role in _LISTS and len(lines) > 1 else "paragraph"
    lead = "- " if kind == "list" else ""
    yield text_block(kind, "\n".join(f"{'  ' * min(level, 8)}{lead}{line}" for level, line in lines))


def _table(table: Element) -> Iterator[Block]:
    rows: list[list[str]] = []
    for row in table.iter(f"{A}tr"):
        texts: list[str] = []
        for column, cell in enumerate(row.findall(f"{A}tc")):
            above = rows[-1][column] if rows and column < len(rows[-1]) else ""
            own = " ".join(line for _, line in text_lines(cell.find(f"{A}txBody")))
            # Cells merged downwards repeat their text, so that each row can be read alone.
            texts.append(above if is_on(cell, "vMerge", default=False) and not own else own)
        rows.append(texts)
    has_header = is_on(table.find(f"{A}tblPr"), "firstRow", default=False)
    if (block := table_block(rows, header_rows=1 if has_header else 0)) is not None:
        yield block


def _placed(part: Part, locator: Page) -> Part:
    if not part.text:
        return part
    places = []
    start = 0
    for line in part.text.split("\n"):
        if line.strip():
            places.append(Place(start, start + len(line), locator))
        start += len(line) + 1
    return replace(part, places=tuple(places))
