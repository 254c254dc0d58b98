import io
import re
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.drawing.image import Image
from openpyxl.worksheet.table import Table

from mmrag.core.errors import Corrupt, Empty, TooLarge
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import PageCoverage, Reading
from mmrag.core.types import Cells, Source, SourceId
from mmrag.corpus.readers.office.sheet import SheetReader
from mmrag.corpus.readers.office.sheet_numbers import shown
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PICTURE = picture_of("A2")


def read(path: Path, *, limits: ReadLimits | None = None) -> Reading:
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    return SheetReader().read(path, source, ReadContext(path.parent, FakeOcr(), limits or ReadLimits()))


def book(*rows: list[Any], title: str = "Prices") -> Any:
    made = openpyxl.Workbook()
    made.active.title = title
    for row in rows:
        made.active.append(row)
    return made


def saved(workbook: Any, path: Path) -> Path:
    workbook.save(path)
    return path


def edit(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    with ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, change(data) if re.fullmatch(part, name) else data)
    return path


def shared(path: Path, *texts: str) -> Path:
    """Write texts as Excel does, into the table of shared strings: openpyxl writes them into the cells."""
    workbook = xlsxwriter.Workbook(path)
    workbook.add_worksheet("Prices").write_column(0, 0, texts)
    workbook.close()
    return path


def lines(reading: Reading) -> list[str]:
    return [f"{block.kind}: {block.text}" for block in reading.blocks]


def texts(workbook: Any, folder: Path) -> list[str]:
    return lines(read(saved(workbook, folder / "a.xlsx")))[1:]


class TestSheetContract(ReaderContract):
    media_type = TYPE
    words = ("Prices", "Part", "Fuse", "4.20 €", "2024-03-01", "Comment on B2 by Ann: Too high")

    def make(self) -> Reader:
        return SheetReader()

    def write_samples(self, folder: Path) -> list[Path]:
        made = book(
            ["Part", "Price", "Since"], ["Fuse", 4.2, date(2024, 3, 1)], ["Relay", 12, date(2024, 4, 1)]
        )
        made.active["B2"].number_format = '#,##0.00 "€"'
        made.active["B2"].comment = Comment("Too high", "Ann")
        made.active.add_image(Image(io.BytesIO(PICTURE)), "E2")
        return [saved(made, folder / "prices.xlsx")]


def test_each_row_has_its_place_under_the_name_of_its_sheet(tmp_path: Path) -> None:
    made = book(["Part", "Price"], ["Fuse", 4.5], ["Relay", 12.0])
    reading = read(saved(made, tmp_path / "a.xlsx"))
    assert lines(reading) == ["heading: Prices", "table: Part | Price\nFuse | 4.5\nRelay | 12"]
    table = reading.blocks[1]
    assert table.locator == Cells("Prices", 2, 3)
    assert [place.locator for place in table.parts[0].places] == [Cells("Prices", i, i) for i in (1, 2, 3)]
    assert table.metadata["header_rows"] == 1
    assert reading.pages == (PageCoverage(1, True, False, 0),)


