import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from pypdfium2 import PdfDocument
from reportlab.lib.utils import ImageReader as ReportlabImage
from reportlab.pdfgen.canvas import Canvas

from mmrag.core.errors import Corrupt, Encrypted, TooLarge
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Ocr, OcrLine, ReadContext, ReadLimits
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Box, Page, Source, SourceId
from mmrag.corpus.readers.pdf.reader import PdfReader

WIDTH, HEIGHT = 595.0, 842.0
PROSE = (
    "The relay opens when the supply falls below eighteen volts and it closes again once the voltage has "
    "been above twenty volts for at least two seconds without any interruption at the terminals of the unit"
)
LOREM = PROSE.split()

Draw = Callable[[Canvas], None]


class ScriptedOcr:
    identity = "scripted/1"

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.images: list[bytes] = []

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        self.images.append(image)
        return tuple(
            OcrLine(text, Box(0.1, 0.1 + 0.05 * i, 0.6, 0.13 + 0.05 * i), 0.9)
            for i, text in enumerate(self.texts)
        )


def _pdf(*pages: Draw, encrypt: str | None = None, title: str = "", rotate: int = 0) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(WIDTH, HEIGHT), encrypt=encrypt, invariant=1)
    if title:
        canvas.setTitle(title)
        canvas.setAuthor("Ann")
    for draw in pages:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return _turned(out.getvalue(), rotate) if rotate else out.getvalue()


def _turned(data: bytes, degrees: int) -> bytes:
    with PdfDocument(data) as document:
        for page in document:
            page.set_rotation(degrees)
            page.close()
        out = io.BytesIO()
        document.save(out)
    return out.getvalue()


def _read(folder: Path, data: bytes, *, ocr: Ocr | None = None, limits: ReadLimits | None = None) -> Reading:
    (folder / "a.pdf").write_bytes(data)
    source = Source(SourceId("a.pdf"), digest_bytes(data), len(data), "application/pdf")
    return PdfReader().read(folder / "a.pdf", source, ReadContext(folder, ocr, limits or ReadLimits()))


def _lines(x: float, top: float, texts: list[str], *, size: float = 10, font: str = "Helvetica") -> Draw:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(font, size)
        for i, text in enumerate(texts):
            canvas.drawString(x, HEIGHT - top - i * size * 1.25, text)

    return draw


def _all(*draws: Draw) -> Draw:
    def draw(canvas: Canvas) -> None:
        for one in draws:
            one(canvas)

    return draw


def _prose(x: float, top: float, n: int, tag: str, *, words: int = 7) -> Draw:
    texts = [f"{tag}{i} " + " ".join(LOREM[(i * 3 + j) % len(LOREM)] for j in range(words)) for i in range(n)]
    return _lines(x, top, texts)


def _picture(x: float, top: float, width: float, height: float, color: str = "red") -> Draw:
    picture = Image.new("RGB", (int(width * 2), int(height * 2)), color)
    ImageDraw.Draw(picture).rectangle((20, 20, width, height), fill="blue")

    def draw(canvas: Canvas) -> None:
        canvas.drawImage(ReportlabImage(picture), x, HEIGHT - top - height, width, height)

    return draw


def _texts(reading: Reading, *kinds: str) -> list[str]:
    return [b.text for b in reading.blocks if not kinds or b.kind in kinds]


def _box(block: Block) -> Box:
    assert isinstance(block.locator, Page)
    assert block.locator.box is not None
    return block.locator.box


