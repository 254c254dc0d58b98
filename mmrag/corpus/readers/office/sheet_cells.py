"""The cells of a worksheet as texts, read in one pass without holding its XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree.ElementTree import Element

from mmrag.corpus.readers.archive import walk_xml
from mmrag.corpus.readers.office.package import Package, X, number
from mmrag.corpus.readers.office.sheet_numbers import BUILT_IN, shown

Grid = dict[int, dict[int, str]]
"""Texts by row and column, both from 1; empty cells are not there."""

_TAGS = (f"{X}row", f"{X}mergeCell")
_RANGE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?$")
_COLUMN = re.compile(r"[A-Z]{1,3}")
_REPORT_EVERY = 5000
MAX_SHEET_ROWS = 1_048_576
"""What Excel knows; rows without a word count too, since they cost no less to walk."""
_MAX_FILLED = 500_000
"""Cells repeated on one sheet: a file of 1 kB can merge all 17 thousand million cells that Excel knows."""
_MAX_REPEATED_CHARS = 300
_CELL_COST = 16
"""A cell of one letter takes 100 bytes of memory: without this, 200 million of them would be let in."""
_BOOLEANS = {"0": "FALSE", "1": "TRUE"}


@dataclass(frozen=True, slots=True)
class Area:
    """A range of cells: rows and columns from 1, both ends included."""

    first_row: int
    first_column: int
    last_row: int
    last_column: int


@dataclass(slots=True)
class Budget:
    """What may still be taken from a workbook: rows, and characters of text."""

    rows: int
    chars: int

    @property
    def is_spent(self) -> bool:
        """Whether no more rows may be taken."""
        return self.rows <= 0 or self.chars <= 0

    def take(self, cells: Mapping[int, str]) -> None:
        """Charge a row."""
        self.rows -= 1
        self.chars -= sum(map(len, cells.values())) + _CELL_COST * len(cells)


@dataclass(slots=True)
class Worksheet:
    """What one sheet holds; `cut_at` is the first row that was left out, 0 for none.

    `unfilled_at` is the first row in which merged cells were not repeated any more, 0 for none.
    """

    grid: Grid = field(default_factory=dict)
    merged: list[Area] = field(default_factory=list)
    formulas: int = 0
    uncalculated: int = 0
    cut_at: int = 0
    unfilled_at: int = 0


class CellFormats:
    """The number formats of a workbook's cells, by the number of their style."""

    def __init__(self, styles: Element | None, *, is_1904: bool) -> None:
        self._is_1904 = is_1904
        self._patterns: list[str] = []
        if styles is None:
            return
        own = {
            number(e, "numFmtId"): e.get("formatCode", "") for e in styles.iterfind(f"{X}numFmts/{X}numFmt")
        }
        for style in styles.iterfind(f"{X}cellXfs/{X}xf"):
            ident = number(style, "numFmtId")
            self._patterns.append(own.get(ident) or BUILT_IN.get(ident, ""))

    def shown(self, value: str, style: str | None) -> str:
        """Return a stored number as its cell shows it."""
        at = int(style) if style and style.isdecimal() else 0
        pattern = self._patterns[at] if at < len(self._patterns) else ""
        if not pattern and value.isdecimal():
            return value
        try:
            return shown(float(value), pattern, is_1904=self._is_1904)
        except ValueError:
            return value


def read_strings(package: Package, part: str | None) -> list[str]:
    """Return the texts that a workbook's cells share, without the readings of East Asian words."""
    if part is None:
        return []
    items = walk_xml(package.archive, package.member(part), package.source, (f"{X}si",))
    return [rich_text(item) for item in items]


def rich_text(element: Element) -> str:
    """Return the words of a text whose runs may be formatted one by one."""
    pieces = []
    for child in element:
        if child.tag.endswith("}t"):
            pieces.append(child.text or "")
        elif child.tag.endswith("}r"):
            pieces.extend(run.text or "" for run in child if run.tag.endswith("}t"))
    return "".join(pieces)


