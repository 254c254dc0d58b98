"""PDF pages as files in the wild have them: accents, crops, circles, crowds, locks, changes."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from pypdfium2 import PdfDocument
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from mmrag.core.errors import Encrypted
from mmrag.core.fields import embedding_key
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Reading
from mmrag.core.types import Item, Page, Source, SourceId
from mmrag.corpus.readers.pdf.reader import PdfReader
from mmrag.corpus.split import PassageSplitter

WIDTH, HEIGHT = 595.0, 842.0
ACUTE = "\u00b4"
WORDS = (
    "relay",
    "opens",
    "when",
    "supply",
    "falls",
    "below",
    "eighteen",
    "volts",
    "and",
    "closes",
    "again",
    "once",
)


def _canvas(size: tuple[float, float] = (WIDTH, HEIGHT), **options: object) -> tuple[Canvas, io.BytesIO]:
    out = io.BytesIO()
    return Canvas(out, pagesize=size, invariant=1, **options), out


def _saved(canvas: Canvas, out: io.BytesIO) -> bytes:
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _read(folder: Path, data: bytes, seen: list[tuple[int, int]] | None = None) -> Reading:
    (folder / "a.pdf").write_bytes(data)
    source = Source(SourceId("a.pdf"), digest_bytes(data), len(data), "application/pdf")
    steps = seen if seen is not None else []
    context = ReadContext(folder, progress=lambda done, total: steps.append((done, total)))
    return PdfReader().read(folder / "a.pdf", source, context)


def _text(reading: Reading) -> str:
    return " ".join(block.text for block in reading.blocks)


def _objects(*objects: bytes) -> bytes:
    """Write a PDF of raw objects, the catalog first."""
    data, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(data))
    return data + head + table + tail


def _stream(head: bytes, content: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (head, len(content), content)


def test_accents_that_are_printed_over_letters_are_one_with_them(tmp_path: Path) -> None:
    # TeX prints the accent and moves back by the mean of both widths before it prints the letter.
    line = rb"[(H) (\250) 444 (artel Schr) (\250) 444 (oder, P) (\264) 444 (eter, 5\264 and x\264 y)] TJ"
    fonts = b"/Resources<</Font<</F 5 0 R>>>>"
    reading = _read(
        tmp_path,
        _objects(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R" + fonts + b">>",
            _stream(b"", b"BT /F 12 Tf 50 700 Td " + line + b" ET"),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        ),
    )
    assert _text(reading) == f"Härtel Schröder, Péter, 5{ACUTE} and x{ACUTE} y"


@pytest.mark.parametrize("rotation", [0, 90])
def test_only_what_a_cropped_page_shows_is_read_and_boxes_are_those_of_the_crop(
    tmp_path: Path, rotation: int
) -> None:
    canvas, out = _canvas()
    canvas.drawString(100, 700, "Shown words of the page")
    canvas.drawString(100, 100, "Hidden printer marks")
    with PdfDocument(_saved(canvas, out)) as document:
        page = document[0]
        page.set_cropbox(50, 500, 450, 800)
        page.set_rotation(rotation)
        page.close()
        cropped = io.BytesIO()
        document.save(cropped)
    reading = _read(tmp_path, cropped.getvalue())
    assert _text(reading) == "Shown words of the page"
    (block,) = reading.blocks
    assert isinstance(block.locator, Page)
    box = block.locator.box
    assert box is not None
    left, top = (50 / 400, 100 / 300)
    near = (box.x0, box.y1) if not rotation else (box.y0, 1 - box.x0)
    assert near == pytest.approx((left, top), abs=0.02)


def test_each_page_is_told(tmp_path: Path) -> None:
    canvas, out = _canvas()
    for number in range(3):
        canvas.drawString(72, 700, f"Page {number} of a short manual")
        canvas.showPage()
    canvas.save()
    seen: list[tuple[int, int]] = []
    _read(tmp_path, out.getvalue(), seen)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("strength", [40, 128])
def test_a_file_that_only_forbids_printing_is_read(tmp_path: Path, strength: int) -> None:
    locked = StandardEncryption("", ownerPassword="secret", canPrint=0, canCopy=0, strength=strength)
    canvas, out = _canvas(encrypt=locked)
    canvas.drawString(72, 700, "Anybody may read this, nobody may print it")
    assert _text(_read(tmp_path, _saved(canvas, out))) == "Anybody may read this, nobody may print it"
    closed = StandardEncryption("letmein", ownerPassword="secret", strength=strength)
    canvas, out = _canvas(encrypt=closed)
    canvas.drawString(72, 700, "Nobody may read this")
    with pytest.raises(Encrypted):
        _read(tmp_path, _saved(canvas, out))


def test_a_form_that_draws_itself_and_an_outline_that_runs_in_a_circle_end(tmp_path: Path) -> None:
    page = b"BT /F 12 Tf 50 700 Td (The words of the page are read) Tj ET /A Do"
    form = b"BT /F 9 Tf 50 600 Td (and those inside of a form) Tj ET /A Do"
    resources = b"/Resources<</XObject<</A 6 0 R>>/Font<</F 5 0 R>>>>"
    reading = _read(
        tmp_path,
        _objects(
            b"<</Type/Catalog/Pages 2 0 R/Outlines 7 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R" + resources + b">>",
            _stream(b"", page),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            _stream(b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]" + resources, form),
            b"<</Type/Outlines/First 8 0 R/Last 8 0 R/Count 1>>",
            b"<</Title(Words)/Parent 7 0 R/Next 8 0 R/First 8 0 R/Dest[3 0 R/Fit]>>",
        ),
    )
    assert "The words of the page are read" in _text(reading)
    assert "and those inside of a form" in _text(reading)


def test_a_page_of_too_many_lines_says_so_and_keeps_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmrag.corpus.readers.pdf.figures._MAX_OBJECTS", 50)
    canvas, out = _canvas()
    canvas.drawString(72, 700, "Words stand between very many lines")
    for i in range(60):
        canvas.line(10 + 9 * i, 100, 10 + 9 * i, 110)
    reading = _read(tmp_path, _saved(canvas, out))
    assert _text(reading) == "Words stand between very many lines"
    assert reading.problems == (
        "Page 1 has more drawn parts than are looked at: tables and figures may be missing there.",
    )


def test_crossing_lines_by_the_thousand_are_no_table(tmp_path: Path) -> None:
    canvas, out = _canvas()
    for i in range(150):
        canvas.line(0, 5.6 * i, WIDTH, 5.6 * i)
        canvas.line(3.9 * i, 0, 3.9 * i, HEIGHT)
    canvas.drawString(72, 700, "Words on squared paper")
    assert _text(_read(tmp_path, _saved(canvas, out))) == "Words on squared paper"


@pytest.mark.parametrize("size", [(0.0, 0.0), (0.01, 5000.0)])
def test_pages_without_size_break_nothing(tmp_path: Path, size: tuple[float, float]) -> None:
    canvas, out = _canvas(size)
    canvas.drawString(0, 0, "Words on a page without any size")
    assert len(_read(tmp_path, _saved(canvas, out)).pages) == 1


def test_a_page_as_large_as_a_hall_is_rendered_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmrag.corpus.readers.pdf.page._MAX_SCAN_PIXELS", 250_000)
    monkeypatch.setattr("mmrag.corpus.readers.pdf.figures._MAX_FIGURE_PIXELS", 250_000)
    canvas, out = _canvas((14_400, 14_400))
    picture = Image.effect_noise((64, 64), 80)
    canvas.drawImage(ImageReader(picture), 0, 0, 14_400, 14_400)
    (blob,) = _read(tmp_path, _saved(canvas, out)).blobs
    width, height = Image.open(io.BytesIO(blob.data)).size
    assert width * height <= 260_000


def _manual(changed: Sequence[str] = ()) -> bytes:
    canvas, out = _canvas()
    for number in range(12):
        canvas.setFont("Helvetica", 8)
        canvas.drawString(60, 815, "Service manual, edition 3")
        canvas.drawString(290, 20, str(number + 1))
        canvas.setFont("Helvetica-Bold", 14)
        canvas.drawString(60, 780, f"Chapter {number + 1}: {WORDS[number]}")
        canvas.setFont("Helvetica", 10)
        for i in range(20):
            words = [WORDS[(number * 7 + i * 3 + j) % len(WORDS)] for j in range(12)]
            canvas.drawString(60, 750 - 13 * i, " ".join(words))
        for i, line in enumerate(changed if number == 5 else ()):
            canvas.setFont("Helvetica-Bold" if not i else "Helvetica", 12 if not i else 7)
            canvas.drawString(60, 400 - 20 * i, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def test_a_changed_page_leaves_the_items_of_the_others_as_they_were(tmp_path: Path) -> None:
    splitter = PassageSplitter(lambda texts: [len(text.split()) for text in texts])

    def items(data: bytes) -> list[Item]:
        reading = _read(tmp_path, data)
        source = Source(SourceId("a.pdf"), digest_bytes(data), len(data), "application/pdf")
        return splitter.split(source, "pdf/2", reading)

    before = items(_manual())
    after = items(_manual(["A heading of a size of its own", "Small and well-known words below it", *WORDS]))
    for keyed in (lambda item: item.id, embedding_key):
        own = {keyed(item) for item in before}
        new = [item for item in after if keyed(item) not in own]
        assert new
        assert {item.locator.number for item in new if isinstance(item.locator, Page)} == {6}