@pytest.mark.parametrize(
    ("value", "pattern", "said"),
    [
        (3.0, "General", "3"),
        (0.1 + 0.2, "", "0.3"),
        (1234567.891, "#,##0.00", "1234567.89"),
        (0.125, "0.0%", "12.5%"),
        (4.2, '#,##0.00 "€"', "4.20 €"),
        (4.2, "[$$-409]#,##0.00", "$4.20"),
        (-4.2, "#,##0.00_);[Red](#,##0.00)", "-4.20"),
        (7, '0 "kg"', "7 kg"),
        (7, '"No." 000', "No. 7"),
        (2.5, "0.##", "2.5"),
        (2, "0.##", "2"),
        (12_500_000, '0.0,,"M"', "12.5 M"),
        (12345.0, "0.00E+00", "1.23e+04"),
        (0.25, "# ?/?", "0.25"),
        (45352, "yyyy-mm-dd", "2024-03-01"),
        (45352.5, "d/m/yy h:mm", "2024-03-01 12:00"),
        (0.75, "h:mm AM/PM", "18:00"),
        (1.25, "[h]:mm:ss", "30:00:00"),
        (45352, "mmm\\-yy", "2024-03-01"),
        (45352, "[$-407]d. mmmm yyyy;@", "2024-03-01"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (61, "yyyy-mm-dd", "1900-03-01"),
        (-1, "yyyy-mm-dd", "-1"),
        (float("inf"), "0.0", "inf"),
    ],
)
def test_numbers_are_written_as_their_cells_show_them(value: float, pattern: str, said: str) -> None:
    assert shown(value, pattern) == said


def test_days_count_from_1904_where_the_workbook_says_so() -> None:
    assert shown(0, "yyyy-mm-dd", is_1904=True) == "1904-01-01"


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=12))
def test_any_format_gives_some_text(value: float, pattern: str) -> None:
    assert shown(value, pattern)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(10**9), 10**9),
                st.text(
                    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="|="),
                    max_size=8,
                ),
                st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)).map(
                    lambda d: d.replace(microsecond=0)
                ),
            ),
            max_size=5,
        ),
        max_size=6,
    )
)
def test_no_cell_is_lost(tmp_path_factory: pytest.TempPathFactory, rows: list[list[Any]]) -> None:
    path = saved(book(*rows), tmp_path_factory.mktemp("cells") / "a.xlsx")
    wanted = [_said(value) for row in rows for value in row if value not in (None, "")]
    if not wanted:
        with pytest.raises(Empty):
            read(path)
        return
    text = "\n".join(lines(read(path)))
    assert [word for word in wanted if word not in text] == []


def _said(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return value.strftime("%Y-%m-%d") if isinstance(value, datetime) else str(value)


def test_kinds_of_cells_are_told_apart(tmp_path: Path) -> None:
    made = book(["Kind", "Value"], ["bool", True], ["error", "#N/A"], ["time", clock(6, 30)])
    made.active.append(["span", timedelta(hours=30)])
    path = saved(made, tmp_path / "a.xlsx")
    inline = (
        b'<c r="A9" t="inlineStr"><is><r><t>rich </t></r><r><t>text</t></r><rPh><t>reading</t></rPh></is></c>'
    )
    string = b'<c r="B9" t="str"><f>A1</f><v>result</v></c>'
    row = b'<row r="9">' + inline + string + b"</row></sheetData>"
    edit(path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b"</sheetData>", row))
    reading = read(path)
    assert lines(reading)[1:] == [
        "table: Kind | Value\nbool | TRUE\nerror | #N/A\ntime | 06:30\nspan | 30:00:00",
        "table: rich text | result",
    ]


def test_tables_apart_are_read_apart(tmp_path: Path) -> None:
    made = book(["Price list 2024"], ["Part", "Price"], ["Fuse", 4])
    sheet = made.active
    for row, (left, right) in enumerate((("City", "Staff"), ("Oslo", 3), ("Rome", 5)), 2):
        sheet.cell(row, 5, left)
        sheet.cell(row, 6, right)
    sheet["A10"] = "A closing remark"
    assert texts(made, tmp_path) == [
        "paragraph: Price list 2024",
        "table: Part | Price\nFuse | 4",
        "table: City | Staff\nOslo | 3\nRome | 5",
        "paragraph: A closing remark",
    ]


def test_a_spacer_column_does_not_part_keys_from_values(tmp_path: Path) -> None:
    made = book(["Part", None, "Price", "Stock"], ["Fuse", None, 4, 10])
    assert texts(made, tmp_path) == ["table: Part | Price | Stock\nFuse | 4 | 10"]


def test_an_empty_row_does_not_end_a_table_but_a_new_header_does(tmp_path: Path) -> None:
    made = book(
        ["Part", "Price"], ["Fuse", 4], ["Relay", 5], [], ["Cable", 6], [], ["City", "Staff"], ["Oslo", 3]
    )
    assert texts(made, tmp_path) == [
        "table: Part | Price\nFuse | 4\nRelay | 5\nCable | 6",
        "table: City | Staff\nOslo | 3",
    ]


