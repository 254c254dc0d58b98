"""Read Markdown: the words that people see, headings, tables, code and figures, with their spans."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from mmrag.core.errors import Empty
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Block, BlockKind, Reading
from mmrag.core.types import Scalar, Source, Span
from mmrag.corpus.readers.decode import decode, read_bytes
from mmrag.corpus.readers.figures import PictureShelf, is_caption, with_neighbours, worth_keeping
from mmrag.corpus.readers.html import fragment_lines
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText, SourceLine, source_lines

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)(?:\r?\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FRONT_LINE = re.compile(r"(title|author|date|description|lang)\s*:\s*(.+)", re.IGNORECASE)
_TAG_IMG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""")
_TARGET = re.compile(r"\([^()=]{1,100}\)=\s*")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_MAX_NESTING = 60


@dataclass(frozen=True, slots=True)
class _Picture:
    link: str
    alt: str
    title: str


@dataclass(slots=True)
class _Inline:
    """The words of one inline token and the pictures among them."""

    text: PlacedText
    pictures: list[_Picture] = field(default_factory=list)
    is_emphasis: bool = False
    has_words: bool = False


class MarkdownReader:
    """Reads CommonMark with tables, strikethrough, front matter and inline HTML."""

    name = "markdown"
    version = 1
    media_types = frozenset({"text/markdown"})

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a Markdown file; spans count the characters of the decoded file.

        Raises:
            Corrupt: It is binary.
            Empty: It holds no words and no pictures.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        decoded = decode(read_bytes(path, context.limits), name=source.id)
        body, front = _front_matter(decoded.text)
        shelf = PictureShelf(source, context)
        walk = _Walk(source_lines(decoded.text), shelf)
        # Line numbers stay true: markdown-it counts \r\n, \r and \n as one line end each, as we do.
        parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
        parser.block.ruler.before("hr", "target", _target, {"alt": ["paragraph", "reference", "blockquote"]})
        walk.run(parser.parse(body))
        blocks = with_neighbours(_captioned(walk.blocks))
        problems = decoded.problems + shelf.problems()
        if not blocks and not problems:
            raise Empty(
                "The file holds no words.", fix="Nothing to do, or restore its content.", where=source.id
            )
        headings = (b for b in blocks if b.kind == "heading")
        title = str(front.pop("title", "")) or min(headings, key=lambda b: b.level, default=None)
        return Reading(
            tuple(blocks),
            title=title if isinstance(title, str) else (title.text if title else ""),
            blobs=tuple(shelf.blobs.values()),
            problems=problems,
            depends=tuple(sorted(shelf.depends)),
            metadata=front,
        )


