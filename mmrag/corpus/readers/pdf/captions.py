"""Tell by their places which captions belong to which figures and tables of a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from mmrag.corpus.readers.figures import is_caption
from mmrag.corpus.readers.pdf.objects import Rect

_NEAR = 0.06
_OTHER_SIDE_PT = 5.0
_SAME_HEIGHT = 0.5
_LETTERED = re.compile(r"\s*(?:fig(?:ure|\.|\b)|abb(?:ildung|\.))\s*[A-Z]{1,2}[\d.-]*\d", re.IGNORECASE)
_MENTION = re.compile(
    r"\s*(?:fig(?:ure|\.|\b)|abb(?:ildung|\.))\s*\.?\s*[\w.-]*\w\)?\s+(?!in\b|of\b|und\b)[a-zäöü]+\s", re.I
)
_LONG_CHARS = 60


def is_figure_caption(text: str) -> bool:
    """Whether a paragraph is a figure's caption, not a sentence that begins with 'Figure 3 shows'."""
    if not is_caption(text) and not _LETTERED.match(text):
        return False
    mention = _MENTION.match(text)
    return not (mention and mention.group().split()[-1][0].islower() and len(text) > _LONG_CHARS)


def matched(
    captions: Mapping[int, Rect], things: Mapping[int, Rect], height: float, *, below: bool
) -> dict[int, int]:
    """Return for each thing the nearest caption above or beneath it; each caption belongs to one thing.

    Where both are near, a caption `below` is preferred, as figures have it, or else one above.
    """
    near = []
    for caption, rect in captions.items():
        for thing, other in things.items():
            gap = distance(rect, other, height, below=below)
            if gap is not None:
                near.append((gap, caption, thing))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, caption, thing in sorted(near):
        if thing not in found and caption not in taken:
            found[thing] = caption
            taken.add(caption)
    return found


def with_neighbours_of(
    found: Mapping[int, int], captions: Mapping[int, Rect], things: Mapping[int, Rect], height: float
) -> dict[int, int]:
    """Let pictures that stand side by side share one caption: 'Figure 3: (a) before, (b) after'."""
    shared = dict(found)
    for thing, rect in things.items():
        if thing in shared:
            continue
        for other, caption in found.items():
            beside = things[other]
            level = min(rect[3], beside[3]) - max(rect[1], beside[1])
            low = min(rect[3] - rect[1], beside[3] - beside[1])
            gap = max(beside[0] - rect[2], rect[0] - beside[2])
            # The caption of one of two figures does not reach under the other.
            reach = distance(captions[caption], rect, height, below=True) is not None
            if reach and level > _SAME_HEIGHT * low and gap < low:
                shared[thing] = caption
                break
    return shared


def distance(caption: Rect, rect: Rect, height: float, *, below: bool) -> float | None:
    """Return how far a caption stands from a thing; None if it is not near or not in its columns."""
    if min(caption[2], rect[2]) <= max(caption[0], rect[0]):
        return None
    under, over = caption[1] - rect[3], rect[1] - caption[3]
    gap = max(under, over, 0.0)
    if gap > _NEAR * height:
        return None
    return gap + (0.0 if (under >= over) == below else _OTHER_SIDE_PT)


def parted_by_captions(rect: Rect, captions: Sequence[Rect], height: float) -> list[Rect]:
    """Cut a drawing between captions that stand side by side below or above it."""
    near = sorted(c for c in captions if distance(c, rect, height, below=True) is not None)
    under = [c for c in near if c[1] > (rect[1] + rect[3]) / 2]
    row = under if len(under) > 1 else [c for c in near if c not in under]
    cuts = [
        (a[2] + b[0]) / 2
        for a, b in pairwise(row)
        if a[2] < b[0] and abs(a[1] - b[1]) < _SAME_HEIGHT * (a[3] - a[1])
    ]
    edges = [rect[0], *cuts, rect[2]]
    return [(x0, rect[1], x1, rect[3]) for x0, x1 in pairwise(edges)]
