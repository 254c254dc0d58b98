"""Prints two papers and scans them: the service letter (image-only PDF) and a delivery note (PNG)."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image, ImageDraw, ImageFilter
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from example_corpus.facts import ADDRESS, COMPANY
from example_corpus.sketch import font

WIDTH, HEIGHT = A4

LETTER = """Dear customer,

during routine endurance tests we found that one batch of supply fans, built in May
and June 2024, may become noisy after about three years. The cause is the grease in
the bearing. There is no danger, and you may go on using your unit without any
restriction.

The letter concerns the Larkwind 150 with serial numbers from LW150-2417300 to
LW150-2419850. The Larkwind 300 is not affected. You will find the serial number on
the nameplate on the left side of the housing.

For these units we extend the warranty on the supply fan to eight years. If you hear a
dry rattle at low speed, we replace the fan free of charge, including travel and labour.
The visit takes about 40 minutes, and the installer brings the new part along.

To arrange a visit, please call our service line on +44 1632 960177, Monday to Thursday
from 9:00 to 16:00, and quote the reference SB-2026-04. Please register your unit for
the extended warranty before 31 March 2027.

We apologise for the trouble and thank you for your trust.

Yours faithfully,"""


def letter(path: Path) -> None:
    """Write the letter as a PDF of one picture, as an office scanner makes it."""
    page = _print(_draw_letter, dpi=170)
    page = _sign(page, (310, 1468))
    page = _stamp(page, "RECEIVED", "21 SEP 2026", (1010, 470), 8)
    page = _scan(page, angle=-0.7, seed=4, blur=0.7, noise=7)
    data = io.BytesIO()
    page.save(data, "JPEG", quality=58, optimize=True, dpi=(170, 170))
    data.seek(0)
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.setTitle("Scan_20260921_0913")
    canvas.setCreator("Office scanner")
    canvas.drawImage(ImageReader(data), 0, 0, WIDTH, HEIGHT)
    canvas.showPage()
    canvas.save()


def delivery_note(path: Path) -> None:
    """Write the delivery note as a grey picture, a little askew."""
    page = _scan(_print(_draw_delivery_note, dpi=140), angle=1.3, seed=9, blur=0.6, noise=0)
    page.quantize(24, dither=Image.Dither.NONE).save(path, optimize=True)


def _print(draw: Callable[[Canvas], None], dpi: int) -> Image.Image:
    """Draw on a page and return its picture; the standard typefaces are those inside pdfium."""
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=A4, invariant=1)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    document = pypdfium2.PdfDocument(data.getvalue())
    return document[0].render(scale=dpi / 72).to_pil().convert("L")


def _draw_letter(canvas: Canvas) -> None:
    left = 25 * mm
    canvas.setFont("Times-Bold", 20)
    canvas.drawString(left, HEIGHT - 28 * mm, COMPANY)
    canvas.setFont("Times-Roman", 10)
    canvas.drawString(left, HEIGHT - 34 * mm, f"Service department, {ADDRESS[0]}, {ADDRESS[1]}")
    canvas.line(left, HEIGHT - 37 * mm, WIDTH - left, HEIGHT - 37 * mm)
    canvas.setFont("Times-Roman", 12)
    for n, line in enumerate(("Mrs Ruth Calloway", "14 Orchard Row", "Fennwick FW2 9QA")):
        canvas.drawString(left, HEIGHT - 54 * mm - n * 5.5 * mm, line)
    canvas.drawRightString(WIDTH - left, HEIGHT - 54 * mm, "18 September 2026")
    canvas.setFont("Times-Bold", 13)
    canvas.drawString(left, HEIGHT - 86 * mm, "Extended warranty on the supply fan of your Larkwind 150")
    canvas.setFont("Times-Roman", 12)
    y = HEIGHT - 98 * mm
    for line in LETTER.splitlines():
        canvas.drawString(left, y, line)
        y -= 5.9 * mm if line else 3.4 * mm
    canvas.drawString(left, y - 19 * mm, "Ingrid Hallam")
    canvas.drawString(left, y - 24.5 * mm, "Head of Service")


def _draw_delivery_note(canvas: Canvas) -> None:
    left, right = 22 * mm, WIDTH - 22 * mm
    canvas.setFont("Helvetica-Bold", 22)
    canvas.drawString(left, HEIGHT - 30 * mm, "Delivery note")
    canvas.setFont("Helvetica", 11)
    canvas.drawRightString(right, HEIGHT - 26 * mm, COMPANY)
    canvas.drawRightString(right, HEIGHT - 31.5 * mm, ", ".join(ADDRESS))
    canvas.line(left, HEIGHT - 37 * mm, right, HEIGHT - 37 * mm)
    facts = (
        ("Delivery note no.", "DN-88214"),
        ("Date", "9 June 2026"),
        ("Your order", "AF-5591 of 2 June 2026"),
        ("Customer", "Alder & Finch Plumbing, 3 Quay Street, Fennwick"),
        ("Carrier", "Northgate Parcels, 4 parcels on 1 pallet"),
        ("Total weight", "58.5 kg"),
    )
    for n, (name, value) in enumerate(facts):
        y = HEIGHT - 50 * mm - n * 7.5 * mm
        canvas.setFont("Helvetica", 11.5)
        canvas.drawString(left, y, name)
        canvas.setFont("Helvetica-Bold", 11.5)
        canvas.drawString(left + 45 * mm, y, value)
    top = HEIGHT - 108 * mm
    rows = (
        ("Pos.", "Part no.", "Description", "Ordered", "Delivered"),
        ("1", "LW150-R", "Larkwind 150, right-hand version", "2", "2"),
        ("2", "LW-1902", "Silencer 125 mm, length 900 mm", "4", "4"),
        ("3", "LW-1603", "CO2 sensor, surface mounting", "3", "1"),
        ("4", "LW-1605", "Boost push button, white", "2", "2"),
        ("5", "LW-1910", "Extract valve 125 mm", "6", "6"),
    )
    stops = (0, 15, 43, 121, 143)
    for n, row in enumerate(rows):
        y = top - n * 11 * mm
        canvas.setFont("Helvetica-Bold" if n == 0 else "Helvetica", 11.5)
        for stop, cell in zip(stops, row, strict=True):
            canvas.drawString(left + 2 * mm + stop * mm, y, cell)
        canvas.line(left, y - 4 * mm, right, y - 4 * mm)
    canvas.line(left, top + 7 * mm, right, top + 7 * mm)
    canvas.setFont("Helvetica", 12)
    notes = (
        "Two CO2 sensors will follow on 23 June 2026.",
        "Please check the parcels for damage and report it to the carrier within 5 days.",
        "The goods remain our property until they have been paid in full.",
    )
    for n, note in enumerate(notes):
        canvas.drawString(left, top - 74 * mm - n * 7.5 * mm, note)
    canvas.drawString(left, top - 108 * mm, "Goods received by:")
    canvas.setFont("Helvetica-Oblique", 15)
    canvas.drawString(left + 45 * mm, top - 107 * mm, "T. Finch")
    canvas.line(left + 42 * mm, top - 110 * mm, left + 110 * mm, top - 110 * mm)


def _sign(page: Image.Image, at: tuple[int, int]) -> Image.Image:
    """Scribble a signature."""
    x0, y0 = at
    points = []
    for n in range(160):
        t = n / 159
        wave = math.sin(t * 34) * (30 - 20 * t) + math.sin(t * 11 + 1) * 12
        points.append((x0 - 70 + t * 300 + 16 * math.cos(t * 34), y0 - wave - t * 14))
    draw = ImageDraw.Draw(page)
    draw.line(points, fill=70, width=3, joint="curve")
    draw.line([(x0 - 80, y0 + 34), (x0 + 250, y0 + 16)], fill=80, width=3)
    return page


def _stamp(page: Image.Image, first: str, second: str, at: tuple[int, int], angle: float) -> Image.Image:
    plate = Image.new("L", (300, 130))
    draw = ImageDraw.Draw(plate)
    draw.rectangle((6, 6, 293, 123), outline=150, width=5)
    draw.text((150, 42), first, fill=160, font=font(36, bold=True), anchor="mm")
    draw.text((150, 92), second, fill=160, font=font(30), anchor="mm")
    plate = plate.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    page.paste(40, at, plate)
    return page


def _scan(page: Image.Image, *, angle: float, seed: int, blur: float, noise: float) -> Image.Image:
    """Turn a clean page into a scan: askew, unevenly lit, slightly soft, with dust and a dark edge."""
    random = np.random.default_rng(seed)
    page = page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
    page = page.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(page, np.float64)
    height, width = pixels.shape
    pixels = 28 + pixels * (243 - 28) / 255
    pixels += np.linspace(4, -7, width)[None, :] + np.linspace(0, -5, height)[:, None]
    pixels[:, :14] -= np.linspace(90, 0, 14)[None, :]
    fold = height // 3
    pixels[fold - 3 : fold + 3] -= 9
    for y, x in zip(random.integers(20, height - 20, 70), random.integers(20, width - 20, 70), strict=True):
        pixels[y : y + random.integers(1, 3), x : x + random.integers(1, 3)] -= 80
    if noise:
        pixels += random.normal(0, noise, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