def test_text_has_boxes_and_headings(tmp_path: Path) -> None:
    draw = _all(
        _lines(72, 100, ["Warranty"], size=18, font="Helvetica-Bold"),
        _lines(72, 130, ["The warranty lasts 24 months from the", "day of delivery to the first user."]),
        _lines(72, 180, ["Exclusions"], font="Helvetica-Bold"),
        _lines(72, 200, ["Wear parts such as fuses are excluded."]),
    )
    reading = _read(tmp_path, _pdf(draw, title="Relay manual"))
    assert [(b.kind, b.level, b.text) for b in reading.blocks] == [
        ("heading", 1, "Warranty"),
        ("paragraph", 0, "The warranty lasts 24 months from the day of delivery to the first user."),
        ("heading", 2, "Exclusions"),
        ("paragraph", 0, "Wear parts such as fuses are excluded."),
    ]
    assert reading.title == "Relay manual"
    assert reading.metadata["author"] == "Ann"
    block = reading.blocks[1]
    box = _box(block)
    assert box.x0 == pytest.approx(72 / WIDTH, abs=0.002)
    assert box.y0 < 130 / HEIGHT < box.y1
    first, second = block.parts[0].places
    assert block.text[first.start : first.end] == "The warranty lasts 24 months from the"
    assert block.text[second.start : second.end] == "day of delivery to the first user."
    assert isinstance(first.locator, Page)
    assert isinstance(second.locator, Page)
    assert first.locator.box
    assert second.locator.box
    assert first.locator.box.y1 < second.locator.box.y1
    assert reading.pages[0].text
    assert reading.problems == ()


def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    left = [f"{LOREM[i + 1]} L{i} " + " ".join(LOREM[i : i + 6]) for i in range(12)]
    right = [f"{LOREM[i + 1]} R{i} " + " ".join(LOREM[i + 3 : i + 9]) for i in range(12)]

    def draw(canvas: Canvas) -> None:
        _lines(
            72,
            80,
            ["One wide line over both of the columns that says what the page is about, at some length"],
        )(canvas)
        for i in range(12):  # row by row, as some programs write columns
            _lines(60, 120 + 12.5 * i, [left[i]])(canvas)
            _lines(310, 120 + 12.5 * i, [right[i]])(canvas)

    text = " ".join(_texts(_read(tmp_path, _pdf(draw))))
    marks = [word for word in text.split() if word[0] in "LR" and word[1:].isdigit()]
    assert marks == [f"L{i}" for i in range(12)] + [f"R{i}" for i in range(12)]
    assert text.startswith("One wide line")


def test_hyphens_of_line_ends_are_taken_back(tmp_path: Path) -> None:
    texts = [
        "Use the well-known ter-",
        "minals of the unit and the well-",
        "known fuse of the Wi-",
        "Fi module for it.",
    ]
    (text,) = _texts(_read(tmp_path, _pdf(_lines(72, 100, texts))))
    assert (
        text == "Use the well-known terminals of the unit and the well-known fuse of the Wi-Fi module for it."
    )


def test_tables_keep_their_rows(tmp_path: Path) -> None:
    rows = [
        ("Item", "Order no.", "Price"),
        ("Relay module K1", "4711", "12.50 EUR"),
        ("DIN rail mount", "4712", "3.00 EUR"),
    ]

    def draw(canvas: Canvas) -> None:
        _lines(72, 80, ["All prices are net and valid until the end of the year for deliveries in Europe."])(
            canvas
        )
        canvas.setFont("Helvetica", 10)
        for i, row in enumerate(rows):
            for x, cell in zip((72, 250, 400), row, strict=True):
                canvas.drawString(x, HEIGHT - 120 - 16 * i, cell)

    tables = _texts(_read(tmp_path, _pdf(draw)), "table")
    assert tables == ["\n".join(" | ".join(row) for row in rows)]


def test_tables_of_words_are_no_columns(tmp_path: Path) -> None:
    rows = [
        ("What you notice", "Likely cause", "Remedy"),
        (
            "Humming in the bedroom",
            "Silencer missing, unit touches the wall",
            "Fit silencer, check rubber strip",
        ),
        ("Whistling at a valve", "Valve closed too far by the fitter", "Open the valve, balance again"),
        (
            "Musty smell in the house",
            "Filter wet or overdue since autumn",
            "Replace the filters and dry them",
        ),
        ("Windows wet on the inside", "Air volume too low for the family", "Use Normal instead of Low"),
        ("Gurgling from the drain", "Trap dry or dirty after the summer", "Rinse and fill the trap"),
    ]

    def draw(canvas: Canvas) -> None:
        _prose(56, 60, 6, "w", words=14)(canvas)
        canvas.setFont("Helvetica", 8)
        for i, row in enumerate(rows):
            for x, cell in zip((61, 197, 362), row, strict=True):
                canvas.drawString(x, HEIGHT - 200 - 18.8 * i, cell)

    tables = _texts(_read(tmp_path, _pdf(draw)), "table")
    assert tables == ["\n".join(" | ".join(row) for row in rows)]


