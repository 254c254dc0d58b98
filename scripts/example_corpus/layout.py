"""The house style of the example company's printed documents."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import reportlab
from PIL import Image as Raster
from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    Image,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

FONTS = Path(reportlab.__file__).parent / "fonts"
"""Bitstream Vera comes with reportlab, so that every machine sets the same glyphs."""

INK = colors.HexColor("#1d2b33")
TEAL = colors.HexColor("#0b5563")
PALE = colors.HexColor("#e8f1f2")
ORANGE = colors.HexColor("#d9772b")
GREY = colors.HexColor("#6b7b83")
LINE = colors.HexColor("#b9c7cb")

WIDTH, HEIGHT = A4
MARGIN = 20 * mm
TEXT_WIDTH = WIDTH - 2 * MARGIN

for _name, _file in (
    ("Vera", "Vera"),
    ("Vera-Bold", "VeraBd"),
    ("Vera-Italic", "VeraIt"),
    ("Vera-BI", "VeraBI"),
):
    pdfmetrics.registerFont(TTFont(_name, str(FONTS / f"{_file}.ttf")))
pdfmetrics.registerFontFamily("Vera", "Vera", "Vera-Bold", "Vera-Italic", "Vera-BI")

BODY = ParagraphStyle("body", fontName="Vera", fontSize=9.3, leading=14.2, textColor=INK, spaceAfter=7)
SMALL = ParagraphStyle("small", parent=BODY, fontSize=8, leading=11.2, spaceAfter=0)
SMALL_BOLD = ParagraphStyle("small-bold", parent=SMALL, fontName="Vera-Bold", textColor=colors.white)
CAPTION = ParagraphStyle(
    "caption", parent=SMALL, alignment=TA_CENTER, textColor=GREY, spaceBefore=3, spaceAfter=9
)
TABLE_CAPTION = ParagraphStyle("table-caption", parent=SMALL, textColor=GREY, spaceBefore=4, spaceAfter=4)
BULLET = ParagraphStyle("bullet", parent=BODY, leftIndent=12, bulletIndent=1, spaceAfter=3.5)
STEP = ParagraphStyle("step", parent=BODY, leftIndent=16, bulletIndent=0, spaceAfter=4)
CHAPTER = ParagraphStyle(
    "chapter",
    parent=BODY,
    fontName="Vera-Bold",
    fontSize=17,
    leading=22,
    textColor=TEAL,
    spaceBefore=12,
    spaceAfter=10,
)
SECTION = ParagraphStyle(
    "section", parent=BODY, fontName="Vera-Bold", fontSize=10.6, leading=14, textColor=TEAL, spaceBefore=8,
    spaceAfter=4, keepWithNext=1,
)  # fmt: skip


def text(words: str, style: ParagraphStyle = BODY) -> Paragraph:
    """Return a paragraph."""
    return Paragraph(words, style)


def chapter(words: str) -> Paragraph:
    """Return a chapter heading; the table of contents collects it."""
    return Paragraph(words, CHAPTER)


def section(words: str) -> Paragraph:
    """Return a section heading, kept with the paragraph below it."""
    return Paragraph(words, SECTION)


def bullets(*points: str) -> list[Flowable]:
    """Return a bulleted list."""
    return [Paragraph(point, BULLET, bulletText="•") for point in points]


def steps(*points: str) -> list[Flowable]:
    """Return a numbered list."""
    return [Paragraph(point, STEP, bulletText=f"{n}.") for n, point in enumerate(points, 1)]


def callout(word: str, message: str, width: float = TEXT_WIDTH) -> Flowable:
    """Return a coloured box that starts with a signal word such as WARNING."""
    colour = {"WARNING": ORANGE, "CAUTION": colors.HexColor("#c9a227")}.get(word, TEAL)
    box = Table([[Paragraph(f"<b>{word}</b><br/>{message}", SMALL)]], colWidths=[width])
    box.setStyle(
        TableStyle(
            [
                ("LINEBEFORE", (0, 0), (0, -1), 4, colour),
                ("BACKGROUND", (0, 0), (-1, -1), PALE),
                ("LEFTPADDING", (0, 0), (-1, -1), 10),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
            ]
        )
    )
    return KeepTogether([Spacer(1, 2), box, Spacer(1, 8)])


def grid(rows: Sequence[Sequence[str]], widths_mm: Sequence[float], caption: str = "") -> list[Flowable]:
    """Return a table whose first row is a header, repeated on each page that the table reaches."""
    cells = [[Paragraph(cell, SMALL_BOLD) for cell in rows[0]]]
    cells += [[Paragraph(cell, SMALL) for cell in row] for row in rows[1:]]
    table = Table(cells, colWidths=[w * mm for w in widths_mm], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), TEAL),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, PALE]),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 3.2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 4.4),
                ("LEFTPADDING", (0, 0), (-1, -1), 5),
                ("RIGHTPADDING", (0, 0), (-1, -1), 5),
            ]
        )
    )
    head: list[Flowable] = [Paragraph(caption, TABLE_CAPTION)] if caption else []
    return [*head, table, Spacer(1, 8)]


def figure(picture: Raster.Image, width_mm: float, caption: str) -> Flowable:
    """Return a raster picture with its caption below."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    data.seek(0)
    width = width_mm * mm
    drawn = Image(data, width=width, height=width * picture.height / picture.width)
    return KeepTogether([Spacer(1, 3), drawn, Paragraph(caption, CAPTION)])


