import time
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from mmrag.core.errors import Corrupt, Empty, Encrypted
from mmrag.core.fields import PLACE
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Box, Cells, Page, Source, SourceId, Span
from mmrag.corpus.readers.office.opendocument import OpenDocumentReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

TYPE = "application/vnd.oasis.opendocument."
OPEN = "urn:oasis:names:tc:opendocument:xmlns:"
NAMES = " ".join(
    f'xmlns:{name}="{OPEN}{full}:1.0"'
    for name, full in {
        "office": "office",
        "text": "text",
        "table": "table",
        "draw": "drawing",
        "style": "style",
        "presentation": "presentation",
        "chart": "chart",
        "meta": "meta",
        "svg": "svg-compatible",
        "fo": "xsl-fo-compatible",
    }.items()
)
NAMES += ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'
PICTURE = picture_of("A2")
KINDS = {".odt": "text", ".odp": "presentation", ".ods": "spreadsheet"}


def write(
    path: Path, body: str, *, styles: str = "", more: Mapping[str, str | bytes] | None = None, kind: str = ""
) -> Path:
    kind = kind or KINDS[path.suffix]
    content = (
        f"<office:document-content {NAMES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, data in {"mimetype": TYPE + kind, "content.xml": content, **(more or {})}.items():
            file.writestr(name, data)
    return path


def read(path: Path, *, limits: ReadLimits | None = None) -> Reading:
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE + KINDS[path.suffix])
    context = ReadContext(path.parent, FakeOcr(), limits or ReadLimits())
    return OpenDocumentReader().read(path, source, context)


def lines(reading: Reading) -> list[str]:
    return [f"{block.kind}{block.level or ''}: {block.text}" for block in reading.blocks]


def frame(content: str, alt: str = "") -> str:
    return f"<draw:frame>{content}<svg:title>{alt}</svg:title></draw:frame>"


def image(link: str) -> str:
    return f'<draw:image xlink:href="{link}"/>'


class TestOpenTextContract(ReaderContract):
    media_type = f"{TYPE}text"
    words = ("Halden relay", "24 months", "Terminals", "Fuse | 4.20", "Second")

    def make(self) -> Reader:
        return OpenDocumentReader()

    def write_samples(self, folder: Path) -> list[Path]:
        body = (
            '<text:h text:outline-level="1">Halden relay</text:h>'
            "<text:p>The warranty lasts 24 months.</text:p>"
            f"<text:p>{frame(image('Pictures/1.png'), 'Terminals')}</text:p>"
            "<table:table><table:table-row><table:table-cell><text:p>Fuse</text:p></table:table-cell>"
            "<table:table-cell><text:p>4.20</text:p></table:table-cell></table:table-row></table:table>"
            "<text:list><text:list-item><text:p>Second</text:p></text:list-item></text:list>"
        )
        return [write(folder / "manual.odt", body, more={"Pictures/1.png": PICTURE})]


class TestOpenSlidesContract(ReaderContract):
    media_type = f"{TYPE}presentation"
    words = ("Wiring", "24 months", "Notes: Slowly")

    def make(self) -> Reader:
        return OpenDocumentReader()

    def write_samples(self, folder: Path) -> list[Path]:
        def box(text: str, more: str) -> str:
            return f"<draw:frame {more}><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame>"

        place = 'svg:x="2.8cm" svg:y="3.15cm" svg:width="14cm" svg:height="20cm"'
        notes = f"<presentation:notes>{box('Slowly', '')}</presentation:notes>"
        title = box("Wiring", 'presentation:class="title"')
        body = f"<draw:page>{box('24 months', place)}{title}{notes}</draw:page>"
        return [write(folder / "deck.odp", body)]


