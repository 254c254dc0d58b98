"""Take from one PDF page all that its blocks need: text, figures, and words by OCR."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from mmrag.core.pdfium import PDFIUM_LOCK
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.types import Box, Locator, Page, Part, Role
from mmrag.corpus.readers.figures import ocr_part
from mmrag.corpus.readers.pdf.captions import distance, is_figure_caption, parted_by_captions
from mmrag.corpus.readers.pdf.figures import PageMarks, cut_out, is_blank, read_marks, render_page
from mmrag.corpus.readers.pdf.frame import PageFrame
from mmrag.corpus.readers.pdf.grid import GridMap, find_grids
from mmrag.corpus.readers.pdf.layout import Segment, columns
from mmrag.corpus.readers.pdf.objects import Rect
from mmrag.corpus.readers.pdf.paragraphs import box_of
from mmrag.corpus.readers.pdf.ruled import ruled_tables, table_grids
from mmrag.corpus.readers.pdf.style import PageLines
from mmrag.corpus.readers.pdf.tables import Table
from mmrag.corpus.readers.pdf.text import TextLayer
from mmrag.media.pictures import encode_png

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

OCR_DPI = 200
PAGE_PICTURE_DPI = 110
_MAX_SCAN_PIXELS = 62_000_000
"""An A0 sheet at 200 dpi; three times as many took 690 MB."""

_FEW_CHARS = 16
_POOR_CHARS = 200
_SCAN_COVER = 0.5
_BACKGROUND_COVER = 0.85
_MAX_BAD = 0.3
_PHOTO_CHARS = 40
_MAX_LABEL_CHARS = 400


@dataclass(slots=True)
class SeenFigure:
    """A picture or drawing cut out of a page; `labels` are words of the text layer upon it."""

    rect: Rect
    png: bytes
    labels: list[Segment]
    is_drawing: bool
    ocr: Part | None = None


@dataclass(slots=True)
class SeenPage:
    """One page after pdfium and OCR, before the document's style is known."""

    lines: PageLines
    role: Role = "body"
    figures: list[SeenFigure] = field(default_factory=list)
    picture: bytes | None = None
    picture_words: Part | None = None
    is_scan_unread: bool = False
    is_cut: bool = False


def look(document: PdfDocument, index: int, context: ReadContext) -> tuple[SeenPage, bytes | None]:
    """Take all that is needed from one page; the second value is the scan to read, as PNG."""
    with PDFIUM_LOCK, closing(document[index]) as page:
        with closing(page.get_textpage()) as textpage:
            frame = PageFrame.of(page, textpage)
            marks = read_marks(page, frame)
            layer = TextLayer(textpage, frame)
            grids = table_grids(GridMap(find_grids(marks.rules)), layer)
            segments = layer.segments(grids)
        scan = None
        if _is_poor(layer, marks, segments):
            pixels = min(context.limits.max_pixels, _MAX_SCAN_PIXELS)
            picture = render_page(page, frame, OCR_DPI, pixels)
            if not is_blank(picture):
                scan = encode_png(picture)
        tables, segments = ruled_tables(grids, segments, marks.rules.shades)
        figures = [] if scan else _figures(page, frame, marks, segments, layer.chars, tables)
        taken = {id(s) for f in figures for s in f.labels}
        segments = [s for s in segments if id(s) not in taken]
        lines = _page_lines(index + 1, frame, segments)
        lines = replace(lines, tables=tuple(tables), rules=marks.rules.across)
        seen = SeenPage(lines, figures=figures, is_cut=marks.cut)
        if scan and (context.ocr is None or layer.chars < _PHOTO_CHARS):
            seen.picture = cut_out(page, frame, (0.0, 0.0, frame.width, frame.height), PAGE_PICTURE_DPI)
        seen.is_scan_unread = bool(scan) and context.ocr is None
    return seen, scan


def read_pictures(page: SeenPage, scan: bytes | None, context: ReadContext) -> None:
    """Run OCR on a page's scan and figures, outside of pdfium's lock."""
    if context.ocr is None:
        return
    if scan:
        found = context.ocr.read(scan)
        chars = sum(len(line.text) for line in found)
        if chars > sum(len(s.text) for s in page.lines.segments()):
            page.role = "ocr"
            if chars >= _PHOTO_CHARS:
                page.picture = None
                page.lines = _ocr_lines(page.lines, found)
            else:
                page.picture_words = ocr_part(found, page=page.lines.number)
                page.lines = replace(page.lines, columns=(), tables=())
    size = (page.lines.width, page.lines.height)
    for figure in page.figures:
        if not figure.is_drawing:
            figure.ocr = ocr_part(
                context.ocr.read(figure.png), page=page.lines.number, within=box_within(figure.rect, size)
            )


