"""Draw an embedding space on a plane: one dot an item, coloured by modality."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_SIDE = 760
_MARGIN = 50
_DOT = 4
_SAMPLE = 4000
_COLOURS = {"text": (36, 99, 178), "image": (214, 96, 24), "audio": (40, 140, 80), "video": (130, 70, 160)}
_INK, _PALE = (40, 40, 40), (150, 150, 150)


def space_map(panels: Mapping[str, Vectors], modalities: Sequence[str], *, seed: int = 0) -> bytes:
    """Return a PNG with one panel a version of the space, each along its own two main directions.

    Args:
        panels: Title to vectors: the same items as they are, and after a correction.
        modalities: Of each item.
        seed: Of the sample that is drawn.

    Shapes:
        vectors float32 [n, dim]
    """
    from PIL import Image, ImageDraw, ImageFont

    names = np.asarray(modalities)
    shown = np.sort(np.random.default_rng(seed).permutation(len(names))[:_SAMPLE])
    kinds = sorted(set(names.tolist()))
    width, height = len(panels) * (_SIDE + _MARGIN) + _MARGIN, _SIDE + 3 * _MARGIN
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(20)
    for i, (title, vectors) in enumerate(panels.items()):
        left = _MARGIN + i * (_SIDE + _MARGIN)
        points, kept = plane_of(vectors[shown])
        draw.text((left, 18), f"{title}: {kept:.0%} of the variance", fill=_INK, font=font)
        draw.rectangle((left, _MARGIN, left + _SIDE, _MARGIN + _SIDE), outline=_PALE)
        # The rarer modality is drawn last, so that it is not hidden.
        order = sorted(range(len(points)), key=lambda at: -int((names == names[shown[at]]).sum()))
        for at in order:
            x, y = left + points[at, 0] * _SIDE, _MARGIN + (1 - points[at, 1]) * _SIDE
            colour = _COLOURS.get(str(names[shown[at]]), _INK)
            draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=colour)
    across = _MARGIN
    for kind in kinds:
        top = _SIDE + _MARGIN + 30
        draw.ellipse((across, top + 4, across + 16, top + 20), fill=_COLOURS.get(kind, _INK))
        label = f"{kind} ({int((names == kind).sum())})"
        draw.text((across + 24, top), label, fill=_INK, font=font)
        across += 60 + int(draw.textlength(label, font=font))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def plane_of(vectors: Vectors) -> tuple[NDArray[np.float64], float]:
    """Return places on the plane of the two main directions, 0 to 1, and the share of variance they keep.

    Shapes:
        vectors float32 [n, dim] -> float64 [n, 2]

    Source: Pearson, On lines and planes of closest fit, 1901 (principal components).
    """
    centre = vectors - vectors.mean(axis=0)
    values, directions = np.linalg.eigh((centre.T @ centre).astype(np.float64))
    total = float(values.sum())
    best = np.argsort(values)[::-1][:2]
    flat = centre @ directions[:, best]
    if flat.shape[1] < 2:
        flat = np.hstack([flat, np.zeros((len(flat), 1))])
    low, high = flat.min(axis=0), flat.max(axis=0)
    span = float((high - low).max()) or 1.0
    # One scale for both axes: distances on the map can be compared.
    middle = (high + low) / 2
    kept = float(values[best].sum()) / total if total > 0 else 1.0
    return 0.5 + (flat - middle) / span * 0.94, kept