def test_wrapped_cells_and_narrow_gaps_of_tables(tmp_path: Path) -> None:
    def table(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 8)
        rows = [
            (100, "Part", "Price", "Delivery", "Remark"),
            (116, "Relay", "112.50", "in stock", "only with the"),
            (125, "", "", "", "base that fits it"),
            (140, "Mount", "3.00", "two days", "none"),
        ]
        for top, part, price, delivery, remark in rows:
            canvas.drawString(72, HEIGHT - top, part)
            canvas.drawRightString(240, HEIGHT - top, price)
            canvas.drawString(248, HEIGHT - top, delivery)
            canvas.drawString(330, HEIGHT - top, remark)

    (block,) = _read(tmp_path, _pdf(table)).blocks
    assert block.kind == "table"
    assert block.text == (
        "Part | Price | Delivery | Remark\n"
        "Relay | 112.50 | in stock | only with the base that fits it\n"
        "Mount | 3.00 | two days | none"
    )
    places = {block.text[p.start : p.end]: p.locator for p in block.parts[0].places}
    low = places["base that fits it"]
    assert isinstance(low, Page)
    assert low.box
    assert low.box.y1 == pytest.approx(125 / HEIGHT, abs=0.005)


def test_running_lines_are_left_out(tmp_path: Path) -> None:
    def page(number: int) -> Draw:
        return _all(
            _lines(72, 40, ["Relay manual, edition 3"]),
            _prose(72, 120, 8, f"p{number}w"),
            _lines(280, 815, [f"Page {number}"]),
        )

    text = " ".join(_texts(_read(tmp_path, _pdf(*(page(n) for n in range(1, 7))))))
    assert text.count("edition 3") == 1  # what they say stays, once
    assert "Page" not in text
    assert "p4w7" in text


def test_small_tables_make_no_headings_of_the_text(tmp_path: Path) -> None:
    cells = [
        _lines(72 + 90 * j, 300 + 12 * i, [f"cell {i} {j}"], size=8) for i in range(30) for j in range(5)
    ]
    bullets = ["• The filters are larger than before.", "• The fans hold the air volume constant"]
    draw = _all(_prose(72, 60, 6, "w"), _lines(72, 160, bullets), *cells)
    assert not _texts(_read(tmp_path, _pdf(draw)), "heading")


def test_figures_have_captions_neighbours_and_their_own_words(tmp_path: Path) -> None:
    draw = _all(
        _prose(72, 60, 6, "before"),
        _picture(150, 180, 200, 120),
        _lines(150, 318, ["Figure 3: The wiring of the relay."]),
        _prose(72, 360, 6, "after"),
    )
    ocr = ScriptedOcr("K1 24 V")
    reading = _read(tmp_path, _pdf(draw), ocr=ocr)
    (figure,) = [b for b in reading.blocks if b.kind == "figure"]
    assert [(p.role, p.text) for p in figure.parts[1:]] == [
        ("caption", "Figure 3: The wiring of the relay."),
        ("ocr", "K1 24 V"),
    ]
    assert "before5" in figure.neighbours
    assert "after0" in figure.neighbours
    box = _box(figure)
    assert (box.x0, box.y0) == pytest.approx((150 / WIDTH, 180 / HEIGHT), abs=0.002)
    place = figure.parts[2].places[0].locator
    assert isinstance(place, Page)
    assert place.box
    assert place.box.x0 == pytest.approx(box.x0 + 0.1 * (box.x1 - box.x0), abs=0.002)
    (blob,) = reading.blobs
    assert blob.digest == figure.parts[0].media
    assert Image.open(io.BytesIO(blob.data)).width >= 390
    assert not any("Figure 3" in text for text in _texts(reading, "paragraph", "heading"))
    assert reading.pages[0].figures == 1


