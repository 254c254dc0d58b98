"""Cut and join text without losing where each stretch of it stands in the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmrag.core.types import Locator, Part, Place, Span

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s+[\"'“‘«(\[]*[^\Wa-z_])|[。！？]+[」』”’]*")  # noqa: RUF001 - marks of prose, no typos for those of code
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:mr|mrs|ms|dr|prof|st|jr|sr|inc|ltd|co|e\.g|i\.e|etc|vs|cf|no|nos|nr|fig|figs|abb|tab|eq|sec|"
    r"ch|vol|pp?|approx|ca|max|min|z\.b|d\.h|bzw|usw|[A-Z])\.$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A text with the places of its words."""

    text: str
    places: tuple[Place, ...]

    def cut(self, start: int, end: int) -> Stretch:
        """Return characters `start` to `end` without spaces at their ends, with their places."""
        while start < end and self.text[start].isspace():
            start += 1
        while end > start and self.text[end - 1].isspace():
            end -= 1
        places = [
            Place(max(p.start, start) - start, min(p.end, end) - start, _narrowed(p, start, end))
            for p in self.places
            if p.start < end and p.end > start
        ]
        return Stretch(self.text[start:end], tuple(places))


def joined(parts: Sequence[Part]) -> Stretch:
    """Return the text parts of a block as one stretch, a line a part."""
    return join([Stretch(part.text, part.places) for part in parts if part.text], "\n")


def join(stretches: Sequence[Stretch], separator: str) -> Stretch:
    """Put stretches after one another."""
    if len(stretches) == 1:
        return stretches[0]
    places: list[Place] = []
    at = 0
    for stretch in stretches:
        places.extend(Place(p.start + at, p.end + at, p.locator) for p in stretch.places)
        at += len(stretch.text) + len(separator)
    return Stretch(separator.join(s.text for s in stretches), tuple(places))


def line_stretches(stretch: Stretch) -> list[Stretch]:
    """Cut at line ends; indents stay."""
    found, start = [], 0
    for line in stretch.text.split("\n"):
        end = start + len(line)
        if line.strip():
            cut = stretch.cut(start, end)
            indent = len(line) - len(line.lstrip())
            places = tuple(Place(p.start + indent, p.end + indent, p.locator) for p in cut.places)
            found.append(Stretch(line[:indent] + cut.text, places))
        start = end + 1
    return found


def sentence_stretches(stretch: Stretch) -> list[Stretch]:
    """Cut behind the ends of sentences, not behind abbreviations and initials."""
    found, start = [], 0
    for match in _SENTENCE_END.finditer(stretch.text):
        end = match.end()
        if match.group().startswith(".") and _ABBREVIATION.search(stretch.text, max(start, end - 12), end):
            continue
        found.append(stretch.cut(start, end))
        start = end
    if stretch.text[start:].strip():
        found.append(stretch.cut(start, len(stretch.text)))
    return [s for s in found if s.text]


def windows(stretch: Stretch, chars: int) -> list[Stretch]:
    """Cut into pieces of at most `chars` characters, at the last space in each if there is one."""
    found, start, length = [], 0, len(stretch.text)
    while start < length:
        end = min(start + chars, length)
        if end < length:
            space = max(stretch.text.rfind(" ", start, end), stretch.text.rfind("\n", start, end))
            end = space + 1 if space > start + chars // 3 else end
        piece = stretch.cut(start, end)
        if piece.text:
            found.append(piece)
        start = end
    return found


def _narrowed(place: Place, start: int, end: int) -> Locator:
    """Cut a span with its text when they run in parallel, character by character."""
    locator = place.locator
    if not isinstance(locator, Span) or locator.end - locator.start != place.end - place.start:
        return locator
    return Span(
        locator.start + max(start - place.start, 0),
        locator.end - max(place.end - end, 0),
    )
