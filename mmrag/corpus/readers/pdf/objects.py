"""Walk over what is drawn on a PDF page, also inside of form objects."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

Matrix = tuple[float, float, float, float, float, float]
Rect = tuple[float, float, float, float]

_MAX_DEPTH = 8
_MAX_LOOKED_AT = 300_000
"""Pages of a million objects exist, one a letter: 0.2 s for so many."""
_IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture or path: pdfium's handle, and the matrix of the form that holds it."""

    handle: Any
    is_path: bool
    matrix: Matrix

    def bounds(self) -> Rect | None:
        """Return its box in the page's own coordinates (y up), None if pdfium knows none."""
        import pypdfium2.raw as raw

        values = [ctypes.c_float() for _ in range(4)]
        if not raw.FPDFPageObj_GetBounds(self.handle, *values):
            return None
        left, bottom, right, top = (v.value for v in values)
        if self.matrix is _IDENTITY:
            return left, bottom, right, top
        corners = [moved(self.matrix, x, y) for x in (left, right) for y in (bottom, top)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def pixels(self) -> tuple[int, int]:
        """Return the size of a picture's own pixels."""
        import pypdfium2.raw as raw

        width, height = ctypes.c_uint(), ctypes.c_uint()
        raw.FPDFImageObj_GetImagePixelSize(self.handle, width, height)
        return width.value, height.value


class Walk:
    """Goes over the pictures and paths of a page; `cut` says afterwards whether there were more."""

    def __init__(self, page: PdfPage, limit: int) -> None:
        self._page = page
        self._limit = limit
        self._looked_at = 0
        self.cut = False

    def __iter__(self) -> Iterator[Drawn]:
        import pypdfium2.raw as raw

        for taken, drawn in enumerate(self._inside(raw, self._page.raw, _IDENTITY, 0)):
            if taken >= self._limit:
                self.cut = True
                return
            yield drawn

    def _inside(self, raw: Any, holder: Any, matrix: Matrix, depth: int) -> Iterator[Drawn]:
        count, get = (
            (raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject)
            if depth
            else (raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject)
        )
        kind_of = raw.FPDFPageObj_GetType
        path, image, form = raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM
        for i in range(count(holder)):
            self._looked_at += 1
            if self._looked_at > _MAX_LOOKED_AT:
                self.cut = True
                return
            handle = get(holder, i)
            kind = kind_of(handle)
            if kind in (path, image):
                yield Drawn(handle, kind == path, matrix)
            elif kind == form and depth < _MAX_DEPTH:
                own = matrix_of(handle)
                yield from self._inside(raw, handle, times(own, matrix) if own else matrix, depth + 1)


def matrix_of(handle: Any) -> Matrix | None:
    """Return an object's matrix; None if it has none, or the one that changes nothing."""
    import pypdfium2.raw as raw

    found = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(handle, found):
        return None
    matrix = found.a, found.b, found.c, found.d, found.e, found.f
    return None if matrix == _IDENTITY else matrix


def times(first: Matrix, then: Matrix) -> Matrix:
    """Return the matrix that does one thing and then another."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = then
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def moved(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """Return where a matrix puts a point."""
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f
