import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, Table

from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Item, Page, Source, SourceId
from mmrag.corpus.readers.pdf.reader import PdfReader
from mmrag.corpus.split import PassageSplitter
from mmrag.corpus.table_marks import CAPTION, FIRST_ROW, HEADER_ROWS, ROWS

WIDTH, HEIGHT = 595.0, 842.0
STYLES = getSampleStyleSheet()
GRID = ("GRID", (0, 0), (-1, -1), 0.5, "black")
ROWS_OF_PRICES = [
    ["Part", "Price", "Stock"],
    ["Relay", "12.50", "yes"],
    ["Mount", "3.00", "no"],
    ["Fuse", "0.40", "yes"],
]

Draw = Callable[[Canvas], None]


def _source(data: bytes) -> Source:
    return Source(SourceId("a.pdf"), digest_bytes(data), len(data), "application/pdf")


def _read(folder: Path, data: bytes) -> Reading:
    (folder / "a.pdf").write_bytes(data)
    return PdfReader().read(folder / "a.pdf", _source(data), ReadContext(folder))


def _pdf(*pages: Draw) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(WIDTH, HEIGHT), invariant=1)
    for draw in pages:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _story(*flow: Any, bottom: float = 72) -> bytes:
    out = io.BytesIO()
    SimpleDocTemplate(out, pagesize=(WIDTH, HEIGHT), bottomMargin=bottom, invariant=1).build(list(flow))
    return out.getvalue()


def _prose(text: str, style: str = "Normal") -> Paragraph:
    return Paragraph(text, STYLES[style])


def _table(
    rows: Sequence[Sequence[Any]],
    *style: Any,
    x: float = 72,
    top: float = 120,
    widths: Sequence[float] | None = None,
) -> Draw:
    made = Table(list(map(list, rows)), colWidths=widths)
    made.setStyle(list(style))

    def draw(canvas: Canvas) -> None:
        _, height = made.wrapOn(canvas, WIDTH, HEIGHT)
        made.drawOn(canvas, x, HEIGHT - top - height)

    return draw


def _all(*draws: Draw) -> Draw:
    def draw(canvas: Canvas) -> None:
        for one in draws:
            one(canvas)

    return draw


def _line(x: float, top: float, text: str, size: float = 10) -> Draw:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", size)
        canvas.drawString(x, HEIGHT - top, text)

    return draw


def _tables(reading: Reading) -> list[Block]:
    return [block for block in reading.blocks if block.kind == "table"]


