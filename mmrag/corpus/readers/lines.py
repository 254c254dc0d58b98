"""Lines of a decoded file with their offsets, and text put together from placed pieces."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mmrag.core.types import Locator, Part, Place, Role
from mmrag.corpus.stretch import Stretch

CELL_SEPARATOR = " | "
"""Stands between the cells of a table's row."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")


@dataclass(frozen=True, slots=True)
class SourceLine:
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
    found = []
    for match in _LINE.finditer(text):
        if match.start() == match.end() == len(text):
            break
        line = match.group().rstrip("\r\n")
        found.append(SourceLine(match.start(), match.start() + len(line), line))
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
        stretch = Stretch("".join(self._pieces), tuple(self._places))
        trimmed = stretch.cut(0, len(stretch.text))
        return Part("text", text=trimmed.text, role=role, places=trimmed.places)
