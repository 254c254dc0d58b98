"""Write the rows of a table as blocks: a line a row under its header, or a record of lines a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from mmrag.core.reading import Block
from mmrag.core.types import Cells, Part, Scalar
from mmrag.corpus.readers.lines import CELL_SEPARATOR, LONG_CELL_CHARS, PlacedText
from mmrag.corpus.stretch import Stretch, sentence_stretches
from mmrag.corpus.table_marks import HEADER_ROWS

TableRow = tuple[int, Sequence[str]]
"""A row's number, as a spreadsheet program shows it, and its cells."""

_ROWS_A_BLOCK = 100
"""The splitter looks at all of a block's rows for each of its rows: 1000 would take 10 times as long."""
_WIDE_HEADER_CHARS, _WIDE_ROW_CHARS = 250, 600
"""A passage has about 200 tokens, 800 characters of prose; a header beyond half of it is not repeated."""
_MAX_KEY_CHARS = 160


def is_wide(names: Sequence[str], rows: Sequence[TableRow]) -> bool:
    """Whether a row, with its header above it, would exceed a passage: then records read better."""
    header = sum(len(name) + len(CELL_SEPARATOR) for name in names)
    chars = sum(len(cell) + len(CELL_SEPARATOR) for _, cells in rows for cell in cells)
    return header > _WIDE_HEADER_CHARS or header + chars / max(len(rows), 1) > _WIDE_ROW_CHARS


def line_blocks(names: Sequence[str], header: int, rows: Iterable[TableRow]) -> Iterator[Block]:
    """Yield tables with a line a row; each begins with the names.

    Args:
        names: The header's cells; none for a table without.
        header: The row that holds them, 0 when they are made up.
        rows: Rows that have words.
    """
    first = CELL_SEPARATOR.join(clean_cell(name) for name in names)
    made: PlacedText | None = None
    begin = end = count = 0
    where = header
    for number, cells in rows:
        if made is None:
            made, begin, count = PlacedText(), number, 0
            # Only the first table says where the names stand: the others are about their own rows.
            made.add(first, Cells("", where, where) if where else None)
            where = 0
        made.add("\n" if made.length else "")
        made.add(_line(cells), Cells("", number, number))
        count, end = count + 1, number
        if count == _ROWS_A_BLOCK:
            yield _table(made, begin, end, 1 if first else 0)
            made = None
    if made is not None:
        yield _table(made, begin, end, 1 if first else 0)


def record_block(names: Sequence[str], row: TableRow) -> Block:
    """Return a row as lines 'column: value'; those that name it are repeated in each of its passages."""
    number, cells = row
    lines: list[str] = []
    keys = 0
    is_named = False
    for i, (name, cell) in enumerate(zip_longest(names, cells, fillvalue=""), start=1):
        if not cell.strip():
            continue
        said = f"{' '.join(name.split()) or f'column {i}'}: "
        if not is_named and keys == len(lines) < 2 and len(said) + len(cell) <= _MAX_KEY_CHARS:
            keys += 1
            is_named = any(map(str.isalpha, cell))
        lines.extend(_value_lines(said, cell))
    made = PlacedText()
    made.add("\n".join(lines), Cells("", number, number))
    return Block("table", Cells("", number, number), (made.part(),), metadata={HEADER_ROWS: keys})


def clean_cell(cell: str) -> str:
    """Return a cell on one line; a bar in it would look like the next cell."""
    return " ".join(cell.split()).replace("|", "/")


def _line(cells: Sequence[str]) -> str:
    return CELL_SEPARATOR.join(clean_cell(cell) for cell in cells)


def _value_lines(said: str, cell: str) -> Iterator[str]:
    """Yield a value's own lines; a long one ends at the end of a sentence, where a passage may end."""
    for line in filter(None, (" ".join(line.split()) for line in cell.splitlines())):
        if len(line) <= LONG_CELL_CHARS:
            yield said + line
        else:
            sentences = sentence_stretches(Stretch(line, ())) or [Stretch(line, ())]
            yield said + sentences[0].text
            yield from (sentence.text for sentence in sentences[1:])
        said = ""


def _table(made: PlacedText, first: int, last: int, header_rows: int) -> Block:
    part: Part = made.part()
    metadata: dict[str, Scalar] = {HEADER_ROWS: header_rows}
    return Block("table", Cells("", first, last), (part,), metadata=metadata)