def _is_poor(layer: TextLayer, marks: PageMarks, segments: Sequence[Segment]) -> bool:
    if layer.chars < _FEW_CHARS:
        return bool(marks.pictures) or marks.paths > 0
    if layer.bad > _MAX_BAD:
        return True
    if layer.chars >= _POOR_CHARS or marks.covered < _SCAN_COVER:
        return False
    # A large picture with its caption is a figure; the text layer of a scan has no more than a stamp.
    return marks.covered >= _BACKGROUND_COVER or not any(is_figure_caption(s.text) for s in segments)


def _figures(
    page: PdfPage,
    frame: PageFrame,
    marks: PageMarks,
    segments: Sequence[Segment],
    chars: int,
    tables: Sequence[Table],
) -> list[SeenFigure]:
    area = frame.width * frame.height
    wanted: list[tuple[Rect, float, bool]] = []
    for rect, dpi in marks.pictures:
        if (rect[2] - rect[0]) * (rect[3] - rect[1]) < _BACKGROUND_COVER * area or chars < _POOR_CHARS:
            wanted.append((rect, dpi, False))
    captions = [rect_of(s) for s in segments if is_figure_caption(s.text)]
    for whole in marks.drawings:
        for rect in parted_by_captions(whole, captions, frame.height):
            is_other = any(_inside_rect(r, rect) for r, _, _ in wanted)
            is_other = is_other or any(_inside_rect(table.rect, rect) for table in tables)
            is_named = any(distance(c, rect, frame.height, below=True) is not None for c in captions)
            if is_named and not is_other:
                wanted.append((rect, 150.0, True))
    found = []
    for rect, dpi, is_drawing in wanted:
        png = cut_out(page, frame, rect, dpi)
        labels = [s for s in segments if _inside_rect(rect_of(s), rect) and not is_figure_caption(s.text)]
        if sum(len(s.text) for s in labels) > _MAX_LABEL_CHARS:
            if is_drawing:
                continue
            labels = []
        if png:
            found.append(SeenFigure(rect, png, labels, is_drawing))
    return found


def _page_lines(number: int, frame: PageFrame, segments: Sequence[Segment]) -> PageLines:
    size = (max(frame.width, 1.0), max(frame.height, 1.0))
    upright: list[Segment] = []
    sideways: list[Segment] = []
    for s in segments:
        is_upright = s.y1 - s.y0 <= 2.5 * s.em or s.x1 - s.x0 > s.y1 - s.y0
        (upright if is_upright else sideways).append(s)
    found = [tuple(column) for column in columns(upright, size[0])]
    return PageLines(number, *size, tuple(found + [(s,) for s in sideways]), frame.turn)


def _ocr_lines(page: PageLines, found: Sequence[OcrLine]) -> PageLines:
    height = median((line.box.y1 - line.box.y0) * page.height for line in found)
    segments = []
    for line in found:
        box = line.box
        own = (box.y1 - box.y0) * page.height
        # Boxes of read lines vary with their letters: only a clear difference is another size.
        size = height if 0.6 * height < own < 1.5 * height else own
        segments.append(
            Segment(
                " ".join(line.text.split()),
                box.x0 * page.width,
                box.y0 * page.height,
                box.x1 * page.width,
                box.y1 * page.height,
                0.8 * size,
            )
        )
    return replace(page, columns=tuple(tuple(c) for c in columns(segments, page.width)), tables=(), rules=())


def rect_of(segment: Segment) -> Rect:
    """Return a segment's rectangle."""
    return segment.x0, segment.y0, segment.x1, segment.y1


def rect_on(locator: Locator, size: tuple[float, float]) -> Rect:
    """Return a locator's box in points; without one it is the page."""
    box = locator.box if isinstance(locator, Page) and locator.box else Box(0.0, 0.0, 1.0, 1.0)
    return box.x0 * size[0], box.y0 * size[1], box.x1 * size[0], box.y1 * size[1]


def box_within(rect: Rect, size: tuple[float, float]) -> Box:
    """Return a rectangle in fractions of a page."""
    return box_of([Segment("", *rect)], size)


def _inside_rect(inner: Rect, outer: Rect) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]
