"""Tell by perceptual hashes whether two pictures show the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmrag.core.identity import digest_bytes
from mmrag.media.pictures import open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

Hashes = NDArray[np.uint64]

BITS = 256
WORDS = BITS // 64
NEAR_BITS = 40
"""Pictures whose hashes differ in at most so many bits show the same.

Of 286,903 pairs among 758 plots, drawings, screenshots and pages, 40 were that near, nearly all plots of one
family. Of 250 changed pictures, that near were: all at JPEG quality 40 or contrast changed by 40 %, all but a
blank page at a third of their size, 98 % in a border of 10 %, 93 % without 3 % of each side. 64 bits could
not tell the two apart: there unlike pairs began at 6 bits, and changed pictures went up to 18.
"""
LIKENESS = "dct-256/1"
"""What the hashes depend on: another name, another hash."""

_SIDE, _KEPT = 64, 16
_NEAR_PX = 512
_MARGIN = 0.02
"""93 % of the crops by 3 % on each side are found with this margin put back, 75 % without."""
_PLAIN_COEFFICIENTS = 100
"""Of 255; blank pages have 0, the plainest picture that shows something had 159."""
_INK = 48
_LEAST_SIDE_PX = 48
"""What is left without margins is no less than this: of one line or a page number, all are alike."""


def stored_hashes(data: bytes, *, max_pixels: int, name: str = "picture") -> Hashes:
    """Return the hashes to keep of an encoded picture: of all of it, and of what its margins leave.

    A picture with too little in it to be told from others (a blank page, one colour, a plain gradient)
    gets the digest of its bytes, which only the same file has.

    Shapes:
        uint64 [1 or 2, 4]

    Raises:
        TooLarge: It has more than `max_pixels` pixels.
        Corrupt: It cannot be opened.
    """
    grey = _grey(data, max_pixels, name)
    return _hashes([grey, _without_margins(grey)], data)


def query_hashes(data: bytes, *, max_pixels: int, name: str = "picture") -> Hashes:
    """Return the hashes to look for: those that would be kept, and one that stands for a crop.

    Shapes:
        uint64 [1 to 3, 4]

    Raises:
        TooLarge: It has more than `max_pixels` pixels.
        Corrupt: It cannot be opened.
    """
    grey = _grey(data, max_pixels, name)
    return _hashes([grey, _without_margins(grey), _with_margins(grey)], data)


def _grey(data: bytes, max_pixels: int, name: str) -> Image:
    from PIL import Image

    with open_picture(data, max_pixels=max_pixels, name=name) as picture:
        # Shrinking in two steps also evens out what JPEG and scanners add.
        grey = upright(picture, name=name, near=_NEAR_PX).convert("L")
    scale = _NEAR_PX / max(grey.size)
    if scale >= 1:
        return grey
    size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
    return grey.resize(size, Image.Resampling.BOX)


def _hashes(variants: list[Image | None], data: bytes) -> Hashes:
    whole, *others = [_hash(variant) if variant is not None else None for variant in variants]
    # A picture that is plain as a whole stays so: without its margins a page number is a large numeral.
    if whole is None:
        return np.frombuffer(bytes.fromhex(digest_bytes(data)), np.uint64)[None]
    return np.stack([whole, *(one for one in others if one is not None)])


def _hash(grey: Image) -> Hashes | None:
    """Return which of the lowest frequencies are above their median; None where most of them are nothing.

    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.
    """
    from PIL import Image

    enough = min(grey.size) >= _SIDE
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.BOX if enough else Image.Resampling.BILINEAR)
    waves = _waves()
    found = (waves @ np.asarray(small, np.float64) @ waves.T).ravel()[1:]
    if (np.abs(found) > 1).sum() < _PLAIN_COEFFICIENTS:
        return None
    bits = np.concatenate([[False], found > np.median(found)])
    return np.packbits(bits).view(np.uint64)


def _waves() -> NDArray[np.float64]:
    """Return the first rows of the orthonormal DCT-II matrix."""
    at = np.pi * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE)
    waves: NDArray[np.float64] = np.cos(np.arange(_KEPT)[:, None] * at[None, :]) * np.sqrt(2 / _SIDE)
    return waves


def _without_margins(grey: Image) -> Image | None:
    """Cut off margins in the colour of the border; None where there are none, or little else."""
    pixels = np.asarray(grey, np.int16)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ink = np.abs(pixels - np.median(border)) > _INK
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return None
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    if (width, height) == grey.size or min(width, height) < _LEAST_SIDE_PX:
        return None
    return grey.crop(box)


def _with_margins(grey: Image) -> Image:
    """Put back what a crop took: margins that go on as the edges are."""
    from PIL import Image

    down, across = max(1, round(grey.height * _MARGIN)), max(1, round(grey.width * _MARGIN))
    return Image.fromarray(np.pad(np.asarray(grey), ((down, down), (across, across)), mode="edge"))
