import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import docx
import pytest
from docx.document import Document

from mmrag.core.errors import Corrupt, Empty, SourceError, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Ocr, OcrLine, ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Box, Source, SourceId, Span
from mmrag.corpus.readers.office.word import WordReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NAMES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:o="urn:schemas-microsoft-com:office:office" xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    f'xmlns:r="{REL}"'
)
USUAL = re.compile(r"http://schemas\.openxmlformats\.org/(\w+)/2006/")
PICTURE = picture_of("A2")
CHART = """<c:chartSpace {names}><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>Sales </a:t></a:r>
<a:r><a:t>by quarter</a:t></a:r></a:p></c:rich></c:tx></c:title><c:plotArea><c:barChart>
<c:ser><c:tx><c:strRef><c:strCache><c:pt idx="0"><c:v>North</c:v></c:pt></c:strCache></c:strRef></c:tx>
<c:cat><c:strRef><c:strCache><c:pt idx="0"><c:v>Q1</c:v></c:pt><c:pt idx="1"><c:v>Q2</c:v></c:pt></c:strCache>
</c:strRef></c:cat><c:val><c:numRef><c:numCache><c:formatCode>0%</c:formatCode>
<c:pt idx="0"><c:v>0.25</c:v></c:pt>
<c:pt idx="1"><c:v>0.5</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser></c:barChart>
<c:valAx><c:title><c:tx><c:rich><a:p><a:r><a:t>Share</a:t></a:r></a:p></c:rich></c:tx></c:title></c:valAx>
</c:plotArea></c:chart></c:chartSpace>"""


def read(path: Path, *, limits: ReadLimits | None = None, ocr: Ocr | None = None) -> Reading:
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    return WordReader().read(path, source, ReadContext(path.parent, ocr or FakeOcr(), limits or ReadLimits()))


def write(
    path: Path, body: str, parts: Mapping[str, tuple[str, str | bytes]] | None = None, *, strict: bool = False
) -> Path:
    """Write the smallest Word file: its body, and more parts by name with the kind of their relation."""
    given = dict(parts or {})
    relations = "".join(
        f'<Relationship Id="{Path(name).stem}" Type="{REL}/{kind}" Target="{name}"/>'
        for name, (kind, _) in given.items()
    )
    members: dict[str, str | bytes] = {
        "[Content_Types].xml": "<Types>wordprocessingml.document.main+xml</Types>",
        "_rels/.rels": f'<R><Relationship Type="{REL}/officeDocument" Target="word/document.xml"/></R>',
        "word/_rels/document.xml.rels": f"<R>{relations}</R>",
        "word/document.xml": f"<w:document {NAMES}><w:body>{body}</w:body></w:document>",
        **{f"word/{name}": data for name, (_, data) in given.items()},
    }
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, data in members.items():
            if strict and isinstance(data, str):
                data = re.sub(
                    r"http://schemas\.openxmlformats\.org/(\w+)/2006/",
                    r"http://purl.oclc.org/ooxml/\1/",
                    data,
                )
            file.writestr(name, data)
    return path


