"""The tables of an OpenDocument spreadsheet, read without holding its XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element

from mmrag.core.reading import Block
from mmrag.core.types import Cells
from mmrag.corpus.readers.archive import walk_xml
from mmrag.corpus.readers.figures import with_neighbours
from mmrag.corpus.readers.flow import put_at
from mmrag.corpus.readers.office.open_text import DRAW, OFFICE, TABLE, TEXT, OpenStory, OpenWalk
from mmrag.corpus.readers.office.package import local, number
from mmrag.corpus.readers.office.sheet_cells import Area, Budget, Grid, fill_down
from mmrag.corpus.readers.office.sheet_tables import sheet_blocks

_TAGS = (f"{TABLE}table-row", f"{TABLE}shapes", f"{TABLE}table")
_TIME = re.compile(r"PT(\d+)H(\d+)M(\d+)")
_REPORT_EVERY = 5000
_MAX_COLUMNS = 16_384
_MAX_SHEETS_ROWS = 1_048_576


@dataclass(slots=True)
class OpenSheet:
    """One sheet; `cut_at` is the first row that was left out, 0 for none, `unfilled_at` as in `Worksheet`."""

    name: str
    blocks: list[Block]
    cut_at: int = 0
    unfilled_at: int = 0


@dataclass(slots=True)
class _Sheet:
    """A sheet in the making."""

    grid: Grid = field(default_factory=dict)
    merged: list[Area] = field(default_factory=list)
    over: list[Block] = field(default_factory=list)
    row: int = 0
    cut_at: int = 0


def open_sheets(story: OpenStory, budget: Budget, report: Callable[[], None]) -> Iterator[OpenSheet]:
    """Yield the sheets of a spreadsheet, until the budget is spent.

    Raises:
        Corrupt: The content is missing or torn.
    """
    package = story.package
    sheet = _Sheet()
    for element in walk_xml(package.archive, package.member("content.xml"), package.source, _TAGS):
        name = local(element.tag)
        if name == "table-row":
            _take_row(element, sheet, story, budget)
            if sheet.row % _REPORT_EVERY == 0:
                report()
        elif name == "shapes":
            sheet.over.extend(OpenWalk(story).run(element))
        else:
            title = " ".join(element.get(f"{TABLE}name", "").split())
            unfilled_at = fill_down(sheet.grid, sheet.merged)
            blocks = sheet_blocks(sheet.grid, sheet.merged, (), title)
            over = [_on_sheet(block, title) for block in sheet.over]
            yield OpenSheet(title, with_neighbours([*blocks, *over]), sheet.cut_at, unfilled_at)
            sheet = _Sheet()


def _take_row(row: Element, sheet: _Sheet, story: OpenStory, budget: Budget) -> None:
    repeated = max(number(row, f"{TABLE}number-rows-repeated", 1), 1)
    first = sheet.row + 1
    sheet.row = min(sheet.row + repeated, _MAX_SHEETS_ROWS)
    if budget.is_spent:
        if not sheet.cut_at and any(cell.find(f"{TEXT}p") is not None for cell in row):
            sheet.cut_at = first
        return
    cells: dict[int, str] = {}
    column = 1
    for cell in row:
        times = max(number(cell, f"{TABLE}number-columns-repeated", 1), 1)
        text = _text(cell) if local(cell.tag) == "table-cell" else ""
        if text:
            cells.update(dict.fromkeys(range(column, min(column + times, _MAX_COLUMNS)), text))
        _note_merge(cell, first, column, sheet)
        if any(child.tag.startswith(DRAW) or local(child.tag) == "annotation" for child in cell):
            _take_over(cell, first, sheet, story)
        column += times
    last = min(sheet.row, first + budget.rows - 1) if cells else sheet.row
    for at in range(first, last + 1) if cells else ():
        sheet.grid[at] = dict(cells)
        budget.take(cells)
        if budget.chars <= 0:
            last = at
            break
    if last < sheet.row:
        sheet.cut_at = last + 1


def _note_merge(cell: Element, row: int, column: int, sheet: _Sheet) -> None:
    down = number(cell, f"{TABLE}number-rows-spanned", 1)
    right = number(cell, f"{TABLE}number-columns-spanned", 1)
    if down > 1 or right > 1:
        sheet.merged.append(Area(row, column, row + max(down, 1) - 1, column + max(right, 1) - 1))


def _take_over(cell: Element, row: int, sheet: _Sheet, story: OpenStory) -> None:
    """Read what is anchored in a cell: comments and drawings."""
    for child in cell:
        if child.tag == f"{OFFICE}annotation":
            lines = [p for p in child if p.tag == f"{TEXT}p"]
            for block in OpenWalk(story).run(lines):
                sheet.over.append(_at(block, row, f"Comment on row {row}: "))
        elif child.tag.startswith(DRAW):
            sheet.over.extend(_at(block, row) for block in OpenWalk(story).run([child]))


def _at(block: Block, row: int, lead: str = "") -> Block:
    first = block.parts[0]
    if lead and first.text:
        block = replace(block, parts=(replace(first, text=lead + first.text), *block.parts[1:]))
    return replace(block, locator=Cells("", row, row))


def _on_sheet(block: Block, sheet: str) -> Block:
    row = block.locator.first if isinstance(block.locator, Cells) else 1
    return put_at(block, Cells(sheet, row, row))


def _text(cell: Element) -> str:
    """Return a cell as it is shown, dates and times in ISO."""
    kind = cell.get(f"{OFFICE}value-type", "")
    if kind == "date" and (value := cell.get(f"{OFFICE}date-value")):
        return value[:16].replace("T", " ").removesuffix(" 00:00")
    if kind == "time" and (match := _TIME.match(cell.get(f"{OFFICE}time-value", ""))):
        hours, minutes, seconds = match.groups()
        return f"{hours}:{minutes}" if seconds == "00" else f"{hours}:{minutes}:{seconds}"
    return "\n".join(filter(None, ("".join(_words(p)).strip() for p in cell if p.tag == f"{TEXT}p")))


def _words(element: Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == f"{TEXT}s":
            yield " "
        elif not child.tag.startswith(DRAW):
            yield from _words(child)
        yield child.tail or ""
