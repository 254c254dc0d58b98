"""Cut an item's text into the units that an answer may quote: sentences, list items, table rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from mmrag.answer.tables import header_of, is_row, is_rule, listed, readable_row

UnitKind = Literal["sentence", "list", "row"]

_MAX_CHARS = 400
"""A longer unit is no longer an answer: joining lines and lists stops here."""

_WRAPPED_SHARE, _WRAPPED_CHARS = 0.7, 40
"""A line at least this share of its block's longest line was broken by the page's width, if that
longest line is at least so many characters: shorter lines are labels of their own."""

_CELL_CHARS = 60
_TABLE_CAPTION = re.compile(r"(?:table|tab\.|tabelle|tableau|tabla|tabel)\s*\d+\s*[:.]", re.IGNORECASE)
_BULLET = re.compile(r"\s*(?:[-*+•‣▪·\u2013\u2014]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_MARKDOWN_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_ORPHAN_BULLET = re.compile(r"\s*(?:[-*+•‣▪·\u2013\u2014]|\(?\d{1,3}[.)])\s*$")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”’]*")  # noqa: RUF001 (full-width marks are meant)
_STARTS_SENTENCE = re.compile(r"[\"'“‘«(\[]*[^\W_]")  # noqa: RUF001
_TERMINATED = re.compile(r"[.!?…:;。！？][\"'”’»)\]」』]*\s*$")  # noqa: RUF001
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:mr|mrs|ms|dr|prof|st|e\.g|i\.e|vs|cf|z\.b|d\.h|bzw|[A-Z])\.$", re.IGNORECASE
)
_BEFORE_NUMBER = re.compile(
    r"(?:^|[\s(\[])(?:no|nos|nr|fig|figs|abb|tab|eq|sec|ch|vol|art|p|pp|approx|ca|max|min)\.$", re.IGNORECASE
)
_OPEN_WORD = re.compile(
    r"(?:[,\-]|\b(?:a|an|the|of|and|or|to|for|with|in|on|at|by|from|is|are|be|was|not|than|that|which|your))$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Characters `start` to `end` of an item's text that make sense alone.

    `text` is how a person reads it: one line, with the header's words beside a table row's cells.
    `lead` is the sentence that introduces its list, or the caption of its table.
    """

    start: int
    end: int
    text: str
    kind: UnitKind = "sentence"
    lead: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def split(text: str, *, headings: Collection[str] = ()) -> list[Unit]:
    """Cut a text into units.

    Lines that the page's width broke are joined; a sentence that ends in a colon reaches over the
    list it introduces, and each entry of that list is a unit too. Headings, lines in capitals and
    the captions of tables are none.

    Args:
        text: Lines of prose, list entries with their marks, and table rows `a | b | c`.
        headings: Lines to leave out, compared without case and punctuation.
    """
    lines = [line for line in _lines(text) if not _is_heading(line.text, headings)]
    units: list[Unit] = []
    i = 0
    while i < len(lines):
        if is_row(lines[i].text):
            j = i + 1
            while j < len(lines) and (is_row(lines[j].text) or _goes_on_in_cell(lines, j)):
                j += 1
            lead = ""
            if units and _TABLE_CAPTION.match(units[-1].text) and units[-1].end + 2 >= lines[i].start:
                lead = units.pop().text
            units += _rows(lines[i:j], lead)
        elif _BULLET.match(lines[i].text):
            j = _list_end(lines, i)
            units += _list(text, lines[i:j], units)
        elif lines[i].text.strip():
            j = i + 1
            while j < len(lines) and lines[j].text.strip() and not _starts_block(lines[j].text):
                j += 1
            units += _prose(text, lines[i:j])
        else:
            j = i + 1
        i = j
    return [unit for unit in units if not _TABLE_CAPTION.match(unit.text) or unit.text.endswith(".")]


def one_line(text: str) -> str:
    """Return a text on one line; a word that a line's end broke is whole again."""
    return " ".join(re.sub(r"(?<=[a-zß-ÿ])[-\u00ad]\n\s*(?=[a-zß-ÿ])", "", text).split())


def plain(line: str) -> str:
    """Return the words of a heading without case and punctuation."""
    return " ".join("".join(c if c.isalnum() else " " for c in line).casefold().split())


def _is_heading(line: str, headings: Collection[str]) -> bool:
    if _MARKDOWN_HEADING.match(line):
        return True
    words = plain(line)
    if words and words in headings:
        return True
    shouted = line.isupper() and len(words.split()) > 2
    return shouted and not is_row(line) and not re.search(r"\d|[.!?:]\s*$", line)


def _lines(text: str) -> list[_Line]:
    found, start = [], 0
    for line in text.split("\n"):
        found.append(_Line(start, start + len(line), line))
        start += len(line) + 1
    return found


def _starts_block(line: str) -> bool:
    return is_row(line) or bool(_BULLET.match(line)) or bool(_ORPHAN_BULLET.match(line))


