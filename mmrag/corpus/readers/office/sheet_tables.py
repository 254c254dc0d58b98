"""Find the tables on a sheet: blocks of cells with empty rows and columns around, and their headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mmrag.core.reading import Block
from mmrag.core.types import Cells, Locator, Part, Place
from mmrag.corpus.readers.office.sheet_cells import Area, Grid
from mmrag.corpus.readers.tables.rows import TableRow, clean_cell, is_wide, line_blocks, record_block

_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?[\d.,]+(?:[eE][-+]?\d+)?\s?[%€$£¥)]?$")
_YEAR_OR_DATE = re.compile(r"(?:19|20)\d\d(?:-\d\d-\d\d)?$")
_MAX_TITLE_ROWS = 8
_MAX_NAME_CHARS = 200
"""A row of longer texts is no header: it would be repeated in every passage."""
_NEAR = 8
"""A table may go on under one of so many found last: those that stand side by side."""
_MAX_GIVEN = 200
"""Looking each cell up in each declared table would cost their product."""


@dataclass(frozen=True, slots=True)
class Region:
    """Cells that belong together; `header_rows` is None when nobody says how many there are."""

    area: Area
    header_rows: int | None = None


def sheet_blocks(grid: Grid, merged: Sequence[Area], given: Sequence[Region], sheet: str) -> list[Block]:
    """Return the tables of a sheet as blocks, from top to bottom; each row has its place.

    Args:
        grid: The texts of the cells.
        merged: Areas of merged cells, whose text stands in the first one.
        given: The tables that the workbook itself declares.
        sheet: Its name, for the places.
    """
    wide = {(a.first_row, a.first_column): a for a in merged if a.last_column > a.first_column}
    return [
        _on_sheet(block, sheet) for region in _regions(grid, given) for block in _blocks(grid, region, wide)
    ]


def _regions(grid: Grid, given: Sequence[Region]) -> list[Region]:
    found = list(given[:_MAX_GIVEN])
    rest = grid
    if found:
        rest = {row: dict(cells) for row, cells in grid.items()}
        for region in found:
            _take_out(rest, region.area)
    found += [Region(area) for area in _bands(rest)]
    return sorted(found, key=lambda r: (r.area.first_row, r.area.first_column))


def _take_out(grid: Grid, area: Area) -> None:
    for row in [row for row in grid if area.first_row <= row <= area.last_row]:
        kept = {c: text for c, text in grid[row].items() if not area.first_column <= c <= area.last_column}
        if kept:
            grid[row] = kept
        else:
            del grid[row]


def _bands(grid: Grid) -> list[Area]:
    """Cut at empty rows, then at empty columns; what goes on in the same columns is one table."""
    areas: list[Area] = []
    for rows in _runs(sorted(grid)):
        columns = _runs(sorted(set().union(*(grid[row] for row in rows))))
        for side in _sides(columns):
            own = [row for row in rows if any(side[0] <= c <= side[-1] for c in grid[row])]
            # Tables side by side differ in length.
            for part in _runs(own):
                area = Area(part[0], side[0], part[-1], side[-1])
                near = range(max(len(areas) - _NEAR, 0), len(areas))
                before = next((i for i in near if _goes_on(grid, areas[i], area)), None)
                if before is None:
                    areas.append(area)
                else:
                    areas[before] = replace(areas[before], last_row=area.last_row)
    return areas


def _sides(columns: list[list[int]]) -> list[list[int]]:
    """Join runs of columns of which one alone would be half a table: keys without values."""
    if len(columns) > 1 and all(len(run) > 1 for run in columns):
        return columns
    return [[column for run in columns for column in run]] if columns else []


def _goes_on(grid: Grid, above: Area, area: Area) -> bool:
    """Whether rows continue a table over one empty row: they have its columns, and no header of their own."""
    if area.first_row != above.last_row + 2:
        return False
    if area.first_column < above.first_column or area.last_column > above.last_column:
        return False
    is_table = above.last_column > above.first_column and above.last_row > above.first_row
    return (
        is_table and not _is_header(_row(grid, area.first_row, area)) and area.last_column > area.first_column
    )


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Cut sorted numbers where one is left out."""
    runs = [[numbers[0]]] if numbers else []
    for left, right in pairwise(numbers):
        if right == left + 1:
            runs[-1].append(right)
        else:
            runs.append([right])
    return runs


def _row(grid: Grid, row: int, area: Area) -> list[str]:
    cells = grid.get(row, {})
    return [cells.get(column, "") for column in range(area.first_column, area.last_column + 1)]


