import io
import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pptx
import pytest
from PIL import Image
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.presentation import Presentation
from pptx.slide import Slide
from pptx.util import Inches

from mmrag.core.errors import Corrupt, Empty, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Ocr, OcrLine, ReadContext, Reader, ReadLimits
from mmrag.core.reading import PageCoverage, Reading
from mmrag.core.types import Box, Page, Source, SourceId
from mmrag.corpus.readers.office.slides import SlidesReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
PICTURE = picture_of("A2")
BLANK, TITLED, TITLE_ONLY = 6, 1, 5


def read(path: Path, *, limits: ReadLimits | None = None, ocr: Ocr | None = None) -> Reading:
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    return SlidesReader().read(
        path, source, ReadContext(path.parent, ocr or FakeOcr(), limits or ReadLimits())
    )


def saved(deck: Presentation, path: Path) -> Path:
    deck.save(str(path))
    return path


def edit(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    with ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, change(data) if re.fullmatch(part, name) else data)
    return path


def lines(reading: Reading) -> list[str]:
    return [f"{block.kind}{block.level or ''}: {block.text}" for block in reading.blocks]


def add(deck: Presentation, layout: int = BLANK, title: str = "") -> Slide:
    slide = deck.slides.add_slide(deck.slide_layouts[layout])
    if title:
        slide.shapes.title.text = title
    return slide


def box(slide: Slide, text: str, left: float, top: float, width: float = 2, height: float = 1) -> None:
    slide.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(height)).text_frame.text = text


class TestSlidesContract(ReaderContract):
    media_type = TYPE
    words = ("Halden relay", "24 months", "Terminals", "Fuse", "4.20", "Notes: Say it slowly", "North")

    def make(self) -> Reader:
        return SlidesReader()

    def write_samples(self, folder: Path) -> list[Path]:
        deck = pptx.Presentation()
        slide = add(deck, TITLED, "Halden relay")
        slide.placeholders[1].text = "The warranty lasts 24 months."
        slide.notes_slide.notes_text_frame.text = "Say it slowly"
        picture = slide.shapes.add_picture(io.BytesIO(PICTURE), Inches(1), Inches(4))
        picture._element.nvPicPr.cNvPr.set("descr", "Terminals")
        slide = add(deck)
        table = slide.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
        for i, text in enumerate(("Part", "Price", "Fuse", "4.20")):
            table.cell(i // 2, i % 2).text = text
        data = CategoryChartData()
        data.categories = ["Q1", "Q2"]
        data.add_series("North", (1.5, 2))
        place = (Inches(1), Inches(3), Inches(3), Inches(3))
        slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *place, data)
        return [saved(deck, folder / "deck.pptx")]


def test_shapes_are_read_title_first_then_row_by_row(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = add(deck, TITLE_ONLY)
    box(slide, "right", 6, 3.05)
    box(slide, "left", 1, 3)
    box(slide, "above", 4, 1.8)
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(5), Inches(2), Inches(1)).text_frame.text = "in a group"
    slide.shapes.title.text = "Wiring"
    reading = read(saved(deck, tmp_path / "a.pptx"))
    assert [block.text for block in reading.blocks] == ["Wiring", "above", "left", "right", "in a group"]
    assert lines(reading)[0] == "heading1: Wiring"
    assert {block.metadata[PLACE] for block in reading.blocks} == {"slide 1"}
    assert reading.title == "Wiring"


def test_places_are_fractions_of_the_slide(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    deck.slide_width, deck.slide_height = Inches(10), Inches(5)
    slide = add(deck)
    box(slide, "one\ntwo", 1, 1, 4, 2)
    box(slide, "beyond", 9, 4, 4, 2)
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, Inches(2), Inches(1)).text_frame.text = "scaled"
    group.left, group.top, group.width, group.height = Inches(4), Inches(3), Inches(1), Inches(0.5)
    by_text = {block.text: block for block in read(saved(deck, tmp_path / "a.pptx")).blocks}
    assert by_text["one\ntwo"].locator == Page(1, Box(0.1, 0.2, 0.5, 0.6))
    assert [(p.start, p.end) for p in by_text["one\ntwo"].parts[0].places] == [(0, 3), (4, 7)]
    assert by_text["beyond"].locator == Page(1, Box(0.9, 0.8, 1.0, 1.0))
    assert by_text["scaled"].locator == Page(1, Box(0.4, 0.6, 0.5, 0.7))


