"""Cut the words of a picture into units by where they stand: rows, labels and what is under them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mmrag.answer.sentences import Unit, split
from mmrag.answer.tables import header_of, readable_row
from mmrag.core.types import Box, Page, Part

_SAME_ROW = 0.5
"""Two lines stand in one row if they share this much of the lower one's height."""

_ALIGNED = 0.02
"""Left edges this near (of the picture's width) are one column."""

_MAX_GAP = 1.0
"""A line belongs to the label above it if the gap is at most this many of its heights."""

_LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str
    box: Box


def split_picture(part: Part) -> list[Unit]:
    """Return the units of text that was read out of a picture.

    Lines side by side are one row: a label and its value, or the cells of a table. Short lines
    under one another are also read together. Anything else is prose.
    """
    text = part.text or ""
    lines = _placed(part)
    if len(lines) < 2:
        return split(text)
    rows = _rows(lines)
    units: list[Unit] = []
    i = 0
    while i < len(rows):
        j = i + 1
        if len(rows[i]) == 1:
            while j < len(rows) and len(rows[j]) == 1 and _near(rows[j - 1][0].box, rows[j][0].box):
                j += 1
            units += _column(text, [row[0] for row in rows[i:j]])
        else:
            while j < len(rows) and len(rows[j]) == len(rows[i]):
                j += 1
            units += _table(rows[i:j])
        i = j
    return units


def _placed(part: Part) -> list[_Line]:
    text = part.text or ""
    return [
        _Line(place.start, place.end, text[place.start : place.end], place.locator.box)
        for place in sorted(part.places, key=lambda place: place.start)
        if isinstance(place.locator, Page) and place.locator.box and text[place.start : place.end].strip()
    ]


def _rows(lines: Sequence[_Line]) -> list[list[_Line]]:
    rows: list[list[_Line]] = []
    for line in lines:
        if rows and _beside(rows[-1][-1].box, line.box):
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def _beside(left: Box, right: Box) -> bool:
    shared = min(left.y1, right.y1) - max(left.y0, right.y0)
    lower = min(left.y1 - left.y0, right.y1 - right.y0)
    return right.x0 >= left.x1 - _ALIGNED and lower > 0 and shared >= _SAME_ROW * lower


def _table(rows: Sequence[Sequence[_Line]]) -> Iterator[Unit]:
    """Yield rows of equal length; two columns are labels and values, more may have a header.

    A label without what stands beside it says nothing; sentences side by side are units of their own.
    """
    written = [" | ".join(line.text.replace("|", "/") for line in row) for row in rows]
    header = header_of(written) if len(rows[0]) > 2 else []
    for row, words in list(zip(rows, written, strict=True))[1 if header else 0 :]:
        yield Unit(row[0].start, row[-1].end, readable_row(words, header), "row")
        if not header:
            yield from (Unit(line.start, line.end, line.text) for line in row if not _is_label(line.text))


def _column(text: str, lines: Sequence[_Line]) -> Iterator[Unit]:
    start, end = lines[0].start, lines[-1].end
    for unit in split(text[start:end]):
        yield replace(unit, start=unit.start + start, end=unit.end + start)
    for above, below in pairwise(lines):
        if _is_label(above.text) and _is_label(below.text) and _under(above.box, below.box):
            words = f"{above.text.rstrip(':')}: {below.text}"
            yield Unit(above.start, below.end, words, "row")


def _is_label(text: str) -> bool:
    return len(text) <= _LABEL_CHARS and text[-1] not in ".!?;"


def _near(above: Box, below: Box) -> bool:
    height = below.y1 - below.y0
    return -height < below.y0 - above.y1 <= _MAX_GAP * height


def _under(above: Box, below: Box) -> bool:
    centred = abs((above.x0 + above.x1) - (below.x0 + below.x1)) <= 2 * _ALIGNED
    return _near(above, below) and (abs(above.x0 - below.x0) <= _ALIGNED or centred)
