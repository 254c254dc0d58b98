"""Reading order by geometry: columns after one another, the cells of a row side by side."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_BINS = 256
_MIN_ROWS = 3
_MIN_COLUMN_CHARS = 16
"""Columns of prose have lines this long; shorter ones are cells of a table, read row by row."""
_MIN_FILL = 0.5
"""The middle line of a column of prose fills at least this share of its width."""
_CELL_GAP_EM, _MAX_CELLS = 1.5, 0.3
"""If more lines than this share have gaps so wide, they are rows of cells."""
_MIN_FLOW, _MAX_LEVEL = 0.2, 0.7
_MAX_COLUMNS_DEPTH = 3
_MAX_VALLEYS = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """Words that stand side by side on one line; `cell` numbers the cell of a ruled table, 0 is none.

    Units:
        Points of a page or pixels of a picture, from the top left corner; confidence 0 to 1.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float = 0.0
    bold: bool = False
    confidence: float = 1.0
    cell: int = 0

    @property
    def em(self) -> float:
        """The size of the type, from its height if nothing better is known."""
        return self.size or (self.y1 - self.y0) * 0.8


def in_reading_order(segments: Sequence[Segment], width: float) -> list[Segment]:
    """Sort segments as a person reads them."""
    return [s for column in columns(segments, width) for row in rows(column) for s in row]


def columns(segments: Sequence[Segment], width: float, *, depth: int = 0) -> list[list[Segment]]:
    """Split a page into stretches that are read one after the other: bands, and columns in them."""
    if depth >= _MAX_COLUMNS_DEPTH or len(segments) < 2 * _MIN_ROWS:
        return [list(segments)] if segments else []
    gutter = _gutter(segments, width)
    if gutter is None:
        return [list(segments)]
    across = sorted((s for s in segments if s.x0 < gutter < s.x1), key=lambda s: s.y0 + s.y1)
    sides = sorted((s for s in segments if not s.x0 < gutter < s.x1), key=lambda s: s.y0 + s.y1)
    heights = [s.y0 + s.y1 for s in sides]
    found: list[list[Segment]] = []
    wide: list[Segment] = []
    start = 0
    for cut in [*across, None]:
        end = bisect_left(heights, cut.y0 + cut.y1) if cut else len(sides)
        band = sides[start:end]
        rest = _rest(wide[-1], band) if wide and band else None
        if rest:
            wide.append(rest)
            band.remove(rest)
        left = [s for s in band if s.x1 <= gutter]
        right = [s for s in band if s.x0 >= gutter]
        if len(left) < _MIN_ROWS or len(right) < _MIN_ROWS:
            # A short band between full lines is a heading, a row of a form or a line's rest.
            wide.extend(band)
        else:
            if wide:
                found.append(wide)
                wide = []
            found.extend(columns(left, width, depth=depth + 1))
            found.extend(columns(right, width, depth=depth + 1))
        if cut:
            wide.append(cut)
            start = end
    if wide:
        found.append(wide)
    return found


def _rest(last: Segment, band: Sequence[Segment]) -> Segment | None:
    """Return the short last line of a paragraph across both columns, if the band begins with one."""
    row = rows(band)[0]
    first = row[0]
    near = 0 <= first.y1 - last.y1 <= 1.8 * last.em and abs(first.x0 - last.x0) < last.em
    return first if near and len(row) == 1 else None


