"""Files of an office: a report in Word, a stock list in Excel, training slides, a mail, a transcript."""

from __future__ import annotations

import re
import zipfile
from datetime import datetime
from pathlib import Path

from docx import Document
from openpyxl import Workbook
from openpyxl.styles import Font
from pptx import Presentation
from pptx.util import Cm

_STAMP = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
WHEN = datetime(2026, 10, 15, 9, 0)
AUTHOR = "Ingrid Hallam"

VOLUMES = (
    ("Kitchen, extract", "60", "52"),
    ("Bathroom, extract", "40", "41"),
    ("Bedroom, supply", "45", "44"),
    ("Study, supply", "30", "12"),
)
STOCK = {
    "Van 2": (
        ("LW-1101", "Filter set, ePM1 55 % and ePM10 50 %", 14, 8),
        ("LW-1402", "Bypass motor", 3, 2),
        ("LW-1503", "Glass fuse T 2 A, pack of five", 9, 4),
        ("LW-1601", "Temperature probe, 1.2 m lead", 1, 3),
        ("LW-1921", "Door latch, black", 6, 2),
    ),
    "Van 3": (
        ("LW-1101", "Filter set, ePM1 55 % and ePM10 50 %", 5, 8),
        ("LW-1402", "Bypass motor", 0, 2),
        ("LW-1701", "Condensate trap with ball, 20 mm", 4, 2),
        ("LW-3701", "Condensate trap with ball, 32 mm", 2, 2),
    ),
}
SLIDES = (
    (
        "Service partner, basic course",
        (
            "Day 1: the unit and its parts",
            "Day 2: installing and balancing",
            "Day 3: faults and the written test",
        ),
        "Hand out the name badges first. The tea kitchen is locked after 17.00.",
    ),
    (
        "The exercise wall",
        (
            "Two units can hang on it at a time",
            "Groups of four, 40 minutes a group",
            "Leave the brackets on the wall",
        ),
        "The demonstration unit has the serial number 150-26-0007. Its door is taped, the latch is worn.",
    ),
    (
        "Balancing: what goes wrong",
        ("Anemometer held at an angle: reads up to 15 % low", "Valves measured with the kitchen window open"),
        "Tell the story of Tanner's Mews: a crushed duct looks like a wrong valve.",
    ),
)
MAIL = """\
From: Ruth Calloway <ruth.calloway@example.org>
To: service@tarnholt.example
Cc: Joseph Okafor <office@alderfinch.example>
Date: Mon, 12 Oct 2026 08:14:00 +0100
Subject: New fan for 14 Orchard Row, when you come
Message-ID: <20261012.0814@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

Dear Ms Hallam,

thank you for your letter about the fan. Wednesday 21 October suits me, at half past nine. Please ring
the lower bell, the upper one is out of order.

The lane is closed for road works until the end of the month, so you will have to park behind the chapel
and walk the last 200 metres. My neighbour lends you his handcart if you tell me the day before.

With kind regards
Ruth Calloway

> On 9 October 2026 Ingrid Hallam wrote:
> The new supply fan has arrived. Which day would suit you?
"""
CALL = (
    (0, 6, "Ingrid", "Tarnholt service, Ingrid Hallam speaking."),
    (
        6,
        15,
        "Caller",
        "Hello, this is Tom Lindqvist in Tanner's Mews. The unit behind the washing machine drips.",
    ),
    (15, 24, "Ingrid", "Is there a number after the E on the room control?"),
    (24, 29, "Caller", "No, it only says Normal."),
    (
        29,
        42,
        "Ingrid",
        "Then it is the hose. Please put a bowl under it and switch the unit to Low until we come.",
    ),
    (
        42,
        55,
        "Ingrid",
        "I open ticket T-4471. Our colleague calls you back today between four and five o'clock.",
    ),
    (55, 63, "Caller", "Fine. The washing machine can be pulled out, it stands on rollers."),
)


def report(path: Path) -> None:
    """Write the report of a site visit as .docx."""
    document = Document()
    document.core_properties.author = AUTHOR
    document.core_properties.title = "Site visit, Tanner's Mews 4"
    document.core_properties.created = document.core_properties.modified = WHEN
    document.add_heading("Site visit, Tanner's Mews 4, 14 October 2026", 0)
    document.add_heading("Reason", 1)
    document.add_paragraph(
        "The tenant, Mr Lindqvist, complained of stale air in the study. The Larkwind 150 was installed in "
        "2024 and has been balanced once."
    )
    document.add_heading("Measured air volumes", 1)
    document.add_paragraph("Cubic metres per hour, at Normal, with all doors closed:")
    table = document.add_table(rows=1, cols=3)
    for cell, words in zip(table.rows[0].cells, ("Room", "Planned", "Measured"), strict=True):
        cell.text = words
    for row in VOLUMES:
        for cell, words in zip(table.add_row().cells, row, strict=True):
            cell.text = words
    document.add_heading("What was done", 1)
    document.add_paragraph(
        "The flexible duct to the study had been crushed by a bookshelf. We replaced the last two metres by "
        "a rigid elbow; after that the study had 29 cubic metres per hour."
    )
    document.add_paragraph("The bookshelf has to stay 12 cm away from the wall.", style="List Bullet")
    document.add_paragraph("The condensate hose was not fixed; a clip was fitted.", style="List Bullet")
    document.save(str(path))
    _settle(path)


def stock(path: Path) -> None:
    """Write the stock of two service vans as .xlsx."""
    book = Workbook()
    book.properties.creator = AUTHOR
    book.properties.created = book.properties.modified = WHEN
    book.remove(book.active)
    for name, rows in STOCK.items():
        sheet = book.create_sheet(name)
        sheet.append(["Part no.", "Description", "On board", "Minimum"])
        for row in rows:
            sheet.append(row)
        for cell in sheet[1]:
            cell.font = Font(bold=True)
    book.save(path)
    _settle(path)


def training(path: Path) -> None:
    """Write training slides with notes as .pptx."""
    deck = Presentation()
    deck.core_properties.author = AUTHOR
    deck.core_properties.title = "Service partner, basic course"
    deck.core_properties.created = deck.core_properties.modified = WHEN
    for title, points, notes in SLIDES:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text_frame.text = "\n".join(points)
        slide.placeholders[1].width = Cm(20)
        slide.notes_slide.notes_text_frame.text = notes
    deck.save(str(path))
    _settle(path)


def mail(path: Path) -> None:
    """Write a customer's mail."""
    path.write_text(MAIL, encoding="utf-8", newline="\r\n")


def call(path: Path) -> None:
    """Write the transcript of a telephone call as WebVTT."""
    cues = [
        f"00:{a // 60:02}:{a % 60:02}.000 --> 00:{b // 60:02}:{b % 60:02}.000\n<v {who}>{said}"
        for a, b, who, said in CALL
    ]
    path.write_text("WEBVTT\n\n" + "\n\n".join(cues) + "\n", encoding="utf-8")


def _settle(path: Path) -> None:
    """Write an Office file anew with fixed times, so that the same content gives the same bytes."""
    with zipfile.ZipFile(path) as archive:
        # openpyxl writes the time of saving, whatever the properties say.
        members = [
            (name, _STAMP.sub(b"2026-10-15T09:00:00Z", archive.read(name))) for name in archive.namelist()
        ]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, (2026, 10, 15, 9, 0, 0)), data, zipfile.ZIP_DEFLATED)
