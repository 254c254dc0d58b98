"""Read tables whose cells are drawn: the text of each cell of a grid, merged cells, headers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise

from mmrag.corpus.readers.lines import LONG_CELL_CHARS
from mmrag.corpus.readers.pdf.grid import Grid, GridMap
from mmrag.corpus.readers.pdf.layout import Segment, rows
from mmrag.corpus.readers.pdf.objects import Rect
from mmrag.corpus.readers.pdf.rules import WHITE, Color
from mmrag.corpus.readers.pdf.tables import MAX_HEADER_ROWS, Cell, Table, bold_rows
from mmrag.corpus.readers.pdf.text import TextLayer

_MIN_FILLED, _WELL_FILLED, _MANY_CELLS = 0.2, 0.35, 12
"""A sparse grid of few texts is a diagram: its arrows and walls cross as well."""
_FEW_CELLS = 4
_MAX_BANDS = 4
"""A table with more rules than these has one below each row."""
_MIN_INNER, _MAX_INNER = 4, 0.3
_MAX_REPEATED_CHARS = 40
_MIN_LINES, _MIN_LEVEL = 3, 0.6

_Band = list[tuple[int, Cell]]
"""A row: for each column the number of its cell and the text of it."""


def table_grids(grids: GridMap, layer: TextLayer) -> GridMap:
    """Return the grids that hold rows of texts: not the lines of a diagram, not a frame around prose."""
    chars: dict[int, int] = defaultdict(int)
    for x, y, length in layer.middles():
        if cell := grids.cell_at(x, y):
            chars[cell] += length
    return GridMap(
        [
            g
            for g, first in grids
            if _is_table(g, {n: chars[first + n] for n in g.cells if first + n in chars})
        ]
    )


def ruled_tables(
    grids: GridMap, segments: Sequence[Segment], shades: Sequence[tuple[Rect, Color]]
) -> tuple[list[Table], list[Segment]]:
    """Return the tables of a page and the segments that stand in none."""
    by_cell: dict[int, list[Segment]] = defaultdict(list)
    for segment in segments:
        by_cell[segment.cell].append(segment)
    tables = []
    rest = by_cell.pop(0, [])
    for grid, first in grids:
        found = {n: by_cell[first + n] for n in grid.cells if first + n in by_cell}
        if not found or _is_muddled(grid, found):
            rest.extend(segment for cell in found.values() for segment in cell)
        else:
            tables.append(_table(grid, {n: _in_order(cell) for n, cell in found.items()}, shades))
    return tables, rest


def _in_order(segments: list[Segment]) -> Cell:
    tall = [s for s in segments if s.y1 - s.y0 > 1.5 * (s.x1 - s.x0) and len(s.text) > 2]
    if 2 * len(tall) > len(segments):
        return segments
    return [s for row in rows(segments) for s in row]


def _is_table(grid: Grid, chars: Mapping[int, int]) -> bool:
    rich = sum(len({n for n in row if n in chars}) > 1 for row in grid.owners)
    columns = sum(any(n in chars for n in column) for column in zip(*grid.owners, strict=True))
    filled = len(chars) / len(grid.cells)
    if rich < 2 or columns < 2 or filled < (_MIN_FILLED if len(chars) >= _MANY_CELLS else _WELL_FILLED):
        return False
    long = sum(length > LONG_CELL_CHARS for length in chars.values())
    return not (3 * long > len(chars) or (long and len(chars) <= _FEW_CELLS))


def _is_muddled(grid: Grid, cells: Mapping[int, Cell]) -> bool:
    """Whether much of the text stands in merged cells that hold rows and columns: lines are missing."""
    merged = {n for above, below in pairwise(grid.owners) for n in set(above) & set(below)}
    merged |= {a for row in grid.owners for a, b in pairwise(row) if a == b}
    inner = whole = 0
    for n, cell in cells.items():
        chars = sum(len(s.text) for s in cell)
        whole += chars
        if n in merged and len(cell) >= _MIN_INNER and sum(len(row) > 1 for row in rows(cell)) > 1:
            inner += chars
    return inner > _MAX_INNER * whole


def _table(grid: Grid, cells: Mapping[int, Cell], shades: Sequence[tuple[Rect, Color]]) -> Table:
    kept = _columns(grid, cells)
    bands: list[tuple[int, _Band]] = []
    for i, owners in enumerate(grid.owners):
        own = [n for n in owners if n in cells and (not i or n not in grid.owners[i - 1])]
        if own:
            bands.append((i, [(owners[c], cells.get(owners[c], [])) for c in kept]))
    known = _header(grid, bands, shades)
    header = max(known, 1)
    rows: list[tuple[Cell, ...]] = []
    header_rows = 0
    for order, (i, band) in enumerate(bands):
        found = [band]
        if len(bands) <= _MAX_BANDS:
            found = _logical_rows(grid, i, band)
        shaped = _as_header if order < header else _once
        rows.extend(_trimmed(shaped(row)) for row in found)
        header_rows += len(found) if order < header else 0
    if header_rows > MAX_HEADER_ROWS or header_rows >= len(rows):
        header_rows = 1
    rect = (grid.xs[0], grid.ys[0], grid.xs[-1], grid.ys[-1])
    return Table(tuple(rows), header_rows, known > 0, is_ruled=True, edges=grid.xs, rect=rect)


def _columns(grid: Grid, cells: Mapping[int, Cell]) -> list[int]:
    """Return the columns that have a cell of their own with text: double lines make empty ones."""
    count = len(grid.xs) - 1
    return [
        c
        for c in range(count)
        if any(row[c] in cells and (not c or row[c - 1] != row[c]) for row in grid.owners)
    ]


def _header(grid: Grid, bands: Sequence[tuple[int, _Band]], shades: Sequence[tuple[Rect, Color]]) -> int:
    """Return how many rows at the top are shown to be the header, by spans, colour or bold type."""
    if len(bands) < 2:
        return 0
    spans = 0
    first = [n for n, _ in bands[0][1]]
    if len(set(first)) < len(first):
        # A cell over some columns has their names below it, one over all of them is a title.
        deep = max(sum(row[c] == n for row in grid.owners) for c, n in _first_columns(grid, bands[0][0]))
        spans = min(max(2, deep), MAX_HEADER_ROWS)
    colors = [_color(grid, i, shades) for i, _ in bands]
    shaded = next((n for n, color in enumerate(colors) if color != colors[0]), 0)
    if colors[0] is None or colors[0] in colors[shaded:] or shaded > MAX_HEADER_ROWS:
        shaded = 0
    bold = bold_rows([[cell for _, cell in band if cell] for _, band in bands])
    return min(max(spans, shaded or bold), len(bands) - 1)


def _first_columns(grid: Grid, row: int) -> list[tuple[int, int]]:
    return list(enumerate(grid.owners[row]))


def _color(grid: Grid, row: int, shades: Sequence[tuple[Rect, Color]]) -> Color | None:
    """Return the colour behind the first cell of a row; None if it is white."""
    x, y = (grid.xs[0] + grid.xs[1]) / 2, (grid.ys[row] + grid.ys[row + 1]) / 2
    found = None
    for rect, color in shades:
        if rect[0] <= x <= rect[2] and rect[1] <= y <= rect[3]:
            found = color
    return None if found is None or min(found) >= WHITE else found


def _logical_rows(grid: Grid, row: int, band: _Band) -> list[_Band]:
    """Cut a band that has no lines between its rows, as in many a LaTeX table, into rows of text."""
    pieces = [s for _, cell in band for s in cell]
    merged = len({n for n, _ in band}) < len(band)
    if merged or any(n in other for n, _ in band for other in grid.owners[row + 1 : row + 2]):
        return [band]
    lines = rows(pieces)
    if len(lines) < _MIN_LINES:
        return [band]
    numbers = [{s.cell for s in line} for line in lines]
    first = next(cell[0].cell for _, cell in band if cell)
    level = sum(first in found and len(found) > 1 for found in numbers)
    if level < _MIN_LEVEL * len(lines):
        return [band]
    found: list[_Band] = []
    for line, held in zip(lines, numbers, strict=True):
        own = [(n, [s for s in line if cell and s.cell == cell[0].cell]) for n, cell in band]
        if first in held or not found:
            found.append(own)
        else:
            for (_, above), (_, below) in zip(found[-1], own, strict=True):
                above.extend(below)
    return found


def _as_header(band: _Band) -> list[Cell]:
    """Name each column: a short cell over some of the columns stands in each of them."""
    long = any(sum(len(s.text) for s in cell) > _MAX_REPEATED_CHARS for _, cell in band)
    return _once(band) if long or len({n for n, _ in band}) == 1 else [cell for _, cell in band]


def _once(band: _Band) -> list[Cell]:
    return [next(iter(same))[1] for _, same in groupby(band, key=lambda pair: pair[0])]


def _trimmed(row: list[Cell]) -> tuple[Cell, ...]:
    while row and not row[-1]:
        row.pop()
    return tuple(row)