def test_merged_headers_name_each_column_and_merged_keys_each_row(tmp_path: Path) -> None:
    made = book(
        ["City", "2024", None], [None, "Plan", "Actual"], ["Oslo", 1, 2], [None, 3, 4], ["Rome", 5, 6]
    )
    for area in ("A1:A2", "B1:C1", "A3:A4"):
        made.active.merge_cells(area)
    assert texts(made, tmp_path) == [
        "table: City | 2024 Plan | 2024 Actual\nOslo | 1 | 2\nOslo | 3 | 4\nRome | 5 | 6"
    ]


def test_years_name_columns_and_numbers_do_not(tmp_path: Path) -> None:
    reading = read(saved(book([None, 2023, 2024], ["Oslo", 1, 2]), tmp_path / "a.xlsx"))
    assert reading.blocks[1].metadata["header_rows"] == 1
    reading = read(saved(book(["Oslo", 17, 4], ["Rome", 1, 2]), tmp_path / "b.xlsx"))
    assert reading.blocks[1].metadata["header_rows"] == 0


def test_declared_tables_keep_their_header(tmp_path: Path) -> None:
    made = book(["x", "1"], ["a", "b"], ["c", "d"], ["below", "it"])
    made.active.add_table(Table(displayName="T", ref="A1:B3"))
    assert texts(made, tmp_path) == ["table: x | 1\na | b\nc | d", "table: below | it"]


def test_wide_rows_become_records_and_no_column_is_lost(tmp_path: Path) -> None:
    names = [f"A column with a long name {i}" for i in range(20)]
    made = book(names, [*range(19)], [*range(100, 119)])
    found = texts(made, tmp_path)
    assert found[0].startswith("paragraph: Columns: A column with a long name 0, ")
    assert found[1].startswith("table: A column with a long name 0: 0\nA column with a long name 1: 1")
    assert "long name 18: 118" in found[2]


def test_a_row_of_long_texts_is_no_header(tmp_path: Path) -> None:
    reading = read(saved(book(["a" * 201, "b"], ["c", "d"]), tmp_path / "a.xlsx"))
    assert reading.blocks[1].metadata["header_rows"] == 0
    assert "a" * 201 in reading.blocks[1].text


def test_hidden_sheets_are_read_and_marked(tmp_path: Path) -> None:
    made = book(["Part", "Price"], ["Fuse", 4])
    made.create_sheet("Old").append(["Part", "Price"])
    made["Old"].sheet_state = "hidden"
    made.create_sheet("Never filled")
    reading = read(saved(made, tmp_path / "a.xlsx"))
    assert lines(reading)[2:] == ["heading: Old (hidden sheet)", "table: Part | Price"]
    assert [page.page for page in reading.pages] == [1, 2]


def test_formulas_without_results_are_named_when_none_has_one(tmp_path: Path) -> None:
    path = saved(book(["Sum"], ["=1+1"], ["=2+2"]), tmp_path / "a.xlsx")
    assert read(path).problems == (
        "2 formulas have no value, because no spreadsheet program has calculated the workbook: "
        "open it in one and save it.",
    )
    edit(
        path,
        "xl/worksheets/sheet1.xml",
        lambda data: data.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>"),
    )
    edit(
        path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
    )
    reading = read(path)
    assert lines(reading)[1] == "list: Sum\n2"
    assert reading.problems == ()


