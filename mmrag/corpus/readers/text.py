"""Read plain text: paragraphs by blank lines, underlined headings, tables and code as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmrag.core.errors import Empty
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, BlockKind, Format, Reading
from mmrag.core.types import Part, Source, Span
from mmrag.corpus.readers.decode import decode, read_bytes
from mmrag.corpus.readers.figures import PictureShelf, with_neighbours, worth_keeping
from mmrag.corpus.readers.lines import PlacedText, SourceLine, source_lines
from mmrag.corpus.readers.suffixes import LINES, NAMES, PROSE
from mmrag.corpus.readers.web.directives import Pictured, literal_lines, pictured

_RULE = re.compile(r"([=\-~^\"'`*+#:._])\1{2,}\s*$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\(?\d{1,3}[.)]|\[\d{1,3}\])\s+\S")
_WIDE_GAP = re.compile(r"(?<=\S)(?:(?<![.!?:;,])\s{2,}|\s{3,}|\t+)(?=\S)")
_SHORT_LINE, _WRAPPED_CHARS = 0.6, 30
_MAX_HEADING_CHARS = 120
_MAX_CAPITALS = 80
_MAX_BLOCK_LINES = 400
_REPORT_EVERY = 500
_WITH_PICTURES = frozenset({".rst", ".rest"})


class TextReader:
    """Reads plain text, reStructuredText with its figures, configuration, logs and source code."""

    name = "text"
    version = 3
    formats = (Format("text/plain", "a text", (".txt", *sorted((PROSE | LINES) - {".txt"})), names=NAMES),)
    about = (
        About(
            "Text, reStructuredText, logs, code, configuration",
            "paragraphs, headings, lists, drawn tables; figures of reStructuredText",
            "an encoding that is not given is guessed, with a note",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a text file; spans count the characters of the decoded file.

        Raises:
            Corrupt: It is binary.
            Empty: It holds nothing but spaces.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        decoded = decode(read_bytes(path, context.limits), name=source.id)
        suffix = path.suffix.lower()
        context.progress(0, len(decoded.text))
        lines = source_lines(decoded.text)
        shelf = PictureShelf(source, context)
        if suffix in LINES:
            blocks = list(_told(_as_it_stands(lines), len(decoded.text), context))
        else:
            prose = _prose(lines, shelf if suffix in _WITH_PICTURES else None)
            blocks = with_neighbours(list(_told(prose, len(decoded.text), context)))
        problems = decoded.problems + shelf.problems()
        if not blocks and not problems:
            raise Empty(
                "The file holds only spaces.", fix="Nothing to do, or restore its content.", where=source.id
            )
        first = blocks[0] if blocks else None
        return Reading(
            tuple(blocks),
            title=first.text if first and first.kind == "heading" else "",
            blobs=tuple(shelf.blobs.values()),
            problems=problems,
            depends=tuple(sorted(shelf.depends)),
        )


def _told(blocks: Iterable[Block], total: int, context: ReadContext) -> Iterator[Block]:
    """Yield blocks, and say from time to time how many of the file's characters they have come to."""
    for i, block in enumerate(blocks):
        if i % _REPORT_EVERY == 0 and isinstance(block.locator, Span):
            context.progress(block.locator.end, total)
        yield block


def _as_it_stands(lines: Sequence[SourceLine]) -> Iterator[Block]:
    group: list[SourceLine] = []
    for line in lines:
        if line.is_blank:
            if group:
                yield _block("code", group, keep=True)
                group = []
            continue
        group.append(line)
        if len(group) >= _MAX_BLOCK_LINES:
            yield _block("code", group, keep=True)
            group = []
    if group:
        yield _block("code", group, keep=True)


def _prose(lines: Sequence[SourceLine], shelf: PictureShelf | None) -> Iterator[Block]:
    levels: list[str] = []
    group: list[SourceLine] = []
    literal = literal_lines(lines) if shelf else set()
    i = 0
    while i < len(lines):
        line = lines[i]
        if line.is_blank:
            if group:
                yield _paragraph(group)
                group = []
            i += 1
            continue
        if shelf and i not in literal and (picture := pictured(lines, i)):
            if group:
                yield _paragraph(group)
                group = []
            yield from _figure(picture, Span(line.start, lines[picture.end - 1].end), shelf)
            i = picture.end
            continue
        heading = _heading(lines, i) if not group and i not in literal else None
        if heading:
            words, style, i = heading
            if style not in levels:
                levels.append(style)
            part = _joined([words], keep=False).part()
            yield Block("heading", Span(words.start, words.end), (part,), level=levels.index(style) + 1)
            continue
        group.append(line)
        i += 1
        if len(group) >= _MAX_BLOCK_LINES:
            yield _paragraph(group)
            group = []
    if group:
        yield _paragraph(group)


