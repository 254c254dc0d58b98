"""What the whole of a PDF says about its lines: which are headings, which run on every page."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmrag.corpus.readers.pdf.chars import SOFT_HYPHEN
from mmrag.corpus.readers.pdf.layout import Segment
from mmrag.corpus.readers.pdf.paragraphs import Group
from mmrag.corpus.readers.pdf.rules import Rule
from mmrag.corpus.readers.pdf.tables import Table

_HEADING_RATIO = 1.12
_MAX_LEVELS = 4
_MAX_HEADING_CHARS = 160
_MAX_HEADING_SHARE = 0.25
_SENTENCE_CHARS = 60
_PROSE_CHARS = 32
_MIN_PROSE_SHARE = 0.15
_MARGIN = 0.12
_MIN_RUNNING_PAGES = 3
_MIN_RUNNING_SHARE = 0.2
_NUMBERED = re.compile(r"(?:chapter\s+)?(\d+(?:\.\d+)*)\.?\s+\S", re.IGNORECASE)
_BULLETED = re.compile(r"[•◦▪●○■□‣·*\u2013\u2014-]\s")
_PAGE_NUMBER = re.compile(r"\W*(?:page|seite|p)?\W*#\W*(?:(?:of|von|/)\W*#)?\W*$")
_HYPHENATED = re.compile(r"[^\W\d_]+-[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class PageLines:
    """A page between its reading and its blocks; `rules` are its lines from left to right.

    Units:
        Points of the page turned by `turn` degrees clockwise; `columns` hold segments in reading order.
    """

    number: int
    width: float
    height: float
    columns: tuple[tuple[Segment, ...], ...]
    turn: int = 0
    tables: tuple[Table, ...] = ()
    rules: tuple[Rule, ...] = ()

    def segments(self) -> Iterator[Segment]:
        """Go over all text, that of tables last."""
        for column in self.columns:
            yield from column
        for table in self.tables:
            yield from table.segments


@dataclass(frozen=True, slots=True)
class DocumentStyle:
    """Sizes of body and headings, the outline, words with hyphens, running lines by page."""

    body: float
    sizes: tuple[float, ...]
    outline: Mapping[int, Mapping[str, int]]
    hyphenated: frozenset[str]
    running: Mapping[tuple[str, int], int]

    def heading_level(self, group: Group, page: int) -> int:
        """Return a group's depth as a heading, from 1; 0 if it is none."""
        text = group.text
        if group.is_table or not 2 <= len(text) <= _MAX_HEADING_CHARS or not any(map(str.isalpha, text)):
            return 0
        if level := self._by_outline(text, page):
            return level
        is_sentence = text.endswith((".", ";", ",")) and len(text) > _SENTENCE_CHARS
        if is_sentence or _BULLETED.match(text):
            return 0
        size = max(line.size for line in group.lines)
        if size >= _HEADING_RATIO * self.body and len(group.lines) <= 4:
            near = [i for i, known in enumerate(self.sizes) if size >= known - 0.3]
            return (near[0] if near else len(self.sizes)) + 1 if self.sizes else 0
        bold = all(line.bold for line in group.lines) and len(group.lines) <= 2
        if bold and not text.endswith((".", ",", ";", ":")) and size >= 0.95 * self.body:
            numbered = _NUMBERED.match(text)
            deep = numbered.group(1).count(".") if numbered else 0
            return min(len(self.sizes) + 1 + deep, 6)
        return 0

    def _by_outline(self, text: str, page: int) -> int:
        known = self.outline.get(page)
        return known.get(plain_title(text), 0) if known else 0

    def is_running(self, segment: Segment, page: PageLines) -> bool:
        """Whether a segment is part of a running header or footer that an earlier page has shown."""
        if not _in_margin(segment, page):
            return False
        key = _running_key(segment, page)
        first = self.running.get(key)
        return first is not None and (page.number > first or _PAGE_NUMBER.match(key[0]) is not None)


def style_of(pages: Sequence[PageLines], outline: Iterable[tuple[int, int, str]]) -> DocumentStyle:
    """Measure a document; `outline` is page, level from 1 and title of each bookmark."""
    chars: Counter[float] = Counter()
    prose: Counter[float] = Counter()
    words: set[str] = set()
    for page in pages:
        for segment in page.segments():
            chars[round(segment.em * 2) / 2] += len(segment.text)
            if len(segment.text) >= _PROSE_CHARS:
                prose[round(segment.em * 2) / 2] += len(segment.text)
            if "-" in segment.text:
                words.update(w.casefold() for w in _HYPHENATED.findall(segment.text.replace(SOFT_HYPHEN, "")))
    total = sum(chars.values())
    # Tables of small type must not make the text around them look like headings.
    usual = prose if prose.total() > _MIN_PROSE_SHARE * total else chars
    body = usual.most_common(1)[0][0] if usual else 10.0
    sizes = sorted(
        (s for s, n in chars.items() if s >= _HEADING_RATIO * body and n <= _MAX_HEADING_SHARE * total),
        reverse=True,
    )
    titles: dict[int, dict[str, int]] = defaultdict(dict)
    for number, level, title in outline:
        titles[number].setdefault(plain_title(title), level)
    return DocumentStyle(body, tuple(sizes[:_MAX_LEVELS]), titles, frozenset(words), _running(pages))


def plain_title(text: str) -> str:
    """Return a heading without its number, case and spaces: outlines often leave those out."""
    words = re.sub(r"^\s*(?:chapter\s+|appendix\s+)?(?:\d+|[A-Z])(?:\.\d+)*[.:]?\s+", "", text)
    return "".join(words.replace(SOFT_HYPHEN, "").casefold().split())


def _in_margin(segment: Segment, page: PageLines) -> bool:
    return segment.y1 < _MARGIN * page.height or segment.y0 > (1 - _MARGIN) * page.height


def _running_key(segment: Segment, page: PageLines) -> tuple[str, int]:
    words = re.sub(r"\d+|\b[ivxlc]+\b", "#", segment.text.casefold())
    return words, round(segment.y0 / page.height * 100)


def _running(pages: Sequence[PageLines]) -> dict[tuple[str, int], int]:
    """Find the lines of the margins that stand at one height on many pages, but for their numbers.

    Returns each with the first page that has it.
    """
    seen: Counter[tuple[str, int]] = Counter()
    first: dict[tuple[str, int], int] = {}
    for page in pages:
        keys = {_running_key(s, page) for s in page.segments() if _in_margin(s, page)}
        seen.update(keys)
        for key in keys:
            first.setdefault(key, page.number)
    least = max(min(_MIN_RUNNING_PAGES, len(pages)), 2, _MIN_RUNNING_SHARE * len(pages))
    # A line that falls between two hundredths of the height counts with both of them.
    near = {key: max(n + seen[(key[0], key[1] + d)] for d in (-1, 1)) for key, n in list(seen.items())}
    return {key: first[key] for key, n in near.items() if n >= least}