def _goes_on_in_cell(lines: list[_Line], i: int) -> bool:
    """Whether line i is the rest of the row above: words of a cell that the page's width broke."""
    line = lines[i].text.strip()
    between = i + 1 < len(lines) and is_row(lines[i + 1].text) and is_row(lines[i - 1].text)
    return bool(line) and between and not _BULLET.match(line) and len(line) <= _CELL_CHARS


def _rows(lines: list[_Line], lead: str) -> Iterator[Unit]:
    rows: list[_Line] = []
    for line in lines:
        if is_row(line.text) or not rows:
            rows.append(line)
        else:
            rows[-1] = _Line(rows[-1].start, line.end, f"{rows[-1].text}\n{line.text}")
    kept = [row for row in rows if not is_rule(row.text)]
    header = header_of([row.text for row in kept], ruled=len(kept) < len(rows))
    for row in kept[1:] if header else kept:
        start, end = _trim(row.text, 0, len(row.text))
        words = one_line(readable_row(row.text, header))
        if words and start < end:
            yield Unit(row.start + start, row.start + end, words, "row", lead)


def _list_end(lines: list[_Line], i: int) -> int:
    numbered = _is_numbered(lines[i].text)
    while i < len(lines) and not is_row(lines[i].text):
        blank = not lines[i].text.strip()
        following = lines[i + 1].text if i + 1 < len(lines) else ""
        if blank and not (_BULLET.match(following) and _is_numbered(following) == numbered):
            break
        indented = lines[i].text.startswith(("  ", "\t"))
        if not blank and not _BULLET.match(lines[i].text) and not indented and not _runs_on(lines, i):
            break
        i += 1
    return i


def _is_numbered(line: str) -> bool:
    return line.lstrip(" \t(")[:1].isdigit()


def _list(text: str, lines: list[_Line], before: list[Unit]) -> list[Unit]:
    """Return a list's entries, and widen the sentence that introduces it."""
    entries: list[tuple[int, int]] = []
    for line in lines:
        if mark := _BULLET.match(line.text):
            entries.append((line.start + mark.end(), line.end))
        elif line.text.strip():
            entries[-1] = (entries[-1][0], line.end)
    lead = ""
    if before and before[-1].end <= lines[0].start and before[-1].text.endswith(":"):
        lead = before[-1].text
        reach = [entry for entry in entries if entry[1] - before[-1].start <= _MAX_CHARS]
        if reach and before[-1].kind == "sentence":
            whole = f"{lead} {listed(one_line(text[a:b]).rstrip('.;,') for a, b in reach)}"
            before[-1] = replace(before[-1], end=_trim(text, 0, reach[-1][1])[1], text=whole, kind="list")
    return [
        replace(unit, kind="list", lead=lead)
        for a, b in entries
        for unit in _sentences(text, *_trim(text, a, b))
    ]


def _prose(text: str, lines: list[_Line]) -> Iterator[Unit]:
    start = 0
    for i in range(1, len(lines) + 1):
        too_long = i < len(lines) and lines[i].end - lines[start].start > 8 * _MAX_CHARS
        if i == len(lines) or too_long or not _runs_on(lines, i):
            yield from _sentences(text, *_trim(text, lines[start].start, lines[i - 1].end))
            start = i


def _runs_on(lines: list[_Line], i: int) -> bool:
    """Whether line i goes on where line i - 1 was broken by the page's width."""
    if i == 0:
        return False
    above, line = lines[i - 1].text.strip(), lines[i].text.strip()
    if not above or not line:
        return False
    if _OPEN_WORD.search(above):
        return True
    longest = max(len(other.text.strip()) for other in lines[max(0, i - 6) : i + 6])
    wrapped = longest >= _WRAPPED_CHARS and len(above) >= _WRAPPED_SHARE * longest
    if _TERMINATED.search(above):
        return wrapped
    return wrapped or line[0].islower()


def _sentences(text: str, start: int, end: int) -> Iterator[Unit]:
    at = start
    for mark in _END.finditer(text, start, end):
        if mark.end() >= end or not _ends_sentence(text, at, mark, end):
            continue
        yield _unit(text, at, mark.end())
        at = _trim(text, mark.end(), end)[0]
    if at < end:
        yield _unit(text, at, end)


def _unit(text: str, start: int, end: int) -> Unit:
    return Unit(start, end, one_line(text[start:end]))


def _ends_sentence(text: str, start: int, mark: re.Match[str], end: int) -> bool:
    if mark.group()[0] in "。！？":  # noqa: RUF001
        return True
    following = text[mark.end() : end].lstrip()
    first = _STARTS_SENTENCE.match(following)
    if first is None or first.group()[-1].islower():
        return False
    head = text[start : mark.end()]
    if first.group()[-1].isdigit() and _BEFORE_NUMBER.search(head):
        return False
    return not _ABBREVIATION.search(head)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
