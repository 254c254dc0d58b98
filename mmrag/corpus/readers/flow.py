"""Documents that flow without pages: blocks by kind, captions at their figures, places by characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmrag.core.fields import PLACE
from mmrag.core.reading import Block, BlockKind
from mmrag.core.types import Locator, Part, Place, Scalar, Span
from mmrag.corpus.readers.figures import is_caption
from mmrag.corpus.readers.lines import CELL_SEPARATOR
from mmrag.corpus.readers.tables.rows import clean_cell
from mmrag.corpus.table_marks import HEADER_ROWS

NOWHERE = Span(0, 1)
"""Where blocks stand until `placed` tells them."""

_IS_CAPTION = "is_caption"


def text_block(
    kind: BlockKind, text: str, *, level: int = 0, metadata: Mapping[str, Scalar] | None = None
) -> Block:
    """Make a block of words that has no place yet."""
    return Block(kind, NOWHERE, (Part("text", text=text),), level=level, metadata=dict(metadata or {}))


def caption_block(text: str) -> Block:
    """Make a paragraph that a figure next to it may take as its caption."""
    return text_block("paragraph", text, metadata={_IS_CAPTION: True})


def table_block(rows: Iterable[Sequence[str]], *, header_rows: int = 1) -> Block | None:
    """Make a table, a line a row, without its empty rows and what is empty at the right; None if all is."""
    lines = []
    width = 0
    kept = [[clean_cell(text) for text in row] for row in rows]
    for row in kept:
        width = max(width, max((i + 1 for i, text in enumerate(row) if text), default=0))
    dropped = 0
    for i, row in enumerate(kept):
        if any(row):
            lines.append(CELL_SEPARATOR.join(row[:width]).rstrip())
        elif i < header_rows:
            dropped += 1
    if not lines:
        return None
    return text_block("table", "\n".join(lines), metadata={HEADER_ROWS: max(header_rows - dropped, 0)})


def with_captions(blocks: Sequence[Block]) -> list[Block]:
    """Move each caption to the figure right before it, else right after it."""
    found: list[Block] = []
    waiting: Block | None = None
    for block in blocks:
        if block.kind == "figure" and waiting is not None and not _has_caption(block):
            found[-1] = _captioned(block, waiting)
            waiting = None
            continue
        waiting = None
        if not block.metadata.get(_IS_CAPTION):
            found.append(block)
            continue
        plain = replace(block, metadata={k: v for k, v in block.metadata.items() if k != _IS_CAPTION})
        last = found[-1] if found else None
        if last is not None and last.kind == "figure" and not _has_caption(last):
            found[-1] = _captioned(last, plain)
            continue
        found.append(plain)
        # "Table 3: ..." stays with its table, even when a figure follows.
        waiting = plain if is_caption(plain.text) else None
    return found


def placed(blocks: Sequence[Block]) -> list[Block]:
    """Give each block its characters in the text of them all: their texts, two more between blocks."""
    found = []
    at = 0
    for block in blocks:
        start, parts = at, []
        for part in block.parts:
            if not part.text:
                parts.append(part)
                continue
            places = part.places or tuple(_line_places(part.text, at))
            parts.append(replace(part, places=places))
            at += len(part.text) + 1
        end = max(at - 1, start + 1)
        metadata = {PLACE: "", **block.metadata}
        found.append(replace(block, locator=Span(start, end), parts=tuple(parts), metadata=metadata))
        at = end + 2
    return found


def put_at(block: Block, where: Locator) -> Block:
    """Return a block at a place that all of its words get, but for those that have their own."""
    parts = tuple(
        replace(part, places=(Place(0, len(part.text), where),)) if part.text and not part.places else part
        for part in block.parts
    )
    return replace(block, locator=where, parts=parts)


def _has_caption(block: Block) -> bool:
    return any(part.role == "caption" for part in block.parts)


def _captioned(figure: Block, caption: Block) -> Block:
    words = Part("text", text=caption.text, role="caption")
    parts = [
        p for p in figure.parts if p.role != "alt" or (p.text or "").casefold() not in caption.text.casefold()
    ]
    return replace(figure, parts=(parts[0], words, *parts[1:]))


def _line_places(text: str, at: int) -> Iterator[Place]:
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield Place(start, start + len(line), Span(at + start, at + start + len(line)))
        start += len(line) + 1
