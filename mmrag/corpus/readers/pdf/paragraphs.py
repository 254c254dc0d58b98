"""Make lines, tables and paragraphs of the segments of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from mmrag.core.types import Box, Page, Part, Place, Role
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText
from mmrag.corpus.readers.pdf.chars import SOFT_HYPHEN
from mmrag.corpus.readers.pdf.layout import Segment, rows
from mmrag.corpus.readers.pdf.tables import ALIGN_EM, CELL_GAP_EM, Table

_PARAGRAPH_PITCH = 1.3
_INDENT_EM = 0.8
_SHORT_LINE = 0.75
_BULLET = re.compile(
    r"(?:[•◦▪●○■□‣·*\u2013\u2014-]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\[\d{1,3}\]|\d{1,2}(?:\.\d{1,2}){1,3}\.?)$"
)
_ITEM = re.compile(r"(?:[•◦▪●○■□‣·*\u2013\u2014-]|\(?\d{1,3}[.)]|\([a-zA-Z]\)|\[\d{1,3}\])\s+\S")
_LABEL = re.compile(
    r"(?:fig(?:ure|\.)?|abb(?:ildung|\.)?|table|tab\.|tabelle|tableau)\s*[\dA-Z][\w.]*\s*[:.\u2013\u2014-]\s",
    re.IGNORECASE,
)
"""How a caption begins: it is a paragraph of its own, however near it stands."""
_LABEL_START = re.compile(
    r"(?:fig(?:ure|\.)?|abb(?:ildung|\.)?|table|tab\.|tabelle)\s*[\dA-Z]", re.IGNORECASE
)
_CLOSE_EM = 0.5
_DOTS, _MIN_DOTS = ".·…_", 4
_LEADERS = re.compile(rf"(?:\s*[{_DOTS}]){{{_MIN_DOTS},}}\s*")
_LEADER_MARK = " … "
_ENDS = (".", "!", "?", ":", "。")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a column; more than one cell if wide gaps part it."""

    cells: tuple[Segment, ...]
    segments: tuple[Segment, ...]
    y0: float
    y1: float
    size: float
    bold: bool

    @classmethod
    def of(cls, row: Sequence[Segment]) -> Line:
        """Join the segments of a row that stand close; a bullet belongs to what follows."""
        cells: list[Segment] = []
        for segment in row:
            last = cells[-1] if cells else None
            if last and (segment.x0 - last.x1 <= CELL_GAP_EM * last.em or _BULLET.match(last.text)):
                cells[-1] = _joined(last, segment)
            else:
                cells.append(segment)
        widest = max(row, key=lambda s: len(s.text))
        return cls(
            tuple(cells),
            tuple(row),
            min(s.y0 for s in row),
            max(s.y1 for s in row),
            widest.em,
            all(s.bold for s in row if len(s.text) > 2) and any(s.bold for s in row),
        )

    @property
    def x0(self) -> float:
        """The left edge."""
        return self.cells[0].x0

    @property
    def x1(self) -> float:
        """The right edge."""
        return self.cells[-1].x1

    @property
    def text(self) -> str:
        """The words, with dot leaders shortened."""
        return without_leaders(" ".join(s.text for s in self.cells))


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that belong together: a paragraph, the rows of a table."""

    lines: tuple[Line, ...]
    is_table: bool = False
    right: float = 0.0

    @property
    def text(self) -> str:
        """The words on one line."""
        return " ".join(line.text for line in self.lines)

    @property
    def is_list(self) -> bool:
        """Whether it begins like an item of a list."""
        return _ITEM.match(self.lines[0].text) is not None


def groups(column: Sequence[Segment]) -> list[Group]:
    """Cut a column into tables and paragraphs, from top to bottom."""
    lines = [Line.of(row) for row in rows(column)]
    if not lines:
        return []
    right = max(line.x1 for line in lines)
    found: list[Group] = []
    start = 0
    for first, end in _side_by_side(lines):
        found.extend(_parted(lines[start:first], right))
        found.extend(_slots(lines[first:end]))
        start = end
    found.extend(_parted(lines[start:], right))
    return found


def _parted(lines: Sequence[Line], right: float) -> Iterator[Group]:
    start = 0
    for first, end in _tables(lines):
        yield from _paragraphs(lines[start:first], right)
        yield Group(tuple(lines[first:end]), is_table=True, right=right)
        start = end
    yield from _paragraphs(lines[start:], right)


def _side_by_side(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """Find captions that stand beside each other: 'Figure 3: ...    Figure 4: ...'."""
    end = 0
    for i, line in enumerate(lines):
        if i < end or len(line.cells) < 2 or not all(_LABEL_START.match(c.text) for c in line.cells):
            continue
        end = i + 1
        starts = [cell.x0 - line.size for cell in line.cells]
        while end < len(lines) and lines[end].y0 - lines[end - 1].y1 < _CLOSE_EM * line.size:
            if any(_slot(starts, c.x0) != _slot(starts, c.x1) for c in lines[end].cells):
                break
            end += 1
        yield i, end


def _slots(lines: Sequence[Line]) -> list[Group]:
    starts = [cell.x0 - lines[0].size for cell in lines[0].cells]
    found = []
    for slot in range(len(starts)):
        own = [[s for s in line.cells if _slot(starts, s.x0) == slot] for line in lines]
        parts = tuple(Line.of(row) for row in own if row)
        found.append(Group(parts, right=max(line.x1 for line in parts)))
    return found


def _slot(starts: Sequence[float], x: float) -> int:
    return max(sum(start <= x for start in starts) - 1, 0)


def text_part(
    group: Group, page: int, size: tuple[float, float], *, known: frozenset[str], role: Role = "body"
) -> Part:
    """Join a group's lines, each with its box; words cut at line ends become whole again.

    `known` are the words of the document that are written with a hyphen within a line.
    """
    texts: list[str] = []
    places: list[Place] = []
    start = 0
    lines = [(line, line.text) for line in group.lines]
    left = min(line.x0 for line in group.lines)
    for i, (line, words) in enumerate(lines):
        after = lines[i + 1][1] if i + 1 < len(lines) else ""
        words, glue = _line_end(words, after, known)
        if glue and (_LEADER_MARK in words or line.x1 < left + _SHORT_LINE * (group.right - left)):
            glue = "\n"
        if not words:
            continue
        places.append(Place(start, start + len(words), Page(page, box_of(line.cells, size))))
        texts.append(words + glue)
        start += len(words) + len(glue)
    return Part("text", text="".join(texts).rstrip(), role=role, places=tuple(places))


def without_leaders(text: str) -> str:
    """Shorten the dots that lead the eye across a line of contents."""
    if sum(map(text.count, _DOTS)) < _MIN_DOTS:
        return text.strip()
    return _LEADERS.sub(_LEADER_MARK, text).strip()


def table_part(table: Table, page: int, size: tuple[float, float], role: Role = "body") -> Part:
    """Write a table a line a row, each piece of a cell with its box."""
    made = PlacedText()
    for row in table.rows:
        made.add("\n" if made.length else "")
        for i, cell in enumerate(row):
            made.add(CELL_SEPARATOR if i else "")
            glue = ""
            for piece in cell:
                made.add(glue)
                glue = "" if piece.text.endswith(SOFT_HYPHEN) else " "
                words = without_leaders(piece.text.replace(SOFT_HYPHEN, ""))
                made.add(words, Page(page, box_of([piece], size)))
    return made.part(role)


def box_of(segments: Sequence[Segment], size: tuple[float, float]) -> Box:
    """Return the box around segments in fractions of the page."""

    def share(value: float, whole: float) -> float:
        return round(min(max(value / whole, 0.0), 1.0), 5)

    return Box(
        share(min(s.x0 for s in segments), size[0]),
        share(min(s.y0 for s in segments), size[1]),
        share(max(s.x1 for s in segments), size[0]),
        share(max(s.y1 for s in segments), size[1]),
    )


def _line_end(words: str, after: str, known: frozenset[str]) -> tuple[str, str]:
    """Return a line's words without a hyphen that only its end made, and what joins the next line."""
    soft = words.endswith(SOFT_HYPHEN)
    words = words.replace(SOFT_HYPHEN, "") + ("-" if soft else "")
    after = after.replace(SOFT_HYPHEN, "")
    if not after:
        return words, ""
    if not words.endswith("-") or len(words) < 2 or not words[-2].isalpha():
        return words, " "
    head, tail = words[:-1].split()[-1], after.split()[0].strip(".,;:!?)")
    if not tail[:1].isalpha() or f"{head}-{tail}".casefold() in known:
        return words, ""
    # 'Wi-' + 'Fi' keeps its hyphen; 'exam-' + 'ple' was one word.
    return (words[:-1], "") if tail[:1].islower() else (words, "")