def _joined(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(" | ".join(row) for row in rows)


def _items(reading: Reading) -> list[Item]:
    splitter = PassageSplitter(lambda texts: [len(text.split()) for text in texts], max_tokens=60)
    return splitter.split(_source(b""), "pdf/2", reading)


@pytest.mark.parametrize(
    "style",
    [
        [GRID],
        [("INNERGRID", (0, 0), (-1, -1), 0.5, "black")],
        [
            ("BACKGROUND", (0, 0), (-1, 0), "#335577"),
            ("BACKGROUND", (0, 1), (-1, 1), "#eeeeee"),
            ("BACKGROUND", (0, 3), (-1, 3), "#eeeeee"),
            ("LINEAFTER", (0, 0), (-1, -1), 0.4, "white"),
        ],
        [
            ("BOX", (0, 0), (-1, -1), 0.5, "black"),
            ("LINEAFTER", (0, 0), (-2, -1), 0.5, "black"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, "black"),
        ],
        [
            ("LINEABOVE", (0, 0), (-1, 0), 1, "black"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, "black"),
            ("LINEBELOW", (0, -1), (-1, -1), 1, "black"),
        ],
    ],
    ids=["grid", "open sides", "shaded rows", "lines between columns", "lines above and below"],
)
def test_rows_and_cells_of_all_kinds_of_lines(tmp_path: Path, style: list[Any]) -> None:
    page = _all(_line(72, 80, "All prices are net."), _table(ROWS_OF_PRICES, *style, widths=[120, 90, 90]))
    (table,) = _tables(_read(tmp_path, _pdf(page)))
    assert table.text == _joined(ROWS_OF_PRICES)
    assert table.metadata[HEADER_ROWS] == 1


def test_cells_that_no_space_parts_are_parted_by_their_line(tmp_path: Path) -> None:
    rows = [["Order", "Price"], ["4712", "3.00"], ["", ""]]
    # The number runs over the line at 132 pt: what stands left of it belongs to the first cell.
    page = _all(_table(rows, GRID, widths=[60, 60]), _line(110, 170, "4711208.15"))
    (table,) = _tables(_read(tmp_path, _pdf(page)))
    last = table.text.split("\n")[-1]
    assert last.replace(" | ", "") == "4711208.15"
    assert last.index(" | ") == 4


def test_cells_of_several_lines_and_empty_cells(tmp_path: Path) -> None:
    long = "only with the base that fits it and that is sold with a cover"
    rows = [
        ["Part", "Remark", "Price"],
        ["Relay", _prose(long), "12.50"],
        ["Mount", "", "3.00"],
        ["", "", "4.00"],
    ]
    (table,) = _tables(_read(tmp_path, _pdf(_table(rows, GRID, widths=[80, 100, 60]))))
    assert table.text.split("\n") == [
        "Part | Remark | Price",
        f"Relay | {long} | 12.50",
        "Mount |  | 3.00",
        " |  | 4.00",
    ]
    for place in table.parts[0].places:
        assert isinstance(place.locator, Page)
        assert place.locator.box


def test_merged_cells_leave_each_row_readable_alone(tmp_path: Path) -> None:
    rows = [
        ["Pump", "2023", "", "2024", ""],
        ["", "Q1", "Q2", "Q1", "Q2"],
        ["A", "1", "2", "3", "4"],
        ["", "5", "6", "7", "8"],
        ["Spare parts", "", "", "", ""],
        ["B", "9", "10", "11", "12"],
    ]
    spans = [
        ("SPAN", (1, 0), (2, 0)),
        ("SPAN", (3, 0), (4, 0)),
        ("SPAN", (0, 0), (0, 1)),
        ("SPAN", (0, 2), (0, 3)),
        ("SPAN", (0, 4), (4, 4)),
    ]
    (table,) = _tables(_read(tmp_path, _pdf(_table(rows, GRID, *spans, widths=[80] * 5))))
    assert table.text.split("\n") == [
        "Pump | 2023 | 2023 | 2024 | 2024",
        "Pump | Q1 | Q2 | Q1 | Q2",
        "A | 1 | 2 | 3 | 4",
        "A | 5 | 6 | 7 | 8",
        "Spare parts",
        "B | 9 | 10 | 11 | 12",
    ]
    assert table.metadata[HEADER_ROWS] == 2


def test_tables_side_by_side_stay_apart(tmp_path: Path) -> None:
    other = [["Tool", "Size"], ["Wrench", "8"], ["Driver", "2"]]
    page = _all(
        _table(ROWS_OF_PRICES, GRID, widths=[60, 60, 60]), _table(other, GRID, x=330, widths=[60, 60])
    )
    tables = _tables(_read(tmp_path, _pdf(page)))
    assert [table.text for table in tables] == [_joined(ROWS_OF_PRICES), _joined(other)]


def test_a_frame_around_prose_is_no_table_and_one_around_a_table_is_not_part_of_it(tmp_path: Path) -> None:
    def frame(canvas: Canvas) -> None:
        canvas.rect(40, 400, 500, 400)
        canvas.line(40, 600, 540, 600)
        canvas.line(290, 600, 290, 400)

    prose = [
        _line(50, 60 + 14 * i, f"Prose number {i} stands in a frame and is read as prose") for i in range(5)
    ]
    reading = _read(
        tmp_path, _pdf(_all(frame, *prose, _table(ROWS_OF_PRICES, GRID, top=150, widths=[60] * 3)))
    )
    (table,) = _tables(reading)
    assert table.text == _joined(ROWS_OF_PRICES)
    assert any("Prose number 4" in block.text for block in reading.blocks if block.kind == "paragraph")


def test_the_lines_of_a_chart_cut_no_words(tmp_path: Path) -> None:
    def chart(canvas: Canvas) -> None:
        for i in range(9):
            canvas.line(100, 400 + 20 * i, 500, 400 + 20 * i)
            canvas.line(100 + 50 * i, 400, 100 + 50 * i, 560)
        canvas.setFont("Helvetica", 10)
        canvas.drawString(140, 445, "1940s")

    reading = _read(tmp_path, _pdf(_all(_line(72, 80, "The chart below has a grid."), chart)))
    assert not _tables(reading)
    assert "1940s" in " ".join(block.text for block in reading.blocks)


def test_lines_inside_of_a_form_object_count(tmp_path: Path) -> None:
    def page(canvas: Canvas) -> None:
        canvas.beginForm("table")
        _table(ROWS_OF_PRICES, GRID, x=10, top=700, widths=[60] * 3)(canvas)
        canvas.endForm()
        canvas.translate(80, 300)
        canvas.scale(0.8, 0.8)
        canvas.doForm("table")

    (table,) = _tables(_read(tmp_path, _pdf(page)))
    assert table.text == _joined(ROWS_OF_PRICES)


def test_captions_above_and_below_belong_to_their_tables(tmp_path: Path) -> None:
    page = _all(
        _line(72, 110, "Table 3: Prices of parts"),
        _table(ROWS_OF_PRICES, GRID, top=120, widths=[60] * 3),
        _table(ROWS_OF_PRICES[:3], GRID, top=320, widths=[60] * 3),
        _line(72, 390, "Tab. 4. Fewer prices"),
    )
    tables = _tables(_read(tmp_path, _pdf(page)))
    assert [table.metadata[CAPTION] for table in tables] == [
        "Table 3: Prices of parts",
        "Tab. 4. Fewer prices",
    ]


def _codes(*, repeat: int = 0, first: str = "") -> bytes:
    data = [["Code", "Meaning", "Remedy"]]
    data += [[f"E{i}", f"meaning of {i}", f"remedy {i} is to wait"] for i in range(1, 91)]
    table = LongTable(data, colWidths=[60, 200, 200], repeatRows=repeat)
    table.setStyle([GRID, ("FONT", (0, 0), (-1, 0), "Helvetica-Bold")])
    return _story(
        _prose("Error codes", "Heading1"),
        _prose("The unit shows these codes."),
        Spacer(1, 20),
        *([_prose(first)] if first else []),
        table,
        Spacer(1, 12),
        _prose("After the table prose goes on."),
    )


@pytest.mark.parametrize("repeat", [0, 1], ids=["header printed once", "header printed on each page"])
def test_a_table_that_goes_on_over_pages_keeps_header_caption_and_row_numbers(
    tmp_path: Path, repeat: int
) -> None:
    reading = _read(tmp_path, _codes(repeat=repeat, first="Table 4: Codes of the panel"))
    tables = _tables(reading)
    assert [t.locator.number for t in tables if isinstance(t.locator, Page)] == [1, 2, 3]
    assert {t.metadata[CAPTION] for t in tables} == {"Table 4: Codes of the panel"}
    rows = [row for t in tables for row in t.text.split("\n")[1:]]
    assert {t.text.split("\n")[0] for t in tables} == {"Code | Meaning | Remedy"}
    assert [row.split(" | ")[0] for row in rows] == [f"E{i}" for i in range(1, 91)]
    items = [item for item in _items(reading) if ROWS in item.metadata]
    for item in items:
        codes = [row.split(" ")[0][1:] for row in item.text.split("\n") if row.startswith("E")]
        assert item.metadata[ROWS] == f"{codes[0]}-{codes[-1]}"
        assert item.text.startswith("Code | Meaning | Remedy\n")
        assert item.metadata["heading"] == "Error codes > Table 4: Codes of the panel"
        assert not {CAPTION, HEADER_ROWS, FIRST_ROW} & set(item.metadata)
        assert isinstance(item.locator, Page)
        of_rows = [p for p in item.parts[0].places if p.start > item.text.index("\n")]
        assert {p.locator.number for p in of_rows if isinstance(p.locator, Page)} == {item.locator.number}
    assert sum(item.text.count("remedy") for item in items) == 90


def test_the_header_of_a_continued_table_is_quoted_from_the_page_that_prints_it(tmp_path: Path) -> None:
    second = _tables(_read(tmp_path, _codes()))[1]
    numbers = [p.locator.number for p in second.parts[0].places if isinstance(p.locator, Page)]
    assert numbers[:3] == [1, 1, 1]
    assert set(numbers[3:]) == {2}
    assert isinstance(second.locator, Page)
    assert second.locator.number == 2


@pytest.mark.parametrize(
    ("between", "goes_on"),
    [
        ("Table 9: Another table", False),
        ("Table 8 (continued)", True),
        ("A sentence about other things.", False),
    ],
)
def test_what_stands_between_two_tables_says_whether_they_are_one(
    tmp_path: Path, between: str, goes_on: bool
) -> None:
    first = _all(_line(72, 588, "Table 8: Parts"), _table(ROWS_OF_PRICES, GRID, top=600, widths=[60, 60, 60]))
    second = _all(_line(72, 130, between), _table(ROWS_OF_PRICES, GRID, top=140, widths=[60, 60, 60]))
    tables = _tables(_read(tmp_path, _pdf(first, second)))
    assert tables[1].metadata.get(FIRST_ROW) == (4 if goes_on else None)


def test_other_columns_are_another_table(tmp_path: Path) -> None:
    first = _table(ROWS_OF_PRICES, GRID, top=680, widths=[60, 60, 60])
    second = _table(ROWS_OF_PRICES, GRID, top=60, widths=[60, 90, 120])
    tables = _tables(_read(tmp_path, _pdf(first, second)))
    assert [FIRST_ROW in table.metadata for table in tables] == [False, False]


def test_figures_beside_each_other_have_their_own_captions(tmp_path: Path) -> None:
    def charts(canvas: Canvas) -> None:
        for left in (80, 310):
            for i in range(8):
                canvas.rect(left + 25 * i, 500, 20, 20 + 10 * i)

    page = _all(
        charts,
        _line(90, 360, "Figure 5: Pressure by day"),
        _line(320, 360, "Figure 6: Flow by day"),
        _line(90, 372, "in the first week"),
        _line(320, 372, "in the second week"),
        _line(72, 80, "Both charts were drawn by the same hand on the same day."),
    )
    figures = [block for block in _read(tmp_path, _pdf(page)).blocks if block.kind == "figure"]
    assert [figure.parts[1].text for figure in figures] == [
        "Figure 5: Pressure by day in the first week",
        "Figure 6: Flow by day in the second week",
    ]


def test_a_sentence_about_a_figure_is_no_caption(tmp_path: Path) -> None:
    def chart(canvas: Canvas) -> None:
        for i in range(8):
            canvas.rect(80 + 25 * i, 500, 20, 20 + 10 * i)

    page = _all(
        _line(72, 228, "Figure 5 shows the pressure, which rises from day to day until the valve opens."),
        chart,
        _line(90, 360, "Fig. 5. Pressure by day"),
    )
    reading = _read(tmp_path, _pdf(page))
    (figure,) = [block for block in reading.blocks if block.kind == "figure"]
    assert figure.parts[1].text == "Fig. 5. Pressure by day"
    assert any(block.text.startswith("Figure 5 shows") for block in reading.blocks)


def test_a_header_of_its_own_begins_another_table(tmp_path: Path) -> None:
    bold = ("FONT", (0, 0), (-1, 0), "Helvetica-Bold")
    other = [["Tool", "Size", "Rack"], ["Wrench", "8", "left"], ["Driver", "2", "right"]]
    first = _table(ROWS_OF_PRICES, GRID, bold, top=680, widths=[60, 60, 60])
    second = _table(other, GRID, bold, top=60, widths=[60, 60, 60])
    tables = _tables(_read(tmp_path, _pdf(first, second)))
    assert [table.text for table in tables] == [_joined(ROWS_OF_PRICES), _joined(other)]
    assert not any(FIRST_ROW in table.metadata for table in tables)
