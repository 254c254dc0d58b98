"""Read the rows of a table written as `a | b | c`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_RULE = re.compile(r"[\s|:+=-]*-{2,}[\s|:+=-]*")
_UNIT = re.compile(r"\s[(\[][^()\[\]]*[)\]]$")
_NO_NAME = re.compile(r"[()\[\]{}\"“”`=<>]")
_BRACKETED = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}")
_NAME_CHARS = 40
_DIGIT = re.compile(r"\d")
_VALUE = re.compile(r"^[\s~≈<>±+-]*[€$£]?\s*\d")


def is_row(line: str) -> bool:
    """Whether a line is a row of a table."""
    stripped = line.strip()
    # A choice in a command's synopsis, `[-x | -X]`, is no border of cells.
    return " | " in _BRACKETED.sub("", stripped) or (len(stripped) > 2 and stripped[0] == stripped[-1] == "|")


def is_rule(line: str) -> bool:
    """Whether a row only draws the line under a header."""
    return _RULE.fullmatch(line.strip()) is not None


def cells_of(row: str) -> list[str]:
    """Return the cells of a row without the spaces around them."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def header_of(rows: Sequence[str], *, ruled: bool = False) -> list[str]:
    """Return the header's cells, or none if the first row is like the others.

    A ruled table has one. Else a first row of names is a header when it differs in kind from the rows
    below: in one of its columns most cells lack the name's capital, hold a figure where it has none,
    begin with one, or are far longer. Names may end in a number (Larkwind 150), but a first cell with
    one is a code like those under it. Two columns have a header only over figures: words are read as
    name and value.
    """
    if len(rows) < 2:
        return []
    first, *body = map(cells_of, rows)
    if ruled:
        return first
    columns = [[cells[i] for cells in body if i < len(cells)] for i in range(len(first))]
    if not _are_names(first) or any(map(_VALUE.match, first[1:])) or _DIGIT.search(first[0]):
        return []
    if any(name and name in cells for name, cells in zip(first, columns, strict=True)):
        return []
    if len(first) == 2:
        return first if 2 * sum(bool(_VALUE.match(cell)) for cell in columns[1]) > len(body) else []
    return first if any(map(_differs, first, columns)) else []


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
    return f"{filled[0].rstrip(':')}: {filled[1]}" if len(filled) == 2 else listed(filled)


def listed(pieces: Iterable[str]) -> str:
    """Join pieces by semicolons; one that ends in a colon leads the next."""
    return "; ".join(pieces).replace(":; ", ": ")


def _are_names(cells: Sequence[str]) -> bool:
    """Whether cells are short, distinct words; a unit in brackets may follow: 'Weight (kg)'."""
    names = [_UNIT.sub("", cell) for cell in cells]
    filled = [name for name in names if name]
    return len(set(filled)) == len(filled) > 1 and all(
        len(name) <= _NAME_CHARS and not _NO_NAME.search(name) for name in names
    )


def _differs(name: str, cells: Sequence[str]) -> bool:
    figure = _VALUE if _DIGIT.search(name) else _DIGIT
    other = sum(
        figure.search(cell) is not None
        or len(cell) > 2 * max(len(name), 1)
        or (name[:1].isupper() and not cell[:1].isupper())
        for cell in cells
    )
    return 2 * other > len(cells)
