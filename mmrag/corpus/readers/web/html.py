"""Read HTML: the words of the page without its frame, tables by rows, figures, anchors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mmrag.core.errors import Empty
from mmrag.core.fields import ANCHOR
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, BlockKind, Format, Reading
from mmrag.core.types import Part, Place, Scalar, Source, Span
from mmrag.corpus.readers.decode import Decoded, decode, read_bytes
from mmrag.corpus.readers.figures import PictureShelf, with_neighbours, worth_keeping
from mmrag.corpus.readers.lines import CELL_SEPARATOR
from mmrag.corpus.readers.web.html_table import header_rows, is_layout, table_rows
from mmrag.corpus.readers.web.html_text import (
    BLOCKS,
    HEADINGS,
    INLINE_BREAKS,
    attribute,
    events,
    figure_around,
    is_shown,
    is_skipped,
    is_unseen,
    squeeze,
    text_of,
)
from mmrag.corpus.readers.web.html_tree import parse_page
from mmrag.corpus.table_marks import HEADER_ROWS

_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""<\?xml[^>]+encoding\s*=\s*["']([a-zA-Z0-9_.-]+)""")
_HEAD_BYTES = 4096
_MIN_MAIN_CHARS = 200
_SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)\b)([a-zA-Z][\w:.-]*)(\s[^<>]*?)?/>"
)
_LINE_BREAK = "\x0b"
"""Stands for <br> until spaces are squeezed; the HTML standard knows no such character."""
_REPORT_EVERY = 2000
_MAX_INDENT = 20
"""Of lists in lists: without this, an item of five bytes gets a line of a thousand."""
_MAX_TABLE_DEPTH = 4
"""Looking for tables in tables costs the square of their depth; deeper ones are read as plain page."""
_OBJECTS = ("object", "embed")
_PICTURES = ("img", "image", *_OBJECTS)
_PICTURE_LINK = re.compile(r"\.(?:svg|png|jpe?g|gif|webp)(?:[?#].*)?$", re.IGNORECASE)
_DRAWN = ("svg", *_PICTURES)
_LINKS = ("src", "data-src", "data", "xlink:href", "href")
_DRAWN_WORDS = "text, foreignObject"
_SVG_NAMESPACE = "http://www.w3.org/2000/svg"
_META = {"author": "author", "description": "description", "date": "created"}


