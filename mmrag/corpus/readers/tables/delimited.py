"""Read tables written as text: find the delimiter and the header, count rows as a spreadsheet does."""

from __future__ import annotations

import csv
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from mmrag.core.errors import Empty
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Cells, Scalar, Source
from mmrag.corpus.readers.decode import decode, read_bytes
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText
from mmrag.corpus.readers.tables.rows import TableRow, clean_cell, is_wide, line_blocks, record_block

_DELIMITERS = "\t;|,"
"""Of two that cut all rows alike the first one wins: a comma may also stand in the numbers of others."""
_SAMPLE_CHARS, _SAMPLE_ROWS = 1 << 16, 200
_HEADER_WITHIN = 20
_MAX_LINE_CHARS = 2_000_000
"""A row is held as a list of cells, 60 bytes each at least: a line of 100 MB would take gigabytes."""
_PROGRESS_ROWS = 5000
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_FIGURE = re.compile(r"[\s~<>±+-]*[€$£]?\s*\.?\d[\d.,:/ T+-]*\s*%?\s*")
_YEAR = re.compile(r"\d{1,4}")
_MAX_NAME_CHARS = 120
_SWALLOWED_LINES, _SWALLOWED_SHARE = 20, 0.9

_FIELD_LIMIT = threading.Lock()
"""`csv.field_size_limit` holds for the whole process."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    quoted: bool = True
    width: int = 1

    def rows(self, lines: Iterator[str]) -> Iterator[list[str]]:
        if self.quoted:
            return csv.reader(lines, delimiter=self.delimiter)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)


@dataclass(slots=True)
class _Table:
    """What is known of a table before its rows are read."""

    names: Sequence[str]
    header: int
    before: list[TableRow]
    is_wide: bool


def read_table_text(path: Path, source: Source, context: ReadContext) -> Reading:
    """Read a table; places are rows, and the header is row 1 if nothing stands above it.

    Raises:
        Corrupt: It is binary.
        Empty: It has no words.
        TooLarge: It exceeds `limits.max_text_bytes`.
    """
    decoded = decode(read_bytes(path, context.limits), name=source.id)
    text, problems = decoded.text, list(decoded.problems)
    given = _SEPARATOR_LINE.match(text)
    at = given.end() if given else 0
    dialect = _dialect_of(text[at : at + _SAMPLE_CHARS], given.group(1) if given else _DELIMITERS)
    with _long_cells(len(text)):
        walk = _Walk(text, at, dialect, context)
        blocks = walk.blocks()
        if walk.swallowed_at:
            problems.append(
                f"A quotation mark opens in row {walk.swallowed_at} and never ends its cell: "
                "all of them were read as plain characters."
            )
            walk = _Walk(text, at, replace(dialect, quoted=False), context)
            blocks = walk.blocks()
    if not blocks:
        raise Empty("The table holds no words.", fix="Nothing to do, or restore it.", where=source.id)
    metadata: dict[str, Scalar] = {"rows": walk.count}
    if walk.ragged:
        metadata["ragged_rows"] = walk.ragged
    return Reading(tuple(blocks), problems=(*problems, *walk.problems()), metadata=metadata)


class _Walk:
    """Goes over the rows of a text once."""

    def __init__(self, text: str, at: int, dialect: _Dialect, context: ReadContext) -> None:
        self.count = 0
        self.ragged = 0
        self.swallowed_at = 0
        self._text = text
        self._at = at
        self._dialect = dialect
        self._context = context
        self._cut: list[int] = []
        self._number = 0
        self._width = dialect.width

    def blocks(self) -> list[Block]:
        rows = self._rows()
        sample = list(islice(rows, _SAMPLE_ROWS))
        if not sample:
            return []
        table = _understood(sample, self._width)
        found = [_paragraph(table.before)] if table.before else []
        body = self._kept(sample[len(table.before) + (table.header > 0) :], rows)
        if table.is_wide:
            found += [record_block(table.names, row) for row in body]
        else:
            found += line_blocks(table.names, table.header, body)
        if not self.count and table.header:
            found.append(_paragraph([(table.header, table.names)], "A table without rows; its columns: "))
        return found

    def problems(self) -> Iterator[str]:
        limit = self._context.limits.max_rows
        if self.count > limit:
            yield f"Only the first {limit} of {self.count} rows were read."
        if self._cut:
            yield (
                f"{len(self._cut)} lines have more than {_MAX_LINE_CHARS} characters, "
                f"the first one in row {self._cut[0]}: the rest of them was left out."
            )

    def _kept(self, first: Sequence[TableRow], rest: Iterator[TableRow]) -> Iterator[TableRow]:
        """Yield rows up to the limit, and count all."""
        limit = self._context.limits.max_rows
        for rows in (first, rest):
            for row in rows:
                self.count += 1
                self.ragged += len(row[1]) != self._width
                if self.count <= limit:
                    yield row

    def _rows(self) -> Iterator[TableRow]:
        """Yield the rows that have words, until one holds what looks like many of them."""
        for cells in self._dialect.rows(self._lines()):
            self._number += 1
            if self._number % _PROGRESS_ROWS == 0:
                self._context.progress(self._at, len(self._text))
            if not any(map(str.strip, cells)):
                continue
            if self._dialect.quoted and any(map(self._has_rows, cells)):
                self.swallowed_at = self._number
                return
            yield self._number, cells

    def _lines(self) -> Iterator[str]:
        while self._at < len(self._text):
            match = _LINE.match(self._text, self._at)
            if match is None or match.end() == self._at:
                return
            if match.end() - match.start() > _MAX_LINE_CHARS:
                self._cut.append(self._number + 1)
                line = self._text[match.start() : match.start() + _MAX_LINE_CHARS] + "\n"
            else:
                line = match.group()
            self._at = match.end()
            yield line

    def _has_rows(self, cell: str) -> bool:
        """Whether a cell has swallowed the rows below it: its lines are cut as often as rows are."""
        if self._width < 2 or cell.count("\n") < _SWALLOWED_LINES:
            return False
        lines = cell.splitlines()[1 : 10 * _SWALLOWED_LINES]
        alike = sum(line.count(self._dialect.delimiter) == self._width - 1 for line in lines)
        return alike >= _SWALLOWED_SHARE * len(lines)


def _dialect_of(sample: str, delimiters: str) -> _Dialect:
    """Return the delimiter that cuts the most of the first rows into the same number of cells."""
    lines = [match.group() for match in _LINE.finditer(sample) if match.group()]
    if len(sample) == _SAMPLE_CHARS and len(lines) > 1:
        lines.pop()
    best, best_share = _Dialect(delimiters[-1]), 0.5
    for quoted in (True, False) if '"' in sample else (True,):
        for delimiter in delimiters:
            dialect = _Dialect(delimiter, quoted)
            rows = list(islice(dialect.rows(iter(lines)), _SAMPLE_ROWS))
            # Text without quotation marks must be clearly better cut, as it may hold delimiters as well.
            share = _share_alike(rows) - (0 if quoted else 0.05)
            if share > best_share:
                best, best_share = replace(dialect, width=_usual_width(rows)), share
    return best


def _share_alike(rows: Sequence[Sequence[str]]) -> float:
    widths = Counter(len(row) for row in rows if row)
    alike = max((n for width, n in widths.items() if width > 1), default=0)
    return alike / max(widths.total(), 1)


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    widths = Counter(len(row) for row in rows if len(row) > 1)
    return max(widths, key=lambda width: (widths[width], width), default=1)


def _understood(sample: Sequence[TableRow], width: int) -> _Table:
    """Find the header among the first rows: names in nearly all columns, unlike what stands below."""
    for i, (number, cells) in enumerate(sample[:_HEADER_WITHIN]):
        if sum(map(bool, map(str.strip, cells))) < min(2, width) or len(cells) < 0.6 * width:
            continue
        below = sample[i + 1 :]
        if _are_names(cells, [row for _, row in below]):
            return _Table(cells, number, list(sample[:i]), is_wide(cells, below))
        break
    # A list needs no name; rows of several cells do not say which is which.
    names = [f"column {i}" for i in range(1, width + 1)] if width > 1 else []
    return _Table(names, 0, [], is_wide(names, sample))


def _are_names(cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    names = [cell.strip() for cell in cells]
    filled = [name for name in names if name]
    if len(set(filled)) < len(filled) or max(map(len, filled)) > _MAX_NAME_CHARS:
        return False
    figures = [name for name in filled if _FIGURE.fullmatch(name)]
    if figures and not (names[0] not in figures and all(map(_YEAR.fullmatch, figures)) and len(figures) > 1):
        return False
    columns = [[row[i].strip() for row in below if i < len(row)] for i in range(len(names))]
    if any(name and name in column for name, column in zip(names, columns, strict=True)):
        return False
    if len(names) > 1:
        return True
    return bool(columns[0]) and sum(map(bool, map(_FIGURE.fullmatch, columns[0]))) > 0.8 * len(columns[0])


def _paragraph(rows: Sequence[TableRow], lead: str = "") -> Block:
    made = PlacedText()
    for number, cells in rows:
        made.add("\n" if made.length else lead)
        words = (", " if lead else CELL_SEPARATOR).join(filter(None, map(clean_cell, cells)))
        made.add(words, Cells("", number, number))
    return Block("paragraph", Cells("", rows[0][0], rows[-1][0]), (made.part(),))


@contextmanager
def _long_cells(chars: int) -> Iterator[None]:
    """Let a cell be as long as the file: by default the library refuses those beyond 131,072 characters."""
    with _FIELD_LIMIT:
        before = csv.field_size_limit(max(chars, 1 << 17))
        try:
            yield
        finally:
            csv.field_size_limit(before)
