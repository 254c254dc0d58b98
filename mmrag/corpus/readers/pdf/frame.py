"""The frame of a PDF page: which part of it is shown, and how it is turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmrag.corpus.readers.pdf.chars import direction

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage


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
        turn = (direction(textpage, shown) - shown) % 360
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
        width, height = self.width, self.height
        match self.rotation % 360:
            case 90:
                return v0 * width, u0 * height, v1 * width, u1 * height
            case 180:
                return (1 - u1) * width, v0 * height, (1 - u0) * width, v1 * height
            case 270:
                return (1 - v1) * width, (1 - u1) * height, (1 - v0) * width, (1 - u0) * height
            case _:
                return u0 * width, (1 - v1) * height, u1 * width, (1 - v0) * height