def rows(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Group segments that stand at the same height, from top to bottom, each from left to right."""
    found: list[tuple[float, float, list[Segment]]] = []
    for segment in sorted(segments, key=lambda s: (s.y0 + s.y1, s.x0)):
        if found:
            top, bottom, row = found[-1]
            overlap = min(bottom, segment.y1) - max(top, segment.y0)
            if overlap > 0.5 * min(bottom - top, segment.y1 - segment.y0):
                row.append(segment)
                if segment.y1 - segment.y0 > bottom - top:
                    found[-1] = (segment.y0, segment.y1, row)
                continue
        found.append((segment.y0, segment.y1, [segment]))
    return [sorted(row, key=lambda s: s.x0) for _, _, row in found]


def _gutter(segments: Sequence[Segment], width: float, *, nested: bool = False) -> float | None:
    """Return the x of the empty strip that parts most lines into two columns of prose."""
    left_edge, right_edge = min(s.x0 for s in segments), max(s.x1 for s in segments)
    span = right_edge - left_edge
    if span < 0.3 * width or span <= 0:
        return None
    steps = [0] * (_BINS + 1)
    for s in segments:
        steps[int((s.x0 - left_edge) / span * (_BINS - 1))] += 1
        steps[int((s.x1 - left_edge) / span * (_BINS - 1)) + 1] -= 1
    cover, height = [], 0
    for step in steps[:_BINS]:
        height += step
        cover.append(height)
    best: tuple[int, float] | None = None
    for x in sorted(_valleys(cover), key=lambda x: cover[x])[:_MAX_VALLEYS]:
        at = left_edge + (x + 0.5) / (_BINS - 1) * span
        left = [s for s in segments if s.x1 <= at]
        right = [s for s in segments if s.x0 >= at]
        score = min(len(left), len(right))
        if (
            score >= _MIN_ROWS
            and (best is None or score > best[0])
            and _are_columns(left, right, width, nested=nested)
        ):
            best = (score, at)
    return best[1] if best else None


def _valleys(cover: Sequence[int]) -> list[int]:
    """Return the middles of the strips that fewer segments cross than cross their sides."""
    found, start = [], 0
    for x in range(1, len(cover) + 1):
        if x < len(cover) and cover[x] == cover[start]:
            continue
        lower_left = start > 0 and cover[start] < cover[start - 1]
        lower_right = x < len(cover) and cover[start] < cover[x]
        middle = (start + x - 1) // 2
        if lower_left and lower_right and _BINS * 0.12 < middle < _BINS * 0.88:
            found.append(middle)
        start = x
    return found


def _are_columns(left: Sequence[Segment], right: Sequence[Segment], width: float, *, nested: bool) -> bool:
    """Whether two sides are columns of prose, not columns of a table."""
    sides = rows(left), rows(right)
    if min(map(len, sides)) < _MIN_ROWS or not _side_by_side(left, right):
        return False
    for segments, lines in ((left, sides[0]), (right, sides[1])):
        broad = max(s.x1 for s in segments) - min(s.x0 for s in segments)
        fill = median(row[-1].x1 - row[0].x0 for row in lines)
        chars = median(sum(len(s.text) for s in row) for row in lines)
        if fill < _MIN_FILL * broad or chars < _MIN_COLUMN_CHARS:
            return False
        gaps = sum(any(b.x0 - a.x1 > _CELL_GAP_EM * a.em for a, b in pairwise(row)) for row in lines)
        if gaps > _MAX_CELLS * len(lines) and (nested or _gutter(segments, width, nested=True) is None):
            return False
    # The rows of a table stand side by side, and few of its cells begin in the middle of a sentence.
    return min(map(_flow, sides)) >= _MIN_FLOW or _level(*sides) < _MAX_LEVEL


def _flow(lines: Sequence[Sequence[Segment]]) -> float:
    """Return the share of lines that go on from the line before."""
    goes_on = sum(row[0].text[0].isalpha() and not row[0].text[0].isupper() for row in lines[1:])
    return goes_on / max(len(lines) - 1, 1)


def _level(left: Sequence[Sequence[Segment]], right: Sequence[Sequence[Segment]]) -> float:
    """Return the share of rows of the shorter side that have a row of the other at their height."""
    fewer, more = sorted((left, right), key=len)
    heights = sorted(row[0].y1 for row in more)
    matched = 0
    for row in fewer:
        slack = 0.15 * row[0].em
        at = bisect_right(heights, row[0].y1 - slack)
        matched += at < len(heights) and heights[at] < row[0].y1 + slack
    return matched / len(fewer)


def _side_by_side(left: Sequence[Segment], right: Sequence[Segment]) -> bool:
    top = max(min(s.y0 for s in left), min(s.y0 for s in right))
    bottom = min(max(s.y1 for s in left), max(s.y1 for s in right))
    return bottom > top