class _Walk:
    """Turns markdown-it's tokens into blocks."""

    def __init__(self, lines: Sequence[SourceLine], shelf: PictureShelf) -> None:
        self.blocks: list[Block] = []
        self._lines = lines
        self._shelf = shelf

    def run(self, tokens: Sequence[Token]) -> None:
        i = 0
        while i < len(tokens):
            token = tokens[i]
            if token.type in ("bullet_list_open", "ordered_list_open", "table_open"):
                end = _closing(tokens, i)
                make = self._table if token.type == "table_open" else self._list
                make(tokens[i : end + 1])
                i = end
            elif token.type == "inline":
                opened = tokens[i - 1] if i else None
                level = int(opened.tag[1]) if opened and opened.type == "heading_open" else 0
                self._words(token, "heading" if level else "paragraph", level)
            elif token.type in ("fence", "code_block"):
                self._code(token)
            elif token.type == "html_block":
                self._html(token)
            i += 1

    def _words(self, token: Token, kind: BlockKind, level: int) -> None:
        inline = self._inline(token)
        part = inline.text.part()
        span = self._span(token.map)
        if part.text and (inline.has_words or not inline.pictures):
            metadata: dict[str, Scalar] = {_EMPHASIS: True} if inline.is_emphasis else {}
            self.blocks.append(Block(kind, span, (part,), level=level, metadata=metadata))
        self._figures(inline.pictures, span, alone=not inline.has_words)

    def _figures(self, pictures: Sequence[_Picture], span: Span, *, alone: bool) -> None:
        for picture in pictures:
            figure = self._shelf.figure(picture.link, span, alt=picture.alt, caption=picture.title)
            if figure:
                self.blocks.append(figure)
            elif alone and worth_keeping(picture.alt):
                words = PlacedText()
                words.add(picture.alt, span)
                self.blocks.append(Block("paragraph", span, (words.part(),)))

    def _code(self, token: Token) -> None:
        if token.map is None:
            return
        first = token.map[0] + (1 if token.type == "fence" else 0)
        made = PlacedText()
        for i, words in enumerate(token.content.rstrip("\n").split("\n")):
            line = self._lines[first + i] if first + i < len(self._lines) else None
            made.add("\n" if i else "")
            made.add(words.rstrip(), Span(line.start, line.end) if line and words.strip() else None)
        part = made.part()
        if part.text:
            self.blocks.append(Block("code", self._span(token.map), (part,)))

    def _html(self, token: Token) -> None:
        span = self._span(token.map)
        made = PlacedText()
        for i, line in enumerate(fragment_lines(token.content)):
            made.add("\n" if i else "")
            made.add(line, span)
        pictures = _html_pictures(token.content)
        part = made.part()
        if part.text:
            self.blocks.append(Block("paragraph", span, (part,)))
        self._figures(pictures, span, alone=not part.text)

    def _list(self, tokens: Sequence[Token]) -> None:
        """Write a list as a line an item; nested ones are indented."""
        made = PlacedText()
        pictures: list[_Picture] = []
        depth = -1
        marker = ""
        counters: list[int | None] = []
        for token in tokens:
            if token.type in ("bullet_list_open", "ordered_list_open"):
                depth += 1
                counters.append(int(token.attrGet("start") or 1) if token.type[0] == "o" else None)
            elif token.type in ("bullet_list_close", "ordered_list_close"):
                depth -= 1
                counters.pop()
            elif token.type == "list_item_open":
                number = counters[-1]
                marker = "  " * depth + ("- " if number is None else f"{number}. ")
                if number is not None:
                    counters[-1] = number + 1
            elif token.type == "inline":
                inline = self._inline(token)
                pictures.extend(inline.pictures)
                if inline.has_words:
                    made.add(("\n" if made.length else "") + (marker or "  " * (depth + 1)))
                    made.extend(inline.text)
                    marker = ""
            elif token.type in ("fence", "code_block", "html_block") and token.map:
                words = (
                    token.content if token.type != "html_block" else "\n".join(fragment_lines(token.content))
                )
                for row in filter(str.strip, words.split("\n")):
                    made.add("\n" + (marker or "  " * (depth + 1)))
                    made.add(row.strip(), self._span(token.map))
                    marker = ""
        span = self._span(tokens[0].map)
        part = made.part()
        if part.text:
            self.blocks.append(Block("list", span, (part,)))
        self._figures(pictures, span, alone=False)

    def _table(self, tokens: Sequence[Token]) -> None:
        made = PlacedText()
        pictures: list[_Picture] = []
        row: list[int] | None = None
        first = True
        for token in tokens:
            if token.type == "tr_open":
                row, first = token.map, True
                made.add("\n" if made.length else "")
            elif token.type == "inline":
                inline = self._inline(token)
                pictures.extend(inline.pictures)
                made.add("" if first else CELL_SEPARATOR)
                made.add(" ".join(inline.text.part().text.split()), self._span(row))  # type: ignore[union-attr]
                first = False
        span = self._span(tokens[0].map)
        part = made.part()
        if part.text:
            self.blocks.append(Block("table", span, (part,)))
        self._figures(pictures, span, alone=False)

    def _inline(self, token: Token) -> _Inline:
        """Render an inline token; each of its lines keeps its own span where they can be told apart."""
        children = token.children or []
        breaks = sum(child.type in ("softbreak", "hardbreak") for child in children)
        by_line = token.map is not None and breaks == token.map[1] - token.map[0] - 1
        whole = self._span(token.map) if token.map else None
        made = _Inline(PlacedText(), is_emphasis=_all_emphasis(children))
        at = token.map[0] if token.map else 0
        for child in children:
            place = self._span([at, at + 1]) if by_line else whole
            if child.type in ("text", "code_inline", "text_special"):
                made.text.add(child.content, place)
                made.has_words = made.has_words or bool(child.content.strip())
            elif child.type in ("softbreak", "hardbreak"):
                made.text.add("\n" if child.type == "hardbreak" else " ")
                at += 1
            elif child.type == "image":
                title = str(child.attrGet("title") or "")
                made.pictures.append(_Picture(str(child.attrGet("src") or ""), _alt(child), title))
                made.text.add(_alt(child), place)
            elif child.type == "html_inline":
                if _BREAK.match(child.content):
                    made.text.add("\n")
                for picture in _html_pictures(child.content):
                    made.pictures.append(picture)
                    made.text.add(picture.alt, place)
        return made

    def _span(self, lines: Sequence[int] | None) -> Span:
        if not lines or not self._lines:
            return Span(0, 0)
        first = min(lines[0], len(self._lines) - 1)
        last = min(max(lines[1] - 1, first), len(self._lines) - 1)
        while last > first and self._lines[last].is_blank:
            last -= 1
        return Span(self._lines[first].start, self._lines[last].end)