def read_worksheet(
    package: Package,
    part: str,
    strings: list[str],
    formats: CellFormats,
    budget: Budget,
    report: Callable[[], None],
) -> Worksheet:
    """Return the cells of a sheet; once the budget is spent, the rest of its part is not parsed.

    Raises:
        Corrupt: The sheet's part is missing or torn.
    """
    sheet = Worksheet()
    at = walked = 0
    for element in walk_xml(package.archive, package.member(part), package.source, _TAGS):
        kind = element.tag.rpartition("}")[2]
        if kind == "row":
            at = number(element, "r", at + 1)
            walked += 1
            if walked % _REPORT_EVERY == 0:
                report()
            if budget.is_spent or walked > MAX_SHEET_ROWS:
                # 6 million rows pack to 857 kB, and took 150 s to walk.
                sheet.cut_at = at
                break
            cells = _cells(element, at, strings, formats, sheet)
            if cells:
                sheet.grid.setdefault(at, {}).update(cells)
                budget.take(cells)
        elif (area := area_of(element.get("ref", ""))) is not None:
            sheet.merged.append(area)
    sheet.unfilled_at = fill_down(sheet.grid, sheet.merged)
    return sheet


def area_of(reference: str) -> Area | None:
    """Return the cells that a reference such as 'B2:D10' means, None if it is none."""
    match = _RANGE.match(reference.rpartition("!")[2].upper())
    if match is None:
        return None
    left, top, right, bottom = match.groups()
    first_row, first_column = int(top), column_number(left)
    last_row, last_column = int(bottom or top), column_number(right or left)
    if first_row < 1 or last_row < first_row or last_column < first_column:
        return None
    return Area(first_row, first_column, last_row, last_column)


@lru_cache(maxsize=20_000)
def column_number(letters: str) -> int:
    """Return 1 for A, 27 for AA."""
    found = 0
    for letter in letters:
        found = found * 26 + ord(letter) - 64
    return found


def fill_down(grid: Grid, merged: Iterable[Area]) -> int:
    """Repeat cells that are merged downwards in the rows below, so that each row can be read alone.

    Returns:
        The first row that was left as it is because too many were repeated; 0 for none.
    """
    left = _MAX_FILLED
    for area in merged:
        text = grid.get(area.first_row, {}).get(area.first_column, "")
        if not text or len(text) > _MAX_REPEATED_CHARS:
            continue
        for row in range(area.first_row + 1, area.last_row + 1):
            left -= 1
            if left < 0:
                return row
            if row in grid:
                grid[row].setdefault(area.first_column, text)
    return 0


def _cells(
    row: Element, at: int, strings: list[str], formats: CellFormats, sheet: Worksheet
) -> dict[int, str]:
    found: dict[int, str] = {}
    column = 0
    for cell in row:
        letters = _COLUMN.match(cell.get("r", ""))
        column = column_number(letters.group()) if letters else column + 1
        value: str | None = None
        inline = ""
        has_formula = False
        for child in cell:
            tag = child.tag
            if tag.endswith("}v"):
                value = child.text or ""
            elif tag.endswith("}f"):
                has_formula = True
            elif tag.endswith("}is"):
                inline = rich_text(child)
        kind = cell.get("t", "n")
        sheet.formulas += has_formula
        # A formula whose result is an empty text has a value as well.
        sheet.uncalculated += has_formula and not value and kind != "str"
        if kind == "s":
            text = strings[int(value)] if value and value.isdecimal() and int(value) < len(strings) else ""
        elif kind == "b":
            text = _BOOLEANS.get(value or "", value or "")
        elif kind == "n" and value:
            text = formats.shown(value.strip(), cell.get("s"))
        else:
            text = inline or value or ""
        if text and not text.isspace():
            found[column] = text
    return found