class TestOpenSheetsContract(ReaderContract):
    media_type = f"{TYPE}spreadsheet"
    words = ("Prices", "Part | Since", "Fuse | 2024-03-01")

    def make(self) -> Reader:
        return OpenDocumentReader()

    def write_samples(self, folder: Path) -> list[Path]:
        body = sheet("Prices", row(cell("Part"), cell("Since")), row(cell("Fuse"), cell("1 March", DATE)))
        return [write(folder / "prices.ods", body)]


DATE = 'office:value-type="date" office:date-value="2024-03-01T00:00:00"'


def sheet(name: str, *content: str) -> str:
    return f'<table:table table:name="{name}">{"".join(content)}</table:table>'


def row(*cells: str, more: str = "") -> str:
    return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"


def cell(text: str, more: str = "", content: str = "") -> str:
    return f"<table:table-cell {more}><text:p>{text}</text:p>{content}</table:table-cell>"


def test_a_text_is_read_in_order_as_it_is_shown(tmp_path: Path) -> None:
    styles = '<style:style style:name="P1" style:parent-style-name="Title"/>'
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        '<text:p text:style-name="P1">Relay</text:p>'
        "<text:table-of-content><text:p>Wiring 7</text:p></text:table-of-content><text:section>"
        '<text:h text:outline-level="2">Wi<text:span>ring</text:span></text:h></text:section>'
        '<text:p>a<text:s text:c="3"/>b<text:tab/>c<text:line-break/><text:a>link</text:a> tail'
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>The source</text:p>"
        "</text:note-body></text:note><office:annotation><dc:creator>Ann</dc:creator><dc:date>2024</dc:date>"
        "<text:p>Really?</text:p></office:annotation></text:p>"
    )
    meta = (
        f"<office:document-meta {NAMES}><office:meta><meta:initial-creator>Bo</meta:initial-creator>"
        "<meta:creation-date>2024-03-01T10:00:00</meta:creation-date></office:meta></office:document-meta>"
    )
    reading = read(write(tmp_path / "a.odt", body, styles=styles, more={"meta.xml": meta}))
    assert lines(reading) == [
        "heading1: Relay",
        "heading2: Wiring",
        "paragraph: a b c\nlink tail[1]",
        "paragraph: [1] The source",
        "paragraph: Comment by Ann: Really?",
    ]
    assert reading.title == "Relay"
    assert dict(reading.metadata) == {"author": "Bo", "created": "2024-03-01"}
    assert reading.blocks[0].locator == Span(0, 5)
    assert reading.blocks[0].metadata[PLACE] == ""
    assert reading.problems == ()


def test_lists_are_numbered_where_their_style_says_so(tmp_path: Path) -> None:
    styles = (
        '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-format="1"/>'
        '<text:list-level-style-bullet text:level="2"/></text:list-style>'
    )
    inner = "<text:list><text:list-item><text:p>inner</text:p></text:list-item></text:list>"
    items = f"<text:list-item><text:p>one</text:p>{inner}</text:list-item>"
    items += "<text:list-item><text:p>two</text:p></text:list-item>"
    body = f'<text:list text:style-name="L1">{items}</text:list>'
    assert lines(read(write(tmp_path / "a.odt", body, styles=styles))) == ["list: 1. one\n  - inner\n2. two"]


def test_tables_repeat_merged_cells(tmp_path: Path) -> None:
    covered = "<table:covered-table-cell/>"
    table = sheet(
        "T",
        f"<table:table-header-rows>{row(cell('Part'), cell('Price'))}</table:table-header-rows>",
        row(cell("Fuse", 'table:number-rows-spanned="2"'), cell("4")),
        row(covered, cell("5")),
        row(cell("wide", 'table:number-columns-spanned="2"'), covered),
    )
    assert lines(read(write(tmp_path / "a.odt", table))) == [
        "table: Part | Price\nFuse | 4\nFuse | 5\nwide |"
    ]


