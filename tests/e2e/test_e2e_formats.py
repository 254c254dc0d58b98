"""One file of every format: each is indexed, and what it says is found at its place."""

import csv
import io
import json
import wave
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from docx import Document
from openpyxl import Workbook
from pptx import Presentation
from pptx.util import Inches
from reportlab.pdfgen.canvas import Canvas

from mmrag import Pipeline
from mmrag.corpus import load_readers

VTT = "WEBVTT\n\n00:00:01.000 --> 00:00:04.000\nThe {} rotor is balanced at nine hundred turns.\n"
SRT = "1\n00:01:10,000 --> 00:01:14,500\nThe {} bearing is greased with lithium soap.\n"
ODT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body><office:text>
<text:h text:outline-level="1">Storage</text:h><text:p>The {} crates are stacked four high.</text:p>
</office:text></office:body></office:document-content>"""


def _docx(path: Path, word: str) -> None:
    document = Document()
    document.add_heading("Site report", 1)
    document.add_paragraph(f"The {word} valve was replaced on 4 May.")
    document.save(str(path))


def _pptx(path: Path, word: str) -> None:
    deck = Presentation()
    for text in ("Welcome to the course.", f"Always close the {word} damper first."):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = "Training"
        box = slide.shapes.add_textbox(Inches(1), Inches(2), Inches(6), Inches(1))
        box.text_frame.text = text
    deck.save(str(path))


def _xlsx(path: Path, word: str) -> None:
    book = Workbook()
    sheet = book.active
    sheet.title = "Fees"
    sheet.append(["Service", "Fee in euro"])
    for name, fee in (("Inspection", 90), (f"{word} calibration", 145), ("Travel", 60)):
        sheet.append([name, fee])
    book.save(path)


def _odt(path: Path, word: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", ODT.format(word))


def _csv(path: Path, word: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["Part", "Stock"], ["Fuse", "12"], [f"{word} gasket", "31"]])
    path.write_text(out.getvalue())


def _parquet(path: Path, word: str) -> None:
    pq.write_table(pa.table({"part": ["fuse", f"{word} flange"], "shelf": ["A4", "C7"]}), path)


def _ipynb(path: Path, word: str) -> None:
    cells = [
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": ["# Flow\n", f"The {word} sensor drifts by two percent."],
        },
        {"cell_type": "code", "metadata": {}, "source": ["1 + 1"], "outputs": [], "execution_count": 1},
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def _epub(path: Path, word: str) -> None:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Handbook</dc:title></metadata><manifest>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("book.opf", package)
        chapter = f"<html><body><h1>Care</h1><p>Rinse the {word} filter in cold water.</p></body></html>"
        archive.writestr("a.xhtml", chapter)


def _mail(word: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Visit"
    mail["From"] = "Ann Weaver <ann@example.org>"
    mail["To"] = "bo@example.org"
    mail["Date"] = "Mon, 04 May 2026 10:00:00 +0000"
    mail.set_content(f"The {word} pump will be collected on Friday.")
    return mail


def _mbox(path: Path, word: str) -> None:
    lines = b""
    for one in ("first", word):
        lines += b"From ann@example.org Mon May  4 10:00:00 2026\n" + _mail(one).as_bytes() + b"\n\n"
    path.write_bytes(lines)


def _svg(path: Path, word: str) -> None:
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"><title>Wiring</title>'
        f'<text x="10" y="20">The {word} terminal takes the brown wire</text></svg>'
    )


def _pdf(path: Path, word: str) -> None:
    canvas = Canvas(str(path))
    canvas.drawString(72, 700, f"The {word} compressor weighs forty kilograms.")
    canvas.save()


def _wav(path: Path, word: str) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 8000, "NONE", ""))
        sound.writeframes(bytes(16000))
    path.with_suffix(".vtt").write_text(VTT.format(word))


FILES = {
    "plain.txt": (
        lambda path, word: path.write_text(f"The {word} key hangs in the office."),
        "plain.txt, characters",
    ),
    "notes.md": (
        lambda path, word: path.write_text(f"# Keys\n\nThe {word} lock was oiled."),
        "notes.md, characters",
    ),
    "page.html": (
        lambda path, word: path.write_text(f"<p>The {word} window is triple glazed.</p>"),
        "page.html",
    ),
    "paper.pdf": (_pdf, "paper.pdf, page 1"),
    "report.docx": (_docx, "report.docx"),
    "deck.pptx": (_pptx, "deck.pptx, slide 2"),
    "fees.xlsx": (_xlsx, "fees.xlsx, sheet Fees, row"),
    "crates.odt": (_odt, "crates.odt"),
    "stock.csv": (_csv, "stock.csv, row"),
    "parts.parquet": (_parquet, "parts.parquet, row"),
    "flow.ipynb": (_ipynb, "flow.ipynb, cell 1"),
    "handbook.epub": (_epub, "handbook.epub, chapter 1"),
    "visit.eml": (lambda path, word: path.write_bytes(_mail(word).as_bytes()), "visit.eml"),
    "inbox.mbox": (_mbox, "inbox.mbox, message 2"),
    "lecture.srt": (lambda path, word: path.write_text(SRT.format(word)), "lecture.srt, 1:10-1:14"),
    "talk.wav": (_wav, "talk.wav, 0:01-0:04"),
    "wiring.svg": (_svg, "wiring.svg"),
}
WORDS = [
    "amber",
    "basalt",
    "cobalt",
    "dapple",
    "ebony",
    "fuchsia",
    "garnet",
    "hazel",
    "indigo",
    "jasper",
    "khaki",
    "lilac",
    "magenta",
    "nickel",
    "ochre",
    "pewter",
    "quartz",
]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    for (name, (write, _)), word in zip(FILES.items(), WORDS, strict=True):
        write(folder / name, word)
    with Pipeline.from_folder(folder) as pipeline:
        yield pipeline


def test_every_file_is_indexed_or_named(pipeline):
    records = {record.source.id: record for record in pipeline.sources()}
    skipped = records.pop("talk.vtt")
    assert (skipped.state, skipped.reason) == ("skipped", "It is read with talk.wav.")
    assert {name: (r.state, r.reason) for name, r in records.items()} == dict.fromkeys(FILES, ("indexed", ""))


@pytest.mark.parametrize(("name", "word"), list(zip(FILES, WORDS, strict=True)))
def test_what_is_indexed_can_be_found(pipeline, name, word):
    from mmrag.answer import describe_locator

    hit = pipeline.search(word, k=1)[0]
    assert hit.item.source == name
    label = describe_locator(hit.item, hit.item.locator)
    assert label.startswith(FILES[name][1])


@pytest.mark.parametrize(
    ("question", "words", "label"),
    [
        ("When was the ebony valve replaced?", "4 May", "report.docx, under “Site report”"),
        ("What is the fee for the garnet calibration?", "145", "fees.xlsx, sheet Fees, row 3"),
        ("Which damper do I close first?", "fuchsia", "deck.pptx, slide 2"),
        ("How is the ochre bearing greased?", "lithium soap", "lecture.srt, 1:10-1:14"),
        ("How many turns is the pewter rotor balanced at?", "nine hundred", "talk.wav, 0:01-0:04"),
        ("When will the nickel pump be collected?", "Friday", "inbox.mbox, message 2"),
        ("How many indigo gaskets are in stock?", "31", "stock.csv, row 3"),
    ],
)
def test_answers_cite_the_place(pipeline, tmp_path, question, words, label):
    from mmrag.answer import describe_locator

    answer = pipeline.ask(question)
    assert words in answer.text
    citation = answer.citations[0]
    assert describe_locator(citation.item, citation.locator) == label
    assert pipeline.write_evidence(answer, tmp_path / "evidence", question=question)


def test_every_reader_has_a_file_here():
    suffixes = {Path(name).suffix for name in FILES} | {".vtt"}
    for reader in load_readers():
        if reader.name != "image":
            assert any(suffixes & set(known.suffixes) for known in reader.formats), reader.name


def test_kinds_can_be_filtered(pipeline):
    def found(kind: str) -> set[str]:
        return {hit.item.source for hit in pipeline.search("the", k=50, filter=f'kind == "{kind}"')}

    assert found("word") == {"report.docx", "crates.odt"}
    assert found("table") == {"stock.csv", "parts.parquet"}
    assert found("mail") == {"visit.eml", "inbox.mbox"}
    assert found("audio") == {"talk.wav"}