class HtmlReader:
    """Reads HTML and XHTML with lexbor."""

    name = "html"
    version = 3
    formats = (
        Format("text/html", "a web page", (".html", ".htm")),
        Format("application/xhtml+xml", "a web page", (".xhtml",)),
    )
    about = (
        About(
            "HTML",
            "words, headings, tables, lists, code; local pictures, drawings with caption, alt text and words",
            "navigation, page frames and scripts; pictures on the web",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a web page; spans count the characters of the blocks' texts, two more between blocks.

        Raises:
            Corrupt: It is binary.
            Empty: It holds no words and no pictures.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        decoded = decode_html(read_bytes(path, context.limits), source.id)
        is_xml = source.media_type == "application/xhtml+xml"
        context.progress(0, 0)
        tree = parse_page(as_html(decoded.text) if is_xml else decoded.text)
        shelf = PictureShelf(source, context)
        blocks = with_neighbours(page_blocks(tree, shelf))
        problems = decoded.problems + shelf.problems()
        if not blocks and not problems:
            raise Empty(
                "The page holds no words.", fix="Nothing to do, or restore its content.", where=source.id
            )
        title = tree.css_first("head > title") or tree.css_first("title")
        metadata: dict[str, Scalar] = {}
        for node in tree.css("head > meta[name][content]"):
            if (key := _META.get(attribute(node, "name").lower())) and attribute(node, "content").strip():
                metadata.setdefault(key, squeeze(attribute(node, "content")))
        first = next((b.text for b in blocks if b.kind == "heading"), "")
        return Reading(
            tuple(blocks),
            title=squeeze(title.text()) if title is not None and title.text().strip() else first,
            blobs=tuple(shelf.blobs.values()),
            problems=problems,
            depends=tuple(sorted(shelf.depends)),
            metadata=metadata,
        )


def decode_html(data: bytes, name: str) -> Decoded:
    """Decode a page by byte order mark, its own declaration, UTF-8, Windows-1252."""
    match = _CHARSET.search(data[:_HEAD_BYTES]) or _XML.search(data[:_HEAD_BYTES])
    declared = match.group(1).decode("ascii").lower() if match else ""
    # As browsers do: pages that say latin-1 or ASCII are written in Windows-1252.
    declared = "cp1252" if declared in ("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii") else declared
    if declared.startswith("utf-16"):
        declared = ""  # a page whose declaration can be read as ASCII is not UTF-16
    return decode(data, name=name, declared="utf-8" if declared == "utf8" else declared)


def as_html(text: str) -> str:
    """Return XHTML as HTML, which knows no `<title/>`: it would take all that follows for the title."""
    return _SELF_CLOSED.sub(r"<\1\2></\1>", text)


def page_blocks(tree: LexborHTMLParser, shelf: PictureShelf | None, *, has_frame: bool = True) -> list[Block]:
    """Return the blocks of a page; without a shelf its pictures are only their alternative texts.

    `has_frame` tells whether a site's frame may be around the words; it is read only if there are no others.
    """
    body = tree.body or tree.root
    if body is None:
        return []
    if has_frame:
        walk = _Walk(shelf, is_skipped)
        walk.run(_content(tree, body))
        if any(block.text for block in walk.blocks):
            return walk.blocks
    walk = _Walk(shelf, is_unseen)
    walk.run(body)
    return walk.blocks


def fragment_blocks(html: str, shelf: PictureShelf | None = None) -> list[Block]:
    """Return the blocks of a piece of HTML, such as that in Markdown and in notebooks."""
    tree = parse_page(f"<body>{html}")
    walk = _Walk(shelf, is_unseen)
    if tree.body is not None:
        walk.run(tree.body)
    return walk.blocks


def without_spans(block: Block) -> Block:
    """Return a block that becomes part of a larger text, without its places in its own."""
    parts = [
        replace(part, places=()) if part.places and isinstance(part.places[0].locator, Span) else part
        for part in block.parts
    ]
    return replace(block, parts=tuple(parts))


def _content(tree: LexborHTMLParser, body: LexborNode) -> LexborNode:
    """Return the element that holds the page's own words, if the page says which."""
    for selector in ("main", "[role=main]", "article"):
        found = [node for node in tree.css(selector) if not is_skipped(node)]
        if len(found) == 1 and len(squeeze(text_of(found[0]))) >= _MIN_MAIN_CHARS:
            return found[0]
    return body


class _Walk:
    """Turns elements into blocks, without recursion: hostile pages nest without end."""

    def __init__(self, shelf: PictureShelf | None, skip: Callable[[LexborNode], bool]) -> None:
        self.blocks: list[Block] = []
        self._skip = skip
        self._shelf = shelf
        self._at = 0
        self._anchor = ""
        self._buffer: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._level = 0
        self._list_lines: list[str] = []
        self._lists: list[int | None] = []
        self._captions: set[int] = set()
        self._tables = 0

    def run(self, root: LexborNode) -> None:
        for i, (opens, node) in enumerate(events(root, self._skips), 1):
            if i % _REPORT_EVERY == 0 and self._shelf is not None:
                self._shelf.context.progress(len(self.blocks), 0)
            tag = node.tag or ""
            if tag == "-text":
                if opens:
                    self._buffer.append(node.text(deep=False) or "")
                continue
            if opens:
                self._opened(node, tag)
            else:
                self._closed(tag)
        self._flush()
        self._end_list()

    def _skips(self, node: LexborNode) -> bool:
        """Handle what is read as a whole; tell whether the walk stays out of an element."""
        tag = node.tag or ""
        if node.mem_id in self._captions or (self._skip(node) and tag not in _DRAWN):
            return True
        if tag == "pre":
            self._note_anchor(node)
            self._flush()
            self._end_list()
            self._emit("code", node.text().strip("\n").rstrip())
            return True
        if tag == "table" and self._tables < _MAX_TABLE_DEPTH and not is_layout(node):
            self._note_anchor(node)
            self._flush()
            self._end_list()
            self._table(node)
            return True
        if tag in _PICTURES:
            # What stands within an object is for those who cannot see it.
            return self._picture(node) or tag != "object"
        if tag == "svg":
            self._drawing(node)
            return True
        return False

    def _opened(self, node: LexborNode, tag: str) -> None:
        if tag in BLOCKS:
            self._flush()
        self._note_anchor(node)
        self._tables += tag == "table"
        if tag in HEADINGS:
            self._end_list()
            self._kind, self._level = "heading", HEADINGS[tag]
        elif tag in ("ul", "ol"):
            start = attribute(node, "start")
            first = int(start) if start.isdecimal() else 1
            self._lists.append(first if tag == "ol" else None)
        elif tag == "li":
            number = self._lists[-1] if self._lists else None
            if self._lists and number is not None:
                self._lists[-1] = number + 1
            indent = "  " * min(max(len(self._lists) - 1, 0), _MAX_INDENT)
            self._list_lines.append(indent + ("- " if number is None else f"{number}. "))
        elif tag in INLINE_BREAKS:
            self._buffer.append(_LINE_BREAK if tag == "br" else " ")

    def _closed(self, tag: str) -> None:
        if tag in BLOCKS:
            self._flush()
        self._tables -= tag == "table"
        if tag in HEADINGS:
            self._kind, self._level = "paragraph", 0
        elif tag in ("ul", "ol"):
            if self._lists:
                self._lists.pop()
            if not self._lists:
                self._end_list()
        elif tag in INLINE_BREAKS and tag != "br":
            self._buffer.append(" ")

    def _flush(self) -> None:
        text = "\n".join(filter(None, (squeeze(line) for line in "".join(self._buffer).split(_LINE_BREAK))))
        self._buffer.clear()
        if not text:
            return
        if self._lists or self._list_lines:
            one = " ".join(text.split("\n"))
            last = self._list_lines[-1] if self._list_lines else ""
            if last.endswith(("- ", ". ")) and not last.strip(" -0123456789."):
                self._list_lines[-1] += one
            else:
                self._list_lines.append("  " * min(max(len(self._lists), 1), _MAX_INDENT) + one)
            return
        kind = "heading" if self._level else self._kind
        self._emit(kind, " ".join(text.split("\n")) if kind == "heading" else text, level=self._level)

    def _end_list(self) -> None:
        lines = [line.rstrip() for line in self._list_lines if line.strip(" -0123456789.")]
        self._list_lines.clear()
        if lines:
            self._emit("list", "\n".join(lines))

    def _table(self, node: LexborNode) -> None:
        caption, rows, is_whole = table_rows(node, self._skip)
        if self._shelf is not None and not is_whole:
            self._shelf.cut_tables += 1
        if caption:
            self._emit("paragraph", caption)
        lines = [CELL_SEPARATOR.join(row.cells) for row in rows]
        self._emit("table", "\n".join(lines), metadata={HEADER_ROWS: header_rows(rows)})
        for image in node.css("img"):
            self._picture(image, in_text=False)

    def _picture(self, node: LexborNode, *, in_text: bool = True) -> bool:
        """Take a picture, or its alternative text; tell whether there is one."""
        link = next(filter(None, (attribute(node, name) for name in _LINKS)), "")
        if node.tag in _OBJECTS and not (_PICTURE_LINK.search(link) or _is_image(node)):
            return False
        alt = squeeze(attribute(node, "alt"))
        caption = squeeze(attribute(node, "title"))
        if (around := figure_around(node)) is not None:
            caption = squeeze(text_of(around, self._skip))
        span = Span(self._at, self._at)
        figure = self._shelf.figure(link, span, alt=alt, caption=caption) if self._shelf else None
        if figure is not None:
            self._add_figure(figure, around)
        elif in_text and worth_keeping(alt):
            self._buffer.append(f" {alt} ")
        return figure is not None

    def _drawing(self, node: LexborNode) -> None:
        """Take a drawing within the page: the pictures in it, as of a book's cover, or its own words."""
        if self._shelf is None or not is_shown(node):
            return
        for image in node.css("image"):
            self._picture(image, in_text=False)
        if node.css_first(_DRAWN_WORDS) is None:
            return
        span = Span(self._at, self._at)
        around = figure_around(node)
        caption = squeeze(text_of(around, self._skip)) if around is not None else ""
        data = _as_xml(node.html or "").encode()
        if figure := self._shelf.picture(data, span, name="within the page", caption=caption):
            self._add_figure(figure, around)

    def _add_figure(self, figure: Block, caption: LexborNode | None) -> None:
        if caption is not None:
            self._captions.add(caption.mem_id)
        words = "\n".join(part.text for part in figure.parts if part.text)
        span = Span(self._at, self._at + max(len(words), 1))
        metadata: dict[str, Scalar] = {ANCHOR: self._anchor} if self._anchor else {}
        self._at = span.end + 2
        self.blocks.append(Block("figure", span, figure.parts, metadata=metadata))

    def _note_anchor(self, node: LexborNode) -> None:
        name = attribute(node, "id") or (attribute(node, "name") if node.tag == "a" else "")
        if name:
            self._anchor = name

    def _emit(
        self, kind: BlockKind, text: str, *, level: int = 0, metadata: dict[str, Scalar] | None = None
    ) -> None:
        if not text.strip():
            return
        places = tuple(_line_places(text, self._at))
        said: dict[str, Scalar] = dict(metadata or {})
        if self._anchor:
            said[ANCHOR] = self._anchor
        part = Part("text", text=text, places=places)
        span = Span(self._at, self._at + len(text))
        self.blocks.append(Block(kind, span, (part,), level=level, metadata=said))
        self._at += len(text) + 2


def _is_image(node: LexborNode) -> bool:
    return attribute(node, "type").startswith("image/")


def _as_xml(svg: str) -> str:
    """Return a drawing within a page as a file of its own."""
    head, _, rest = svg.partition(">")
    namespace = "" if "xmlns=" in head else f' xmlns="{_SVG_NAMESPACE}"'
    return f"{head}{namespace}>{rest}".replace("&nbsp;", "&#160;")


def _line_places(text: str, at: int) -> Iterator[Place]:
    start = 0
    for line in text.split("\n"):
        if line:
            yield Place(start, start + len(line), Span(at + start, at + start + len(line)))
        start += len(line) + 1
