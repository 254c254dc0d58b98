"""Lines of a decoded file with their offsets, and text put together from placed pieces."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from mmrag.core.types import Locator, Part, Place, Role
from mmrag.corpus.stretch import Stretch

CELL_SEPARATOR = " | "
"""Stands between the cells of a table's row."""
LONG_CELL_CHARS = 600
"""A longer text in a cell is prose: it is cut at sentences, and a table of many such only arranges a page."""

_LINE_END = re.compile(r"\r\n?|\n")


class SourceLine(NamedTuple):
    """Characters `start` to `end` of a file, without the line's end."""

    start: int
    end: int
    text: str

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing but spaces."""
        return not self.text.strip()


def source_lines(text: str) -> list[SourceLine]:
    """Cut a text at line ends of all three kinds, as Markdown counts lines."""
    found, start = [], 0
    for match in _LINE_END.finditer(text):
        end = match.start()
        found.append(SourceLine(start, end, text[start:end]))
        start = match.end()
    if start < len(text):
        found.append(SourceLine(start, len(text), text[start:]))
    return found


@dataclass(slots=True)
class PlacedText:
    """A text under construction: words with places, and joints without."""

    _pieces: list[str] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)
    length: int = 0

    def add(self, words: str, locator: Locator | None = None) -> None:
        """Append words; the same locator as before widens its place."""
        if not words:
            return
        start, self.length = self.length, self.length + len(words)
        self._pieces.append(words)
        if locator is None:
            return
        last = self._places[-1] if self._places else None
        if last and last.end == start and last.locator == locator:
            self._places[-1] = Place(last.start, self.length, locator)
        else:
            self._places.append(Place(start, self.length, locator))

    def extend(self, other: PlacedText) -> None:
        """Append another text with its places, without spaces at its ends."""
        part = other.part()
        start, self.length = self.length, self.length + len(part.text or "")
        self._pieces.append(part.text or "")
        self._places.extend(Place(p.start + start, p.end + start, p.locator) for p in part.places)

    def part(self, role: Role = "body") -> Part:
        """Return the text without spaces at its ends, its places moved and clipped."""
        text = "".join(self._pieces)
        if not text[:1].isspace() and not text[-1:].isspace():
            return Part("text", text=text, role=role, places=tuple(self._places))
        stretch = Stretch(text, tuple(self._places))
        trimmed = stretch.cut(0, len(stretch.text))
        return Part("text", text=trimmed.text, role=role, places=trimmed.places)