def test_a_figure_is_rendered_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmrag.corpus.readers.pdf.figures._MAX_FIGURE_PIXELS", 10_000)
    data = _pdf(_all(_prose(50, 60, 20, "p"), _picture(50, 400, 300, 200)))
    (blob,) = _read(tmp_path, data, ocr=ScriptedOcr()).blobs
    width, height = Image.open(io.BytesIO(blob.data)).size
    assert 9_000 < width * height < 11_000


def test_very_many_pictures_on_a_page_are_tiles_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strips = [_picture(50, 400 + 30 * i, 300, 20) for i in range(6)]
    data = _pdf(_all(_prose(50, 60, 20, "p"), *strips))
    # Each strip is too low to be a figure, and they stand too far apart to be joined.
    assert not _read(tmp_path, data, ocr=ScriptedOcr()).blobs
    monkeypatch.setattr("mmrag.corpus.readers.pdf.figures._MAX_JOINED", 5)
    assert len(_read(tmp_path, data, ocr=ScriptedOcr()).blobs) == 1


def test_a_captioned_drawing_is_a_figure(tmp_path: Path) -> None:
    def drawing(canvas: Canvas) -> None:
        for i in range(6):
            canvas.rect(150 + 40 * i, HEIGHT - 320, 30, 60)
            canvas.line(150 + 40 * i, HEIGHT - 290, 190 + 40 * i, HEIGHT - 290)
        canvas.setFont("Helvetica", 8)
        canvas.drawString(155, HEIGHT - 285, "K1")

    draw = _all(
        _prose(72, 60, 6, "before"),
        drawing,
        _lines(150, 345, ["Figure 1. Signal path"]),
        _prose(72, 380, 5, "after"),
    )
    reading = _read(tmp_path, _pdf(draw))
    (figure,) = [b for b in reading.blocks if b.kind == "figure"]
    assert [(p.role, p.text) for p in figure.parts[1:]] == [
        ("caption", "Figure 1. Signal path"),
        ("ocr", "K1"),
    ]
    assert reading.problems == ()


def test_a_logo_on_every_page_is_one_figure(tmp_path: Path) -> None:
    page = _all(_picture(400, 20, 120, 80), _prose(72, 120, 8, "w"))
    reading = _read(tmp_path, _pdf(page, page, page))
    assert sum(b.kind == "figure" for b in reading.blocks) == 1
    assert len(reading.blobs) == 1


def _scan() -> Draw:
    picture = Image.new("L", (1240, 1754), 255)
    draw = ImageDraw.Draw(picture)
    for i in range(10):
        draw.text(
            (150, 200 + 70 * i),
            "Dear customer, thank you for the order",
            font=ImageFont.load_default(40),
            fill=0,
        )

    def on(canvas: Canvas) -> None:
        canvas.drawImage(ReportlabImage(picture), 0, 0, WIDTH, HEIGHT)

    return on


def test_scans_are_read_by_ocr(tmp_path: Path) -> None:
    ocr = ScriptedOcr("Dear customer, thank you for the order", "of four relays; they ship on Monday.")
    reading = _read(tmp_path, _pdf(_prose(72, 100, 30, "w"), _scan()), ocr=ocr)
    scanned = [b for b in reading.blocks if isinstance(b.locator, Page) and b.locator.number == 2]
    assert [b.text for b in scanned] == [
        "Dear customer, thank you for the order of four relays; they ship on Monday."
    ]
    assert scanned[0].parts[0].role == "ocr"
    assert scanned[0].parts[0].places[0].locator == Page(2, Box(0.1, 0.1, 0.6, 0.13))
    assert [(p.text, p.ocr, p.figures) for p in reading.pages] == [(True, False, 0), (False, True, 0)]
    (image,) = ocr.images
    assert Image.open(io.BytesIO(image)).size == (1653, 2339)
    assert reading.problems == ()


