"""Read the rows of an HTML table."""

from __future__ import annotations

from dataclasses import dataclass

from selectolax.lexbor import LexborNode

from mmrag.corpus.readers.html_text import attribute, events, is_skipped, squeeze, text_of

_MAX_SPAN = 50
_LONG_CELL_CHARS = 600
_PROBED_CELLS = 200
_STRUCTURE = "h1, h2, h3, h4, pre, ul, ol, dl, p + p, figure"


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row; a cell that spans rows stands in each of them."""

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
    long = sum(len(cell.text()) > _LONG_CELL_CHARS for cell in cells)
    return 2 * heavy > len(cells) or 3 * long > len(cells)


def table_rows(table: LexborNode) -> tuple[str, list[Row]]:
    """Return a table's caption and rows; empty rows are left out."""
    caption = table.css_first("caption")
    found: list[Row] = []
    above: dict[int, tuple[int, str]] = {}
    for opens, node in events(table, lambda node: is_skipped(node) or node.tag == "caption"):
        if not opens or node.tag != "tr":
            continue
        cells: list[str] = []
        heads = 0
        column = 0
        for cell in _cells(node):
            column = _carry(cells, above, column)
            text = squeeze(text_of(cell)).replace("|", "/")
            cells.append(text)
            heads += cell.tag == "th"
            if (rows := _span(cell, "rowspan")) > 1:
                above[column] = (rows - 1, text)
            column += 1
        _carry(cells, above, column)
        if any(cells):
            found.append(Row(tuple(cells), is_header=bool(heads) and heads == len(_cells(node))))
    return (squeeze(text_of(caption)) if caption is not None else ""), found


def _cells(row: LexborNode) -> list[LexborNode]:
    found = []
    child = row.first_child
    while child is not None:
        if child.tag in ("td", "th") and not is_skipped(child):
            found.append(child)
        child = child.next
    return found


def _carry(cells: list[str], above: dict[int, tuple[int, str]], column: int) -> int:
    """Repeat the cells that reach down from the rows above."""
    while column in above:
        left, text = above[column]
        cells.append(text)
        if left > 1:
            above[column] = (left - 1, text)
        else:
            del above[column]
        column += 1
    return column


def _span(cell: LexborNode, name: str) -> int:
    value = attribute(cell, name)
    return min(int(value), _MAX_SPAN) if value.isdecimal() and len(value) < 4 else 1
