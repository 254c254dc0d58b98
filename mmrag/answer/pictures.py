"""Draw where a quote stands: on a PDF's page, or on a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.core.protocols import ReadLimits
from mmrag.core.types import Box
from mmrag.media.pages import render_page
from mmrag.media.pictures import open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE_PIXELS = 1600
"""Longest side of an evidence picture: an A4 page at 137 dpi, sharp enough to read."""

_MARKER = (255, 236, 120)
_OUTLINE = (214, 40, 57)
_FLAT_COLOURS = 4096
"""A page has fewer colours and is small as PNG; a photo has more and is small as JPEG."""

_PADDING_SHARE = 0.004


def page_picture(path: Path, number: int, boxes: Sequence[Box]) -> Image:
    """Render page `number` (1-based) of a PDF with boxes drawn on it.

    Raises:
        Corrupt: The file is no readable PDF, or has no such page.
    """
    return draw_boxes(render_page(path, number, max_side=MAX_SIDE_PIXELS), boxes)


def media_picture(data: bytes, boxes: Sequence[Box]) -> Image:
    """Decode a picture, turn it as its EXIF orientation says, and draw boxes on it.

    Raises:
        Corrupt: The bytes are no readable picture.
        TooLarge: It has too many pixels.
    """
    image = upright(open_picture(data, max_pixels=ReadLimits().max_pixels), near=MAX_SIDE_PIXELS)
    image.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
    return draw_boxes(image, boxes)


def draw_boxes(image: Image, boxes: Sequence[Box]) -> Image:
    """Return a copy with each box coloured as by a text marker, so that the words stay dark, and outlined."""
    from PIL import Image, ImageChops, ImageDraw

    if not boxes:
        return image
    width, height = image.size
    padding = max(2, round(_PADDING_SHARE * max(width, height)))
    line = max(2, round(max(width, height) / 600))
    marker = Image.new("RGB", image.size, (255, 255, 255))
    corners = []
    for box in boxes:
        x0 = max(0, round(box.x0 * width) - padding)
        y0 = max(0, round(box.y0 * height) - padding)
        x1 = min(width - 1, round(box.x1 * width) + padding)
        y1 = min(height - 1, round(box.y1 * height) + padding)
        if x0 < x1 and y0 < y1:
            corners.append((x0, y0, x1, y1))
            ImageDraw.Draw(marker).rectangle((x0, y0, x1, y1), fill=_MARKER)
    marked = ImageChops.multiply(image.convert("RGB"), marker)
    for place in corners:
        ImageDraw.Draw(marked).rectangle(place, outline=_OUTLINE, width=line)
    return marked


def encode(image: Image) -> tuple[bytes, str]:
    """Return a picture's bytes and their format: png for pages and drawings, jpeg for photos."""
    buffer = io.BytesIO()
    if image.getcolors(_FLAT_COLOURS) is None:
        image.save(buffer, format="JPEG", quality=88)
        return buffer.getvalue(), "jpeg"
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue(), "png"