def _joined(a: Segment, b: Segment) -> Segment:
    longer = a if len(a.text) >= len(b.text) else b
    return Segment(
        f"{a.text} {b.text}",
        a.x0,
        min(a.y0, b.y0),
        max(a.x1, b.x1),
        max(a.y1, b.y1),
        longer.size,
        longer.bold,
    )


def _tables(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """Find runs of lines whose cells stand under each other."""
    i = 0
    while i < len(lines):
        if len(lines[i].cells) < 2:
            i += 1
            continue
        end, rich = i + 1, 1
        while end < len(lines):
            above = [line for line in lines[max(i, end - 3) : end] if len(line.cells) > 1]
            gap = lines[end].y0 - lines[end - 1].y1
            if not above or gap > 2.0 * lines[end].size:
                break
            if len(lines[end].cells) > 1 and any(_aligned(line, lines[end]) for line in above):
                rich += 1
            elif not (_is_rest(above[-1], lines[end]) and gap < 0.6 * lines[end].size):
                break
            end += 1
        while end > i and len(lines[end - 1].cells) < 2 and not _is_rest(lines[i], lines[end - 1]):
            end -= 1
        if rich >= 2:
            yield i, end
            i = end
        else:
            i += 1


def _aligned(a: Line, b: Line) -> bool:
    """Whether two cells of b stand under cells of a."""
    slack = ALIGN_EM * max(a.size, b.size)
    matched = 0
    for cell in b.cells:
        for other in a.cells:
            left = abs(cell.x0 - other.x0) < slack
            centre = abs(cell.x0 + cell.x1 - other.x0 - other.x1) < slack
            # Justified prose ends at one edge as well: only short cells may align there.
            right = abs(cell.x1 - other.x1) < slack and max(len(cell.text), len(other.text)) <= 20
            if left or centre or right:
                matched += 1
                break
    return matched >= 2


def _is_rest(row: Line, line: Line) -> bool:
    """Whether a line of one cell carries on a cell of `row` other than the first."""
    slack = ALIGN_EM * row.size
    return len(line.cells) == 1 and any(abs(line.x0 - cell.x0) < slack for cell in row.cells[1:])


def _paragraphs(lines: Sequence[Line], right: float) -> Iterator[Group]:
    if not lines:
        return
    steps = [b.y1 - a.y1 for a, b in pairwise(lines) if _alike(a, b)]
    steps = [step for step, a in zip(steps, lines, strict=False) if 0 < step < 2.5 * a.size]
    pitch = median(steps) if steps else 0.0
    current = [lines[0]]
    for line in lines[1:]:
        if _breaks(current, line, pitch or 1.25 * line.size, right):
            yield Group(tuple(current), right=right)
            current = []
        current.append(line)
    yield Group(tuple(current), right=right)


def _alike(a: Line, b: Line) -> bool:
    return abs(a.size - b.size) <= 0.1 * max(a.size, b.size) and a.bold == b.bold


def _breaks(current: Sequence[Line], line: Line, pitch: float, right: float) -> bool:
    last, first = current[-1], current[0]
    step = line.y1 - last.y1
    if not _alike(last, line) or step > _PARAGRAPH_PITCH * max(pitch, 1.05 * line.size) or step < 0:
        return True
    text = line.text
    if _ITEM.match(text) or (last.text.endswith(_ENDS) and _LABEL.match(text)):
        return True
    em = _INDENT_EM * line.size
    short = last.x1 < right - 0.12 * (right - min(first.x0, line.x0))
    if short and last.text.endswith(_ENDS):
        return True
    if line.x0 > last.x0 + em:
        hanging = len(current) == 1 and (_ITEM.match(first.text) is not None or not short)
        return not hanging
    if line.x0 < last.x0 - em:
        return len(current) > 1
    return False
