"""Read the rows of an HTML table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selectolax.lexbor import LexborNode

from mmrag.corpus.readers.lines import LONG_CELL_CHARS
from mmrag.corpus.readers.web.html_text import attribute, events, squeeze, text_of

_MAX_SPAN = 50
_FREE_CHARS, _REPEATED_SHARE = 10_000, 8
"""Characters repeated in one table, beside eightfold its own: 50 rows by 50 columns make 2500 of one."""
_SEPARATOR_CHARS = 3
_PROBED_CELLS = 200
_STRUCTURE = "h1, h2, h3, h4, pre, ul, ol, dl, p + p, figure"


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row; a cell that spans rows stands in each of them, a name in all of its columns."""

    cells: tuple[str, ...]
    is_header: bool


def is_layout(table: LexborNode) -> bool:
    """Whether a table only arranges parts of the page: its cells hold structure or long texts."""
    if attribute(table, "role") == "presentation":
        return True
    # The first match of a selector can be the element itself.
    if len(table.css("table")) > 1 or table.css_first("tr") is None:
        return True
    cells = table.css("td, th")[:_PROBED_CELLS]
    if len(cells) <= 1:
        return True
    if table.css_first("th") is not None:
        return False
    heavy = sum(cell.css_first(_STRUCTURE) is not None for cell in cells)
    long = sum(len(cell.text()) > LONG_CELL_CHARS for cell in cells)
    return 2 * heavy > len(cells) or 3 * long > len(cells)


def header_rows(rows: Sequence[Row]) -> int:
    """Return how many of the first rows are names: not all of them, as those that follow need some."""
    count = next((i for i, row in enumerate(rows) if not row.is_header), len(rows))
    return count if count < len(rows) else min(count, 1)


def table_rows(table: LexborNode, skip: Callable[[LexborNode], bool]) -> tuple[str, list[Row], bool]:
    """Return a table's caption and rows, and whether all cells are repeated; empty rows are left out."""
    caption = table.css_first("caption")
    found: list[Row] = []
    above: dict[int, tuple[int, str]] = {}
    left = _FREE_CHARS + _REPEATED_SHARE * len(table.text())
    for opens, node in events(table, lambda node: skip(node) or node.tag == "caption"):
        if not opens or node.tag != "tr":
            continue
        cells: list[str] = []
        heads = 0
        own = _cells(node, skip)
        for cell in own:
            _carry(cells, above)
            text = squeeze(text_of(cell, skip)).replace("|", "/")
            is_name = cell.tag == "th"
            heads += is_name
            rows, columns = _span(cell, "rowspan"), _span(cell, "colspan")
            if rows * columns > 1:
                left -= (rows * columns - 1) * (len(text) + _SEPARATOR_CHARS)
                rows, columns = (rows, columns) if left >= 0 else (1, 1)
            # A name stands over each of its columns; a value is said once, and keeps the rest in line.
            said = [text if is_name or i == 0 else "" for i in range(columns)]
            # A value over the whole row is the title of those below.
            said = said[:1] if columns > 1 and len(own) == 1 else said
            if rows > 1:
                above.update({len(cells) + i: (rows - 1, one) for i, one in enumerate(said)})
            cells += said
        _carry(cells, above)
        if any(cells):
            parent = node.parent.tag if node.parent else ""
            is_header = bool(own) and (heads == len(own) or parent == "thead")
            found.append(Row(tuple(cells), is_header))
    return (squeeze(text_of(caption, skip)) if caption is not None else ""), found, left >= 0


def _cells(row: LexborNode, skip: Callable[[LexborNode], bool]) -> list[LexborNode]:
    found = []
    child = row.first_child
    while child is not None:
        if child.tag in ("td", "th") and not skip(child):
            found.append(child)
        child = child.next
    return found


def _carry(cells: list[str], above: dict[int, tuple[int, str]]) -> None:
    """Repeat the cells that reach down from the rows above."""
    while (column := len(cells)) in above:
        left, text = above[column]
        cells.append(text)
        if left > 1:
            above[column] = (left - 1, text)
        else:
            del above[column]


def _span(cell: LexborNode, name: str) -> int:
    value = attribute(cell, name)
    return min(int(value), _MAX_SPAN) if value.isdecimal() and len(value) < 4 else 1