def _figure(picture: Pictured, span: Span, shelf: PictureShelf) -> Iterator[Block]:
    """Yield a picture with its caption, and its legend; only the words where there is no such picture."""
    words = _joined(picture.caption, keep=False).part("caption") if picture.caption else None
    figure = shelf.figure(picture.link, span, alt=picture.alt)
    if figure is not None:
        image, *others = figure.parts
        yield replace(figure, parts=(image, *([words] if words else []), *others))
    elif picture.caption:
        yield _paragraph(picture.caption)
    elif worth_keeping(picture.alt):
        yield Block("paragraph", span, (Part("text", text=picture.alt),))
    yield from _prose(picture.legend, None)


def _heading(lines: Sequence[SourceLine], i: int) -> tuple[SourceLine, str, int] | None:
    """Return the words of an underlined heading that begins at line i, its style, and the line after it."""
    if _is_capitals(lines, i):
        return lines[i], "", i + 1
    over = _RULE.match(lines[i].text)
    at = i + 1 if over else i
    if at + 1 >= len(lines):
        return None
    words, under = lines[at], _RULE.match(lines[at + 1].text)
    text = words.text.strip()
    if not under or not text or len(text) > _MAX_HEADING_CHARS or _RULE.match(words.text):
        return None
    rule = lines[at + 1].text.strip()
    if over and (over.group(1) != under.group(1)):
        return None
    if len(rule) < max(3, len(text) - 3) or not any(map(str.isalnum, text)):
        return None
    if not over and words.text[:1].isspace():
        return None
    return words, rule[0] + ("^" if over else ""), at + 2


def _is_capitals(lines: Sequence[SourceLine], i: int) -> bool:
    """Whether a line in capitals stands alone above a text."""
    text = lines[i].text.strip()
    alone = i + 2 < len(lines) and lines[i + 1].is_blank and not lines[i + 2].is_blank
    letters = sum(map(str.isalpha, text))
    return (
        alone and text.isupper() and letters >= 4 and len(text) <= _MAX_CAPITALS and text[-1] not in ".!?,;"
    )


def _paragraph(lines: Sequence[SourceLine]) -> Block:
    if all(_ITEM.match(line.text) or line.text[:1].isspace() for line in lines) and _ITEM.match(
        lines[0].text
    ):
        return _block("list", lines, keep=False)
    return _block("paragraph", lines, keep=_is_drawn(lines))


def _is_drawn(lines: Sequence[SourceLine]) -> bool:
    """Whether the line ends matter: columns of spaces, ragged indents, rows of a drawn table."""
    gaps = sum(_WIDE_GAP.search(line.text) is not None or line.text.count("|") > 1 for line in lines)
    if 2 * gaps > len(lines):
        return True
    indents = {len(line.text) - len(line.text.lstrip()) for line in lines[1:]}
    return len(indents) > 2


def _block(kind: BlockKind, lines: Sequence[SourceLine], *, keep: bool) -> Block:
    part = _joined(lines, keep=keep).part()
    return Block(kind, Span(lines[0].start, lines[-1].end), (part,))


def _joined(lines: Sequence[SourceLine], *, keep: bool) -> PlacedText:
    """Join lines by spaces, or by line ends where those matter; each keeps its span."""
    made = PlacedText()
    widest = max(len(line.text) for line in lines)
    for i, line in enumerate(lines):
        words = line.text.rstrip() if keep else line.text.strip()
        if i:
            # A line that ends early was ended on purpose: a label, an address.
            is_short = widest >= _WRAPPED_CHARS and len(lines[i - 1].text) < _SHORT_LINE * widest
            is_short = is_short and not line.text[:1].isspace()
            made.add("\n" if keep or is_short or _ITEM.match(line.text) else " ")
        start = line.start if keep else line.start + len(line.text) - len(line.text.lstrip())
        made.add(words, Span(start, start + len(words)))
    return made