def test_a_placeholder_has_the_place_of_its_layout(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = add(deck, TITLED, "Title")
    slide.placeholders[1].text = "one\ntwo"
    slide.placeholders[1].text_frame.paragraphs[1].level = 1
    reading = read(saved(deck, tmp_path / "a.pptx"))
    assert lines(reading)[1] == "list: - one\n  - two"
    assert isinstance(where := reading.blocks[1].locator, Page)
    assert where.box is not None
    assert where.box.y0 > 0.2


def test_tables_repeat_merged_cells(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    frame = add(deck).shapes.add_table(3, 2, Inches(1), Inches(1), Inches(4), Inches(1))
    for i, text in enumerate(("Part", "Price", "Fuse|5", "4\n20", "", "9")):
        frame.table.cell(i // 2, i % 2).text = text
    frame.table.cell(1, 0).merge(frame.table.cell(2, 0))
    block = read(saved(deck, tmp_path / "a.pptx")).blocks[1]
    assert block.text == "Part | Price\nFuse/5 | 4 20\nFuse/5 | 9"
    assert block.metadata["header_rows"] == 1


def test_charts_give_their_cached_values(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = add(deck)
    data = CategoryChartData(number_format="0.0%")
    data.categories = ["Q1", "Q2"]
    data.add_series("North", (0.125, 0.5))
    data.add_series("South", (None, 0.25))
    place = (Inches(1), Inches(1), Inches(4), Inches(3))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.LINE, *place, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Share"
    points = XyChartData()
    points.add_series("Run").add_data_point(1.5, 2)
    place = (Inches(1), Inches(5), Inches(4), Inches(2))
    slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *place, points)
    assert lines(read(saved(deck, tmp_path / "a.pptx")))[1:] == [
        "paragraph: Line chart: Share",
        "table: category | North | South\nQ1 | 12.5% |\nQ2 | 50.0% | 25.0%",
        "paragraph: Scatter chart",
        "table: x | Run\n1.5 | 2",
    ]


def test_categories_of_two_levels_are_joined(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    data = CategoryChartData()
    for year in ("2023", "2024"):
        category = data.add_category(year)
        category.add_sub_category("Q1")
        category.add_sub_category("Q2")
    data.add_series("North", (1, 2, 3, 4))
    place = (Inches(1), Inches(1), Inches(4), Inches(3))
    add(deck).shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *place, data)
    table = read(saved(deck, tmp_path / "a.pptx")).blocks[-1]
    assert table.text == "category | North\n2023 Q1 | 1\n2023 Q2 | 2\n2024 Q1 | 3\n2024 Q2 | 4"


def test_pictures_have_alt_text_and_words_with_places_on_the_slide(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    deck.slide_width, deck.slide_height = Inches(10), Inches(10)
    place = (Inches(2), Inches(2), Inches(4), Inches(4))
    picture = add(deck).shapes.add_picture(io.BytesIO(PICTURE), *place)
    picture._element.nvPicPr.cNvPr.set("descr", "Terminals")
    ocr = FakeOcr({digest_bytes(PICTURE): (OcrLine("A2", Box(0, 0.5, 0.5, 1), 0.9),)})
    reading = read(saved(deck, tmp_path / "a.pptx"), ocr=ocr)
    figure = reading.blocks[1]
    assert [(part.role, part.text) for part in figure.parts[1:]] == [("alt", "Terminals"), ("ocr", "A2")]
    assert figure.locator == Page(1, Box(0.2, 0.2, 0.6, 0.6))
    assert figure.parts[2].places[0].locator == Page(1, Box(0.2, 0.4, 0.4, 0.6))
    assert reading.pages == (PageCoverage(1, False, True, 1),)


def test_pictures_whose_words_cannot_be_read_are_counted_and_shown(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    with Image.open(io.BytesIO(PICTURE)) as picture:
        picture.save(tmp_path / "a.gif")
    for _ in range(2):
        add(deck).shapes.add_picture(str(tmp_path / "a.gif"), Inches(1), Inches(1))
    reading = read(saved(deck, tmp_path / "a.pptx"))
    assert [block.kind for block in reading.blocks] == ["heading", "figure"] * 2
    assert len(reading.blobs) == 1
    assert reading.problems == ("1 picture could not be read: 1 failed OCR.",)


def test_notes_hidden_slides_and_footers_are_kept(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    for i in (1, 2):
        slide = add(deck, TITLE_ONLY, f"Title {i}")
        box(slide, "ACME", 1, 6)
    slide._element.set("show", "0")
    slide.notes_slide.notes_text_frame.text = "Say this\nand that"
    path = saved(deck, tmp_path / "a.pptx")
    footer = rb'<p:nvPr><p:ph type="ftr" idx="11"/></p:nvPr></p:nvSpPr>'
    edit(path, r"ppt/slides/slide\d\.xml", lambda data: re.sub(rb"<p:nvPr/></p:nvSpPr>", footer, data))
    reading = read(path)
    assert lines(reading) == [
        "heading1: Title 1",
        "paragraph: ACME",
        "heading1: Title 2",
        "paragraph: Notes: Say this\nand that",
    ]
    assert [block.metadata[PLACE] for block in reading.blocks[::2]] == ["slide 1", "slide 2 (hidden)"]


def test_a_slide_without_a_title_gets_its_number(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    box(add(deck), "Loose text", 1, 1)
    add(deck, TITLE_ONLY, "Second")
    add(deck)
    reading = read(saved(deck, tmp_path / "a.pptx"))
    assert lines(reading)[:3] == ["heading1: Slide 1", "paragraph: Loose text", "heading1: Second"]
    assert reading.title == "Second"
    assert [page.text for page in reading.pages] == [True, True, False]


def test_comments_old_and_threaded_are_read(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    add(deck, TITLE_ONLY, "First")
    path = saved(deck, tmp_path / "a.pptx")
    p = b'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    a = b'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    rel = b'<Relationship Id="%s" Type="http://x/relationships/%s" Target="%s"/></Relationships>'
    for part, kind, target in (
        ("ppt/slides/_rels/slide1.xml.rels", b"comments", b"../comments/c1.xml"),
        ("ppt/slides/_rels/slide1.xml.rels", b"comments", b"../comments/c2.xml"),
        ("ppt/_rels/presentation.xml.rels", b"commentAuthors", b"authors.xml"),
    ):
        new = rel % (target, kind, target)
        edit(path, part, lambda data, new=new: data.replace(b"</Relationships>", new))
    with ZipFile(path, "a") as file:
        file.writestr("ppt/authors.xml", b'<p:a %s><p:cmAuthor id="3" name="Ann"/></p:a>' % p)
        file.writestr(
            "ppt/comments/c1.xml",
            b'<p:cmLst %s><p:cm authorId="3"><p:text>Why?</p:text></p:cm></p:cmLst>' % p,
        )
        body = b"<p:txBody><a:p><a:r><a:t>Because</a:t></a:r></a:p></p:txBody>"
        file.writestr("ppt/comments/c2.xml", b"<p:l %s %s><p:cm>%s</p:cm></p:l>" % (p, a, body))
    assert lines(read(path))[1:] == ["paragraph: Comment by Ann: Why?", "paragraph: Comment: Because"]


def test_a_broken_shape_is_left_out_and_counted(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = add(deck, TITLE_ONLY, "First")
    data = CategoryChartData()
    data.categories = ["Q1"]
    data.add_series("North", (1,))
    place = (Inches(1), Inches(2), Inches(4), Inches(3))
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, *place, data)
    slide.shapes.add_picture(io.BytesIO(PICTURE), Inches(1), Inches(5))
    box(slide, "Still there", 1, 6)
    path = saved(deck, tmp_path / "a.pptx")
    edit(path, r"ppt/charts/chart.*\.xml", lambda data: data[:200])
    edit(path, r"ppt/media/.*", lambda data: b"no picture")
    reading = read(path)
    assert lines(reading) == ["heading1: First", "paragraph: Still there"]
    assert len(reading.problems) == 2
    assert reading.problems[0] == "1 picture could not be read: 1 broken or unknown PNG."
    assert re.fullmatch(
        r"The part ppt/charts/\S+ is torn, or not the XML it should be\.", reading.problems[1]
    )


def test_endless_groups_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    add(deck, TITLE_ONLY, "First")
    box(add(deck, TITLE_ONLY, "Second"), "Text", 1, 3)
    path = saved(deck, tmp_path / "a.pptx")
    groups = b"<p:grpSp>" * 100_000 + b"</p:grpSp>" * 100_000
    edit(path, r"ppt/slides/slide2\.xml", lambda data: data.replace(b"</p:spTree>", groups + b"</p:spTree>"))
    reading = read(path)
    assert lines(reading)[0] == "heading1: First"
    assert reading.problems == ("1 shape could not be read: 1 slide nested too deeply.",)


def test_a_missing_slide_is_counted(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    add(deck, TITLE_ONLY, "First")
    add(deck, TITLE_ONLY, "Second")
    path = saved(deck, tmp_path / "a.pptx")
    edit(path, r"ppt/slides/slide2\.xml", lambda data: data[:300])
    reading = read(path)
    assert lines(reading) == ["heading1: First"]
    assert reading.problems == ("The part ppt/slides/slide2.xml is torn, or not the XML it should be.",)
    assert [page.text for page in reading.pages] == [True, False]


def test_limits_of_slides_are_said(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    for i in range(3):
        add(deck, TITLE_ONLY, f"Title {i}")
    path = saved(deck, tmp_path / "a.pptx")
    reading = read(path, limits=ReadLimits(max_pages=2))
    assert len(reading.pages) == 2
    assert reading.problems == ("Slides from 3 on were left out: the limit is 2.",)
    with pytest.raises(TooLarge):
        read(path, limits=ReadLimits(max_unpacked_bytes=1000))


def test_progress_is_told_slide_by_slide(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    add(deck, TITLE_ONLY, "One")
    add(deck, TITLE_ONLY, "Two")
    path = saved(deck, tmp_path / "a.pptx")
    told: list[tuple[int, int]] = []
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    SlidesReader().read(path, source, ReadContext(tmp_path, progress=lambda i, n: told.append((i, n))))
    assert told == [(1, 2), (2, 2)]


def test_shows_and_macro_files_are_read(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    add(deck, TITLE_ONLY, "Show")
    path = saved(deck, tmp_path / "a.ppsx")
    kinds = (b"presentation.main", b"slideshow.main")
    edit(path, r"\[Content_Types\]\.xml", lambda data: data.replace(*kinds))
    assert lines(read(path)) == ["heading1: Show"]


def test_other_files_and_empty_decks_are_refused(tmp_path: Path) -> None:
    import docx

    path = tmp_path / "a.pptx"
    docx.Document().save(str(path))
    with pytest.raises(Corrupt, match="a Word document, not a presentation") as caught:
        read(path)
    assert caught.value.fix == "Rename it to end in .docx."
    deck = pptx.Presentation()
    add(deck)
    with pytest.raises(Empty):
        read(saved(deck, tmp_path / "b.pptx"))
