"""A small drawing board: shapes and words in final pixels, drawn large and scaled down for smooth edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from example_corpus.layout import FONTS

Point = tuple[float, float]

INK = "#1d2b33"
TEAL = "#0b5563"
PALE = "#e8f1f2"
ORANGE = "#d9772b"
GREY = "#6b7b83"
LIGHT = "#c9d4d7"
BLUE = "#2b83ba"


@cache
def font(size: float, *, bold: bool = False, italic: bool = False) -> ImageFont.FreeTypeFont:
    """Return Bitstream Vera at a size in pixels."""
    name = "Vera" + ("BI" if bold and italic else "Bd" if bold else "It" if italic else "")
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size)


class Sketch:
    """A picture under construction."""

    def __init__(self, width: int, height: int, *, background: str = "white", scale: int = 3) -> None:
        """Open a sheet of `width` x `height` final pixels."""
        self.size = (width, height)
        self.scale = scale
        self.image = Image.new("RGB", (width * scale, height * scale), background)
        self._draw = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        """Return the picture at its final size."""
        return self.image.resize(self.size, Image.Resampling.LANCZOS)

    def line(
        self, points: Sequence[Point], colour: str = INK, width: float = 2, *, dashed: bool = False
    ) -> None:
        """Draw a line through points."""
        stroke = max(1, round(width * self.scale))
        for start, end in itertools.pairwise(points):
            for a, b in _dashes(start, end) if dashed else [(start, end)]:
                self._draw.line([self._at(a), self._at(b)], fill=colour, width=stroke)
        for point in points[1:-1]:
            self.dot(point, width / 2, colour)

    def dot(self, at: Point, radius: float, fill: str, outline: str | None = None, width: float = 2) -> None:
        """Draw a disc."""
        x, y = at
        box = [*self._at((x - radius, y - radius)), *self._at((x + radius, y + radius))]
        self._draw.ellipse(box, fill=fill, outline=outline, width=round(width * self.scale))

    def box(
        self,
        corner: Point,
        size: Point,
        fill: str | None = None,
        outline: str | None = INK,
        *,
        radius: float = 0,
    ) -> None:
        """Draw a rectangle from its top left corner, with rounded corners if asked."""
        (x, y), (w, h) = corner, size
        area = [*self._at((x, y)), *self._at((x + w, y + h))]
        width = 2 * self.scale
        self._draw.rounded_rectangle(area, radius * self.scale, fill=fill, outline=outline, width=width)

    def shape(self, points: Sequence[Point], fill: str, outline: str = INK) -> None:
        """Draw a closed shape."""
        self._draw.polygon([self._at(p) for p in points], fill=fill)
        self.line([*points, points[0]], outline)

    def words(
        self,
        at: Point,
        text: str,
        size: float = 22,
        colour: str = INK,
        *,
        anchor: str = "lm",
        bold: bool = False,
    ) -> None:
        """Write a line of text; `anchor` is Pillow's, such as lm (left, middle) or mm."""
        self._draw.text(
            self._at(at), text, fill=colour, font=font(size * self.scale, bold=bold), anchor=anchor
        )

    def upright(self, at: Point, text: str, size: float = 22, colour: str = INK) -> None:
        """Write a line of text that reads from bottom to top, centred at a point."""
        face = font(size * self.scale)
        left, top, right, bottom = (int(v) for v in face.getbbox(text))
        plate = Image.new("L", (right - left + 4, bottom - top + 4))
        ImageDraw.Draw(plate).text((2 - left, 2 - top), text, fill=255, font=face)
        plate = plate.rotate(90, expand=True)
        x, y = self._at(at)
        self.image.paste(colour, (int(x) - plate.width // 2, int(y) - plate.height // 2), plate)

    def arrow(self, points: Sequence[Point], colour: str = INK, width: float = 4, head: float = 14) -> None:
        """Draw a line that ends in an arrow head."""
        (x0, y0), (x1, y1) = points[-2:]
        angle = math.atan2(y1 - y0, x1 - x0)
        base = (x1 - head * 0.8 * math.cos(angle), y1 - head * 0.8 * math.sin(angle))
        self.line([*points[:-1], base], colour, width)
        wings = [
            (x1 - head * math.cos(angle + turn), y1 - head * math.sin(angle + turn)) for turn in (0.45, -0.45)
        ]
        self._draw.polygon([self._at((x1, y1)), *(self._at(w) for w in wings)], fill=colour)

    def measure(self, start: Point, end: Point, label: str, *, size: float = 22, away: float = 0) -> None:
        """Draw a dimension with two arrow heads and its figure beside the line."""
        self.arrow([start, end], GREY, 1.6, 11)
        self.arrow([end, start], GREY, 1.6, 11)
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        if abs(end[0] - start[0]) >= abs(end[1] - start[1]):
            self.words((middle[0], middle[1] - (away or 16)), label, size, anchor="mm")
        else:
            self.upright((middle[0] - (away or 16), middle[1]), label, size)

    def badge(self, at: Point, letter: str, target: Point | None = None) -> None:
        """Draw a letter in a circle, with a thin line to what it names."""
        if target is not None:
            self.line([at, target], INK, 1.4)
            self.dot(target, 4, INK)
        self.dot(at, 21, "white", TEAL)
        self.words(at, letter, 24, INK, anchor="mm", bold=True)

    def _at(self, point: Point) -> Point:
        return point[0] * self.scale, point[1] * self.scale


def _dashes(start: Point, end: Point, dash: float = 12) -> list[tuple[Point, Point]]:
    length = math.dist(start, end)
    count = max(1, int(length / dash))
    at = [
        (start[0] + (end[0] - start[0]) * n / count, start[1] + (end[1] - start[1]) * n / count)
        for n in range(count + 1)
    ]
    return [(at[n], at[n + 1]) for n in range(0, count, 2)]
