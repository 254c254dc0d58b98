"""The texts, tables and drawings of OpenDocument files as blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from mmrag.core.errors import SourceError
from mmrag.core.reading import Block
from mmrag.core.types import Locator
from mmrag.corpus.readers.figures import is_caption
from mmrag.corpus.readers.flow import NOWHERE, caption_block, table_block, text_block
from mmrag.corpus.readers.office.package import Package, local, number
from mmrag.corpus.readers.office.pictures import OfficePictures

_OPEN = "urn:oasis:names:tc:opendocument:xmlns:"
OFFICE, TEXT, TABLE, DRAW = (f"{{{_OPEN}{name}:1.0}}" for name in ("office", "text", "table", "drawing"))
STYLE, PRESENTATION, CHART = (f"{{{_OPEN}{name}:1.0}}" for name in ("style", "presentation", "chart"))
SVG, FO = (f"{{{_OPEN}{name}-compatible:1.0}}" for name in ("svg", "xsl-fo"))
HREF = "{http://www.w3.org/1999/xlink}href"
_CREATOR = "{http://purl.org/dc/elements/1.1/}creator"

_CONTENTS = frozenset(
    f"{TEXT}{name}"
    for name in (
        "table-of-content",
        "illustration-index",
        "table-index",
        "object-index",
        "user-index",
        "alphabetical-index",
    )
)
_SKIPPED = frozenset(
    f"{TEXT}{name}"
    for name in (
        "tracked-changes",
        "page-number",
        "page-count",
        "note-citation",
        "ruby-text",
        "sequence-decls",
    )
)
_CAPTIONS = ("Caption", "Illustration", "Figure", "Table", "Drawing")
_SHAPES = frozenset(
    f"{DRAW}{name}"
    for name in (
        "custom-shape",
        "rect",
        "ellipse",
        "circle",
        "line",
        "polyline",
        "polygon",
        "path",
        "connector",
        "caption",
        "text-box",
    )
)
_MAX_REPEATED = 1000
_MAX_STYLES = 20
_REPORT_EVERY = 200


@dataclass(slots=True)
class OpenStory:
    """What all texts of one OpenDocument file share: its styles and its pictures."""

    package: Package
    pictures: OfficePictures
    parents: dict[str, str] = field(default_factory=dict)
    numbered: set[tuple[str, int]] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    title: str = ""
    _notes: int = 0

    def learn(self, root: Element | None) -> None:
        """Take over which style is based on which, and which levels of lists have numbers."""
        for element in root.iter() if root is not None else ():
            if element.tag == f"{STYLE}style":
                name = element.get(f"{STYLE}name", "")
                self.parents[name] = element.get(f"{STYLE}parent-style-name", "")
            elif element.tag == f"{TEXT}list-style":
                name = element.get(f"{STYLE}name", "")
                for level in element.iter(f"{TEXT}list-level-style-number"):
                    if level.get(f"{STYLE}num-format"):
                        self.numbered.add((name, number(level, f"{TEXT}level", 1)))

    def is_styled(self, element: Element, names: tuple[str, ...]) -> bool:
        """Whether an element's style is one of these, or based on one."""
        name = element.get(f"{TEXT}style-name", "")
        for _ in range(_MAX_STYLES):
            if name in names:
                return True
            name = self.parents.get(name, "")
        return False

    def next_mark(self) -> str:
        """Return the mark of one more note."""
        self._notes += 1
        return f"[{self._notes}]"