def test_a_scan_without_ocr_is_a_picture_and_a_problem(tmp_path: Path) -> None:
    reading = _read(tmp_path, _pdf(_scan(), _prose(72, 100, 30, "w"), _scan(), _scan()))
    assert reading.problems[0].startswith("Pages 1 and 3-4 are scans: no OCR is installed")
    assert [b.locator for b in reading.blocks if b.kind == "figure"] == [Page(1), Page(3), Page(4)]


def test_a_photo_page_stays_a_picture(tmp_path: Path) -> None:
    reading = _read(tmp_path, _pdf(_picture(0, 0, WIDTH, HEIGHT)), ocr=ScriptedOcr("STOP"))
    (figure,) = reading.blocks
    assert figure.kind == "figure"
    assert figure.text == "STOP"


def test_blank_pages_say_nothing(tmp_path: Path) -> None:
    ocr = ScriptedOcr("ghost")
    reading = _read(tmp_path, _pdf(lambda canvas: None, _prose(72, 100, 5, "w")), ocr=ocr)
    assert reading.pages[0].text is reading.pages[0].ocr is False
    assert reading.problems == ()
    assert not ocr.images


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_boxes_of_turned_pages_are_those_that_people_see(tmp_path: Path, rotation: int) -> None:
    draw = _all(
        _lines(72, 100, ["A line of words on a page", "and another one below."]), _picture(300, 300, 120, 90)
    )
    reading = _read(tmp_path, _pdf(draw, rotate=rotation), ocr=ScriptedOcr("K1"))
    words, figure = reading.blocks
    assert words.text == "A line of words on a page and another one below."

    def corner(x: float, y: float) -> tuple[float, float]:
        x, y = x / WIDTH, y / HEIGHT
        return {90: (1 - y, x), 180: (1 - x, 1 - y), 270: (y, 1 - x)}[rotation]

    box = _box(words)
    x, y = corner(73, 100)
    assert box.x0 < x < box.x1
    assert box.y0 < y < box.y1
    x, y = corner(360, 345)
    assert (
        (_box(figure).x0 + _box(figure).x1) / 2,
        (_box(figure).y0 + _box(figure).y1) / 2,
    ) == pytest.approx((x, y), abs=0.002)
    # The picture itself is cut out as its page's text stands: wider than high.
    cut = Image.open(io.BytesIO(reading.blobs[0].data))
    assert cut.width > cut.height


def test_locked_and_broken_files_say_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Encrypted) as locked:
        _read(tmp_path, _pdf(_prose(72, 100, 3, "w"), encrypt="secret"))
    assert "qpdf --decrypt" in locked.value.fix
    good = _pdf(_prose(72, 100, 3, "w"))
    with pytest.raises(Corrupt):
        _read(tmp_path, b"%PDF-1.7\n" + b"\x00" * 300)
    with pytest.raises(TooLarge):
        _read(tmp_path, good, limits=ReadLimits(max_bytes=100))


def test_limits_and_many_pages(tmp_path: Path) -> None:
    reading = _read(tmp_path, _pdf(*[_prose(72, 100, 3, "w")] * 5), limits=ReadLimits(max_pages=3))
    assert len(reading.pages) == 3
    assert reading.problems == ("Pages 4 to 5 were left out: the limit is 3 pages.",)


def test_threads_share_pdfium(tmp_path: Path) -> None:
    data = _pdf(*[_all(_prose(72, 60, 20, f"p{n}w"), _picture(100, 400, 90, 90)) for n in range(4)])
    (tmp_path / "a.pdf").write_bytes(data)
    source = Source(SourceId("a.pdf"), digest_bytes(data), len(data), "application/pdf")
    found: list[Reading] = []

    def read() -> None:
        found.append(PdfReader().read(tmp_path / "a.pdf", source, ReadContext(tmp_path)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(reading == found[0] for reading in found)
