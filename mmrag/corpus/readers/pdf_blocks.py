"""Make blocks of the lines and figures of a PDF page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine
from mmrag.core.reading import Blob, Block, BlockKind
from mmrag.core.types import Box, Locator, Page, Part
from mmrag.corpus.readers.figures import figure_block, is_caption, ocr_part
from mmrag.corpus.readers.paragraphs import Group, box_of, groups, text_part
from mmrag.corpus.readers.pdf_figures import Rect
from mmrag.corpus.readers.pdf_page import SeenFigure, SeenPage, box_within, distance
from mmrag.corpus.readers.pdf_style import DocumentStyle


def page_blocks(page: SeenPage, style: DocumentStyle, blobs: dict[str, Blob]) -> list[Block]:
    """Return a page's blocks in reading order; new pictures are added to `blobs`."""
    lines = page.lines
    size = (lines.width, lines.height)
    parted: list[Group] = []
    for column in lines.columns:
        parted.extend(groups([s for s in column if not style.is_running(s, lines)]))
    captions = _captions(parted, page.figures, lines.height)
    placed: list[tuple[float, Block]] = []
    for order, group in enumerate(parted):
        figure = captions.get(order)
        part = text_part(group, lines.number, size, known=style.hyphenated, role=page.role)
        if not part.text:
            continue
        if figure is not None:
            placed.append((order, _figure(figure, page, blobs, replace(part, role="caption"))))
            continue
        level = style.heading_level(group, lines.number) if page.role == "body" else 0
        kind: BlockKind = "list" if group.is_list else "paragraph"
        kind = "heading" if level else "table" if group.is_table else kind
        place = Page(lines.number, box_of([s for line in group.lines for s in line.cells], size))
        placed.append((order, Block(kind, place, (part,), level=level)))
    with_caption = {id(figure) for figure in captions.values()}
    for figure in page.figures:
        digest = digest_bytes(figure.png)
        # A logo that many pages carry is one figure, of the first page.
        if id(figure) not in with_caption and digest not in blobs:
            placed.append((_order_at(parted, figure.rect), _figure(figure, page, blobs, None)))
    placed.sort(key=lambda pair: pair[0])
    blocks = [block for _, block in placed]
    if page.picture:
        blocks.append(_page_picture(page, blobs))
    return [_turned_back(block, lines.turn) for block in blocks] if lines.turn else blocks


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


def _captions(parted: Sequence[Group], figures: Sequence[SeenFigure], height: float) -> dict[int, SeenFigure]:
    """Give each figure the nearest caption below or above it; each caption to one figure."""
    near = []
    for order, group in enumerate(parted):
        if group.is_table or not is_caption(group.text):
            continue
        cells = [s for line in group.lines for s in line.cells]
        rect = (
            min(s.x0 for s in cells),
            min(s.y0 for s in cells),
            max(s.x1 for s in cells),
            max(s.y1 for s in cells),
        )
        for figure in figures:
            gap = distance(rect, figure.rect, height)
            if gap is not None:
                near.append((gap, order, figure))
    found: dict[int, SeenFigure] = {}
    taken: set[int] = set()
    for _, order, figure in sorted(near, key=lambda entry: entry[:2]):
        if order not in found and id(figure) not in taken:
            found[order] = figure
            taken.add(id(figure))
    return found


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