def test_figures_have_captions_and_broken_ones_are_counted(tmp_path: Path) -> None:
    styles = '<style:style style:name="P1" style:parent-style-name="Illustration"/>'
    picture = frame(image("Pictures/1.png"), "Terminals")
    inside = f'<draw:text-box><text:p text:style-name="P1">{picture}Figure 1: Wiring</text:p></draw:text-box>'
    missing = frame(image("Pictures/2.png"), "A lost plan")
    linked = frame(image("http://example.org/x.png"))
    body = f"<text:p>Before</text:p><text:p>{frame(inside)}</text:p><text:p>{missing}{linked}</text:p>"
    reading = read(write(tmp_path / "a.odt", body, styles=styles, more={"Pictures/1.png": PICTURE}))
    assert [block.kind for block in reading.blocks] == ["paragraph", "figure", "paragraph"]
    assert [(part.role, part.text) for part in reading.blocks[1].parts[1:]] == [
        ("caption", "Figure 1: Wiring"),
        ("alt", "Terminals"),
    ]
    assert reading.blocks[2].text == "A lost plan"
    assert reading.problems == ("2 pictures could not be read: 1 linked, not embedded, 1 missing or torn.",)


def test_charts_and_equations_are_read_from_their_own_documents(tmp_path: Path) -> None:
    chart = (
        f"<office:document-content {NAMES}><office:body><office:chart><chart:chart chart:class='chart:bar'>"
        f"<chart:title><text:p>Sales</text:p></chart:title>"
        f"{sheet('local', row(cell(''), cell('North')), row(cell('Q1'), cell('3')))}"
        "</chart:chart></office:chart></office:body></office:document-content>"
    )
    math = '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>E</mi><mo>=</mo><mi>m</mi></math>'
    objects = [frame(f'<draw:object xlink:href="./Object {i}"/>') for i in (1, 2, 3)]
    more = {"Object 1/content.xml": chart, "Object 2/content.xml": math}
    reading = read(write(tmp_path / "a.odt", f"<text:p>{''.join(objects)}</text:p>", more=more))
    assert lines(reading) == [
        "paragraph: Chart (bar): Sales",
        "table:  | North\nQ1 | 3",
        "paragraph: E = m",
    ]
    assert reading.problems == ("1 part could not be read: 1 embedded object.",)


def test_slides_have_places_notes_and_hidden_marks(tmp_path: Path) -> None:
    def box(text: str, more: str = "") -> str:
        return f"<draw:frame {more}><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame>"

    styles = (
        '<style:style style:name="dp1"><style:drawing-page-properties presentation:visibility="hidden"/>'
        "</style:style>"
    )
    layout = (
        f'<office:document-styles {NAMES}><style:page-layout-properties fo:page-width="20cm" '
        'fo:page-height="10cm"/></office:document-styles>'
    )
    place = 'svg:x="{}cm" svg:y="5cm" svg:width="50mm" svg:height="10mm"'
    held = 'presentation:class="{}"'
    body = (
        f"<draw:page>{box('right', place.format(10))}{box('left', place.format(2))}"
        f"{box('Title', held.format('title'))}{box('7', held.format('page-number'))}"
        f"<draw:custom-shape><text:p>Shape</text:p></draw:custom-shape></draw:page>"
        f'<draw:page draw:style-name="dp1">{box("Second")}'
        f"<presentation:notes>{box('Say it')}</presentation:notes></draw:page>"
    )
    reading = read(write(tmp_path / "a.odp", body, styles=styles, more={"styles.xml": layout}))
    assert lines(reading) == [
        "heading1: Title",
        "paragraph: left",
        "paragraph: right",
        "paragraph: Shape",
        "heading1: Slide 2",
        "paragraph: Second",
        "paragraph: Notes: Say it",
    ]
    assert reading.blocks[1].locator == Page(1, Box(0.1, 0.5, 0.35, 0.6))
    assert reading.blocks[5].metadata[PLACE] == "slide 2 (hidden)"
    assert [page.page for page in reading.pages] == [1, 2]


