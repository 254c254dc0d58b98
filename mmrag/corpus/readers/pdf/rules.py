"""Take the ruling lines and shaded boxes from the paths of a PDF page."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from mmrag.corpus.readers.pdf.frame import PageFrame
from mmrag.corpus.readers.pdf.objects import Drawn, Rect, matrix_of, moved, times

_THIN_PT = 3.0
_MIN_DASH_PT = 1.0
_MIN_RULE_PT = 5.0
_LEVEL_PT = 1.0
"""A piece of line is level if its ends differ by less."""
_SNAP_PT, _MAX_SNAP_PT = 1.5, 3.0
_GAP_PT = 3.0
_MAX_POINTS, _MAX_ALL_POINTS = 2000, 60_000
_BACKGROUND_SHARE = 0.9
_MAX_SHADES = 5000


Color = tuple[int, int, int]
WHITE = 250
"""A colour is white if each of its values is at least this, of 255."""


class Rule(NamedTuple):
    """A straight line along an axis: `at` is its height, or its x if it goes down.

    Units:
        Points of the upright page, y down.
    """

    at: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Rules:
    """The ruling lines of a page, pieces joined, and the filled boxes with their colours."""

    across: tuple[Rule, ...] = ()
    down: tuple[Rule, ...] = ()
    shades: tuple[tuple[Rect, Color], ...] = ()


@dataclass(slots=True)
class RuleCollector:
    """Gathers lines path by path; the sides of boxes are lines as well."""

    frame: PageFrame
    _across: list[Rule] = field(default_factory=list)
    _down: list[Rule] = field(default_factory=list)
    _shades: list[tuple[Rect, Color]] = field(default_factory=list)
    _points: int = 0

    def take(self, drawn: Drawn, rect: Rect) -> None:
        """Take what a path of the upright box `rect` has of lines."""
        wide, high = rect[2] - rect[0], rect[3] - rect[1]
        if high <= _THIN_PT or wide <= _THIN_PT:
            self._piece(rect[0], rect[1], rect[2], rect[3])
            return
        if wide * high > _BACKGROUND_SHARE * self.frame.width * self.frame.height:
            return
        color, is_bare = _fill(drawn)
        if color and len(self._shades) < _MAX_SHADES:
            self._shades.append((rect, color))
        if is_bare and (color is None or min(color) >= WHITE):
            # White boxes lie behind words, one a line: their sides part nothing.
            return
        for points in self._subpaths(drawn):
            for (x0, y0), (x1, y1) in pairwise(points):
                if abs(x1 - x0) <= _LEVEL_PT or abs(y1 - y0) <= _LEVEL_PT:
                    self._piece(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))

    def rules(self) -> Rules:
        """Return the lines found, each joined of its pieces."""
        return Rules(tuple(_joined(self._across)), tuple(_joined(self._down)), tuple(self._shades))

    def _piece(self, x0: float, y0: float, x1: float, y1: float) -> None:
        wide, high = x1 - x0, y1 - y0
        if wide >= high and wide >= _MIN_DASH_PT:
            self._across.append(Rule((y0 + y1) / 2, x0, x1))
        elif high > wide and high >= _MIN_DASH_PT:
            self._down.append(Rule((x0 + x1) / 2, y0, y1))

    def _subpaths(self, drawn: Drawn) -> list[list[tuple[float, float]]]:
        """Return the corners of a path's straight stretches on the upright page."""
        import pypdfium2.raw as raw

        count = raw.FPDFPath_CountSegments(drawn.handle)
        self._points += max(count, 0)
        if not 2 <= count <= _MAX_POINTS or self._points > _MAX_ALL_POINTS:
            return []
        own = matrix_of(drawn.handle)
        matrix = times(own, drawn.matrix) if own else drawn.matrix
        x, y = ctypes.c_float(), ctypes.c_float()
        found: list[list[tuple[float, float]]] = []
        for i in range(count):
            piece = raw.FPDFPath_GetPathSegment(drawn.handle, i)
            if not raw.FPDFPathSegment_GetPoint(piece, x, y):
                continue
            at = moved(matrix, x.value, y.value)
            left, top, _, _ = self.frame.upright(at[0], at[1], at[0], at[1])
            if raw.FPDFPathSegment_GetType(piece) != raw.FPDF_SEGMENT_LINETO or not found:
                found.append([])
            found[-1].append((left, top))
            if raw.FPDFPathSegment_GetClose(piece) and found[-1][0] != found[-1][-1]:
                found[-1].append(found[-1][0])
        return [points for points in found if len(points) > 1]


def _fill(drawn: Drawn) -> tuple[Color | None, bool]:
    """Return the colour that fills a path, and whether the path is drawn without a line around it."""
    import pypdfium2.raw as raw

    mode, stroke = ctypes.c_int(), ctypes.c_int()
    if not raw.FPDFPath_GetDrawMode(drawn.handle, mode, stroke):
        return None, False
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    is_filled = mode.value and raw.FPDFPageObj_GetFillColor(drawn.handle, red, green, blue, alpha)
    color = (red.value, green.value, blue.value) if is_filled and alpha.value else None
    return color, not stroke.value


def _joined(pieces: Sequence[Rule]) -> list[Rule]:
    """Join the pieces of one line; lines that nearly coincide, such as the sides of two cells, are one."""
    found: list[Rule] = []
    ordered = sorted(pieces)
    start = 0
    for i in range(1, len(ordered) + 1):
        if i < len(ordered):
            near = ordered[i].at - ordered[i - 1].at <= _SNAP_PT
            if near and ordered[i].at - ordered[start].at <= _MAX_SNAP_PT:
                continue
        level = sorted(ordered[start:i], key=lambda rule: rule.start)
        start = i
        at = sum(rule.at for rule in level) / len(level)
        begin, end = level[0].start, level[0].end
        for rule in level[1:]:
            if rule.start > end + _GAP_PT:
                found.append(Rule(at, begin, end))
                begin, end = rule.start, rule.end
            end = max(end, rule.end)
        found.append(Rule(at, begin, end))
    return [rule for rule in found if rule.end - rule.start >= _MIN_RULE_PT]
