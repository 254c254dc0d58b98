"""Work out where the parts of an SVG drawing stand: transforms, lengths and sizes of letters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

Matrix = tuple[float, float, float, float, float, float]
"""x' = a x + c y + e, y' = b x + d y + f, as SVG writes it."""

MAX_STYLE_CHARS = 2000
"""Of a style no more is looked at: the patterns are not made for megabytes."""

_WITHOUT_PLACE = frozenset(["defs", "symbol", "marker", "pattern", "textPath"])
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-z%]*)")
_TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")
_FONT_SIZE = re.compile(r"font-size\s*:\s*([^;]+)|\bfont\s*:[^;]*?([\d.]+(?:px|pt|em))")
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}


def canvas_of(said: dict[str, str]) -> tuple[float, float, float, float] | None:
    """Return the left, top, width and height of what a drawing shows; None if it does not say."""
    numbers = _numbers(said.get("viewBox", ""))
    if len(numbers) != 4:
        numbers = [
            0.0,
            0.0,
            length_of(said.get("width", ""), 0) or 0,
            length_of(said.get("height", ""), 0) or 0,
        ]
    left, top, width, height = numbers
    return (left, top, width, height) if width > 0 and height > 0 else None


def moved(name: str, said: dict[str, str], matrix: Matrix | None) -> Matrix | None:
    """Return the matrix inside an element; None where it is drawn at places of its own, or elsewhere."""
    if matrix is None or name in _WITHOUT_PLACE:
        return None
    for kind, values in _TRANSFORM.findall(said.get("transform", "")):
        matrix = _times(matrix, _transform(kind, _numbers(values)))
    if name != "svg":
        return matrix
    x, y = length_of(said.get("x", "0"), 0), length_of(said.get("y", "0"), 0)
    width, height = length_of(said.get("width", ""), 0), length_of(said.get("height", ""), 0)
    view = _numbers(said.get("viewBox", ""))
    if x is None or y is None:
        return None
    matrix = _times(matrix, (1, 0, 0, 1, x, y))
    if len(view) != 4:
        return matrix
    if not width or not height or view[2] <= 0 or view[3] <= 0:
        return None
    scale = min(width / view[2], height / view[3])
    return _times(matrix, (scale, 0, 0, scale, -view[0] * scale, -view[1] * scale))


def point_at(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """Return where a matrix moves a point."""
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def font_of(said: dict[str, str], inherited: float) -> float:
    """Return the size of letters in an element."""
    match = _FONT_SIZE.search(said.get("style", "")[:MAX_STYLE_CHARS])
    size = length_of((match.group(1) or match.group(2)) if match else said.get("font-size", ""), inherited)
    return size if size and size > 0 else inherited


def length_of(value: str, font: float) -> float | None:
    """Return the first length of a list in pixels; None for shares of something and for no length."""
    match = _NUMBER.match(value)
    if not match:
        return None
    number, unit = float(match.group(1)), match.group(2)
    factor = font if unit == "em" else font / 2 if unit == "ex" else _UNITS.get(unit)
    return number * factor if factor is not None and math.isfinite(number) else None


def foreign_corners(said: dict[str, str]) -> tuple[float | None, ...]:
    """Return the corners of a rectangle; (None,) where it is not known."""
    x, y = length_of(said.get("x", "0"), 0), length_of(said.get("y", "0"), 0)
    width, height = length_of(said.get("width", ""), 0), length_of(said.get("height", ""), 0)
    if x is None or y is None or not width or not height:
        return (None,)
    return (x, y, x + width, y + height)


def _transform(kind: str, numbers: Sequence[float]) -> Matrix:
    first = numbers[0] if numbers else 0.0
    second = numbers[1] if len(numbers) > 1 else None
    if kind == "matrix" and len(numbers) == 6:
        return (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5])
    if kind == "translate":
        return (1, 0, 0, 1, first, second or 0.0)
    if kind == "scale":
        return (first, 0, 0, first if second is None else second, 0, 0)
    angle = math.radians(math.fmod(first, 360.0))
    if kind == "rotate":
        turn: Matrix = (math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle), 0, 0)
        if len(numbers) < 3:
            return turn
        x, y = numbers[1], numbers[2]
        return _times(_times((1, 0, 0, 1, x, y), turn), (1, 0, 0, 1, -x, -y))
    if kind == "skewX":
        return (1, 0, math.tan(angle), 1, 0, 0)
    return (1, math.tan(angle), 0, 1, 0, 0) if kind == "skewY" else (1, 0, 0, 1, 0, 0)


def _times(outer: Matrix, inner: Matrix) -> Matrix:
    a, b, c, d, e, f = outer
    return (
        a * inner[0] + c * inner[1],
        b * inner[0] + d * inner[1],
        a * inner[2] + c * inner[3],
        b * inner[2] + d * inner[3],
        a * inner[4] + c * inner[5] + e,
        b * inner[4] + d * inner[5] + f,
    )


def _numbers(values: str) -> list[float]:
    found = [float(match.group(1)) for match in _NUMBER.finditer(values.replace(",", " "))]
    return found if all(map(math.isfinite, found)) else []