class OpenWalk:
    """Reads one text: a document's body, a text box, a note, a cell; `locator` is for its pictures."""

    def __init__(self, story: OpenStory, locator: Locator = NOWHERE) -> None:
        self.blocks: list[Block] = []
        self._story = story
        self._locator = locator
        self._after: list[Block] = []

    def run(
        self, elements: Iterable[Element], progress: Callable[[int, int], None] | None = None
    ) -> list[Block]:
        """Return the blocks of some elements, or of one element's content."""
        children = list(elements)
        for i, child in enumerate(children):
            self._take(child)
            if progress and i % _REPORT_EVERY == 0:
                progress(i, len(children))
        return self.blocks

    def _take(self, element: Element) -> None:
        tag = element.tag
        if tag == f"{TEXT}h":
            level = min(max(number(element, f"{TEXT}outline-level", 1), 1), 9)
            self._emit(text_block("heading", " ".join(self._words(element).split()), level=level))
        elif tag == f"{TEXT}p":
            self._paragraph(element)
        elif tag == f"{TEXT}list":
            lines = list(self._list(element, element.get(f"{TEXT}style-name", ""), 1))
            self._emit(text_block("list", "\n".join(lines)))
        elif tag == f"{TABLE}table":
            self._table(element)
        elif tag.startswith(DRAW):
            self._drawn(element)
            self._emit_rest()
        elif tag not in _CONTENTS and tag not in _SKIPPED and tag != f"{OFFICE}annotation":
            for child in element:
                self._take(child)

    def _paragraph(self, element: Element) -> None:
        text = self._words(element)
        lines = "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))
        if self._story.is_styled(element, ("Title",)):
            self._story.title = self._story.title or lines
            self._emit(text_block("heading", " ".join(lines.split()), level=1))
        elif self._story.is_styled(element, ("Preformatted_20_Text", "Source_20_Code", "Source_20_Text")):
            self._emit(text_block("code", text.rstrip()))
        elif self._story.is_styled(element, _CAPTIONS) or (is_caption(lines) and self._after):
            self._emit(caption_block(" ".join(lines.split())))
        else:
            self._emit(text_block("paragraph", lines))

    def _emit(self, block: Block) -> None:
        """Append a block, and behind it what was anchored in its words."""
        if block.text.strip():
            self.blocks.append(block)
        self._emit_rest()

    def _emit_rest(self) -> None:
        self.blocks.extend(self._after)
        self._after = []

    def _words(self, element: Element) -> str:
        return (element.text or "") + "".join(self._word(child) + (child.tail or "") for child in element)

    def _word(self, element: Element) -> str:
        tag = element.tag
        if tag == f"{TEXT}s":
            return " " * min(number(element, f"{TEXT}c", 1), _MAX_REPEATED)
        if tag == f"{TEXT}tab":
            return "\t"
        if tag == f"{TEXT}line-break":
            return "\n"
        if tag == f"{TEXT}note":
            return self._note(element)
        if tag == f"{OFFICE}annotation":
            author = " ".join((element.findtext(_CREATOR) or "").split())
            self._aside(f"Comment by {author}:" if author else "Comment:", element)
            return ""
        if tag in _SKIPPED or tag == f"{OFFICE}annotation-end":
            return ""
        if tag.startswith(DRAW) and tag != f"{DRAW}a":
            self._drawn(element)
            return ""
        return self._words(element)

    def _note(self, element: Element) -> str:
        mark = self._story.next_mark()
        body = element.find(f"{TEXT}note-body")
        if body is not None:
            self._aside(mark, body)
        return mark

    def _aside(self, lead: str, body: Element) -> None:
        """Read a note or comment, to follow the paragraph it is about."""
        blocks = OpenWalk(self._story, self._locator).run(body)
        words = "\n".join(block.text for block in blocks if block.kind != "figure")
        if words.strip():
            self._after.append(text_block("paragraph", f"{lead} {words}"))
        self._after.extend(block for block in blocks if block.kind == "figure")

    def _list(self, element: Element, style: str, level: int) -> Iterator[str]:
        is_numbered = (style, level) in self._story.numbered
        count = 0
        for item in element:
            name = local(item.tag)
            if name not in ("list-item", "list-header"):
                continue
            count = number(item, f"{TEXT}start-value", count + 1) if name == "list-item" else count
            lead = f"{count}. " if is_numbered else "- "
            for child in item:
                if child.tag == f"{TEXT}list":
                    yield from self._list(child, child.get(f"{TEXT}style-name") or style, level + 1)
                    continue
                words = " ".join(self._words(child).split())
                if words:
                    yield f"{'  ' * min(level - 1, 8)}{lead}{words}"
                    lead = "  "

    def _table(self, element: Element) -> None:
        rows: list[list[str]] = []
        nested: list[Block] = []
        below: dict[int, tuple[int, str]] = {}
        heads = sum(1 for _ in element.iterfind(f"{TABLE}table-header-rows/{TABLE}table-row"))
        for row in table_rows(element):
            texts: list[str] = []
            for cell in row:
                column = len(texts)
                blocks = OpenWalk(self._story, self._locator).run(cell)
                nested.extend(b for b in blocks if b.kind in ("table", "figure"))
                text = " ".join(b.text for b in blocks if b.kind not in ("table", "figure"))
                if cell.tag == f"{TABLE}covered-table-cell" and column in below:
                    # Cells merged downwards repeat their text, so that each row can be read alone.
                    left, text = below.pop(column)
                    if left > 1:
                        below[column] = (left - 1, text)
                elif (reach := number(cell, f"{TABLE}number-rows-spanned", 1)) > 1:
                    below[column] = (reach - 1, text)
                repeated = min(number(cell, f"{TABLE}number-columns-repeated", 1), _MAX_REPEATED)
                texts.extend([text] * repeated)
            rows.append(texts)
        if (block := table_block(rows, header_rows=heads or 1)) is not None:
            self.blocks.append(block)
        self.blocks.extend(nested)

    def _drawn(self, element: Element) -> None:
        try:
            self._after.extend(self._shown(element))
        except SourceError as error:
            self._story.left_out[error.message] += 1

    def _shown(self, element: Element) -> Iterator[Block]:
        tag = element.tag
        if tag == f"{DRAW}frame":
            yield from self._frame(element)
        elif tag in _SHAPES:
            yield from OpenWalk(self._story, self._locator).run(element)
        else:
            for child in element:
                yield from self._shown(child)

    def _frame(self, frame: Element) -> Iterator[Block]:
        """Read the first of the copies in a frame that is known: an object goes before its picture."""
        said = (frame.findtext(f"{SVG}{name}") for name in ("title", "desc"))
        alt = " ".join(" ".join(filter(None, said)).split())
        for child in frame:
            if child.tag == f"{DRAW}object":
                try:
                    yield from self._object(child, alt)
                    return
                except SourceError:
                    self._story.left_out["embedded object"] += 1
            elif child.tag == f"{DRAW}image":
                yield from self._image(child, alt)
                return
            elif child.tag in (f"{DRAW}text-box", f"{TABLE}table"):
                content = child if child.tag == f"{DRAW}text-box" else [child]
                yield from OpenWalk(self._story, self._locator).run(content)
                return
            elif local(child.tag) in ("object-ole", "plugin", "applet"):
                self._story.left_out[f"embedded {local(child.tag)}"] += 1

    def _image(self, image: Element, alt: str) -> Iterator[Block]:
        link = image.get(HREF, "").removeprefix("./")
        part = None if not link or ":" in link or link.startswith("..") else link
        yield from self._story.pictures.blocks(part, self._locator, alt=alt)

    def _object(self, element: Element, alt: str) -> Iterator[Block]:
        """Read a document in the document: a chart, an equation, a sheet."""
        link = element.get(HREF, "").removeprefix("./").rstrip("/")
        root = self._story.package.xml(f"{link}/content.xml")
        if local(root.tag) == "math":
            yield text_block("paragraph", " ".join("".join(_symbols(root)).split()))
            return
        chart = root.find(f"{OFFICE}body/{OFFICE}chart/{CHART}chart")
        if chart is None:
            yield from OpenWalk(self._story, self._locator).run(root.iterfind(f"{OFFICE}body/*"))
            return
        title = " ".join(word for e in chart.iterfind(f"{CHART}title") for word in e.itertext())
        kind = chart.get(f"{CHART}class", "").rpartition(":")[2]
        yield text_block("paragraph", "\n".join(filter(None, (f"Chart ({kind}): {title}", alt))))
        yield from OpenWalk(self._story, self._locator).run(chart.iter(f"{TABLE}table"))


def table_rows(table: Element) -> Iterator[Element]:
    """Yield the rows of a table, also those of its header and of groups."""
    for child in table:
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag in (f"{TABLE}table-header-rows", f"{TABLE}table-rows", f"{TABLE}table-row-group"):
            yield from table_rows(child)


def _symbols(element: Element) -> Iterator[str]:
    if local(element.tag).startswith("annotation"):
        return
    yield f" {element.text or ''}"
    for child in element:
        yield from _symbols(child)
