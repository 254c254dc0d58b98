"""Find the pictures and captioned drawings of a PDF page and cut them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmrag.corpus.readers.pdf.frame import PageFrame
from mmrag.corpus.readers.pdf.objects import Rect, Walk
from mmrag.corpus.readers.pdf.rules import RuleCollector, Rules
from mmrag.media.pictures import encode_png

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfPage

_MIN_SIDE_PT = 30.0
_MIN_SHARE = 0.01
_MAX_OBJECTS = 20_000
_MAX_JOINED = 3000
"""Joining takes the square of the count: 2.6 s for so many that stand apart."""
_MAX_FIGURE_PIXELS = 40_000_000
_TOUCH_PT = 3.0
_DRAWING_TOUCH_PT = 12.0
_MIN_DRAWING_SHARE = 0.02
_MIN_DRAWING_PATHS = 8
_MAX_FIGURES = 40
_MAX_DPI = 300
_DRAWING_DPI = 150


@dataclass(frozen=True, slots=True)
class PageMarks:
    """What a page shows beside text; `cut` says that it has more than was looked at.

    Units:
        Points of the upright page, y down; dpi of the finest picture in each rectangle.
    """

    pictures: tuple[tuple[Rect, float], ...]
    drawings: tuple[Rect, ...]
    paths: int
    covered: float
    rules: Rules
    cut: bool


def read_marks(page: PdfPage, frame: PageFrame) -> PageMarks:
    """List the pictures of a page, tiles joined, its ruling lines and the clusters of its drawn paths."""
    area = frame.width * frame.height
    pictures: list[tuple[Rect, float]] = []
    paths: list[Rect] = []
    rules = RuleCollector(frame)
    count = 0
    walk = Walk(page, _MAX_OBJECTS)
    for drawn in walk:
        bounds = drawn.bounds()
        if bounds is None:
            continue
        rect = _clip(frame.upright(*bounds), frame)
        if rect[2] < rect[0] or rect[3] < rect[1]:
            continue
        if drawn.is_path:
            count += 1
            rules.take(drawn, rect)
            if _area(rect) < 0.6 * area:
                paths.append(rect)
        elif rect[2] > rect[0] and rect[3] > rect[1]:
            width_px, height_px = drawn.pixels()
            inches = max(rect[2] - rect[0], 1e-3) / 72, max(rect[3] - rect[1], 1e-3) / 72
            pictures.append((rect, max(width_px / inches[0], height_px / inches[1])))
    joined = _join([r for r, _ in pictures], _TOUCH_PT) if len(pictures) <= _MAX_JOINED else _all(pictures)
    covered = max((_area(r) for r, _ in joined), default=0.0) / area if area else 0.0
    kept = [
        (r, max(dpi for other, dpi in pictures if _overlap(other, r, 1.0)))
        for r, _ in joined
        if min(r[2] - r[0], r[3] - r[1]) >= _MIN_SIDE_PT and _area(r) >= _MIN_SHARE * area
    ]
    drawings = [
        r
        for r, n in (_join(paths, _DRAWING_TOUCH_PT) if len(paths) <= _MAX_JOINED else [])
        if n >= _MIN_DRAWING_PATHS and _area(r) >= _MIN_DRAWING_SHARE * area
    ]
    found = rules.rules()
    return PageMarks(tuple(kept[:_MAX_FIGURES]), tuple(drawings), count, covered, found, walk.cut)


def cut_out(page: PdfPage, frame: PageFrame, rect: Rect, dpi: float = _DRAWING_DPI) -> bytes | None:
    """Render a rectangle of a page as PNG: as people see it, with labels drawn over it."""
    scale = min(max(dpi, 72), _MAX_DPI) / 72
    x0, y0, x1, y1 = rect
    pixels = (x1 - x0) * (y1 - y0) * scale * scale
    if pixels > _MAX_FIGURE_PIXELS:
        scale *= (_MAX_FIGURE_PIXELS / pixels) ** 0.5
    crop = (x0, frame.height - y1, frame.width - x1, y0)
    if any(c < 0 for c in crop) or (x1 - x0) * scale < 2 or (y1 - y0) * scale < 2:
        crop = (max(crop[0], 0), max(crop[1], 0), max(crop[2], 0), max(crop[3], 0))
    bitmap = page.render(scale=scale, rotation=frame.turn, crop=crop, rev_byteorder=True)
    picture = bitmap.to_pil().copy()
    bitmap.close()
    return None if is_blank(picture) else encode_png(picture)


def render_page(page: PdfPage, frame: PageFrame, dpi: float, max_pixels: int) -> Image:
    """Render a whole page in grey."""
    scale = dpi / 72
    pixels = frame.width * frame.height * scale * scale
    if pixels > max_pixels:
        scale *= (max_pixels / pixels) ** 0.5
    bitmap = page.render(scale=scale, rotation=frame.turn, grayscale=True)
    picture: Image = bitmap.to_pil().copy()
    bitmap.close()
    return picture


def is_blank(picture: Image) -> bool:
    """Whether a picture has one colour, but for specks."""
    greys = picture.convert("L").resize((64, 64)).tobytes()
    return max(greys) - min(greys) < 6


def _clip(rect: Rect, frame: PageFrame) -> Rect:
    return max(rect[0], 0.0), max(rect[1], 0.0), min(rect[2], frame.width), min(rect[3], frame.height)


def _area(rect: Rect) -> float:
    return max(rect[2] - rect[0], 0.0) * max(rect[3] - rect[1], 0.0)


def _overlap(a: Rect, b: Rect, slack: float) -> bool:
    return a[0] - slack <= b[2] and b[0] - slack <= a[2] and a[1] - slack <= b[3] and b[1] - slack <= a[3]


def _all(pictures: Sequence[tuple[Rect, float]]) -> list[tuple[Rect, int]]:
    """Take very many pictures for the tiles of one."""
    x0, y0, x1, y1 = zip(*(rect for rect, _ in pictures), strict=True)
    return [((min(x0), min(y0), max(x1), max(y1)), len(pictures))]


def _join(rects: Sequence[Rect], slack: float) -> list[tuple[Rect, int]]:
    """Join rectangles that touch, until none do; each with how many it holds."""
    found: list[tuple[Rect, int]] = []
    for rect in sorted(rects, key=lambda r: (r[1], r[0])):
        merged, count = rect, 1
        while True:
            touching = [other for other in found if _overlap(other[0], merged, slack)]
            if not touching:
                break
            found = [other for other in found if not _overlap(other[0], merged, slack)]
            for other, n in touching:
                merged = (
                    min(merged[0], other[0]),
                    min(merged[1], other[1]),
                    max(merged[2], other[2]),
                    max(merged[3], other[3]),
                )
                count += n
        found.append((merged, count))
    return sorted(found, key=lambda pair: (pair[0][1], pair[0][0]))
