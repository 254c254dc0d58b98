"""Find where characters of an item's text stand in its source."""

from __future__ import annotations

from mmrag.core.types import ITEM_SEPARATOR, Box, Item, Locator, Page, Place, Span, around

_MARGIN_CHARS = 2
_MIN_LINE_SHAPE = 2.0
"""A box must be at least so much wider than high to be a line of text from left to right."""


def locate(item: Item, start: int, end: int) -> Locator:
    """Return the finest locator of characters `start` to `end` of `item.text`.

    Boxes of one page are joined to the smallest box around them, spans and times from the first
    to the last. Where no place is known it is the item's own locator.
    """
    found = locators(item, start, end)
    if not found:
        return item.locator
    first = found[0]
    if isinstance(first, Page):
        boxes = [f.box for f in found if isinstance(f, Page) and f.number == first.number and f.box]
        return Page(first.number, Box.around(boxes) if boxes else _own_box(item, first.number))
    return around(found)


def locators(item: Item, start: int, end: int) -> list[Locator]:
    """Return the locators of the places that the characters touch, in order, each cut to fit.

    The box of a line is cut in proportion to its characters, with a margin, as letters differ in
    width; the box of a table's row is not cut.
    """
    found: list[Locator] = []
    offset = 0
    for part in item.parts:
        if not part.text:
            continue
        first, last = start - offset, end - offset
        found += (_cut(p, first, last, part.text) for p in part.places if p.start < last and first < p.end)
        offset += len(part.text) + len(ITEM_SEPARATOR)
    return found


def _own_box(item: Item, number: int) -> Box | None:
    own = item.locator
    return own.box if isinstance(own, Page) and own.number == number else None


def _cut(place: Place, start: int, end: int, text: str) -> Locator:
    """Cut a span where its characters are the text's own, one for one, and a line's box."""
    where = place.locator
    first, last = max(start, place.start), min(end, place.end)
    if isinstance(where, Span) and where.end - where.start == place.end - place.start:
        shift = where.start - place.start
        return Span(first + shift, last + shift)
    words = text[place.start : place.end]
    if not isinstance(where, Page) or where.box is None or " | " in words or "\n" in words:
        return where
    box, chars = where.box, len(words)
    if box.x1 - box.x0 < _MIN_LINE_SHAPE * (box.y1 - box.y0):
        return where
    width = (box.x1 - box.x0) / chars
    left = box.x0 + width * max(first - place.start - _MARGIN_CHARS, 0)
    right = box.x0 + width * min(last - place.start + _MARGIN_CHARS, chars)
    return Page(where.number, Box(left, box.y0, right, box.y1))
