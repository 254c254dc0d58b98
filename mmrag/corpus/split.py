"""Cut readings into items: passages of prose, pieces of tables and code, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mmrag.core.errors import ConfigError
from mmrag.core.fields import CONTEXT, HEADING, LANGUAGE, TITLE
from mmrag.core.identity import item_id
from mmrag.core.language import detect_language
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Cells, Item, Locator, Page, Part, Place, Role, Scalar, Source, around
from mmrag.corpus.stretch import Stretch, join, joined, line_stretches, sentence_stretches, windows
from mmrag.corpus.table_marks import CAPTION, FIRST_ROW, HEADER_ROWS, ROWS, is_table_caption

CountTokens = Callable[[Sequence[str]], list[int]]

_VERSION = 2
_TOP_LEVEL = 2
_MIN_LANGUAGE_CHARS = 160
_MAX_HEADING_CHARS = 1000
_MAX_TOKEN_CHARS = 40
"""No text has so many characters a token, whatever the tokenizer says: word pieces call a word of
five million letters one unknown token. Longer texts are cut without being counted first."""


@dataclass(frozen=True, slots=True)
class PassageOptions:
    """Options of the splitter `passages`.

    Args:
        max_tokens: A passage has at most so many, unless a smaller rest joins it.
        min_tokens: A rest of a section that is smaller joins the passage before it.
        overlap_sentences: How many sentences a piece of a long paragraph repeats of the piece before.

    Units:
        Word pieces of the embedder.
    """

    max_tokens: int = 200
    min_tokens: int = 24
    overlap_sentences: int = 0

    def build(self, count_tokens: CountTokens) -> PassageSplitter:
        """Make the splitter.

        Raises:
            ConfigError: A number is out of range.
        """
        return PassageSplitter(
            count_tokens,
            max_tokens=self.max_tokens,
            min_tokens=self.min_tokens,
            overlap_sentences=self.overlap_sentences,
        )


class _Unit(NamedTuple):
    """What a block is not cut within: a row, a line, a sentence, or a part of one that alone is too long."""

    stretch: Stretch
    tokens: int
    line: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch that stays whole; `alone` pieces share their passage with nothing."""

    stretch: Stretch
    tokens: int
    block: Block
    alone: bool = False
    locator: Locator | None = None
    """Where it stands without what it repeats: a table's header, sentences of the piece before."""
    lines: tuple[int, int] | None = None
    """The first and last line of its block that it holds, repeated ones left out."""


@dataclass(slots=True)
class _Draft:
    """An item in the making."""

    headings: tuple[str, ...]
    section: int
    page: int
    pieces: list[_Piece] = field(default_factory=list)
    figure: Block | None = None

    @property
    def tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    @property
    def alone(self) -> bool:
        return any(piece.alone for piece in self.pieces)


