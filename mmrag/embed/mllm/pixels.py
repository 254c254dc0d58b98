"""From an encoded picture to the pixels that a model sees, still as bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmrag.core.errors import Unsupported
from mmrag.core.protocols import ReadLimits
from mmrag.embed.content import Picture
from mmrag.embed.mllm.options import Pixels
from mmrag.media.pictures import open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_RATIO = 200
_FETCH_FACTOR = 28
_NO_LIMIT = 1 << 60


def fit(height: int, width: int, factor: int, limits: tuple[int, int]) -> tuple[int, int]:
    """Return the sides, multiples of `factor`, nearest to a picture's with an area within limits.

    Args:
        height: Of the picture.
        width: Of the picture.
        factor: The side of what one token sees.
        limits: The least and the most area.

    Units:
        pixels; areas in pixels.

    Raises:
        Unsupported: One side is more than 200 times the other.

    Source:
        Qwen2-VL's image processor; halves are rounded to even, as there.
    """
    if max(height, width) > _MAX_RATIO * min(height, width):
        raise Unsupported(
            f"A picture of {width} x {height} is too narrow: its sides differ more than {_MAX_RATIO} times.",
            fix="Cut it into pieces.",
        )
    least, most = limits
    rows = max(factor, round(height / factor) * factor)
    columns = max(factor, round(width / factor) * factor)
    if rows * columns > most:
        scale = math.sqrt(height * width / most)
        rows = max(factor, math.floor(height / scale / factor) * factor)
        columns = max(factor, math.floor(width / scale / factor) * factor)
    elif rows * columns < least:
        scale = math.sqrt(least / (height * width))
        rows = math.ceil(height * scale / factor) * factor
        columns = math.ceil(width * scale / factor) * factor
    return rows, columns


def open_image(picture: Picture, pixels: Pixels, factor: int = _FETCH_FACTOR) -> Image:
    """Open a picture upright in RGB, and do to it what the recipe does before its model's own resize.

    Raises:
        SourceError: It cannot be opened, or is too narrow.
    """
    image = upright(open_picture(picture.open(), max_pixels=ReadLimits().max_pixels))
    if pixels.squash is not None:
        image = resize(image, pixels.squash[1], pixels.squash[0])
    if pixels.fetch_min is not None or pixels.fetch_max is not None:
        limits = (pixels.fetch_min or 0, pixels.fetch_max or _NO_LIMIT)
        image = resize(image, *fit(image.height, image.width, factor, limits))
    return image


def blank_image(side: int) -> Image:
    """Return the picture that stands in where a model insists on one: black, as DSE's code has it."""
    from PIL import Image

    return Image.new("RGB", (side, side))


def resize(image: Image, height: int, width: int, resample: int = 3) -> Image:
    """Return the picture with these sides; `resample` is Pillow's number, 3 for bicubic."""
    if image.size == (width, height):
        return image
    return image.resize((width, height), resample)
