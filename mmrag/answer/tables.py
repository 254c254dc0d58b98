"""Read the rows of a table written as `a | b | c`."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RULE = re.compile(r"[\s|:+=-]*-{2,}[\s|:+=-]*")
_VALUE = re.compile(r"[\s~≈<>±+-]*[€$£]?\s*\d")


def is_row(line: str) -> bool:
    """Whether a line is a row of a table."""
    stripped = line.strip()
    return " | " in stripped or (len(stripped) > 2 and stripped[0] == stripped[-1] == "|")


def is_rule(line: str) -> bool:
    """Whether a row only draws the line under a header."""
    return _RULE.fullmatch(line.strip()) is not None


def cells_of(row: str) -> list[str]:
    """Return the cells of a row without the spaces around them."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def header_of(rows: Sequence[str], *, ruled: bool = False) -> list[str]:
    """Return the header's cells, or none if the first row is like the others.

    A ruled table has one. Else a first row without figures is a header when the table has three
    columns or more, or when most of the second column are figures: two columns of words are read
    as name and value, which needs no header.
    """
    if len(rows) < 2:
        return []
    first, *body = map(cells_of, rows)
    if ruled:
        return first
    if any(_VALUE.match(cell) for cell in first[1:]):
        return []
    if len(first) > 2:
        return first
    figures = sum(bool(_VALUE.match(cells[1])) for cells in body if len(cells) > 1)
    return first if 2 * figures > len(body) else []


def readable_row(row: str, header: Sequence[str] = ()) -> str:
    """Write a row as 'Part: Filter; Price: 12 EUR'; without a header as 'Filter: 12 EUR'."""
    cells = cells_of(row)
    if header:
        names = [*header, *[""] * (len(cells) - len(header))]
        pairs = [
            f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell
        ]
        return "; ".join(pairs)
    filled = [cell for cell in cells if cell]
    return f"{filled[0].rstrip(':')}: {filled[1]}" if len(filled) == 2 else "; ".join(filled)