def test_charts_pictures_and_comments_have_their_rows(tmp_path: Path) -> None:
    made = book(["City", "Staff"], ["Oslo", 3], ["Rome", 5])
    chart = BarChart()
    chart.title = "Staff by city"
    chart.add_data(Reference(made.active, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    made.active.add_chart(chart, "D6")
    made.active.add_image(Image(io.BytesIO(PICTURE)), "A20")
    made.active["B3"].comment = Comment("Ann:\nMore soon", "Ann")
    path = saved(made, tmp_path / "a.xlsx")
    cache = b"<numCache><pt idx='0'><v>3</v></pt><pt idx='1'><v>5</v></pt></numCache>"
    edit(
        path,
        "xl/charts/chart1.xml",
        lambda data: data.replace(b"</f></numRef>", b"</f>" + cache + b"</numRef>"),
    )
    reading = read(path)
    assert lines(reading)[2:] == [
        "paragraph: Comment on B3 by Ann: More soon",
        "paragraph: Bar chart: Staff by city",
        "table: category | series 1\n1 | 3\n2 | 5",
        "figure: ",
    ]
    assert reading.blocks[2].locator == Cells("Prices", 3, 3)
    chart_rows, figure_rows = reading.blocks[4].locator, reading.blocks[5].locator
    assert isinstance(chart_rows, Cells)
    assert isinstance(figure_rows, Cells)
    assert (chart_rows.first, figure_rows.first) == (6, 20)
    assert reading.pages[0].figures == 1


def test_phantom_cells_cost_no_minutes(tmp_path: Path) -> None:
    path = saved(book(["Part", "Price"], ["Fuse", 4]), tmp_path / "a.xlsx")
    styled = b"".join(b'<row r="%d" s="1"><c r="XFD%d" s="1"/></row>' % (i, i) for i in range(3, 100_000))
    edit(
        path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b"</sheetData>", styled + b"</sheetData>")
    )
    edit(path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b'ref="A1:B2"', b'ref="A1:XFD1048576"'))
    started = time.perf_counter()
    assert lines(read(path))[1:] == ["table: Part | Price\nFuse | 4"]
    assert time.perf_counter() - started < 10


def test_rows_beyond_the_limit_are_said(tmp_path: Path) -> None:
    made = book(["Part", "Price"], *(["Fuse", i] for i in range(20)))
    path = saved(made, tmp_path / "a.xlsx")
    reading = read(path, limits=ReadLimits(max_rows=5))
    assert reading.blocks[-1].text.endswith("Fuse | 3")
    assert reading.problems == ("Rows from 6 of the sheet 'Prices' were left out: the limit is 5 rows.",)


def test_text_repeated_without_end_is_bounded(tmp_path: Path) -> None:
    path = shared(tmp_path / "a.xlsx", "x" * 30_000)
    rows = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (i, i) for i in range(2, 2000))
    edit(path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b"</sheetData>", rows + b"</sheetData>"))
    reading = read(path, limits=ReadLimits(max_text_bytes=1_000_000))
    assert sum(len(block.text) for block in reading.blocks) < 1_100_000
    assert "the limit is 1000000 bytes of text" in reading.problems[0]


def test_merged_areas_without_end_are_bounded(tmp_path: Path) -> None:
    made = book(*(["a", i] for i in range(50)))
    path = saved(made, tmp_path / "a.xlsx")
    merges = b"<mergeCells>" + b'<mergeCell ref="A1:A1048576"/>' * 2000 + b"</mergeCells>"
    edit(
        path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b"</sheetData>", b"</sheetData>" + merges)
    )
    started = time.perf_counter()
    assert read(path).blocks
    assert time.perf_counter() - started < 5


def test_a_torn_sheet_makes_the_workbook_partial(tmp_path: Path) -> None:
    made = book(["Part", "Price"], ["Fuse", 4])
    made.create_sheet("Two").append(["lost"])
    path = saved(made, tmp_path / "a.xlsx")
    edit(path, "xl/worksheets/sheet2.xml", lambda data: data[:200])
    reading = read(path)
    assert len(reading.blocks) == 2
    assert reading.problems == (
        "The sheet 'Two' could not be read: "
        "The part xl/worksheets/sheet2.xml is torn, or not the XML it should be.",
    )


def test_shared_strings_are_read(tmp_path: Path) -> None:
    assert lines(read(shared(tmp_path / "a.xlsx", "One", "Two", "One")))[1:] == ["list: One\nTwo\nOne"]