_EMPHASIS = "_emphasis"


def _captioned(blocks: Sequence[Block]) -> list[Block]:
    """Give a figure without caption the line behind it, if that is in italics or says 'Figure 3'."""
    found: list[Block] = []
    for block in blocks:
        is_italic = bool(block.metadata.get(_EMPHASIS))
        block = replace(block, metadata={}) if is_italic else block
        last = found[-1] if found else None
        if (
            last
            and last.kind == "figure"
            and block.kind == "paragraph"
            and (is_italic or is_caption(block.text))
        ):
            image, *others = last.parts
            if not any(part.role == "caption" for part in others):
                caption = replace(block.parts[0], role="caption")
                alike = [p for p in others if p.role != "alt" or (p.text or "") not in (caption.text or "")]
                found[-1] = replace(last, parts=(image, caption, *alike))
                continue
        found.append(block)
    return found


def _target(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
    """Step over MyST's names for what follows: '(ssl-certificates)=' alone on a line."""
    if state.is_code_block(line):
        return False
    if not _TARGET.fullmatch(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]):
        return False
    if not silent:
        state.line = line + 1
    return True


def _front_matter(text: str) -> tuple[str, dict[str, Scalar]]:
    """Return the text with its front matter blanked line by line, and what that said."""
    match = _FRONT_MATTER.match(text)
    if not match or ":" not in match.group(1):
        return text, {}
    said: dict[str, Scalar] = {}
    for line in match.group(1).splitlines():
        if found := _FRONT_LINE.match(line):
            said[found.group(1).lower()] = found.group(2).strip().strip("\"'")
    blank = re.sub(r"[^\r\n]", "", match.group(0))
    return blank + text[match.end() :], said


def _closing(tokens: Sequence[Token], i: int) -> int:
    depth = 0
    for j in range(i, len(tokens)):
        depth += tokens[j].nesting
        if depth == 0:
            return j
    return len(tokens) - 1


def _all_emphasis(children: Sequence[Token]) -> bool:
    return len(children) >= 3 and children[0].type == "em_open" and children[-1].type == "em_close"


def _alt(token: Token) -> str:
    def words(children: Sequence[Token]) -> Iterator[str]:
        for child in children:
            yield (
                " "
                if child.type.endswith("break")
                else child.content
                if child.type != "image"
                else _alt(child)
            )

    return " ".join("".join(words(token.children or [])).split())


def _html_pictures(html: str) -> list[_Picture]:
    found = []
    for tag in _TAG_IMG.findall(html):
        said = {m[0].lower(): m[1] or m[2] or m[3] for m in _ATTRIBUTE.findall(tag)}
        if said.get("src"):
            found.append(_Picture(said["src"], said.get("alt", ""), said.get("title", "")))
    return found
