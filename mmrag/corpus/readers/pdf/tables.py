"""Put the lines of a table without grid into rows of cells: what a cell carries on below belongs to it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from mmrag.corpus.readers.pdf.layout import Segment
from mmrag.corpus.readers.pdf.objects import Rect
from mmrag.corpus.readers.pdf.rules import Rule

CELL_GAP_EM = 1.5
"""A gap this wide parts two cells wherever it stands; a smaller one only where a column begins."""
ALIGN_EM = 0.5
_CARRIED_ON_EM = 0.6
_RULE_SHARE = 0.6
"""A rule that is so much of a table's width parts its rows."""
MAX_HEADER_ROWS = 3

Cell = list[Segment]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, each cell its pieces from top to bottom.

    `has_header` is False where nothing but its place says that the first row is a header; `is_ruled`
    says that lines part its cells, and `edges` are where its columns begin.
    """

    rows: tuple[tuple[Cell, ...], ...]
    header: int
    has_header: bool
    is_ruled: bool
    edges: tuple[float, ...]
    rect: Rect

    @property
    def segments(self) -> list[Segment]:
        """All pieces, those of merged cells more than once."""
        return [piece for row in self.rows for cell in row for piece in cell]


def gap_table(lines: Sequence[Sequence[Segment]], rules: Sequence[Rule]) -> Table:
    """Make a table of lines whose cells stand under each other.

    `lines` are the segments of each line of the table, from left to right; of `rules`, those that
    cross the table part its rows, and the first one ends its header.
    """
    pieces = [s for line in lines for s in line]
    rect = rect_around(pieces)
    cuts = [rule.at for rule in rules if rect[1] < rule.at < rect[3] and _crosses(rule, rect)]
    starts = _starts(lines)
    rows = _rows(lines, starts, cuts)
    header = _rows_above(rows, cuts[0]) if cuts else 0
    header = header if 0 < header <= MAX_HEADER_ROWS and header < len(rows) else bold_rows(rows)
    edges = tuple(_apart(starts))
    return Table(tuple(map(tuple, rows)), max(header, 1), header > 0, is_ruled=False, edges=edges, rect=rect)


def rect_around(pieces: Sequence[Segment]) -> Rect:
    """Return the box around pieces of text."""
    return (
        min(s.x0 for s in pieces),
        min(s.y0 for s in pieces),
        max(s.x1 for s in pieces),
        max(s.y1 for s in pieces),
    )


def bold_rows(rows: Sequence[Sequence[Cell]]) -> int:
    """Return how many rows at the top are bold, 0 if too many are."""
    count = 0
    for row in rows:
        if not all(piece.bold for cell in row for piece in cell):
            break
        count += 1
    return count if count <= MAX_HEADER_ROWS and count < len(rows) else 0


def _crosses(rule: Rule, rect: Rect) -> bool:
    return min(rule.end, rect[2]) - max(rule.start, rect[0]) >= _RULE_SHARE * (rect[2] - rect[0])


def _rows_above(rows: Sequence[Sequence[Cell]], y: float) -> int:
    return sum(max(piece.y0 + piece.y1 for cell in row for piece in cell) / 2 < y for row in rows)


def _rows(
    lines: Sequence[Sequence[Segment]], starts: Sequence[float], cuts: Sequence[float]
) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    bottom = 0.0
    for line in lines:
        cells = _cells(line, starts)
        top = min(s.y0 for s in line)
        middle = min(s.y0 + s.y1 for s in line) / 2
        is_parted = any(bottom - line[0].em / 2 < cut < middle for cut in cuts)
        columns = _carried_on(cells, rows[-1]) if rows and not is_parted else None
        if columns and top - bottom < _CARRIED_ON_EM * line[0].em:
            for column, cell in zip(columns, cells, strict=True):
                rows[-1][column].extend(cell)
        else:
            rows.append(cells)
        bottom = max(s.y1 for s in line)
    return rows


def _starts(lines: Sequence[Sequence[Segment]]) -> list[float]:
    """Return where columns begin: left edges that three lines share, or two with a wide gap before."""
    edges = sorted(
        (segment.x0, not i or segment.x0 - line[i - 1].x1 > CELL_GAP_EM * segment.em)
        for line in lines
        for i, segment in enumerate(line)
    )
    slack = ALIGN_EM * max((s.em for line in lines for s in line), default=1.0)
    found = []
    first = last = wide = 0
    for x, _ in edges:
        while last < len(edges) and edges[last][0] < x + slack:
            wide += edges[last][1]
            last += 1
        while edges[first][0] <= x - slack:
            wide -= edges[first][1]
            first += 1
        if last - first > 2 or (last - first == 2 and wide):
            found.append(x)
    return found


def _apart(starts: Sequence[float]) -> list[float]:
    """Return one of the starts of each column."""
    return [x for i, x in enumerate(starts) if not i or x - starts[i - 1] > 2.0]


def _cells(line: Sequence[Segment], starts: Sequence[float]) -> list[Cell]:
    cells: list[Cell] = []
    for segment in line:
        slack = ALIGN_EM * segment.em
        at = bisect_left(starts, segment.x0 - slack)
        begins = at < len(starts) and starts[at] < segment.x0 + slack
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
