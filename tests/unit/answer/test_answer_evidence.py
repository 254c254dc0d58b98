from __future__ import annotations

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from mmrag.answer.evidence import write_evidence
from mmrag.core.errors import StoreError
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.types import (
    Answer,
    Box,
    Cells,
    Citation,
    Hit,
    Item,
    ItemId,
    Locator,
    Page,
    Part,
    Place,
    SourceId,
    Span,
    TimeRange,
)

QUESTION = 'How long is <b>the "warranty"</b>?'
WORDS = "The warranty lasts 24 months.\nIt starts on the day of <purchase> & delivery."
LEFT, RIGHT = Box(0.0, 0.4, 0.4, 0.6), Box(0.6, 0.4, 1.0, 0.6)


def no_blob(digest: str) -> bytes | None:
    return None


def picture(size: tuple[int, int] = (200, 100), *, orientation: int = 1, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    image = Image.new(mode, size, "white" if mode == "RGB" else (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(buffer, format="PNG", exif=exif)
    return buffer.getvalue()


def cite(
    source: str,
    locator: Locator,
    *,
    text: str = WORDS,
    quote: str = "The warranty lasts 24 months.",
    media: str | None = None,
    places: tuple[Place, ...] = (),
    own: Locator | None = None,
    **metadata: str,
) -> Citation:
    parts: tuple[Part, ...] = (Part("text", text=text, places=places, role="ocr" if media else "body"),)
    if media:
        parts = (Part("image", media=media), *parts)
    item = Item(ItemId(f"id-{source}-{quote[:5]}"), SourceId(source), own or locator, parts, metadata)
    start = item.text.index(quote)
    return Citation(item, locator, quote, 0.8, start, start + len(quote))


def answer_of(*citations: Citation, **kwargs: object) -> Answer:
    evidence = tuple(Hit(citation.item, 0.9) for citation in citations)
    text = "The warranty lasts <24> months." if citations else ""
    status = "answered" if citations else "no_evidence"
    return Answer(status, text, citations, evidence, notes=("Mind <this>.",), root="r" * 32)


class Page_(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def links(self) -> list[str]:
        return [str(values["href"]) for tag, values in self.tags if tag == "a"]


def yellow(image: Image.Image, box: Box) -> float:
    """Return the share of marked pixels within a box."""
    width, height = image.size
    cut = image.convert("RGB").crop(
        (int(box.x0 * width), int(box.y0 * height), int(box.x1 * width), int(box.y1 * height))
    )
    data = cut.tobytes()
    marked = sum(data[i] - data[i + 2] > 40 for i in range(0, len(data), 3))
    return marked / (cut.width * cut.height)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    root.mkdir()
    canvas = Canvas(str(root / "manual.pdf"), pagesize=(400, 600))
    canvas.showPage()
    canvas.drawString(40, 300, "The warranty lasts 24 months.")
    canvas.showPage()
    canvas.save()
    (root / "plate.png").write_bytes(picture())
    (root / "faq page.html").write_text("<p id=warranty>The warranty lasts 24 months.</p>")
    (root / "notes.md").write_text(WORDS)
    return root


@pytest.fixture
def write(tmp_path: Path, corpus: Path) -> Callable[..., list[Path]]:
    def run(answer: Answer, **kwargs: object) -> list[Path]:
        blob = kwargs.pop("blob", no_blob)
        return write_evidence(
            answer,
            tmp_path / "out",
            open_media=lambda source: corpus / source,
            blob=blob,  # type: ignore[arg-type]
            question=QUESTION,
            **kwargs,  # type: ignore[arg-type]
        )

    return run


def page_of(files: list[Path]) -> str:
    assert files[0].name == "index.html"
    return files[0].read_text(encoding="utf-8")


def test_the_pdf_page_is_drawn_with_the_quotes_box(write: Callable[..., list[Path]]) -> None:
    box = Box(0.1, 0.46, 0.6, 0.52)
    places = (Place(0, 29, Page(2, box)), Place(30, len(WORDS), Page(2, Box(0.1, 0.8, 0.6, 0.9))))
    files = write(answer_of(cite("manual.pdf", Page(2, box), places=places)))
    assert [file.name for file in files] == ["index.html", "citation-1-manual-page-2.png"]
    with Image.open(files[1]) as image:
        assert image.size == (800, 1200)
        assert yellow(image, box) > 0.9
        assert yellow(image, Box(0, 0.55, 1, 1)) == 0


def test_the_page_escapes_everything_and_is_well_formed(write: Callable[..., list[Path]]) -> None:
    html = page_of(write(answer_of(cite("notes.md", Span(0, 29), heading="<i>Terms</i>"))))
    page = Page_(html)
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;purchase&gt; &amp; delivery" in html
    assert "Mind &lt;this&gt;." in html
    assert "&lt;24&gt; months" in html
    assert "<mark>The warranty lasts 24 months.</mark>" in html
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe"})
    assert not re.search(r"""(src|href)=["']https?:""", html)
    assert ("html", {"lang": "en"}) in page.tags


def test_the_page_carries_its_pictures_and_their_description(write: Callable[..., list[Path]]) -> None:
    page = Page_(page_of(write(answer_of(cite("plate.png", Page(1, LEFT))))))
    (image,) = [values for tag, values in page.tags if tag == "img"]
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert "24 months" in str(image["alt"])


def test_links_lead_to_the_page_the_anchor_and_the_words(write: Callable[..., list[Path]]) -> None:
    html = page_of(
        write(
            answer_of(
                cite("manual.pdf", Page(2)),
                cite("faq page.html", Span(0, 29), anchor="warranty"),
                cite("faq page.html", Span(0, 29), text="Part-A | 12, 5", quote="Part-A | 12, 5", anchor="t"),
                cite("faq page.html", Span(0, 29), text="well-known, yes", quote="well-known, yes"),
                cite("notes.md", Span(0, 29)),
            )
        )
    )
    assert Page_(html).links() == [
        "../corpus/manual.pdf#page=2",
        "../corpus/faq%20page.html#warranty:~:text=The%20warranty%20lasts%2024%20months.",
        "../corpus/faq%20page.html#t",
        "../corpus/faq%20page.html#:~:text=well%2Dknown%2C%20yes",
        "../corpus/notes.md",
    ]


def test_links_lead_to_the_second_of_a_film_but_not_of_its_transcript(
    write: Callable[..., list[Path]], corpus: Path
) -> None:
    cites = []
    for name, start in (("a talk.mp4", 12.5), ("talk.mp3", 12345.678), ("talk.mp4", 0.0), ("talk.vtt", 12.5)):
        (corpus / name).write_bytes(b"any")
        places = (Place(0, 29, TimeRange(start, start + 5)),)
        cites.append(cite(name, TimeRange(start, start + 5), places=places, own=TimeRange(0.0, 60.0)))
    page = Page_(page_of(write(answer_of(*cites))))
    assert page.links() == [
        "../corpus/a%20talk.mp4#t=12.5",
        "../corpus/talk.mp3#t=12345.678",
        "../corpus/talk.mp4",
        "../corpus/talk.vtt",
    ]
    assert "a talk.mp4, 0:12-0:17" in page_of(write(answer_of(*cites)))
    assert "talk.mp3, 3:25:45-3:25:50" in page_of(write(answer_of(*cites)))


def test_rows_of_a_table_are_named_and_linked_to_the_file(
    write: Callable[..., list[Path]], corpus: Path
) -> None:
    (corpus / "prices.csv").write_text("Part,Price\nFuse,4.20\n")
    (corpus / "book.xlsx").write_bytes(b"PK")
    text = "Part | Price\nFuse | 4.20"
    places = (Place(0, 12, Cells("", 1, 1)), Place(13, 24, Cells("", 2, 2)))
    files = write(
        answer_of(
            cite("prices.csv", Cells("", 2, 2), text=text, quote="Fuse | 4.20", places=places),
            cite("book.xlsx", Cells("Spare parts", 2, 9), text=text, quote="Fuse | 4.20"),
        )
    )
    assert [file.name for file in files] == ["index.html"]
    html = page_of(files)
    assert Page_(html).links() == ["../corpus/prices.csv", "../corpus/book.xlsx"]
    assert "prices.csv, row 2" in html
    assert "book.xlsx, sheet Spare parts, rows 2-9" in html
    assert "<mark>Fuse | 4.20</mark>" in html


def test_a_reader_may_say_the_place_in_words(write: Callable[..., list[Path]]) -> None:
    html = page_of(write(answer_of(cite("notes.md", Span(0, 29), place="message 14"))))
    assert "notes.md, message 14" in html
    assert "characters" not in html


def test_a_long_quote_is_linked_by_its_first_and_last_words(write: Callable[..., list[Path]]) -> None:
    long = " ".join(f"w{i}" for i in range(30))
    (link,) = Page_(
        page_of(write(answer_of(cite("faq page.html", Span(0, 9), text=long, quote=long))))
    ).links()
    assert link.endswith(":~:text=w0%20w1%20w2%20w3%20w4,w25%20w26%20w27%20w28%20w29")


def test_a_turned_photo_is_shown_upright_with_its_box(
    write: Callable[..., list[Path]], corpus: Path, tmp_path: Path
) -> None:
    (corpus / "turned.png").write_bytes(picture((200, 100), orientation=6))
    files = write(answer_of(cite("turned.png", Page(1, Box(0.0, 0.0, 1.0, 0.2)))))
    with Image.open(files[1]) as image:
        assert image.size == (100, 200)
        assert yellow(image, Box(0, 0, 1, 0.18)) > 0.8
        assert yellow(image, Box(0, 0.3, 1, 1)) == 0


def test_a_figure_of_a_text_is_drawn_from_the_store(write: Callable[..., list[Path]]) -> None:
    data = picture(mode="RGBA")
    figure = cite("notes.md", Page(1, RIGHT), media=digest_bytes(data), own=Span(0, 5))
    files = write(answer_of(figure), blob={digest_bytes(data): data}.get)
    assert [file.name for file in files] == ["index.html", "citation-1-notes.png"]
    with Image.open(files[1]) as image:
        assert yellow(image, RIGHT) > 0.9
        assert yellow(image, Box(0, 0, 0.4, 1)) == 0
        assert image.getpixel((2, 2)) == (255, 255, 255)
    assert "notes.md, figure" in page_of(files)


def test_a_source_that_is_gone_is_noted(write: Callable[..., list[Path]]) -> None:
    files = write(answer_of(cite("gone.pdf", Page(1)), cite("manual.pdf", Page(2))))
    assert [file.name for file in files] == ["index.html", "citation-2-manual-page-2.png"]
    html = page_of(files)
    assert "gone.pdf is no longer there" in html
    assert Page_(html).links() == ["../corpus/manual.pdf#page=2"]


def test_a_picture_that_changed_is_noted_without_being_told_its_digest(
    write: Callable[..., list[Path]], corpus: Path
) -> None:
    before = digest_file(corpus / "plate.png")
    (corpus / "plate.png").write_bytes(picture((300, 100)))
    files = write(answer_of(cite("plate.png", Page(1, LEFT), media=before)))
    assert len(files) == 1
    assert "plate.png has changed since it was indexed" in page_of(files)


def test_any_source_that_changed_is_noted_when_its_digest_is_known(write: Callable[..., list[Path]]) -> None:
    files = write(answer_of(cite("manual.pdf", Page(2))), digest_of=lambda source: "0" * 64)
    assert len(files) == 1
    assert "manual.pdf has changed" in page_of(files)


@pytest.mark.parametrize(
    ("name", "data", "page"),
    [("bad.pdf", b"no pdf", 1), ("bad.png", b"no png", 1), ("manual.pdf", None, 9)],
)
def test_what_cannot_be_drawn_is_noted(
    write: Callable[..., list[Path]], corpus: Path, name: str, data: bytes | None, page: int
) -> None:
    if data is not None:
        (corpus / name).write_bytes(data)
    files = write(answer_of(cite(name, Page(page))))
    assert len(files) == 1
    assert f"No picture of {name} could be made" in page_of(files)


def test_without_evidence_the_nearest_things_are_listed(write: Callable[..., list[Path]]) -> None:
    near = cite("notes.md", Span(0, 29), heading="Terms").item
    html = page_of(write(Answer("no_evidence", "", evidence=(Hit(near, 0.4),), notes=("Nothing.",))))
    assert "No evidence found" in html
    assert "The nearest things found" in html
    assert "notes.md, characters 0-29 (Terms)" in html


def test_a_second_run_writes_the_same_bytes(write: Callable[..., list[Path]]) -> None:
    answer = answer_of(cite("manual.pdf", Page(2, LEFT)), cite("plate.png", Page(1, RIGHT)))
    first = {file.name: file.read_bytes() for file in write(answer)}
    assert {file.name: file.read_bytes() for file in write(answer)} == first


def test_a_folder_that_cannot_be_made_is_an_error_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        write_evidence(Answer("no_evidence", ""), tmp_path / "file", open_media=Path, blob=no_blob)
    assert "--evidence" in caught.value.fix
