"""Make grids of ruling lines: which cells a table has, and which of them are merged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmrag.corpus.readers.pdf.rules import Rule, Rules

_TOUCH_PT = 3.0
_COVERED = 0.6
"""A side of a cell is drawn if a line runs along this share of it."""
_OPEN_PT = 8.0
"""Where lines run so far beyond the last that crosses them, the table is open at that side."""
_MAX_CROSSINGS = 4_000_000
_MAX_CELLS = 20_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns between `xs`, rows between `ys`; `owners` number the cell of each field from 1.

    Fields with no line between them share a number: a merged cell.

    Units:
        Points of the upright page, y down.
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    owners: tuple[tuple[int, ...], ...]

    @property
    def cells(self) -> range:
        """The numbers of its cells."""
        return range(1, max(map(max, self.owners)) + 1)

    @property
    def area(self) -> float:
        """The size of its box."""
        return (self.xs[-1] - self.xs[0]) * (self.ys[-1] - self.ys[0])

    def field_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the field that holds a point."""
        column, row = bisect_right(self.xs, x) - 1, bisect_right(self.ys, y) - 1
        inside = 0 <= column < len(self.xs) - 1 and 0 <= row < len(self.ys) - 1
        return (row, column) if inside else None


class GridMap:
    """The grids of a page, the smallest first; it numbers their cells through."""

    def __init__(self, grids: Sequence[Grid]) -> None:
        self._grids: list[tuple[Grid, int]] = []
        first = 0
        for grid in sorted(grids, key=lambda grid: grid.area):
            self._grids.append((grid, first))
            first += len(grid.cells)

    def __bool__(self) -> bool:
        return bool(self._grids)

    def __iter__(self) -> Iterator[tuple[Grid, int]]:
        """Go over the grids, each with what is added to the numbers of its cells."""
        return iter(self._grids)

    def cell_at(self, x: float, y: float) -> int:
        """Return the number of the cell that holds a point, 0 if none does."""
        for grid, first in self._grids:
            if field := grid.field_at(x, y):
                return first + grid.owners[field[0]][field[1]]
        return 0

    def fences(self, x0: float, x1: float, y: float) -> list[float]:
        """Return the lines that part the cells from `x0` to `x1` at height `y`."""
        for grid, _ in self._grids:
            row = bisect_right(grid.ys, y) - 1
            if not 0 <= row < len(grid.ys) - 1 or x1 < grid.xs[0] or x0 > grid.xs[-1]:
                continue
            owners = grid.owners[row]
            first, last = bisect_left(grid.xs, x0), bisect_right(grid.xs, x1)
            return [
                grid.xs[i]
                for i in range(max(first, 0), last)
                if not 0 < i < len(grid.xs) - 1 or owners[i - 1] != owners[i]
            ]
        return []


def find_grids(rules: Rules) -> list[Grid]:
    """Return the grids that crossing lines make, at least two rows of two columns each."""
    across, down = rules.across, rules.down
    if not across or not down or len(across) * len(down) > _MAX_CROSSINGS:
        return []
    found = []
    for rows, columns in _joined(across, down):
        grid = _grid([across[i] for i in rows], [down[i] for i in columns])
        if grid is not None:
            found.append(grid)
    return found


def _joined(across: Sequence[Rule], down: Sequence[Rule]) -> Iterator[tuple[list[int], list[int]]]:
    """Group lines that touch, straight or over others."""
    h, v = np.array(across), np.array(down)
    touches = (
        (h[:, None, 1] - _TOUCH_PT <= v[None, :, 0])
        & (v[None, :, 0] <= h[:, None, 2] + _TOUCH_PT)
        & (v[None, :, 1] - _TOUCH_PT <= h[:, None, 0])
        & (h[:, None, 0] <= v[None, :, 2] + _TOUCH_PT)
    )
    left = set(range(len(across)))
    while left:
        rows, columns = {left.pop()}, set[int]()
        new = set(rows)
        while new:
            reached = set(np.flatnonzero(touches[sorted(new)].any(axis=0)).tolist()) - columns
            columns |= reached
            new = set(np.flatnonzero(touches[:, sorted(reached)].any(axis=1)).tolist()) - rows
            rows |= new
        left -= rows
        if columns:
            yield sorted(rows), sorted(columns)


def _grid(across: Sequence[Rule], down: Sequence[Rule]) -> Grid | None:
    xs = _with_open_sides({rule.at for rule in down}, across)
    ys = _with_open_sides({rule.at for rule in across}, down)
    rows, columns = len(ys) - 1, len(xs) - 1
    if rows < 2 or columns < 2 or rows * columns > _MAX_CELLS:
        return None
    above = _drawn(across, ys, xs)
    beside = _drawn(down, xs, ys)
    parent = list(range(rows * columns))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for row in range(rows):
        for column in range(columns):
            here = row * columns + column
            if column + 1 < columns and not beside[column + 1][row]:
                parent[root(here + 1)] = root(here)
            if row + 1 < rows and not above[row + 1][column]:
                parent[root(here + columns)] = root(here)
    regions: dict[int, list[int]] = {}
    for i in range(rows * columns):
        regions.setdefault(root(i), []).append(i)
    return Grid(xs, ys, _numbered(regions.values(), rows, columns))


def _with_open_sides(positions: set[float], crossing: Sequence[Rule]) -> tuple[float, ...]:
    found = sorted(positions)
    first, last = min(rule.start for rule in crossing), max(rule.end for rule in crossing)
    if first < found[0] - _OPEN_PT:
        found.insert(0, first)
    if last > found[-1] + _OPEN_PT:
        found.append(last)
    return tuple(found)


def _drawn(rules: Sequence[Rule], at: Sequence[float], steps: Sequence[float]) -> list[list[bool]]:
    """Say for each line position which steps along it are drawn."""
    by_position: dict[float, list[Rule]] = {}
    for rule in rules:
        by_position.setdefault(rule.at, []).append(rule)
    return [
        [
            any(
                min(rule.end, b) - max(rule.start, a) >= _COVERED * (b - a)
                for rule in by_position.get(position, ())
            )
            for a, b in pairwise(steps)
        ]
        for position in at
    ]


def _numbered(regions: Iterable[list[int]], rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    """Number the cells; fields that hang together but make no rectangle are merged along rows only."""
    owners = [[0] * columns for _ in range(rows)]
    number = 0
    for region in regions:
        places = [divmod(i, columns) for i in region]
        top, bottom = min(r for r, _ in places), max(r for r, _ in places)
        left, right = min(c for _, c in places), max(c for _, c in places)
        if (bottom - top + 1) * (right - left + 1) == len(places):
            number += 1
            for row, column in places:
                owners[row][column] = number
            continue
        for i, (row, column) in enumerate(places):
            number += not i or places[i - 1] != (row, column - 1)
            owners[row][column] = number
    return tuple(map(tuple, owners))