class Document(BaseDocTemplate):
    """A document with running header and footer, and page templates `cover`, `plain` and `columns`."""

    def __init__(self, path: Path, *, title: str, number: str, subject: str) -> None:
        """Prepare the page templates; `number` is the document number in the footer."""
        super().__init__(
            str(path),
            pagesize=A4,
            title=title,
            author="Tarnholt Ventilation",
            subject=subject,
            creator="Tarnholt Technical Documentation",
            invariant=1,  # no clock and no random identifier in the file: the same bytes on each run
            pageCompression=1,
        )
        self.heading = title
        self.number = number
        top, bottom = 26 * mm, 20 * mm
        body_height = HEIGHT - top - bottom
        gutter = 8 * mm
        half = (TEXT_WIDTH - gutter) / 2
        bare = {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0}
        self.addPageTemplates(
            [
                PageTemplate("cover", [Frame(MARGIN, bottom, TEXT_WIDTH, body_height, **bare)]),
                PageTemplate(
                    "plain", [Frame(MARGIN, bottom, TEXT_WIDTH, body_height, **bare)], onPage=self._furniture
                ),
                PageTemplate(
                    "columns",
                    [
                        Frame(MARGIN, bottom, half, body_height, **bare),
                        Frame(MARGIN + half + gutter, bottom, half, body_height, **bare),
                    ],
                    onPage=self._furniture,
                ),
            ]
        )

    def afterFlowable(self, flowable: Flowable) -> None:
        """Tell the table of contents and the outline where a chapter begins; reportlab calls this."""
        if isinstance(flowable, Paragraph) and flowable.style.name in ("chapter", "section"):
            level = 0 if flowable.style.name == "chapter" else 1
            words = flowable.getPlainText()
            key = f"{self.page}-{words}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(words, key, level=level, closed=level == 0)
            self.notify("TOCEntry", (level, words, self.page, key))

    def _furniture(self, canvas: Canvas, _: BaseDocTemplate) -> None:
        canvas.saveState()
        canvas.setFillColor(GREY)
        canvas.setFont("Vera", 7)
        canvas.drawString(MARGIN, HEIGHT - 15 * mm, self.heading)
        canvas.drawRightString(WIDTH - MARGIN, HEIGHT - 15 * mm, "Tarnholt Ventilation")
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.6)
        canvas.line(MARGIN, HEIGHT - 18 * mm, WIDTH - MARGIN, HEIGHT - 18 * mm)
        canvas.line(MARGIN, 15 * mm, WIDTH - MARGIN, 15 * mm)
        canvas.drawString(MARGIN, 11 * mm, self.number)
        canvas.drawRightString(WIDTH - MARGIN, 11 * mm, f"Page {canvas.getPageNumber()}")
        canvas.restoreState()
