"""Turn the body of a Word document into blocks, in the order of the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element

from mmrag.core.errors import SourceError
from mmrag.core.reading import Block
from mmrag.core.types import Part
from mmrag.corpus.readers.flow import NOWHERE, caption_block, table_block, text_block
from mmrag.corpus.readers.lines import LONG_CELL_CHARS
from mmrag.corpus.readers.office.charts import chart_blocks, diagram_lines
from mmrag.corpus.readers.office.package import MC, M, Package, W, is_on, number
from mmrag.corpus.readers.office.pictures import OfficePictures
from mmrag.corpus.readers.office.word_styles import Numbering, Style, Styles
from mmrag.corpus.readers.office.word_text import Anchored, Inline, equation

_WRAPPERS = frozenset(
    f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag", "txbxContent")
)
_REPORT_EVERY = 200
_MAX_SPAN = 63
"""Word's own limit of columns."""


@dataclass(slots=True)
class Story:
    """What all texts of one document share: styles, counters, notes and pictures."""

    package: Package
    styles: Styles
    numbering: Numbering
    pictures: OfficePictures
    notes: dict[tuple[str, str], tuple[str, Element]] = field(default_factory=dict)
    """Footnotes, endnotes and comments by kind and id: the part that holds each, and the note."""
    marks: dict[tuple[str, str], str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    title: str = ""


@dataclass(slots=True)
class _Cell:
    """A cell of a table: over how many columns it reaches, and whether it continues the one above."""

    blocks: list[Block]
    span: int
    is_below: bool

    @property
    def text(self) -> str:
        return "\n".join(b.text for b in self.blocks if b.kind not in ("table", "figure"))

    @property
    def nested(self) -> list[Block]:
        return [b for b in self.blocks if b.kind in ("table", "figure")]

    @property
    def is_prose(self) -> bool:
        has_heading = any(b.kind == "heading" for b in self.blocks)
        return (has_heading and len(self.blocks) > 1) or len(self.text) > LONG_CELL_CHARS


class BodyWalk:
    """Reads one text of a document: its body, a header, a note, a text box."""

    def __init__(self, story: Story, part: str) -> None:
        self.blocks: list[Block] = []
        self._story = story
        self._part = part
        self._list: list[str] = []
        self._code: list[str] = []

    def run(self, element: Element, progress: Callable[[int, int], None] | None = None) -> list[Block]:
        """Return the blocks of an element's paragraphs and tables."""
        self.blocks = []
        children = list(element)
        for i, child in enumerate(children):
            self._take(child)
            if progress and i % _REPORT_EVERY == 0:
                progress(i, len(children))
        self._flush()
        return self.blocks

    def note_blocks(self, kind: str, ident: str) -> list[Block]:
        """Return a note's paragraphs, the first one with its mark or author; each note is read once."""
        found = self._story.notes.pop((kind, ident), None)
        if found is None:
            return []
        part, element = found
        lead = self._story.marks.get((kind, ident), "")
        if kind == "comment":
            author = " ".join(element.get(f"{W}author", "").split())
            lead = f"Comment by {author}:" if author else "Comment:"
        blocks = BodyWalk(self._story, part).run(element)
        return [_led(lead, blocks[0]), *blocks[1:]] if blocks else []

    def _take(self, element: Element) -> None:
        tag = element.tag
        if tag == f"{W}p":
            self._paragraph(element)
        elif tag == f"{W}tbl":
            self._flush()
            self._table(element)
        elif tag in _WRAPPERS:
            for child in element:
                self._take(child)
        elif tag == f"{MC}AlternateContent":
            copies = list(element)
            if copies:
                before = len(self.blocks)
                for copy in copies:
                    for child in copy:
                        self._take(child)
                    if len(self.blocks) > before:
                        break
        elif tag == f"{W}altChunk":
            self._story.left_out["inserted file"] += 1
        elif tag in (f"{M}oMath", f"{M}oMathPara"):
            self._emit(text_block("paragraph", equation(element)))

    def _paragraph(self, paragraph: Element) -> None:
        style = self._story.styles.of(paragraph)
        inline = Inline()
        inline.read(paragraph, self._story.marks)
        text = inline.text
        label = self._story.numbering.label(style.list_id, style.list_level) if style.list_id else ""
        if text and not style.is_contents:
            self._words(text, inline.raw, style, label)
        self._attached(inline)

    def _words(self, text: str, raw: str, style: Style, label: str) -> None:
        one_line = " ".join(text.split("\n"))
        if style.is_title and not self._story.title:
            self._story.title = one_line
        if style.level:
            numbered = f"{label} {one_line}" if label.strip("-") else one_line
            self._emit(text_block("heading", numbered, level=style.level))
        elif style.is_code:
            self._flush_list()
            self._code.append(raw.rstrip())
        elif style.is_caption:
            self._emit(caption_block(one_line))
        elif label:
            self._flush_code()
            self._list.append(f"{'  ' * min(style.list_level, 8)}{label} {one_line}")
        else:
            self._emit(text_block("paragraph", text))

    def _attached(self, inline: Inline) -> None:
        """Read what is anchored in a paragraph, behind it: pictures, text boxes, notes."""
        for anchored in inline.anchored:
            for block in self._shown(anchored):
                self._emit(block)
        for kind, ident in inline.notes:
            for block in self.note_blocks(kind, ident):
                self._emit(block)

    def _shown(self, anchored: Anchored) -> Iterator[Block]:
        story = self._story
        try:
            if anchored.kind == "box" and anchored.box is not None:
                yield from BodyWalk(story, self._part).run(anchored.box)
            elif anchored.kind == "words":
                yield text_block("paragraph", " ".join(anchored.reference.split()))
            elif anchored.kind == "picture":
                part = story.package.target(self._part, anchored.reference)
                yield from story.pictures.blocks(part, NOWHERE, alt=anchored.alt)
            elif anchored.kind == "object":
                story.left_out[f"embedded object ({anchored.reference})"] += 1
            else:
                yield from self._drawn(anchored)
        except SourceError as error:
            story.left_out[error.message] += 1

    def _drawn(self, anchored: Anchored) -> Iterator[Block]:
        package = self._story.package
        name = package.target(self._part, anchored.reference)
        root = package.optional(name)
        if root is None:
            if name is None:
                self._story.left_out[anchored.kind] += 1
            return
        if anchored.kind == "diagram":
            if lines := diagram_lines(root):
                yield text_block("list", "\n".join(lines))
            return
        yield from chart_blocks(root, anchored.alt)

    def _table(self, table: Element) -> None:
        rows: list[list[_Cell]] = []
        flagged = 0
        for row in _children(table, f"{W}tr"):
            properties = row.find(f"{W}trPr")
            if properties is not None and properties.find(f"{W}del") is not None:
                continue
            rows.append([self._cell(cell) for cell in _children(row, f"{W}tc")])
            is_header = properties is not None and is_on(properties.find(f"{W}tblHeader"), f"{W}val")
            flagged += is_header and flagged == len(rows) - 1
        if max((len(row) for row in rows), default=0) <= 1 or _is_layout(rows):
            for block in (block for row in rows for cell in row for block in cell.blocks):
                self._emit(block)
            return
        whole = table_block(_grid(rows), header_rows=flagged or _header_rows(rows))
        nested = [block for row in rows for cell in row for block in cell.nested]
        for block in ([whole] if whole else []) + nested:
            self._emit(block)

    def _cell(self, cell: Element) -> _Cell:
        properties = cell.find(f"{W}tcPr")
        merge = properties.find(f"{W}vMerge") if properties is not None else None
        span = number(properties.find(f"{W}gridSpan"), f"{W}val", 1) if properties is not None else 1
        is_below = merge is not None and merge.get(f"{W}val", "continue") == "continue"
        return _Cell(BodyWalk(self._story, self._part).run(cell), min(max(span, 1), _MAX_SPAN), is_below)

    def _emit(self, block: Block) -> None:
        if block.kind != "figure" and not block.text.strip():
            return
        self._flush()
        self.blocks.append(block)

    def _flush(self) -> None:
        self._flush_list()
        self._flush_code()

    def _flush_list(self) -> None:
        if self._list:
            self.blocks.append(text_block("list", "\n".join(self._list)))
            self._list.clear()

    def _flush_code(self) -> None:
        if any(self._code):
            self.blocks.append(text_block("code", "\n".join(self._code)))
        self._code.clear()


def _led(lead: str, block: Block) -> Block:
    first = block.parts[0]
    if not lead or first.text is None:
        return block
    parts = (Part("text", text=f"{lead} {first.text}"), *block.parts[1:])
    return replace(block, kind="paragraph", level=0, parts=parts)


def _children(element: Element, tag: str) -> Iterator[Element]:
    """Yield rows or cells, also those inside of content controls."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag in _WRAPPERS:
            yield from _children(child, tag)


def _grid(rows: Sequence[Sequence[_Cell]]) -> Iterator[list[str]]:
    """Yield the texts of each row; merged cells are repeated below, so that each row can be read alone."""
    above: dict[int, str] = {}
    for row in rows:
        texts: list[str] = []
        for cell in row:
            column = len(texts)
            text = above.get(column, "") if cell.is_below else cell.text
            above[column] = text
            texts.extend([text, *[""] * (cell.span - 1)])
        yield texts


def _header_rows(rows: Sequence[Sequence[_Cell]]) -> int:
    """Return how many rows head a table that does not say so: two when the first one has merged cells."""
    return 2 if len(rows) > 2 and len(rows[0]) > 1 and any(cell.span > 1 for cell in rows[0]) else 1


def _is_layout(rows: Sequence[Sequence[_Cell]]) -> bool:
    """Whether a table only arranges a page: its cells hold whole sections."""
    cells = [cell for row in rows for cell in row]
    return 3 * sum(cell.is_prose for cell in cells) > len(cells)
