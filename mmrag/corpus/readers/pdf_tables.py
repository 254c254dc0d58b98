"""Put the lines of a table into rows of cells: what a cell carries on below belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

from mmrag.corpus.readers.layout import Segment

CELL_GAP_EM = 1.5
"""A gap this wide parts two cells wherever it stands; a smaller one only where a column begins."""
ALIGN_EM = 0.5
_CARRIED_ON_EM = 0.6

Cell = list[Segment]


def table_rows(lines: Sequence[Sequence[Segment]]) -> list[list[Cell]]:
    """Return rows of cells, each with its pieces from top to bottom.

    `lines` are the segments of each line of the table, from left to right.
    """
    starts = _starts(lines)
    rows: list[list[Cell]] = []
    bottom = 0.0
    for line in lines:
        cells = _cells(line, starts)
        columns = _carried_on(cells, rows[-1]) if rows else None
        if columns and min(s.y0 for s in line) - bottom < _CARRIED_ON_EM * line[0].em:
            for column, cell in zip(columns, cells, strict=True):
                rows[-1][column].extend(cell)
        else:
            rows.append(cells)
        bottom = max(s.y1 for s in line)
    return rows


def _starts(lines: Sequence[Sequence[Segment]]) -> list[float]:
    """Return where columns begin: left edges that three lines share, or two with a wide gap before."""
    edges = [
        (segment.x0, not i or segment.x0 - line[i - 1].x1 > CELL_GAP_EM * segment.em)
        for line in lines
        for i, segment in enumerate(line)
    ]
    slack = ALIGN_EM * max((s.em for line in lines for s in line), default=1.0)
    found = []
    for x, _ in edges:
        near = [is_wide for other, is_wide in edges if abs(x - other) < slack]
        if len(near) > 2 or (len(near) == 2 and any(near)):
            found.append(x)
    return found


def _cells(line: Sequence[Segment], starts: Sequence[float]) -> list[Cell]:
    cells: list[Cell] = []
    for segment in line:
        slack = ALIGN_EM * segment.em
        begins = any(abs(segment.x0 - x) < slack for x in starts)
        if cells and not begins and segment.x0 - cells[-1][-1].x1 <= CELL_GAP_EM * segment.em:
            cells[-1].append(segment)
        else:
            cells.append([segment])
    return cells


def _carried_on(cells: Sequence[Cell], row: Sequence[Cell]) -> list[int] | None:
    """Return the columns of `row` that a line carries on, if it begins none of its own."""
    found = []
    for cell in cells:
        slack = ALIGN_EM * cell[0].em
        under = [i for i, above in enumerate(row) if i and abs(above[0].x0 - cell[0].x0) < slack]
        if not under:
            return None
        found.append(under[0])
    return found
