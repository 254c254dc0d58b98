"""Read the text layer of a PDF page as segments of words with boxes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from mmrag.corpus.readers.pdf.chars import SOFT_HYPHEN, Probe, characters, composed
from mmrag.corpus.readers.pdf.frame import PageFrame
from mmrag.corpus.readers.pdf.grid import GridMap
from mmrag.corpus.readers.pdf.layout import Segment

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

_WORD = re.compile(r"[^\s\x00\u200b]+")
_LINE_END = re.compile(r"[\r\n]")
_CLEAN = {
    0x02: SOFT_HYPHEN,
    0xFFFE: SOFT_HYPHEN,
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "ft",
    0xFB06: "st",
    0xF0B7: "•",
    0xF0A7: "•",
    0xF076: "•",
    0xFEFF: None,
    0x200B: None,
    **dict.fromkeys([*range(0x02), *range(0x03, 0x09), *range(0x0E, 0x20), 0x7F]),
}
_BAD = re.compile(r"[\ufffd\ue000-\uefff\x01\x03-\x08\x0e-\x1b]")
_PLAIN = re.compile(r"[!-~\u00a1-\u00ac\u00ae-\u02ff]+")
_LINE_HYPHENS = "\x02\ufffe"
_ASCENT, _DESCENT = 0.8, 0.22
"""How far letters reach above and below the baseline, in em: the same for each word of a line,
unlike the boxes of its letters."""

_SPLIT_EM = 0.8
"""A wider space between two words may part columns; `layout` decides."""
_OVER_EM = 0.3
"""A word whose end reaches farther over a ruling line stands in two cells."""


class _Word(NamedTuple):
    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool
    line: int
    cell: int

    @property
    def em(self) -> float:
        return self.size or (self.y1 - self.y0) * 0.8


class TextLayer:
    """The words of an open page; `bad` is the share of its `chars` that mean nothing."""

    def __init__(self, textpage: PdfTextPage, frame: PageFrame) -> None:
        raw = characters(textpage)
        self._probe = Probe(textpage)
        self._frame = frame
        self._text = composed(raw, self._probe)
        self._words: list[tuple[_Word, int, int]] = []
        self.chars = 0
        line = -1
        before = 0
        text = self._text
        for match in _WORD.finditer(text):
            start, end = match.span()
            if line < 0 or _LINE_END.search(text, before, start):
                line += 1
            before = end
            self.chars += end - start
            for a, b in _pieces(text, start, end):
                word = _word(self._probe, frame, text[a:b], a, line)
                if word:
                    self._words.append((word, a, b))
                if text[b - 1] in _LINE_HYPHENS:
                    line += 1
        self.bad = len(_BAD.findall(raw)) / self.chars if self.chars else 0.0

    def middles(self) -> Iterator[tuple[float, float, int]]:
        """Go over the words: the x and y of the middle and the number of characters of each."""
        for word, a, b in self._words:
            yield (word.x0 + word.x1) / 2, (word.y0 + word.y1) / 2, b - a

    def segments(self, grids: GridMap) -> list[Segment]:
        """Return the words, joined where they stand close and in one cell of the `grids` of tables."""
        if not grids:
            return _joined([word for word, _, _ in self._words])
        return _joined([piece for word, a, b in self._words for piece in self._in_cells(word, a, b, grids)])

    def _in_cells(self, word: _Word, first: int, end: int, grids: GridMap) -> list[_Word]:
        """Say in which cell a word stands; one that runs over ruling lines is cut there."""
        middle = (word.y0 + word.y1) / 2
        slack = _OVER_EM * word.size
        fences = grids.fences(word.x0 + slack, word.x1 - slack, middle) if end - first > 1 else []
        pieces = [word]
        if fences:
            runs: dict[int, list[tuple[str, float, float]]] = {}
            for i in range(first, end):
                if box := self._probe.box(i):
                    x0, _, x1, _ = self._frame.upright(*box)
                    run = sum(x < (x0 + x1) / 2 for x in fences)
                    runs.setdefault(run, []).append((self._text[i].translate(_CLEAN), x0, x1))
            pieces = [
                word._replace(
                    text="".join(char for char, _, _ in run),
                    x0=min(x0 for _, x0, _ in run),
                    x1=max(x1 for _, _, x1 in run),
                )
                for run in runs.values()
            ]
        return [w._replace(cell=grids.cell_at((w.x0 + w.x1) / 2, middle)) for w in pieces]


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cut a word behind hyphens that pdfium marks as line ends: it glues the next line to them."""
    cuts = [start]
    if "\x02" in text[start:end] or "\ufffe" in text[start:end]:
        cuts.extend(i + 1 for i in range(start, end - 1) if text[i] in _LINE_HYPHENS)
    cuts.append(end)
    return list(pairwise(cuts))


def _word(probe: Probe, frame: PageFrame, raw: str, first: int, line: int) -> _Word | None:
    """Return a word with its box; None if it is slanted or outside of what the page shows."""
    text = raw if _PLAIN.fullmatch(raw) else raw.translate(_CLEAN)
    box = probe.box(first) if text else None
    if box is None:
        return None
    left, bottom, right, top = box
    kind = probe.type(first, box)
    if kind.angle is None:
        return None  # slanted: a watermark, and its boxes would cover the page's lines
    end = probe.box(first + len(raw) - 1) if len(raw) > 1 else None
    if end:
        left, right = min(left, end[0]), max(right, end[2])
        bottom, top = min(bottom, end[1]), max(top, end[3])
    if kind.angle == frame.rotation and kind.size > 0:
        above, below = _ASCENT * kind.size, _DESCENT * kind.size
        x, y = box[0] + kind.baseline[0], box[1] + kind.baseline[1]
        if kind.angle == 0:
            bottom, top = y - below, y + above
        elif kind.angle == 90:
            left, right = x - above, x + below
        elif kind.angle == 180:
            bottom, top = y - above, y + below
        else:
            left, right = x - below, x + above
    x0, y0, x1, y1 = frame.upright(left, bottom, right, top)
    if x1 <= 0 or y1 <= 0 or x0 >= frame.width or y0 >= frame.height:
        return None
    return _Word(text, x0, y0, x1, y1, kind.size, kind.bold, line, 0)


def _joined(words: list[_Word]) -> list[Segment]:
    found: list[Segment] = []
    group: list[_Word] = []
    for word in words:
        if group and not _close(group[-1], word):
            found.append(_merge(group))
            group = []
        group.append(word)
    if group:
        found.append(_merge(group))
    return found


def _close(a: _Word, b: _Word) -> bool:
    if a.line != b.line or a.cell != b.cell:
        return False
    if not -0.5 * a.em < b.x0 - a.x1 < _SPLIT_EM * max(a.em, b.em):
        return False
    overlap = min(a.y1, b.y1) - max(a.y0, b.y0)
    return overlap > 0.3 * min(a.y1 - a.y0, b.y1 - b.y0)


def _merge(group: list[_Word]) -> Segment:
    first = group[0]
    if len(group) == 1:
        return Segment(*first[:7], cell=first.cell)
    chars = sum(len(w.text) for w in group)
    return Segment(
        " ".join([w.text for w in group]),
        min([w.x0 for w in group]),
        min([w.y0 for w in group]),
        max([w.x1 for w in group]),
        max([w.y1 for w in group]),
        # The size of most letters: a footnote mark does not make a line small.
        max(group, key=lambda w: len(w.text)).size,
        sum([len(w.text) for w in group if w.bold]) > 0.6 * chars,
        cell=first.cell,
    )
