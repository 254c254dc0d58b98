"""Join the pieces of tables that go on over pages: each piece gets the header, caption and row numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmrag.core.reading import Block
from mmrag.core.types import Box, Page, Part
from mmrag.corpus.readers.pdf.blocks import PageBlocks
from mmrag.corpus.readers.pdf.tables import Table
from mmrag.corpus.stretch import Stretch, join, joined
from mmrag.corpus.table_marks import CAPTION, FIRST_ROW, HEADER_ROWS, is_table_caption

_CONTINUED = re.compile(
    r"\bcontinu(?:ed|ation)|\bcont['.\u2019]?d?\b|\bfortsetzung|\bfortgesetzt|\bsuite\b", re.I
)
_MARGIN = 0.12
_LOW, _HIGH = 0.55, 0.35
"""A table that goes on reaches into the lower part of its page, and begins in the upper part of the next."""
_FEW_CHARS = 240
_EDGE_PT = 3.0
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class _Open:
    """The last table of a page, which may go on; `rows` counts its rows of data on all pages so far."""

    page: int
    index: int
    table: Table
    header: Stretch
    rows: int


class TableSeries:
    """Puts the blocks of pages together and follows tables from page to page."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._open: _Open | None = None

    def add(self, page: PageBlocks) -> None:
        """Take the next page."""
        start = len(self.blocks)
        self.blocks += page.blocks
        before, self._open = self._open, None
        first, last = min(page.tables, default=None), max(page.tables, default=None)
        header, rows = None, 0
        if before and first is not None and before.page + 1 == page.number:
            above = self.blocks[before.index]
            made = _continued(before, above, page, first)
            if made is not None:
                self.blocks[before.index] = replace(above, metadata={FIRST_ROW: 1, **above.metadata})
                self.blocks[start + first] = made
                header, rows = (before.header, before.rows) if first == last else (None, 0)
        if last is None or _goes_on_elsewhere(page.blocks[last + 1 :]):
            return
        block = page.blocks[last]
        count = int(block.metadata[HEADER_ROWS])
        header = header or _head(block, count)
        # Rows of data of this page alone: what it prints again of the header does not count.
        printed = _repeated(header, block)
        rows += block.text.count("\n") + 1 - (header.text.count("\n") + 1 if printed else 0)
        self._open = _Open(page.number, start + last, page.tables[last], header, rows)


def _continued(before: _Open, above: Block, page: PageBlocks, index: int) -> Block | None:
    """Return the table of `page` as the rest of the one above; None if it is another one."""
    block, table = page.blocks[index], page.tables[index]
    caption = str(block.metadata.get(CAPTION, ""))
    lead = page.blocks[:index]
    is_named = any(_CONTINUED.search(b.text) for b in lead) or _CONTINUED.search(caption) is not None
    if (caption or any(is_table_caption(b.text) for b in lead)) and not is_named:
        return None
    if not is_named and not all(_in_margin(b, top=True) for b in lead):
        return None
    if not _same_columns(before.table, table):
        return None
    printed = _repeated(before.header, block)
    reaches = _box(above).y1 > _LOW and _box(block).y0 < _HIGH
    if not reaches and not (printed and is_named):
        return None
    is_headed = before.table.has_header or before.table.is_ruled
    if not printed and (table.has_header or not is_headed):
        return None
    count = before.header.text.count("\n") + 1
    metadata = {
        **block.metadata,
        HEADER_ROWS: count,
        FIRST_ROW: before.rows + 1,
        CAPTION: above.metadata.get(CAPTION, ""),
    }
    if printed:
        return replace(block, metadata=metadata)
    whole = join([before.header, joined(block.parts)], "\n")
    part = Part("text", text=whole.text, role=block.parts[0].role, places=whole.places)
    return replace(block, parts=(part,), metadata=metadata)


def _goes_on_elsewhere(rest: Sequence[Block]) -> bool:
    """Whether more than notes and the page's foot stand below the last table of a page."""
    own = [b for b in rest if not _in_margin(b, top=False)]
    return any(b.kind not in ("paragraph", "list") for b in own) or sum(len(b.text) for b in own) > _FEW_CHARS


def _head(block: Block, count: int) -> Stretch:
    whole = joined(block.parts)
    return whole.cut(0, len("\n".join(whole.text.split("\n")[:count])))


def _repeated(header: Stretch, block: Block) -> bool:
    lines = block.text.split("\n")
    count = header.text.count("\n") + 1
    return _plain("\n".join(lines[:count])) == _plain(header.text) and len(lines) > count


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def _same_columns(a: Table, b: Table) -> bool:
    """Whether the columns begin alike; pages may have unequal margins left and right."""
    if len(a.edges) < 2 or len(b.edges) < 2:
        return False
    first, second = ([x - edges[0] for x in edges] for edges in (a.edges, b.edges))
    near = sum(any(abs(x - y) <= _EDGE_PT for y in second) for x in first)
    return abs(len(first) - len(second)) <= 1 and near >= _ALIKE * max(len(first), len(second))


def _in_margin(block: Block, *, top: bool) -> bool:
    return _box(block).y1 < _MARGIN if top else _box(block).y0 > 1 - _MARGIN


def _box(block: Block) -> Box:
    box = block.locator.box if isinstance(block.locator, Page) else None
    return box or Box(0.0, 0.0, 1.0, 1.0)