def test_sheets_are_read_by_rows_with_dates_comments_and_repeats(tmp_path: Path) -> None:
    note = "<office:annotation><dc:creator>Ann</dc:creator><text:p>Check</text:p></office:annotation>"
    time_value = 'office:value-type="time" office:time-value="PT06H30M00S"'
    body = sheet(
        "Plan",
        row(cell("Day"), cell("Start"), cell("Note")),
        row(cell("1.3.", DATE), cell("6:30", time_value), cell("x", content=note)),
        row(
            cell("same"),
            cell("again", 'table:number-columns-repeated="2"'),
            more='table:number-rows-repeated="2"',
        ),
        row(cell(""), more='table:number-rows-repeated="1048000"'),
    ) + sheet("Empty")
    reading = read(write(tmp_path / "a.ods", body))
    assert lines(reading) == [
        "heading1: Plan",
        "table: Day | Start | Note\n2024-03-01 | 06:30 | x\nsame | again | again\nsame | again | again",
        "paragraph: Comment on row 2: Check",
    ]
    assert reading.blocks[1].locator == Cells("Plan", 2, 4)
    assert reading.blocks[2].locator == Cells("Plan", 2, 2)
    assert [page.page for page in reading.pages] == [1]


def test_cells_repeated_without_end_are_bounded(tmp_path: Path) -> None:
    body = sheet(
        "Bomb",
        row(
            cell("x", 'table:number-columns-repeated="99999999"'), more='table:number-rows-repeated="1048576"'
        ),
    )
    started = time.perf_counter()
    reading = read(write(tmp_path / "a.ods", body), limits=ReadLimits(max_text_bytes=2_000_000))
    assert time.perf_counter() - started < 10
    assert "were left out" in reading.problems[0]


def test_rows_beyond_the_limit_are_said(tmp_path: Path) -> None:
    body = sheet("Long", *(row(cell(f"row {i}"), cell("x")) for i in range(9)))
    reading = read(write(tmp_path / "a.ods", body), limits=ReadLimits(max_rows=4))
    assert reading.problems == ("Rows from 5 of the sheet 'Long' were left out: the limit is 4 rows.",)


def test_slides_beyond_the_limit_are_said(tmp_path: Path) -> None:
    body = "<draw:page><draw:rect><text:p>x</text:p></draw:rect></draw:page>" * 3
    reading = read(write(tmp_path / "a.odp", body), limits=ReadLimits(max_pages=2))
    assert reading.problems == ("Slides from 3 on were left out: the limit is 2.",)


@pytest.mark.parametrize("name", ["a.odt", "a.odp", "a.ods"])
def test_hostile_content_is_corrupt(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "")
    kind = KINDS[path.suffix]
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><a>&b;</a>'
    deep = "<text:section>" * 50_000 + "</text:section>" * 50_000
    for content, said in ((laughs, "entities"), ("<torn", "torn")):
        with ZipFile(path, "w") as file:
            file.writestr("mimetype", TYPE + kind)
            file.writestr("content.xml", content)
        with pytest.raises(Corrupt, match=said) as caught:
            read(path)
        assert caught.value.where == name
    if name == "a.odt":
        with pytest.raises(Corrupt, match="nest deeper") as caught:
            read(write(path, deep))
        assert caught.value.where == name


def test_another_kind_of_document_gets_its_suffix_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.odt", "", kind="spreadsheet")
    with pytest.raises(Corrupt, match="an OpenDocument spreadsheet, not an OpenDocument text") as caught:
        read(path)
    assert caught.value.fix == "Rename it to end in .ods."


def test_a_password_is_named_and_an_empty_document_is_empty(tmp_path: Path) -> None:
    manifest = {"META-INF/manifest.xml": "<m><manifest:encryption-data/></m>"}
    with pytest.raises(Encrypted):
        read(write(tmp_path / "a.odt", "<text:p>x</text:p>", more=manifest))
    with pytest.raises(Empty):
        read(write(tmp_path / "b.odt", "<text:p/>"))