class PassageSplitter:
    """Packs paragraphs into passages; never across pages or top headings.

    Args:
        count_tokens: Counts the word pieces of texts, as the embedder does.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        count_tokens: CountTokens,
        *,
        max_tokens: int = 200,
        min_tokens: int = 24,
        overlap_sentences: int = 0,
    ) -> None:
        if max_tokens < 16 or not 0 <= min_tokens < max_tokens or not 0 <= overlap_sentences <= 10:
            raise ConfigError(
                f"The passages cannot have max_tokens={max_tokens}, min_tokens={min_tokens}, "
                f"overlap_sentences={overlap_sentences}.",
                fix="Use max_tokens >= 16, min_tokens below it and 0 to 10 overlapping sentences.",
            )
        self._count = count_tokens
        self._max = max_tokens
        self._min = min_tokens
        self._overlap = overlap_sentences
        self.identity = f"passages/{_VERSION} max={max_tokens} min={min_tokens} overlap={overlap_sentences}"

    def split(self, source: Source, reader: str, reading: Reading) -> list[Item]:
        """Return the items of a source in reading order."""
        blocks = [_plain_if_endless(block) for block in reading.blocks]
        drafts = list(self._merged(self._drafts(self._pieces(blocks), blocks)))
        whole = " ".join(block.text for block in reading.blocks[:60])
        language = detect_language(whole)
        return [self._item(draft, source, reader, reading, language) for draft in drafts]

    def _pieces(self, blocks: Sequence[Block]) -> dict[int, list[_Piece]]:
        """Cut each block that is too long; the tokens of all are counted in few large batches."""
        stretches = {
            i: joined(block.parts) for i, block in enumerate(blocks) if block.kind != "figure" and block.text
        }
        # A table of 100 MB must not be one text for the tokenizer: its lines are counted one by one below.
        near = {i: s for i, s in stretches.items() if len(s.text) <= _MAX_TOKEN_CHARS * self._max}
        known = dict(zip(near, self._counted(list(near.values())), strict=True))
        counts = [known.get(i, self._max + 1) for i in stretches]
        long = [
            i for i, n in zip(stretches, counts, strict=True) if n > self._max and blocks[i].kind != "heading"
        ]
        limit = _MAX_TOKEN_CHARS * self._max
        units = {
            i: [
                part
                for unit in _units(blocks[i], stretches[i])
                for part in (windows(unit, limit) if len(unit.text) > limit else [unit])
            ]
            for i in long
        }
        flat = [unit for i in long for unit in units[i]]
        unit_counts = iter(self._counted(flat))
        found: dict[int, list[_Piece]] = {}
        for (i, stretch), n in zip(stretches.items(), counts, strict=True):
            if i not in units:
                found[i] = [_Piece(stretch, n, blocks[i], alone=FIRST_ROW in blocks[i].metadata)]
                continue
            counted = [(unit, next(unit_counts)) for unit in units[i]]
            short = [
                _Unit(*pair, line) for line, (unit, n) in enumerate(counted) for pair in self._cut(unit, n)
            ]
            found[i] = list(self._packed(blocks[i], short))
        return found

    def _counted(self, stretches: Sequence[Stretch]) -> list[int]:
        counts = self._count([s.text for s in stretches]) if stretches else []
        return [max(n, len(s.text) // _MAX_TOKEN_CHARS) for n, s in zip(counts, stretches, strict=True)]

    def _cut(self, unit: Stretch, tokens: int) -> list[tuple[Stretch, int]]:
        """Cut a sentence or row that alone is too long at spaces."""
        if tokens <= self._max:
            return [(unit, tokens)]
        # Aim below the limit: words differ in tokens. What still exceeds it is halved.
        chars = max(int(len(unit.text) / tokens * self._max * 0.8), 8)
        parts = windows(unit, chars)
        found: list[tuple[Stretch, int]] = []
        for part, n in zip(parts, self._counted(parts), strict=True):
            if n > self._max and len(part.text) > 16:
                halves = windows(part, len(part.text) // 2 + 1)
                found.extend(zip(halves, self._counted(halves), strict=True))
            else:
                found.append((part, n))
        return found

    def _packed(self, block: Block, units: Sequence[_Unit]) -> Iterator[_Piece]:
        """Join the units of one long block to pieces; a table's header stands before each."""
        separator = " " if block.kind == "paragraph" else "\n"
        head = _header_rows(block)
        header = [unit for unit in units if unit.line < head]
        if sum(unit.tokens for unit in header) >= self._max // 2:
            header = []
        fixed = sum(unit.tokens for unit in header)
        lead: list[_Unit] = []
        group: list[_Unit] = []
        used = fixed
        for unit in units[len(header) :]:
            if group and used + unit.tokens > self._max:
                yield _piece(block, [*header, *lead], group, separator)
                lead = group[-self._overlap :] if self._overlap and block.kind == "paragraph" else []
                if sum(n for _, n, _ in lead) + unit.tokens > self._max:
                    lead = []
                used = fixed + sum(n for _, n, _ in lead)
                group = []
            group.append(unit)
            used += unit.tokens
        if group or header:
            yield _piece(block, [*header, *lead], group, separator)

    def _drafts(self, pieces: Mapping[int, list[_Piece]], blocks: Sequence[Block]) -> Iterator[_Draft]:
        path: list[tuple[int, str]] = []
        section = 0
        draft: _Draft | None = None
        waiting: list[_Draft] = []
        unspoken: _Piece | None = None

        def flush() -> Iterator[_Draft]:
            nonlocal draft
            if draft:
                yield draft
                draft = None
            yield from waiting
            waiting.clear()

        for i, block in enumerate(blocks):
            page = block.locator.number if isinstance(block.locator, Page) else 0
            names = tuple(name for _, name in path)
            if block.kind == "heading" and i in pieces:
                level = block.level or 1
                small = level > _TOP_LEVEL and draft is not None and draft.tokens < self._min
                if not small:
                    yield from flush()
                if unspoken and path and level <= path[-1][0]:
                    yield _Draft(names, section, _page(unspoken.block), [unspoken])
                while path and path[-1][0] >= level:
                    path.pop()
                path.append((level, " ".join(block.text.split())))
                if small and draft and page == draft.page:
                    draft.pieces.extend(pieces[i])
                    unspoken = None
                else:
                    yield from flush()
                    section += 1
                    unspoken = pieces[i][0]
                continue
            if block.kind == "figure":
                waiting.append(_Draft(names, section, page, figure=block))
                unspoken = None
                continue
            for piece in pieces.get(i, ()):
                unspoken = None
                full = draft is not None and (
                    draft.tokens + piece.tokens > self._max or piece.alone or draft.alone
                )
                if draft is None or full or draft.page != page:
                    yield from flush()
                    # Rows cut off from their caption would not say what they are rows of.
                    caption = _caption(blocks, i) if piece.alone else ""
                    draft = _Draft((*names, caption) if caption else names, section, page)
                draft.pieces.append(piece)
        yield from flush()
        if unspoken:
            yield _Draft(tuple(n for _, n in path), section, _page(unspoken.block), [unspoken])

    def _merged(self, drafts: Iterator[_Draft]) -> Iterator[_Draft]:
        """Give tiny rests of a section to the passage before them."""
        last: _Draft | None = None
        held: list[_Draft] = []
        for draft in drafts:
            if draft.figure is not None:
                held.append(draft)
                continue
            fits = (
                last is not None
                and draft.tokens < self._min
                and (draft.section, draft.page) == (last.section, last.page)
                and not draft.alone
                and last.tokens + draft.tokens <= self._max + self._min
            )
            if fits and last is not None:
                last.pieces.extend(draft.pieces)
                continue
            if last is not None:
                yield last
            yield from held
            held.clear()
            last = draft
        if last is not None:
            yield last
        yield from held

    def _item(
        self, draft: _Draft, source: Source, reader: str, reading: Reading, language: str | None
    ) -> Item:
        first = draft.figure or draft.pieces[0].block
        metadata: dict[str, Scalar] = {**reading.metadata, **first.metadata}
        for key in (HEADER_ROWS, CAPTION, FIRST_ROW):
            metadata.pop(key, None)
        if rows := _rows(draft.pieces):
            metadata[ROWS] = rows
        if reading.title:
            metadata[TITLE] = reading.title
        if draft.headings:
            metadata[HEADING] = " > ".join(draft.headings)
        parts: tuple[Part, ...]
        locator: Locator
        if draft.figure is not None:
            parts, locator = draft.figure.parts, draft.figure.locator
            if draft.figure.neighbours:
                metadata[CONTEXT] = draft.figure.neighbours
            text = " ".join([draft.figure.text, draft.figure.neighbours])
        else:
            stretch = join([piece.stretch for piece in draft.pieces], "\n")
            text = stretch.text
            roles = {p.role for piece in draft.pieces for p in piece.block.parts}
            role: Role = "ocr" if roles == {"ocr"} else "body"
            parts = (Part("text", text=text, role=role, places=stretch.places),)
            locator = around([p.locator or _around(p.block, p.stretch.places) for p in draft.pieces])
        spoken = detect_language(text) if len(text) >= _MIN_LANGUAGE_CHARS else None
        if spoken or language:
            metadata[LANGUAGE] = spoken or language or ""
        ident = item_id(parts, locator, reader=reader, splitter=self.identity)
        return Item(ident, source.id, locator, parts, metadata)


