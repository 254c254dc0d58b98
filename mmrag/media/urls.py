"""Write pictures as `data:` URLs, the way servers take them."""

from __future__ import annotations

import base64
import io
import math

from mmrag.media.pictures import open_picture, upright

_LOSSY = ("JPEG", "MPO", "WEBP")
_MAX_PIXELS = 170_000_000


def data_url(picture: bytes, *, max_side: int) -> str:
    """Return an encoded picture as a URL that holds it: upright, on white, no side over `max_side`.

    It is encoded anew: what a camera wrote beside the pixels (place, time, owner) goes to no server. Photos
    stay JPEG, everything else becomes PNG.

    Units:
        max_side in pixels

    Raises:
        Corrupt: The picture cannot be opened.
        TooLarge: It has too many pixels.
    """
    opened = open_picture(picture, max_pixels=_MAX_PIXELS)
    lossy = opened.format in _LOSSY
    shown = upright(opened, near=max_side)
    factor = max_side / max(shown.size)
    if factor < 1:
        width, height = (max(1, math.floor(side * factor)) for side in shown.size)
        shown = shown.resize((width, height), resample=3)  # 3 is Pillow's BICUBIC
    shown.info.clear()
    out = io.BytesIO()
    if lossy:
        shown.save(out, "JPEG", quality=95)
    else:
        shown.save(out, "PNG", compress_level=3)
    kind = "jpeg" if lossy else "png"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
