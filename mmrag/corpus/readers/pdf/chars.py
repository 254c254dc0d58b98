"""Ask pdfium about the characters of a page: which they are, where they stand, in what type."""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

SOFT_HYPHEN = "\u00ad"

GONE = "\x01"
"""Stands where a character was that another one has taken up; no font means anything by it."""

_BOLD_FONT = re.compile(rb"bold|black|heavy|semib|demi|-medi|cmbx|cmb\d|sfbx|ecbx|lmbx|-bd", re.IGNORECASE)
_PROBED_CHARS = 60
_MARKS = {
    "`": "\u0300",
    "\u00b4": "\u0301",
    "^": "\u0302",
    "\u02c6": "\u0302",
    "~": "\u0303",
    "\u02dc": "\u0303",
    "\u00af": "\u0304",
    "\u02d8": "\u0306",
    "\u02d9": "\u0307",
    "\u00a8": "\u0308",
    "\u02da": "\u030a",
    "\u02dd": "\u030b",
    "\u02c7": "\u030c",
    "\u00b8": "\u0327",
    "\u02db": "\u0328",
}
_DOTLESS = {"\u0131": "i", "\u0237": "j"}
_ACCENTED = re.compile(rf"(?=([{re.escape(''.join(_MARKS))}])( ?)([^\W\d_])|([^\W\d_])( ?)([\u00b8\u02db]))")
_UPON = 0.35
"""An accent belongs to a letter if their middles are nearer than this share of the letter's width."""


CharBox = tuple[float, float, float, float]
"""Left, bottom, right and top of a character in the page's own coordinates (y up)."""


class Type(NamedTuple):
    """What the characters of one text object share.

    Units:
        size in points; angle in degrees anticlockwise, None when it is slanted; baseline is how far
        the origin of a character lies from the left and the bottom of its box.
    """

    size: float
    angle: int | None
    bold: bool
    baseline: tuple[float, float]


class Probe:
    """Asks about single characters; what a text object's characters share is asked once."""

    def __init__(self, textpage: PdfTextPage) -> None:
        import pypdfium2.raw as raw

        self._raw = raw
        self._page = textpage.raw
        self._box = raw.FS_RECTF()
        self._matrix = raw.FS_MATRIX()
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._name = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()
        self._types: dict[int, Type] = {}
        # As a number: pypdfium2 would make a pointer object of each answer.
        address = ctypes.cast(raw.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
        self._object = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(address)

    def box(self, char: int) -> CharBox | None:
        """Return where a character stands, as high as its font."""
        box = self._box
        if not self._raw.FPDFText_GetLooseCharBox(self._page, char, box):
            return None
        return box.left, box.bottom, box.right, box.top

    def type(self, char: int, box: CharBox) -> Type:
        """Return the type of a character."""
        key = self._object(self._page, char)
        known = self._types.get(key) if key else None
        if known is None:
            known = self._asked(char, box)
            if key:
                self._types[key] = known
        return known

    def _asked(self, char: int, box: CharBox) -> Type:
        raw, matrix = self._raw, self._matrix
        size = raw.FPDFText_GetFontSize(self._page, char)
        angle: int | None = None
        if raw.FPDFText_GetMatrix(self._page, char, matrix):
            size *= math.hypot(matrix.c, matrix.d) or 1.0
            across, up = abs(matrix.a), abs(matrix.b)
            if min(across, up) <= 0.1 * max(across, up):
                angle = right_angle(matrix.a, matrix.b)
        baseline = (0.0, 0.0)
        if raw.FPDFText_GetCharOrigin(self._page, char, self._x, self._y):
            baseline = (self._x.value - box[0], self._y.value - box[1])
        return Type(size, angle, self._bold(char), baseline)

    def _bold(self, char: int) -> bool:
        raw = self._raw
        if raw.FPDFText_GetFontWeight(self._page, char) >= 600:
            return True
        if raw.FPDFText_GetFontInfo(self._page, char, self._name, len(self._name), self._flags) <= 0:
            return False
        return _BOLD_FONT.search(self._name.value) is not None


def characters(textpage: PdfTextPage) -> str:
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


def composed(text: str, probe: Probe) -> str:
    """Make one character of accents and letters that TeX prints over each other: 'H¨artel'.

    The text keeps its length: `GONE` stands where the accent was.
    """
    found = list(text)
    for match in _ACCENTED.finditer(text):
        before = match.group(1) is not None
        start = match.start()
        second = start + 1 + len(match.group(2) if before else match.group(5))
        accent, letter = (start, second) if before else (second, start)
        whole = unicodedata.normalize(
            "NFC", _DOTLESS.get(found[letter], found[letter]) + _MARKS[text[accent]]
        )
        if len(whole) == 1 and _is_upon(probe.box(accent), probe.box(letter)):
            found[letter] = whole
            found[accent] = GONE
            if second - start == 2:
                found[start + 1] = GONE
    return "".join(found)


def direction(textpage: PdfTextPage, default: int) -> int:
    """Return the direction in which most of a page is written, in its own coordinates."""
    import pypdfium2.raw as raw

    count = max(raw.FPDFText_CountChars(textpage), 0)
    matrix = raw.FS_MATRIX()
    seen: Counter[int] = Counter()
    for i in range(0, count, max(count // _PROBED_CHARS, 1)):
        if raw.FPDFText_GetMatrix(textpage, i, matrix) and not raw.FPDFText_IsGenerated(textpage, i):
            seen[right_angle(matrix.a, matrix.b)] += 1
    best, votes = seen.most_common(1)[0] if seen else (default, 0)
    return best if votes > 0.6 * seen.total() else default


def right_angle(a: float, b: float) -> int:
    """Return the direction of writing of a text matrix, anticlockwise, to the next right angle."""
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360


def _is_upon(accent: CharBox | None, letter: CharBox | None) -> bool:
    if accent is None or letter is None:
        return False
    apart = abs(accent[0] + accent[2] - letter[0] - letter[2]) / 2
    level = min(accent[3], letter[3]) > max(accent[1], letter[1])
    return level and apart < _UPON * max(letter[2] - letter[0], 1e-6)


def _char(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\x00"
