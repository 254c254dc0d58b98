"""Typesets manual.pdf, the installation and operating manual of the Larkwind 150."""

from __future__ import annotations

import itertools
from pathlib import Path

from reportlab.lib import colors
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Spacer, TableStyle
from reportlab.platypus.tableofcontents import TableOfContents

from example_corpus import manual_install as install
from example_corpus import manual_use as use
from example_corpus.layout import (
    BODY,
    GREY,
    HEIGHT,
    INK,
    MARGIN,
    ORANGE,
    PALE,
    TEAL,
    TEXT_WIDTH,
    WIDTH,
    Document,
    text,
)
from example_corpus.layout import chapter as heading


def build(path: Path) -> None:
    """Write the manual."""
    document = Document(
        path,
        title="Larkwind 150 - Installation and operating manual",
        number="LW150-IM-EN, edition 7, March 2026",
        subject="Heat-recovery ventilation unit",
    )
    document.pageTemplates[0].onPage = lambda canvas, _: _cover(canvas)
    column = (TEXT_WIDTH - 8 * mm) / 2
    pages = [
        ("plain", _contents()),
        ("plain", install.about()),
        ("plain", install.safety()),
        ("plain", install.description()),
        ("plain", install.mounting()),
        ("columns", install.ducts(column)),
        ("plain", install.wiring()),
        ("plain", install.wiring_notes()),
        ("plain", use.operation()),
        ("columns", use.menus(column)),
        ("plain", use.maintenance()),
        ("plain", use.exchanger()),
        ("plain", use.troubleshooting()),
        ("plain", use.technical_data()),
        ("plain", use.warranty()),
    ]
    story: list[Flowable] = [Spacer(1, 1)]
    for template, flowables in pages:
        story += install.break_to(template) + flowables
    document.multiBuild(story)


def _contents() -> list[Flowable]:
    table = TableOfContents()
    table.dotsMinLevel = 0
    table.tableStyle = TableStyle(
        [
            (f"{side}PADDING", (0, 0), (-1, -1), points)
            for side, points in (("TOP", 0.4), ("BOTTOM", 1), ("LEFT", 0), ("RIGHT", 0))
        ]
    )
    table.levelStyles = [
        ParagraphStyle(
            "toc-chapter",
            parent=BODY,
            fontName="Vera-Bold",
            fontSize=8.6,
            leading=12,
            spaceBefore=5,
            spaceAfter=0,
        ),
        ParagraphStyle("toc-section", parent=BODY, fontSize=7.2, leading=8.7, leftIndent=14, spaceAfter=0),
    ]
    return [text("<b>Contents</b>", ParagraphStyle("contents", parent=heading("").style)), table]


def _cover(canvas: Canvas) -> None:
    canvas.saveState()
    canvas.setFillColor(TEAL)
    canvas.rect(0, HEIGHT - 92 * mm, WIDTH, 92 * mm, stroke=0, fill=1)
    canvas.setFillColor(ORANGE)
    canvas.rect(0, HEIGHT - 95 * mm, WIDTH, 3 * mm, stroke=0, fill=1)
    canvas.setFillColor(colors.white)
    canvas.setFont("Vera", 11)
    canvas.drawString(MARGIN, HEIGHT - 24 * mm, "TARNHOLT VENTILATION")
    canvas.setFont("Vera-Bold", 38)
    canvas.drawString(MARGIN, HEIGHT - 58 * mm, "Larkwind 150")
    canvas.setFont("Vera", 14)
    canvas.drawString(MARGIN, HEIGHT - 69 * mm, "Heat-recovery ventilation unit")
    canvas.setFont("Vera", 10.5)
    canvas.drawString(MARGIN, HEIGHT - 82 * mm, "Installation and operating manual")
    _unit_and_house(canvas)
    canvas.setFillColor(INK)
    canvas.setFont("Vera", 9)
    for n, line in enumerate(
        (
            "Document LW150-IM-EN, edition 7, March 2026",
            "For units from serial number LW150-2400001, firmware 3.4 or later",
            "Keep this manual with the unit.",
        )
    ):
        canvas.drawString(MARGIN, 38 * mm - n * 5.4 * mm, line)
    canvas.setFillColor(GREY)
    canvas.setFont("Vera", 7.5)
    canvas.drawString(MARGIN, 15 * mm, "Tarnholt Ventilation, Mill Race 12, Eastbeck EB4 7TN")
    canvas.restoreState()


def _unit_and_house(canvas: Canvas) -> None:
    """Draw a house in section with the unit under its roof and four streams of air."""
    base, left, width = 62 * mm, 48 * mm, 114 * mm
    wall, ridge = 62 * mm, 30 * mm
    outline = canvas.beginPath()
    outline.moveTo(left, base)
    outline.lineTo(left, base + wall)
    outline.lineTo(left + width / 2, base + wall + ridge)
    outline.lineTo(left + width, base + wall)
    outline.lineTo(left + width, base)
    outline.close()
    canvas.setFillColor(PALE)
    canvas.setStrokeColor(TEAL)
    canvas.setLineWidth(2.2)
    canvas.drawPath(outline, stroke=1, fill=1)
    canvas.setLineWidth(1.2)
    canvas.line(left, base + wall, left + width, base + wall)
    canvas.line(left, base + 31 * mm, left + width, base + 31 * mm)
    canvas.line(left + width / 2, base, left + width / 2, base + wall)
    canvas.setFillColor(colors.white)
    x, y = left + width / 2 - 10 * mm, base + wall + 1 * mm
    canvas.roundRect(x, y, 20 * mm, 16 * mm, 2 * mm, stroke=1, fill=1)
    canvas.setFillColor(TEAL)
    canvas.setFont("Vera-Bold", 6)
    canvas.drawCentredString(left + width / 2, y + 7 * mm, "Larkwind")
    canvas.setFont("Vera", 7)
    for dx, dy, room in (
        (12, 16, "Kitchen"),
        (102, 16, "Living room"),
        (12, 46, "Bathroom"),
        (102, 46, "Bedroom"),
    ):
        canvas.setFillColor(GREY)
        canvas.drawCentredString(left + dx * mm, base + dy * mm, room)
    blue, red = colors.HexColor("#2b83ba"), ORANGE
    end, right = x + 20 * mm, left + width
    for inset, height, floor in (
        (34 * mm, y + 4 * mm, base + 42 * mm),
        (25 * mm, y + 8 * mm, base + 12 * mm),
    ):
        _arrow(canvas, red, [(left + inset, floor), (left + inset, height), (x, height)])
        _arrow(canvas, blue, [(end, height), (right - inset, height), (right - inset, floor)])


def _arrow(canvas: Canvas, colour: colors.Color, points: list[tuple[float, float]]) -> None:
    canvas.setStrokeColor(colour)
    canvas.setFillColor(colour)
    canvas.setLineWidth(2)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        canvas.line(x0, y0, x1, y1)
    (x0, y0), (x1, y1) = points[-2:]
    size = 2.4 * mm
    head = canvas.beginPath()
    head.moveTo(x1, y1)
    if abs(x1 - x0) > abs(y1 - y0):
        back = -size if x1 > x0 else size
        head.lineTo(x1 + back, y1 + size / 2)
        head.lineTo(x1 + back, y1 - size / 2)
    else:
        back = -size if y1 > y0 else size
        head.lineTo(x1 + size / 2, y1 + back)
        head.lineTo(x1 - size / 2, y1 + back)
    head.close()
    canvas.drawPath(head, stroke=0, fill=1)
