"""Read Markdown: the words that people see, headings, tables, code and figures, with their spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markdown_it.token import Token

from mmrag.core.errors import Empty
from mmrag.core.fields import ANCHOR
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, BlockKind, Format, Reading
from mmrag.core.types import Scalar, Source, Span
from mmrag.corpus.readers.decode import decode, read_bytes
from mmrag.corpus.readers.figures import PictureShelf, is_caption, with_neighbours, worth_keeping
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText, SourceLine, source_lines
from mmrag.corpus.readers.web.directives import PICTURES, PROSE, UNSEEN, label_of, options_of
from mmrag.corpus.readers.web.front_matter import front_matter
from mmrag.corpus.readers.web.html import fragment_blocks
from mmrag.corpus.readers.web.markdown_dialects import parser_of_dialects
from mmrag.corpus.readers.web.markdown_inline import Inline, Picture, html_pictures, render_inline

_HTML_CAPTION = re.compile(
    r"\s*(?:<(?:p|div|center|sub|small)\b[^>]*>\s*)*<(?:em|i|figcaption)\b", re.IGNORECASE
)
_DIRECTIVE = re.compile(r"\{([\w:-]+)\}[ \t]*(.*)")
_REPORT_EVERY = 500
_MAX_DIRECTIVES = 8
"""Directives in directives; deeper ones are read as code."""


class MarkdownReader:
    """Reads CommonMark with tables, front matter, HTML, and what pandoc, MyST and others add to it."""

    name = "markdown"
    version = 3
    formats = (Format("text/markdown", "a Markdown text", (".md", ".markdown", ".mdown", ".mkd")),)
    about = (
        About(
            "Markdown",
            "headings, lists, tables, code, notes; local pictures and drawings with caption, alt text, "
            "the lines around them and the words in them",
            "pictures on the web",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a Markdown file; spans count the characters of the decoded file.

        Raises:
            Corrupt: It is binary.
            Empty: It holds no words and no pictures.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        decoded = decode(read_bytes(path, context.limits), name=source.id)
        body, front = front_matter(decoded.text)
        shelf = PictureShelf(source, context)
        blocks = with_neighbours(markdown_blocks(body, shelf))
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


def markdown_blocks(text: str, shelf: PictureShelf) -> list[Block]:
    """Return the blocks of a Markdown text without front matter; spans count its characters."""
    # Line numbers stay true: markdown-it counts \r\n, \r and \n as one line end each, as we do.
    walk = _Walk(source_lines(text), shelf)
    walk.run(walk.parser.parse(text))
    return _captioned(walk.blocks)


class _Walk:
    """Turns markdown-it's tokens into blocks."""

    def __init__(self, lines: Sequence[SourceLine], shelf: PictureShelf) -> None:
        self.blocks: list[Block] = []
        self.parser = parser_of_dialects(shelf.context.progress)
        self._lines = lines
        self._shelf = shelf
        self._first_line = 0
        self._depth = 0

    def run(self, tokens: Sequence[Token]) -> None:
        i = 0
        while i < len(tokens):
            if i % _REPORT_EVERY == 0:
                self._shelf.context.progress(i, len(tokens))
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
                if not self._directive(token):
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

    def _figures(self, pictures: Sequence[Picture], span: Span, *, alone: bool) -> None:
        for picture in pictures:
            figure = self._shelf.figure(
                picture.link, span, alt=picture.alt, caption=picture.title, in_vault=picture.in_vault
            )
            if figure:
                self.blocks.append(figure)
            elif alone and worth_keeping(picture.alt):
                words = PlacedText()
                words.add(picture.alt, span)
                self.blocks.append(Block("paragraph", span, (words.part(),)))

    def _directive(self, token: Token) -> bool:
        """Read a fence of MyST such as '```{figure} plan.png'; tell whether it was one for readers."""
        match = _DIRECTIVE.match(token.info)
        name = match.group(1).lower() if match else ""
        if match is None or token.map is None or name not in PICTURES | PROSE | UNSEEN:
            return False
        if name in UNSEEN or self._depth >= _MAX_DIRECTIVES:
            return name in UNSEEN
        title, span = match.group(2).strip(), self._span(token.map)
        lines = token.content.split("\n")
        said, first = options_of(lines)
        inner = self._nested("\n".join(lines[first:]), token.map[0] + 1 + first)
        if name not in PICTURES:
            if label := label_of(name, title):
                self._say(label, self._span([token.map[0], token.map[0] + 1]))
            self.blocks += inner
            return True
        words = inner.pop(0).parts[0] if inner and inner[0].kind == "paragraph" else None
        before = len(self.blocks)
        self._figures([Picture(title, said.get("alt", ""))], span, alone=True)
        figure = self.blocks[-1] if len(self.blocks) > before else None
        if words is not None and figure is not None and figure.kind == "figure":
            image, *others = figure.parts
            self.blocks[-1] = replace(figure, parts=(image, replace(words, role="caption"), *others))
        elif words is not None:
            self.blocks.append(Block("paragraph", span, (words,)))
        self.blocks += inner
        return True

    def _nested(self, text: str, first_line: int) -> list[Block]:
        """Return the blocks of a directive's body, which begins at a line of the text around it."""
        outer = self.blocks, self._first_line
        self.blocks, self._first_line = [], self._first_line + first_line
        self._depth += 1
        self.run(self.parser.parse(text))
        found = self.blocks
        self.blocks, self._first_line = outer
        self._depth -= 1
        return found

    def _say(self, words: str, span: Span) -> None:
        made = PlacedText()
        made.add(words, span)
        self.blocks.append(Block("paragraph", span, (made.part(),)))

    def _code(self, token: Token) -> None:
        if token.map is None:
            return
        first = self._first_line + token.map[0] + (1 if token.type == "fence" else 0)
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
        blocks = fragment_blocks(token.content, self._shelf)
        is_caption_alone = len(blocks) == 1 and _HTML_CAPTION.match(token.content) is not None
        for block in blocks:
            if block.kind == "figure":
                self.blocks.append(replace(block, locator=span, metadata={}))
                continue
            made = PlacedText()
            for i, line in enumerate(block.text.split("\n")):
                made.add("\n" if i else "")
                made.add(line, span)
            metadata: dict[str, Scalar] = {_EMPHASIS: True} if is_caption_alone else dict(block.metadata)
            metadata.pop(ANCHOR, None)
            self.blocks.append(Block(block.kind, span, (made.part(),), level=block.level, metadata=metadata))

    def _list(self, tokens: Sequence[Token]) -> None:
        """Write a list as a line an item; nested ones are indented."""
        made = PlacedText()
        pictures: list[Picture] = []
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
                words = token.content
                if token.type == "html_block":
                    pictures.extend(html_pictures(words))
                    words = "\n".join(block.text for block in fragment_blocks(words))
                elif picture := _figure_of(token):
                    pictures.append(picture)
                    continue
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
        pictures: list[Picture] = []
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
                made.add(" ".join((inline.text.part().text or "").split()), self._span(row))
                first = False
        span = self._span(tokens[0].map)
        part = made.part()
        if part.text:
            self.blocks.append(Block("table", span, (part,)))
        self._figures(pictures, span, alone=False)

    def _inline(self, token: Token) -> Inline:
        return render_inline(token, self._span)

    def _span(self, lines: Sequence[int] | None) -> Span:
        if not lines or not self._lines:
            return Span(0, 0)
        first = min(self._first_line + lines[0], len(self._lines) - 1)
        last = min(max(self._first_line + lines[1] - 1, first), len(self._lines) - 1)
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


def _closing(tokens: Sequence[Token], i: int) -> int:
    depth = 0
    for j in range(i, len(tokens)):
        depth += tokens[j].nesting
        if depth == 0:
            return j
    return len(tokens) - 1


def _figure_of(token: Token) -> Picture | None:
    match = _DIRECTIVE.match(token.info)
    if match is None or match.group(1).lower() not in PICTURES:
        return None
    lines = token.content.split("\n")
    said, first = options_of(lines)
    return Picture(match.group(2).strip(), said.get("alt", ""), " ".join(" ".join(lines[first:]).split()))