def p(text: str, style: str = "", more: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{named}{more}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def lines(reading: Reading) -> list[str]:
    return [f"{block.kind}{block.level or ''}: {block.text}" for block in reading.blocks]


def saved(document: Document, path: Path) -> Path:
    document.save(str(path))
    return path


def styles(*given: str) -> dict[str, tuple[str, str]]:
    return {"styles.xml": ("styles", f"<w:styles {NAMES}>{''.join(given)}</w:styles>")}


def style(ident: str, name: str, more: str = "", base: str = "") -> str:
    based = f'<w:basedOn w:val="{base}"/>' if base else ""
    return f'<w:style w:type="paragraph" w:styleId="{ident}"><w:name w:val="{name}"/>{based}{more}</w:style>'


class TestWordContract(ReaderContract):
    media_type = TYPE
    words = ("warranty", "months", "Terminals", "Fuse", "4.20", "Second", "Figure 1")

    def make(self) -> Reader:
        return WordReader()

    def write_samples(self, folder: Path) -> list[Path]:
        document = docx.Document()
        document.core_properties.title = "Halden relay"
        document.add_heading("Halden relay", 1)
        document.add_paragraph("The warranty lasts 24 months.")
        document.add_picture(io.BytesIO(PICTURE))
        shape = document.inline_shapes[0]
        shape._inline.docPr.set("descr", "Terminals of the relay")
        document.add_paragraph("Figure 1: Wiring", style="Caption")
        document.add_paragraph("Second", style="List Bullet")
        table = document.add_table(2, 2)
        for cell, text in zip(table._cells, ("Part", "Price", "Fuse", "4.20"), strict=True):
            cell.text = text
        return [saved(document, folder / "manual.docx")]


def test_a_document_of_python_docx_is_read_in_order(tmp_path: Path) -> None:
    document = docx.Document()
    document.core_properties.author = "Ann"
    document.core_properties.created = datetime(2024, 3, 1, tzinfo=UTC)
    document.add_heading("Halden relay", 0)
    document.add_heading("Wiring", 2)
    document.add_paragraph("Before the table.")
    document.add_table(1, 2).rows[0].cells[1].text = "only"
    document.add_paragraph("One", style="List Number")
    document.add_paragraph("Two", style="List Number")
    document.add_paragraph("Inner", style="List Bullet 2")
    document.sections[0].header.paragraphs[0].text = "ACME confidential"
    document.sections[0].footer.paragraphs[0].text = "Page 3 of 9"
    reading = read(saved(document, tmp_path / "a.docx"))
    assert lines(reading) == [
        "paragraph: ACME confidential",
        "heading1: Halden relay",
        "heading2: Wiring",
        "paragraph: Before the table.",
        "table:  | only",
        "list: 1. One\n2. Two\n- Inner",
    ]
    assert (reading.title, dict(reading.metadata)) == (
        "Halden relay",
        {"author": "Ann", "created": "2024-03-01"},
    )
    assert reading.problems == ()


def test_spans_count_the_characters_of_the_blocks_and_headings_say_where(tmp_path: Path) -> None:
    reading = read(write(tmp_path / "a.docx", p("One") + p("Two words")))
    assert [block.locator for block in reading.blocks] == [Span(0, 3), Span(5, 14)]
    assert [block.parts[0].places[0].locator for block in reading.blocks] == [Span(0, 3), Span(5, 14)]
    assert all(block.metadata[PLACE] == "" for block in reading.blocks)


def test_headings_are_known_by_name_base_outline_and_translation(tmp_path: Path) -> None:
    outline = '<w:pPr><w:outlineLvl w:val="3"/></w:pPr>'
    given = styles(
        style("berschrift1", "heading 1"),
        style("Mine", "My own", base="berschrift1"),
        style("Deep", "Deep one", outline),
        style("Titre2", "Titre 2"),
        style("Loop", "Loop", base="Loop"),
    )
    body = p("A", "berschrift1") + p("B", "Mine") + p("C", "Deep") + p("D", "Titre2") + p("E", "Heading3")
    body += p("F", "Loop") + p("G", "", '<w:outlineLvl w:val="1"/>')
    body += p("H", "berschrift1", '<w:outlineLvl w:val="9"/>')
    assert lines(read(write(tmp_path / "a.docx", body, given))) == [
        "heading1: A",
        "heading1: B",
        "heading4: C",
        "heading2: D",
        "heading3: E",
        "paragraph: F",
        "heading2: G",
        "paragraph: H",
    ]


def test_visible_numbers_of_lists_and_headings_are_counted(tmp_path: Path) -> None:
    def level(at: int, kind: str, text: str, start: int = 1) -> str:
        return (
            f'<w:lvl w:ilvl="{at}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>'
            f'<w:lvlText w:val="{text}"/></w:lvl>'
        )

    levels = level(0, "decimal", "%1.") + level(1, "lowerLetter", "%2)") + level(2, "upperRoman", "%1.%3")
    numbering = (
        f'<w:numbering {NAMES}><w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        f'<w:abstractNum w:abstractNumId="1">{level(0, "bullet", "x")}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
        '<w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0">'
        '<w:startOverride w:val="7"/></w:lvlOverride></w:num></w:numbering>'
    )

    def item(text: str, list_id: int, at: int = 0, named: str = "") -> str:
        return p(text, named, f'<w:numPr><w:ilvl w:val="{at}"/><w:numId w:val="{list_id}"/></w:numPr>')

    body = item("one", 1) + item("a", 1, 1) + item("b", 1, 1) + item("two", 1) + item("a again", 1, 1)
    body += item("deep", 1, 2) + item("dot", 2) + item("off", 0) + item("Seven", 3, 0, "Heading1")
    given = {"numbering.xml": ("numbering", numbering)}
    assert lines(read(write(tmp_path / "a.docx", body, given))) == [
        "list: 1. one\n  a) a\n  b) b\n2. two\n  a) a again\n    2.I deep\n- dot",
        "paragraph: off",
        "heading1: 7. Seven",
    ]


def test_tracked_changes_fields_links_and_controls_give_what_is_shown(tmp_path: Path) -> None:
    def run(text: str) -> str:
        return f"<w:r><w:t>{text}</w:t></w:r>"

    def field(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    code = "<w:r><w:instrText>REF x</w:instrText></w:r>"
    body = (
        f"<w:p>{run('in')}<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins>{run('serted')}</w:ins>"
        f"<w:moveFrom>{run('moved')}</w:moveFrom><w:hyperlink>{run(' link')}</w:hyperlink></w:p>"
        f"<w:p>{field('begin')}{code}{run('hidden code')}{field('separate')}{run('Figure 3')}{field('end')}"
        f"<w:fldSimple>{run(' simple')}</w:fldSimple></w:p>"
        f"<w:sdt><w:sdtContent><w:p><w:sdt><w:sdtContent>{run('control')}</w:sdtContent></w:sdt></w:p>"
        f"</w:sdtContent></w:sdt><w:p>{field('begin')}{code}</w:p>"
        "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:noBreakHyphen/><w:t>c</w:t></w:r></w:p>"
    )
    assert lines(read(write(tmp_path / "a.docx", body))) == [
        "paragraph: inserted link",
        "paragraph: Figure 3 simple",
        "paragraph: control",
        "paragraph: a b\n-c",
    ]


def test_tables_repeat_merged_cells_and_keep_nested_tables(tmp_path: Path) -> None:
    def cell(content: str, more: str = "") -> str:
        return f"<w:tc><w:tcPr>{more}</w:tcPr>{content}</w:tc>"

    merge, below, wide = '<w:vMerge w:val="restart"/>', "<w:vMerge/>", '<w:gridSpan w:val="2"/>'
    inner = f"<w:tbl><w:tr>{cell(p('x'))}{cell(p('y'))}</w:tr></w:tbl>"
    gone = f"<w:tr><w:trPr><w:del/></w:trPr>{cell(p('deleted'))}{cell(p('row'))}</w:tr>"
    rows = (
        f"<w:tr><w:trPr><w:tblHeader/></w:trPr>{cell(p('Part'))}{cell(p('Sizes'), wide)}</w:tr>"
        f"<w:tr>{cell(p('Fuse'), merge)}{cell(p('5'))}{cell(p('6|7'))}</w:tr>"
        f"<w:sdt><w:sdtContent><w:tr>{cell(p(''), below)}{cell(p('8') + inner)}{cell(p('9'))}</w:tr>"
        f"</w:sdtContent></w:sdt>{gone}"
    )
    reading = read(write(tmp_path / "a.docx", f"<w:tbl>{rows}</w:tbl>"))
    assert lines(reading) == ["table: Part | Sizes |\nFuse | 5 | 6/7\nFuse | 8 | 9", "table: x | y"]
    assert reading.blocks[0].metadata["header_rows"] == 1


def test_a_frame_of_one_cell_is_no_table(tmp_path: Path) -> None:
    body = f"<w:tbl><w:tr><w:tc>{p('Note', 'Heading2')}{p('Take care.')}</w:tc></w:tr></w:tbl>"
    assert lines(read(write(tmp_path / "a.docx", body))) == ["heading2: Note", "paragraph: Take care."]


def test_text_boxes_and_their_copies_are_read_once(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{p('In the box')}</w:txbxContent>"
    body = (
        "<w:p><w:r><w:t>Anchor</w:t></w:r><w:r><mc:AlternateContent><mc:Choice>"
        f"<w:drawing>{box}</w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict>"
        "</mc:Fallback></mc:AlternateContent></w:r>"
        "<w:r><w:pict><v:textpath string='DRAFT'/></w:pict></w:r></w:p>"
    )
    assert lines(read(write(tmp_path / "a.docx", body))) == [
        "paragraph: Anchor",
        "paragraph: In the box",
        "paragraph: DRAFT",
    ]


def test_notes_and_comments_follow_their_paragraph(tmp_path: Path) -> None:
    body = (
        '<w:p><w:r><w:t>Claim</w:t><w:footnoteReference w:id="2"/><w:endnoteReference w:id="2"/>'
        '<w:commentReference w:id="0"/></w:r></w:p>' + p("Next")
    )
    given = {
        "footnotes.xml": (
            "footnotes",
            f'<w:footnotes {NAMES}><w:footnote w:id="0" w:type="separator">{p("line")}</w:footnote>'
            f'<w:footnote w:id="2">{p("Source 1")}</w:footnote></w:footnotes>',
        ),
        "endnotes.xml": (
            "endnotes",
            f'<w:endnotes {NAMES}><w:endnote w:id="2">{p("At the end")}</w:endnote></w:endnotes>',
        ),
        "comments.xml": (
            "comments",
            f'<w:comments {NAMES}><w:comment w:id="0" w:author="Ann">{p("Really?")}</w:comment>'
            f'<w:comment w:id="9">{p("Nowhere")}</w:comment></w:comments>',
        ),
    }
    assert lines(read(write(tmp_path / "a.docx", body, given))) == [
        "paragraph: Claim[1][e1]",
        "paragraph: [1] Source 1",
        "paragraph: [e1] At the end",
        "paragraph: Comment by Ann: Really?",
        "paragraph: Next",
        "paragraph: Comment: Nowhere",
    ]


def test_headers_and_footers_are_read_once_without_page_numbers(tmp_path: Path) -> None:
    given = {
        f"{kind}{i}.xml": (kind, f"<w:hdr {NAMES}>{p(text)}{p('Page 4 of 10')}</w:hdr>")
        for kind, i, text in (("header", 1, "ACME"), ("header", 2, "ACME"), ("footer", 1, "Secret"))
    }
    assert lines(read(write(tmp_path / "a.docx", p("Body"), given))) == [
        "paragraph: ACME",
        "paragraph: Body",
        "paragraph: Secret",
    ]


def drawing(content: str, alt: str = "") -> str:
    shown = f'<wp:inline><wp:docPr id="1" descr="{alt}"/>{content}</wp:inline>'
    return f"<w:p><w:r><w:drawing>{shown}</w:drawing></w:r></w:p>"


def test_figures_have_alt_caption_words_and_neighbours(tmp_path: Path) -> None:
    ocr = FakeOcr({digest_bytes(PICTURE): (OcrLine("A2", Box(0.1, 0.4, 0.2, 0.6), 0.9),)})
    given = styles(style("Caption", "caption")) | {"image1.png": ("image", PICTURE)}
    blip = drawing('<a:blip r:embed="image1"/>', "The terminals")
    body = p("Before.") + blip + p("Figure 1: Wiring", "Caption") + p("After.")
    body += p("Figure 2: Above", "Caption") + blip + p("Table 1: Parts", "Caption")
    reading = read(write(tmp_path / "a.docx", body, given), ocr=ocr)
    first, second = (block for block in reading.blocks if block.kind == "figure")
    assert [(part.role, part.text) for part in first.parts[1:]] == [
        ("caption", "Figure 1: Wiring"),
        ("alt", "The terminals"),
        ("ocr", "A2"),
    ]
    assert second.parts[1].text == "Figure 2: Above"
    assert first.neighbours == "Before.\nAfter."
    assert lines(reading)[-1] == "paragraph: Table 1: Parts"
    assert [blob.data for blob in reading.blobs] == [PICTURE]


def test_pictures_that_cannot_be_read_are_counted_and_keep_their_words(tmp_path: Path) -> None:
    given = {"image1.emf": ("image", b"emf"), "image2.png": ("image", b"no picture")}
    body = drawing('<a:blip r:embed="image1"/>', "A plan") + drawing('<a:blip r:embed="image2"/>')
    body += (
        drawing('<a:blip r:link="far"/>')
        + "<w:p><w:r><w:object><o:OLEObject ProgID='Excel.Sheet'/></w:object></w:r></w:p>"
    )
    reading = read(write(tmp_path / "a.docx", body, given))
    assert lines(reading) == ["paragraph: A plan"]
    assert reading.problems == (
        "3 pictures could not be read: 1 EMF drawing, 1 broken or unknown PNG, 1 linked, not embedded.",
        "1 part could not be read: 1 embedded object (Excel.Sheet).",
    )


def test_a_missing_ocr_engine_is_said_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx", drawing('<a:blip r:embed="i"/>'), {"i.png": ("image", PICTURE)})
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    reading = WordReader().read(path, source, ReadContext(tmp_path))
    assert len(reading.problems) == 1
    assert "no OCR is installed" in reading.problems[0]


def test_charts_give_their_values_and_diagrams_their_words(tmp_path: Path) -> None:
    nodes = "".join(
        f'<dgm:pt modelId="{i}" type="{kind}"><dgm:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:t></dgm:pt>'
        for i, kind, text in ((1, "node", "Plan"), (2, "node", "Do"), (3, "pres", "Plan"))
    )
    link = '<dgm:cxn srcId="1" destId="2"/>'
    given = {
        "chart1.xml": ("chart", CHART.format(names=NAMES)),
        "data1.xml": ("diagramData", f"<dgm:dataModel {NAMES}>{nodes}{link}</dgm:dataModel>"),
    }
    body = drawing('<c:chart r:id="chart1"/>', "Shares grow") + drawing('<dgm:relIds r:dm="data1"/>')
    assert lines(read(write(tmp_path / "a.docx", body, given))) == [
        "paragraph: Bar chart: Sales by quarter (axes: Share)\nShares grow",
        "table: category | North\nQ1 | 25%\nQ2 | 50%",
        "list: - Plan\n  - Do",
    ]


def test_equations_are_read_in_one_line(tmp_path: Path) -> None:
    def r(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    fraction = f"<m:f><m:num>{r('a')}</m:num><m:den>{r('b')}</m:den></m:f>"
    power = f"<m:sSup><m:e>{r('x')}</m:e><m:sup>{r('2')}</m:sup></m:sSup>"
    body = f"<w:p><w:r><w:t>With</w:t></w:r><m:oMath>{power}{r('=')}{fraction}</m:oMath></w:p>"
    assert lines(read(write(tmp_path / "a.docx", body))) == ["paragraph: With x^2=a/b"]


def test_code_keeps_its_spaces_and_contents_are_left_out(tmp_path: Path) -> None:
    given = styles(style("Code", "Source Code"), style("TOC1", "toc 1"))
    body = p("if x:", "Code") + p("<w:br/>", "Code").replace(
        "<w:t><w:br/></w:t>", '<w:t xml:space="preserve">    y</w:t>'
    )
    reading = read(write(tmp_path / "a.docx", p("Wiring 12", "TOC1") + body, given))
    assert lines(reading) == ["code: if x:\n    y"]


def test_strict_files_and_templates_are_read(tmp_path: Path) -> None:
    body = p("Title", "Heading1") + drawing('<a:blip r:embed="i"/>', "Strict picture")
    path = write(tmp_path / "a.docx", body, {"i.png": ("image", PICTURE)}, strict=True)
    reading = read(path)
    assert [block.kind for block in reading.blocks] == ["heading", "figure"]
    assert reading.problems == ()


def test_a_torn_side_part_makes_the_document_partial(tmp_path: Path) -> None:
    reading = read(write(tmp_path / "a.docx", p("Body"), {"footnotes.xml": ("footnotes", "<torn")}))
    assert lines(reading) == ["paragraph: Body"]
    assert reading.problems == ("The part word/footnotes.xml is torn, or not the XML it should be.",)


def test_an_inserted_file_is_named(tmp_path: Path) -> None:
    reading = read(write(tmp_path / "a.docx", p("Body") + "<w:altChunk r:id='x'/>"))
    assert reading.problems == ("1 part could not be read: 1 inserted file.",)


@pytest.mark.parametrize("keep", [10, 400, 0.5, 0.99])
def test_truncated_files_are_corrupt(tmp_path: Path, keep: float) -> None:
    path = saved(docx.Document(), tmp_path / "a.docx")
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(Corrupt, match="broken"):
        read(path)


def test_billion_laughs_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx", "")
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    with ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["word/document.xml"] = laughs.encode() + members["word/document.xml"]
    with ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    with pytest.raises(Corrupt, match="entities") as caught:
        read(path)
    assert caught.value.where == "a.docx"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("<w:sdt><w:sdtContent>", "</w:sdtContent></w:sdt>"),
        ("<w:p><w:hyperlink>", "</w:hyperlink></w:p>"),
        ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"),
        ("<mc:AlternateContent><mc:Choice>", "</mc:Choice></mc:AlternateContent>"),
    ],
)
def test_endless_nesting_is_corrupt(tmp_path: Path, start: str, end: str) -> None:
    path = write(tmp_path / "a.docx", start * 20_000 + end * 20_000)
    with pytest.raises(SourceError) as caught:
        read(path)
    assert isinstance(caught.value, Corrupt | Empty)


def test_a_huge_part_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"word/document\.xml"):
        read(write(tmp_path / "a.docx", p("x" * 5000)), limits=ReadLimits(max_text_bytes=4000))


def test_a_workbook_in_disguise_gets_its_suffix_named(tmp_path: Path) -> None:
    import openpyxl

    path = tmp_path / "a.docx"
    openpyxl.Workbook().save(path)
    with pytest.raises(Corrupt, match="a workbook, not a Word document") as caught:
        read(path)
    assert caught.value.fix == "Rename it to end in .xlsx."


def test_an_empty_document_is_empty(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        read(saved(docx.Document(), tmp_path / "a.docx"))


def test_progress_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx", p("x") * 450)
    told: list[tuple[int, int]] = []
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    context = ReadContext(tmp_path, progress=lambda done, total: told.append((done, total)))
    WordReader().read(path, source, context)
    assert told == [(0, 450), (200, 450), (400, 450)]