def _blocks(grid: Grid, region: Region, wide: Mapping[tuple[int, int], Area]) -> Iterator[Block]:
    area = region.area
    rows = [row for row in sorted(grid) if area.first_row <= row <= area.last_row]
    rows = [row for row in rows if any(area.first_column <= c <= area.last_column for c in grid[row])]
    used = sorted({c for row in rows for c in grid[row] if area.first_column <= c <= area.last_column})
    if len(used) <= 1:
        yield from _lines([(row, grid[row][used[0]]) for row in rows] if used else [])
        return
    heads = region.header_rows
    if heads is None:
        titles = _title_rows(grid, rows, area)
        yield from _lines([(row, next(filter(None, _row(grid, row, area)))) for row in titles])
        rows = rows[len(titles) :]
        heads = _header_rows(grid, rows, area, wide)
    names = _names(grid, rows[:heads], used, wide)
    if max(map(len, names), default=0) > _MAX_NAME_CHARS:
        names, heads = [], 0
    table: list[TableRow] = [
        (row, _trimmed([grid[row].get(column, "") for column in used])) for row in rows[heads:]
    ]
    header = rows[heads - 1] if heads else 0
    if not table and names:
        table, names, header = [(header, names)], [], 0
    if is_wide(names, table):
        if names and not all(any(len(c) > i and c[i] for _, c in table) for i in range(len(used))):
            # Records name no column that is empty everywhere.
            yield from _lines([(header, f"Columns: {', '.join(filter(None, names))}")])
        yield from (record_block(names, row) for row in table)
    else:
        yield from line_blocks(names, header, table)


def _title_rows(grid: Grid, rows: Sequence[int], area: Area) -> list[int]:
    """Return the first rows that hold one text each: what stands above a table."""
    found: list[int] = []
    for row in rows[:_MAX_TITLE_ROWS]:
        cells = [text for text in _row(grid, row, area) if text]
        if len(cells) > 1 or _NUMBER.match(cells[0]):
            return found
        found.append(row)
    return found if len(rows) > len(found) else []


def _header_rows(grid: Grid, rows: Sequence[int], area: Area, wide: Mapping[tuple[int, int], Area]) -> int:
    if len(rows) < 2 or not _is_header(_row(grid, rows[0], area)):
        return 0
    spans = any((rows[0], column) in wide for column in range(area.first_column, area.last_column + 1))
    return 2 if spans and len(rows) > 2 and _is_header(_row(grid, rows[1], area)) else 1


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a row names columns: words, or years and dates beside them."""
    said = [text.strip() for text in cells if text]
    words = [text for text in said if not _NUMBER.match(text) and not _YEAR_OR_DATE.match(text)]
    others = len(said) - len(words)
    years = sum(_YEAR_OR_DATE.match(text) is not None for text in said)
    return len(said) > 1 and others == years and (bool(words) or not cells[0])


def _names(
    grid: Grid, rows: Sequence[int], used: Sequence[int], wide: Mapping[tuple[int, int], Area]
) -> list[str]:
    """Return a name a column, of all header rows; a cell merged over columns names each of them."""
    if not rows:
        return []
    over: dict[tuple[int, int], str] = {}
    for row in rows:
        for column in used:
            area = wide.get((row, column))
            for reached in used if area else ():
                if area and column < reached <= area.last_column:
                    over[row, reached] = grid[row].get(column, "")
    names = []
    for column in used:
        pieces = (grid[row].get(column, "") or over.get((row, column), "") for row in rows)
        names.append(clean_cell(" ".join(dict.fromkeys(filter(None, pieces)))))
    return names


def _trimmed(cells: list[str]) -> list[str]:
    end = max((i + 1 for i, text in enumerate(cells) if text), default=0)
    return cells[:end]


def _lines(rows: Iterable[tuple[int, str]]) -> Iterator[Block]:
    """Yield texts that stand alone in their rows as one block."""
    texts = [(row, " ".join(text.split())) for row, text in rows]
    if not texts:
        return
    places = []
    at = 0
    for row, text in texts:
        places.append(Place(at, at + len(text), Cells("", row, row)))
        at += len(text) + 1
    part = Part("text", text="\n".join(text for _, text in texts), places=tuple(places))
    yield Block("paragraph" if len(texts) == 1 else "list", Cells("", texts[0][0], texts[-1][0]), (part,))


def _on_sheet(block: Block, sheet: str) -> Block:
    def moved(where: Locator) -> Locator:
        return replace(where, sheet=sheet) if isinstance(where, Cells) else where

    parts = tuple(
        replace(part, places=tuple(replace(place, locator=moved(place.locator)) for place in part.places))
        for part in block.parts
    )
    return replace(block, locator=moved(block.locator), parts=parts)