def _units(block: Block, stretch: Stretch) -> list[Stretch]:
    """Return what a long block may be cut between: rows, lines or sentences."""
    if block.kind in ("table", "code", "list"):
        return line_stretches(stretch)
    return [s for line in line_stretches(stretch) for s in sentence_stretches(line)]


def _piece(block: Block, repeated: Sequence[_Unit], own: Sequence[_Unit], separator: str) -> _Piece:
    units = [*repeated, *own]
    held = own or units
    return _Piece(
        join([unit.stretch for unit in units], separator),
        sum(unit.tokens for unit in units),
        block,
        alone=block.kind == "table",
        locator=_around(block, [p for unit in held for p in unit.stretch.places]),
        lines=(held[0].line, held[-1].line),
    )


def _plain_if_endless(block: Block) -> Block:
    """Return a heading that is too long to be one as a paragraph: it would stand above every item."""
    if block.kind == "heading" and len(block.text) > _MAX_HEADING_CHARS:
        return replace(block, kind="paragraph", level=0)
    return block


def _header_rows(block: Block) -> int:
    return int(block.metadata.get(HEADER_ROWS, 1)) if block.kind == "table" else 0


def _rows(pieces: Sequence[_Piece]) -> str:
    """Return which rows of a table a passage holds; '' where it holds a whole one, or its locator says."""
    tables = [p for p in pieces if p.block.kind == "table" and (p.lines or FIRST_ROW in p.block.metadata)]
    if len(tables) != 1 or isinstance(tables[0].block.locator, Cells):
        return ""
    piece, head = tables[0], _header_rows(tables[0].block)
    lines = piece.lines or (0, piece.stretch.text.count("\n"))
    start = int(piece.block.metadata.get(FIRST_ROW, 1)) - head
    first, last = max(lines[0], head) + start, lines[1] + start
    return (str(first) if first == last else f"{first}-{last}") if first <= last else ""


def _caption(blocks: Sequence[Block], table: int) -> str:
    """Return a table's caption: the one its reader found, else what stands right above it."""
    if (known := blocks[table].metadata.get(CAPTION)) is not None:
        return str(known)
    above = blocks[table - 1] if table else None
    if above is None or above.kind != "paragraph" or not is_table_caption(above.text):
        return ""
    return " ".join(above.text.split())


def _page(block: Block) -> int:
    return block.locator.number if isinstance(block.locator, Page) else 0


def _around(block: Block, places: Sequence[Place]) -> Locator:
    """Return the locator around places; the header of a table may stand on a page before."""
    own = [p.locator for p in places if not isinstance(p.locator, Page) or p.locator.number == _page(block)]
    return around(own or [block.locator])
