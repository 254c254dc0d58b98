"""Find the units of an item that an answer may quote."""

from __future__ import annotations

from dataclasses import replace

from mmrag.answer.labels import split_picture
from mmrag.answer.sentences import Unit, plain, split
from mmrag.core.fields import HEADING, TITLE
from mmrag.core.types import ITEM_SEPARATOR, Item


def units_of(item: Item) -> list[Unit]:
    """Return the units of an item in order; headings, the source's title and bare figures are none."""
    path = str(item.metadata.get(HEADING, ""))
    headings = {plain(path), *map(plain, path.split(" > ")), plain(str(item.metadata.get(TITLE, "")))}
    found: list[Unit] = []
    offset = 0
    for part in item.parts:
        if part.text:
            units = split_picture(part) if part.role == "ocr" else split(part.text, headings=headings)
            found += (
                replace(unit, start=unit.start + offset, end=unit.end + offset)
                for unit in units
                if any(char.isalpha() for char in unit.text)
            )
            offset += len(part.text) + len(ITEM_SEPARATOR)
    return found