def test_billion_laughs_in_the_shared_strings_are_refused(tmp_path: Path) -> None:
    path = shared(tmp_path / "a.xlsx", "Part")
    laughs = b'<!DOCTYPE sst [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><sst><si><t>&b;</t></si></sst>'
    edit(path, "xl/sharedStrings.xml", lambda data: laughs)
    with pytest.raises(Corrupt, match="entities") as caught:
        read(path)
    assert caught.value.where == "a.xlsx"


def test_strict_workbooks_are_read(tmp_path: Path) -> None:
    made = book(["Part", "Price"], ["Fuse", 4])
    made.active.merge_cells("A5:B5")
    path = saved(made, tmp_path / "a.xlsx")
    usual = re.compile(rb"http://schemas\.openxmlformats\.org/(spreadsheetml|officeDocument)/2006/")
    edit(path, r".*(?:xml|rels)", lambda data: usual.sub(rb"http://purl.oclc.org/ooxml/\1/", data))
    assert lines(read(path))[1:] == ["table: Part | Price\nFuse | 4"]


def test_sheets_beyond_the_limit_are_said(tmp_path: Path) -> None:
    made = book(["One", "Two"])
    made.create_sheet("More").append(["lost"])
    reading = read(saved(made, tmp_path / "a.xlsx"), limits=ReadLimits(max_pages=1))
    assert reading.problems == ("Sheets from 2 on were left out: the limit is 1.",)


def test_other_files_and_empty_workbooks_are_refused(tmp_path: Path) -> None:
    import docx

    path = tmp_path / "a.xlsx"
    docx.Document().save(str(path))
    with pytest.raises(Corrupt, match="a Word document, not a workbook"):
        read(path)
    with pytest.raises(Empty):
        read(saved(book(), tmp_path / "b.xlsx"))
    with pytest.raises(TooLarge):
        read(saved(book(["a"]), tmp_path / "c.xlsx"), limits=ReadLimits(max_unpacked_bytes=100))


def with_tail(path: Path, tail: bytes) -> None:
    """Put bytes in the place where the rows of a sheet end."""
    edit(path, r"xl/worksheets/sheet1\.xml", lambda data: data.replace(b"</sheetData>", tail))


def test_rows_beyond_the_limit_are_not_even_parsed(tmp_path: Path) -> None:
    path = saved(book(["Part", "Price"], ["Fuse", 4]), tmp_path / "a.xlsx")
    row = b'<row><c t="inlineStr"><is><t>x</t></is></c></row>'
    edit(
        path,
        r"xl/worksheets/sheet1\.xml",
        lambda data: data.replace(b"</sheetData>", row * 20_000 + b"</torn>"),
    )
    (problem,) = read(path, limits=ReadLimits(max_rows=5)).problems
    assert problem == "Rows from 6 of the sheet 'Prices' were left out: the limit is 5 rows."


def test_progress_is_said_while_rows_without_numbers_go_by(tmp_path: Path) -> None:
    path = saved(book(["Part", "Price"]), tmp_path / "a.xlsx")
    rows = b"<row/>" * 12_000
    edit(
        path, r"xl/worksheets/sheet1\.xml", lambda data: data.replace(b"</sheetData>", rows + b"</sheetData>")
    )
    said: list[tuple[int, int]] = []
    source = Source(SourceId(path.name), "", path.stat().st_size, TYPE)
    SheetReader().read(path, source, ReadContext(tmp_path, progress=lambda *far: said.append(far)))
    assert said == [(0, 1), (0, 1), (1, 1)]


def test_rows_without_words_are_not_walked_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sheet", "sheet_cells"):
        monkeypatch.setattr(f"mmrag.corpus.readers.office.{module}.MAX_SHEET_ROWS", 100)
    path = saved(book(["Part", "Price"]), tmp_path / "a.xlsx")
    rows = b"<row/>" * 120
    edit(
        path, r"xl/worksheets/sheet1\.xml", lambda data: data.replace(b"</sheetData>", rows + b"</sheetData>")
    )
    assert read(path).problems == (
        "Rows from 101 of the sheet 'Prices' were left out: "
        "the limit is 100 rows of a sheet, empty ones too.",
    )
