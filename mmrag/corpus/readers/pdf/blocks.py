"""Make blocks of the lines and figures of a PDF page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine
from mmrag.core.reading import Blob, Block, BlockKind
from mmrag.core.types import Box, Locator, Page, Part
from mmrag.corpus.readers.figures import figure_block, ocr_part
from mmrag.corpus.readers.pdf.captions import is_figure_caption, matched, with_neighbours_of
from mmrag.corpus.readers.pdf.objects import Rect
from mmrag.corpus.readers.pdf.page import SeenFigure, SeenPage, box_within, rect_on
from mmrag.corpus.readers.pdf.paragraphs import Group, box_of, groups, table_part, text_part
from mmrag.corpus.readers.pdf.style import DocumentStyle
from mmrag.corpus.readers.pdf.tables import Table, gap_table, rect_around
from mmrag.corpus.table_marks import CAPTION, HEADER_ROWS, is_table_caption


@dataclass(frozen=True, slots=True)
class PageBlocks:
    """A page's blocks in reading order; `tables` are those of the blocks that are tables, by index."""

    number: int
    blocks: list[Block]
    tables: dict[int, Table]


def page_blocks(page: SeenPage, style: DocumentStyle, blobs: dict[str, Blob]) -> PageBlocks:
    """Make the blocks of a page; new pictures are added to `blobs`."""
    lines = page.lines
    size = (lines.width, lines.height)
    parted: list[Group] = []
    for column in lines.columns:
        parted.extend(groups([s for s in column if not style.is_running(s, lines)]))
    captions, taken = _captions(parted, page.figures, lines.height)
    spoken: dict[int, Part] = {}
    # Order in the flow, top left corner, and what stands there: the corner settles an equal order.
    placed: list[tuple[float, tuple[float, float], Block, Table | None]] = []
    for order, group in enumerate(parted):
        corner = (group.lines[0].y0, group.lines[0].x0)
        if group.is_table:
            table = gap_table([line.segments for line in group.lines], lines.rules)
            placed.append((order, corner, _table(table, page), table))
            continue
        part = text_part(group, lines.number, size, known=style.hyphenated, role=page.role)
        if not part.text:
            continue
        if order in taken:
            spoken[order] = replace(part, role="caption")
            continue
        level = style.heading_level(group, lines.number) if page.role == "body" else 0
        kind: BlockKind = "list" if group.is_list else "paragraph"
        place = Page(lines.number, box_of([s for line in group.lines for s in line.cells], size))
        placed.append((order, corner, Block("heading" if level else kind, place, (part,), level=level), None))
    placed.extend(
        (_order_at(parted, table.rect), _corner(table.rect), _table(table, page), table)
        for table in lines.tables
        if not all(style.is_running(s, lines) for s in table.segments)
    )
    for i, figure in enumerate(page.figures):
        order = captions.get(i, -1)
        # A logo that many pages carry is one figure, of the first page.
        if order in spoken or digest_bytes(figure.png) not in blobs:
            at = order if order in spoken else _order_at(parted, figure.rect)
            placed.append((at, _corner(figure.rect), _figure(figure, page, blobs, spoken.get(order)), None))
    placed = [entry for entry in sorted(placed, key=lambda entry: entry[:2]) if entry[2].parts[0].text != ""]
    tables = {i: table for i, (_, _, _, table) in enumerate(placed) if table}
    blocks = _with_table_captions([block for _, _, block, _ in placed], tables, size)
    if page.picture:
        blocks.append(_page_picture(page, blobs))
    if lines.turn:
        blocks = [_turned_back(block, lines.turn) for block in blocks]
    return PageBlocks(lines.number, blocks, tables)


def _table(table: Table, page: SeenPage) -> Block:
    size = (page.lines.width, page.lines.height)
    part = table_part(table, page.lines.number, size, page.role)
    place = Page(page.lines.number, box_within(table.rect, size))
    return Block("table", place, (part,), metadata={HEADER_ROWS: table.header})


def _with_table_captions(
    blocks: list[Block], tables: Mapping[int, Table], size: tuple[float, float]
) -> list[Block]:
    """Give each table the nearest caption above or below it; each caption to one table."""
    named = {
        i: rect_on(block.locator, size)
        for i, block in enumerate(blocks)
        if block.kind in ("paragraph", "heading") and is_table_caption(block.text)
    }
    rects = {i: table.rect for i, table in tables.items()}
    found = matched(named, rects, size[1], below=False)
    captions = {table: " ".join(blocks[i].text.split()) for table, i in found.items()}
    return [
        replace(block, metadata={**block.metadata, CAPTION: captions.get(i, "")}) if i in tables else block
        for i, block in enumerate(blocks)
    ]


def _figure(figure: SeenFigure, page: SeenPage, blobs: dict[str, Blob], caption: Part | None) -> Block:
    number, size = page.lines.number, (page.lines.width, page.lines.height)
    digest = digest_bytes(figure.png)
    blobs.setdefault(digest, Blob(digest, figure.png, "image/png"))
    words = figure.ocr
    if words is None and figure.labels:
        labels = [OcrLine(s.text, box_of([s], size), 1.0) for s in figure.labels]
        words = ocr_part(labels, page=number)
    return figure_block(digest, Page(number, box_within(figure.rect, size)), caption=caption, ocr=words)


def _page_picture(page: SeenPage, blobs: dict[str, Blob]) -> Block:
    assert page.picture is not None
    digest = digest_bytes(page.picture)
    blobs.setdefault(digest, Blob(digest, page.picture, "image/png"))
    return figure_block(digest, Page(page.lines.number), ocr=page.picture_words)


def _captions(
    parted: Sequence[Group], figures: Sequence[SeenFigure], height: float
) -> tuple[dict[int, int], set[int]]:
    """Return the group that is each figure's caption, and the groups that are one."""
    named = {
        order: rect_around([s for line in group.lines for s in line.cells])
        for order, group in enumerate(parted)
        if not group.is_table and is_figure_caption(group.text)
    }
    rects = {i: figure.rect for i, figure in enumerate(figures)}
    found = matched(named, rects, height, below=True)
    return with_neighbours_of(found, named, rects, height), set(found.values())


def _order_at(parted: Sequence[Group], rect: Rect) -> float:
    """Return where in the reading order a figure stands: behind what ends above it in its columns."""
    middle = (rect[1] + rect[3]) / 2
    beside = [
        (i, group)
        for i, group in enumerate(parted)
        if min(max(line.x1 for line in group.lines), rect[2]) > max(group.lines[0].x0, rect[0])
    ]
    nearby = beside or list(enumerate(parted))
    above = [i for i, group in nearby if group.lines[-1].y1 <= middle]
    return above[-1] + 0.5 if above else nearby[0][0] - 0.5 if nearby else 0.0


def _corner(rect: Rect) -> tuple[float, float]:
    return rect[1], rect[0]


def _turned_back(block: Block, turn: int) -> Block:
    """Return a block of a turned page with its boxes on the page as people see it."""

    def back(locator: Locator) -> Locator:
        if not isinstance(locator, Page) or locator.box is None:
            return locator
        b = locator.box
        box = {
            90: Box(b.y0, 1 - b.x1, b.y1, 1 - b.x0),
            180: Box(1 - b.x1, 1 - b.y1, 1 - b.x0, 1 - b.y0),
            270: Box(1 - b.y1, b.x0, 1 - b.y0, b.x1),
        }[turn]
        return Page(locator.number, box)

    parts = tuple(
        replace(part, places=tuple(replace(p, locator=back(p.locator)) for p in part.places))
        for part in block.parts
    )
    return replace(block, locator=back(block.locator), parts=parts)
