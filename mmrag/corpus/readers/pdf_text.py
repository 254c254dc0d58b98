"""Read the text layer of a PDF page as words with boxes."""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mmrag.corpus.readers.layout import Segment

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage

SOFT_HYPHEN = "\u00ad"

_WORD = re.compile(r"[^\s\x00\u200b]+")
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
_BOLD_FONT = re.compile(rb"bold|black|heavy|semib|demi|-medi|cmbx|cmb\d|sfbx|ecbx|lmbx|-bd", re.IGNORECASE)
_ASCENT, _DESCENT = 0.8, 0.22
"""How far letters reach above and below the baseline, in em: the same for each word of a line,
unlike the boxes of its letters."""

_PROBED_CHARS = 60
_SPLIT_EM = 0.8
"""A wider space between two words may part columns; `layout` decides."""


@dataclass(frozen=True, slots=True)
class PageFrame:
    """How a page's own coordinates turn into those in which its text stands upright.

    `turn` is how far, clockwise, the page that people see must be turned for that: 0 but for
    tables and slides that were put sideways.

    Units:
        Points; width and height are those of the turned page; degrees.
    """

    left: float
    bottom: float
    right: float
    top: float
    rotation: int
    width: float
    height: float
    turn: int = 0

    @classmethod
    def of(cls, page: PdfPage, textpage: PdfTextPage) -> PageFrame:
        """Read the frame of an open page."""
        left, bottom, right, top = page.get_bbox()
        shown = int(page.get_rotation())
        turn = (_direction(textpage, shown) - shown) % 360
        width, height = page.get_width(), page.get_height()
        if turn in (90, 270):
            width, height = height, width
        return cls(left, bottom, right, top, (shown + turn) % 360, width, height, turn)

    def upright(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """Turn a rectangle of the page (y up) into one of the turned page (y down)."""
        wide, high = self.right - self.left, self.top - self.bottom
        if wide <= 0 or high <= 0:
            return 0.0, 0.0, 0.0, 0.0
        u0, u1 = (x0 - self.left) / wide, (x1 - self.left) / wide
        v0, v1 = (y0 - self.bottom) / high, (y1 - self.bottom) / high
        corners = {
            0: (u0, 1 - v1, u1, 1 - v0),
            90: (v0, u0, v1, u1),
            180: (1 - u1, v0, 1 - u0, v1),
            270: (1 - v1, 1 - u1, 1 - v0, 1 - u0),
        }[self.rotation % 360]
        return (
            corners[0] * self.width,
            corners[1] * self.height,
            corners[2] * self.width,
            corners[3] * self.height,
        )


@dataclass(frozen=True, slots=True)
class TextLayer:
    """The words of a page; `bad` is the share of characters that mean nothing."""

    segments: tuple[Segment, ...]
    chars: int
    bad: float


def read_text_layer(page: PdfPage, textpage: PdfTextPage, frame: PageFrame) -> TextLayer:
    """Return the words of a page, joined to segments where they stand close."""
    text = _characters(textpage)
    probe = _Probe(textpage)
    words: list[tuple[str, Segment]] = []
    line = -1
    before = 0
    chars = bad = 0
    lines: list[int] = []
    for match in _WORD.finditer(text):
        start, end = match.span()
        if line < 0 or "\n" in text[before:start] or "\r" in text[before:start]:
            line += 1
        before = end
        raw = match.group()
        chars += len(raw)
        bad += sum(map(_is_bad, raw))
        for a, b in probe.pieces(raw, start):
            word = text[a:b].translate(_CLEAN)
            if word and (segment := probe.segment(word, a, b - 1, frame)):
                words.append((word, segment))
                lines.append(line)
                if word.endswith(SOFT_HYPHEN):
                    line += 1
    joined = _join([segment for _, segment in words], lines)
    return TextLayer(tuple(joined), chars, bad / chars if chars else 0.0)


class _Probe:
    """Asks pdfium about single characters; reuses its buffers, which halves the time."""

    def __init__(self, textpage: PdfTextPage) -> None:
        import pypdfium2.raw as raw

        self._raw = raw
        self._page = textpage.raw
        self._box = raw.FS_RECTF()
        self._matrix = raw.FS_MATRIX()
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._name = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()

    def pieces(self, word: str, start: int) -> list[tuple[int, int]]:
        """Cut a word behind hyphens that pdfium marks as line ends: it glues the next line to them."""
        cuts = [start]
        cuts.extend(start + i + 1 for i, c in enumerate(word[:-1]) if c in "\x02\ufffe")
        cuts.append(start + len(word))
        return list(pairwise(cuts))

    def segment(self, word: str, first: int, last: int, frame: PageFrame) -> Segment | None:
        raw, box, matrix = self._raw, self._box, self._matrix
        if not raw.FPDFText_GetLooseCharBox(self._page, first, box):
            return None
        left, bottom, right, top = box.left, box.bottom, box.right, box.top
        if raw.FPDFText_GetLooseCharBox(self._page, last, box):
            left, right = min(left, box.left), max(right, box.right)
            bottom, top = min(bottom, box.bottom), max(top, box.top)
        size = raw.FPDFText_GetFontSize(self._page, first)
        angle = frame.rotation
        if raw.FPDFText_GetMatrix(self._page, first, matrix):
            size *= math.hypot(matrix.c, matrix.d) or 1.0
            across, up = abs(matrix.a), abs(matrix.b)
            if min(across, up) > 0.1 * max(across, up):
                return None  # slanted: a watermark, and its boxes would cover the page's lines
            angle = _angle(matrix.a, matrix.b)
        is_level = angle == frame.rotation and size > 0
        if is_level and raw.FPDFText_GetCharOrigin(self._page, first, self._x, self._y):
            above, below = _ASCENT * size, _DESCENT * size
            x, y = self._x.value, self._y.value
            if angle == 0:
                bottom, top = y - below, y + above
            elif angle == 90:
                left, right = x - above, x + below
            elif angle == 180:
                bottom, top = y - above, y + below
            else:
                left, right = x - below, x + above
        x0, y0, x1, y1 = frame.upright(left, bottom, right, top)
        if x1 <= 0 or y1 <= 0 or x0 >= frame.width or y0 >= frame.height:
            return None  # outside of what the page shows
        return Segment(word, x0, y0, x1, y1, size, self._bold(first))

    def _bold(self, char: int) -> bool:
        raw = self._raw
        if raw.FPDFText_GetFontWeight(self._page, char) >= 600:
            return True
        if raw.FPDFText_GetFontInfo(self._page, char, self._name, len(self._name), self._flags) <= 0:
            return False
        return _BOLD_FONT.search(self._name.value) is not None


def _angle(a: float, b: float) -> int:
    """Return the direction of writing of a text matrix, anticlockwise, to the next right angle."""
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360


def _direction(textpage: PdfTextPage, default: int) -> int:
    """Return the direction in which most of a page is written, in its own coordinates."""
    import pypdfium2.raw as raw

    count = max(raw.FPDFText_CountChars(textpage), 0)
    matrix = raw.FS_MATRIX()
    seen: Counter[int] = Counter()
    for i in range(0, count, max(count // _PROBED_CHARS, 1)):
        if raw.FPDFText_GetMatrix(textpage, i, matrix) and not raw.FPDFText_IsGenerated(textpage, i):
            seen[_angle(matrix.a, matrix.b)] += 1
    best, votes = seen.most_common(1)[0] if seen else (default, 0)
    return best if votes > 0.6 * seen.total() else default


def _characters(textpage: PdfTextPage) -> str:
    """Return the page's text so that position i is pdfium's character i."""
    import pypdfium2.raw as raw

    count = max(raw.FPDFText_CountChars(textpage), 0)
    buffer = (ctypes.c_ushort * (count + 1))()
    written = raw.FPDFText_GetText(textpage, 0, count, buffer)
    if written == count + 1:
        text = bytes(buffer)[:-2].decode("utf-16-le", "replace")
        if len(text) == count:
            return text
    return "".join(_char(raw.FPDFText_GetUnicode(textpage, i)) for i in range(count))


def _char(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\x00"


def _is_bad(char: str) -> bool:
    code = ord(char)
    return code == 0xFFFD or 0xE000 <= code < 0xF000 or code < 0x02 or 0x02 < code < 0x20


def _join(words: list[Segment], lines: list[int]) -> list[Segment]:
    found: list[Segment] = []
    group: list[Segment] = []
    for i, word in enumerate(words):
        if group and (lines[i] != lines[i - 1] or not _close(group[-1], word)):
            found.append(_merge(group))
            group = []
        group.append(word)
    if group:
        found.append(_merge(group))
    return found


def _close(a: Segment, b: Segment) -> bool:
    gap = b.x0 - a.x1
    overlap = min(a.y1, b.y1) - max(a.y0, b.y0)
    return -0.5 * a.em < gap < _SPLIT_EM * max(a.em, b.em) and overlap > 0.3 * min(a.y1 - a.y0, b.y1 - b.y0)


def _merge(group: list[Segment]) -> Segment:
    if len(group) == 1:
        return group[0]
    chars = sum(len(s.text) for s in group)
    return Segment(
        " ".join(s.text for s in group),
        min(s.x0 for s in group),
        min(s.y0 for s in group),
        max(s.x1 for s in group),
        max(s.y1 for s in group),
        # The size of most letters: a footnote mark does not make a line small.
        max(group, key=lambda s: len(s.text)).size,
        sum(len(s.text) for s in group if s.bold) > 0.6 * chars,
    )
