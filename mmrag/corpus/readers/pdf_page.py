"""Take from one PDF page all that its blocks need: text, figures, and words by OCR."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from mmrag.core.pdfium import PDFIUM_LOCK
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.types import Box, Part, Role
from mmrag.corpus.readers.figures import is_caption, ocr_part
from mmrag.corpus.readers.layout import Segment, columns
from mmrag.corpus.readers.paragraphs import box_of
from mmrag.corpus.readers.pdf_figures import PageMarks, Rect, cut_out, is_blank, read_marks, render_page
from mmrag.corpus.readers.pdf_style import PageLines
from mmrag.corpus.readers.pdf_text import PageFrame, TextLayer, read_text_layer
from mmrag.corpus.readers.pictures import encode_png

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

OCR_DPI = 200
PAGE_PICTURE_DPI = 110

_FEW_CHARS = 16
_POOR_CHARS = 200
_SCAN_COVER = 0.5
_BACKGROUND_COVER = 0.85
_MAX_BAD = 0.3
_PHOTO_CHARS = 40
_MAX_LABEL_CHARS = 400
_CAPTION_DISTANCE = 0.06


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


def look(document: PdfDocument, index: int, context: ReadContext) -> tuple[SeenPage, bytes | None]:
    """Take all that is needed from one page; the second value is the scan to read, as PNG."""
    with PDFIUM_LOCK, closing(document[index]) as page:
        with closing(page.get_textpage()) as textpage:
            frame = PageFrame.of(page, textpage)
            layer = read_text_layer(page, textpage, frame)
        marks = read_marks(page, frame)
        scan = None
        if _is_poor(layer, marks):
            picture = render_page(page, frame, OCR_DPI, context.limits.max_pixels)
            if not is_blank(picture):
                scan = encode_png(picture)
        segments = list(layer.segments)
        figures = [] if scan else _figures(page, frame, marks, segments, layer.chars)
        taken = {id(s) for f in figures for s in f.labels}
        segments = [s for s in segments if id(s) not in taken]
        lines = _page_lines(index + 1, frame, segments)
        seen = SeenPage(lines, figures=figures)
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
        if chars > sum(len(s.text) for column in page.lines.columns for s in column):
            page.role = "ocr"
            if chars >= _PHOTO_CHARS:
                page.picture = None
                page.lines = _ocr_lines(page.lines, found)
            else:
                page.picture_words = ocr_part(found, page=page.lines.number)
                page.lines = replace(page.lines, columns=())
    size = (page.lines.width, page.lines.height)
    for figure in page.figures:
        if not figure.is_drawing:
            figure.ocr = ocr_part(
                context.ocr.read(figure.png), page=page.lines.number, within=box_within(figure.rect, size)
            )


def _is_poor(layer: TextLayer, marks: PageMarks) -> bool:
    if layer.chars < _FEW_CHARS:
        return bool(marks.pictures) or marks.paths > 0
    if layer.bad > _MAX_BAD:
        return True
    return layer.chars < _POOR_CHARS and marks.covered >= _SCAN_COVER


def _figures(
    page: PdfPage, frame: PageFrame, marks: PageMarks, segments: Sequence[Segment], chars: int
) -> list[SeenFigure]:
    area = frame.width * frame.height
    wanted: list[tuple[Rect, float, bool]] = []
    for rect, dpi in marks.pictures:
        if (rect[2] - rect[0]) * (rect[3] - rect[1]) < _BACKGROUND_COVER * area or chars < _POOR_CHARS:
            wanted.append((rect, dpi, False))
    captions = [s for s in segments if is_caption(s.text)]
    for rect in marks.drawings:
        holds_picture = any(_inside_rect(r, rect) for r, _, _ in wanted)
        if not holds_picture and any(distance(rect_of(c), rect, frame.height) is not None for c in captions):
            wanted.append((rect, 150.0, True))
    found = []
    for rect, dpi, is_drawing in wanted:
        png = cut_out(page, frame, rect, dpi)
        labels = [s for s in segments if _inside_rect(rect_of(s), rect) and not is_caption(s.text)]
        if sum(len(s.text) for s in labels) > _MAX_LABEL_CHARS:
            if is_drawing:
                continue
            labels = []
        if png:
            found.append(SeenFigure(rect, png, labels, is_drawing))
    return found


def _page_lines(number: int, frame: PageFrame, segments: Sequence[Segment]) -> PageLines:
    size = (max(frame.width, 1.0), max(frame.height, 1.0))
    upright = [s for s in segments if s.y1 - s.y0 <= 2.5 * s.em or s.x1 - s.x0 > s.y1 - s.y0]
    sideways = [s for s in segments if s not in upright] if len(upright) < len(segments) else []
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
    return replace(page, columns=tuple(tuple(c) for c in columns(segments, page.width)))


def distance(caption: Rect, rect: Rect, height: float) -> float | None:
    """Return how far a caption stands from a figure; None if it is not near or not in its columns."""
    if min(caption[2], rect[2]) <= max(caption[0], rect[0]):
        return None
    below, above = caption[1] - rect[3], rect[1] - caption[3]
    gap = max(below, above, 0.0)
    if gap > _CAPTION_DISTANCE * height:
        return None
    return gap + (0.0 if below >= above else 5.0)


def rect_of(segment: Segment) -> Rect:
    """Return a segment's rectangle."""
    return segment.x0, segment.y0, segment.x1, segment.y1


def box_within(rect: Rect, size: tuple[float, float]) -> Box:
    """Return a rectangle in fractions of a page."""
    return box_of([Segment("", *rect)], size)


def _inside_rect(inner: Rect, outer: Rect) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]
