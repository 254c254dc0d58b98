import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import Corrupt, Empty, TooLarge
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Cells, Source, SourceId
from mmrag.corpus.readers.tables.reader import TableReader
from mmrag.corpus.split import PassageSplitter
from mmrag.corpus.table_marks import HEADER_ROWS
from mmrag.testing import ReaderContract

WIDE = [f"measurement_{i}" for i in range(40)]


def read(
    folder: Path, data: str | bytes, *, name: str = "a.csv", limits: ReadLimits | None = None
) -> Reading:
    raw = data.encode() if isinstance(data, str) else data
    (folder / name).write_bytes(raw)
    kind = "text/csv" if name.endswith(".csv") else "text/tab-separated-values"
    source = Source(SourceId(name), digest_bytes(raw), len(raw), kind)
    return TableReader().read(folder / name, source, ReadContext(folder, limits=limits or ReadLimits()))


def lines(reading: Reading) -> list[str]:
    return [line for block in reading.blocks for line in block.text.split("\n")]


def rows_of(block: Block) -> list[tuple[str, int, int]]:
    return [
        (block.text[place.start : place.end], place.locator.first, place.locator.last)
        for place in block.parts[0].places
        if isinstance(place.locator, Cells)
    ]


class TestContract(ReaderContract):
    media_type = "text/csv"
    reads_any_bytes = True
    words = ("Relay", "24 months", "Prüfung")

    def make(self) -> Reader:
        return TableReader()

    def write_samples(self, folder: Path) -> list[Path]:
        paths = []
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            paths.append(folder / f"{encoding}.csv")
            paths[-1].write_text("Part,Note\nRelay,24 months\nPumpe,Prüfung\n", encoding=encoding)
        return paths


def test_rows_count_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    (block,) = read(tmp_path, 'Part,Note\nRelay,"two\nlines"\n\nFuse,x\n').blocks
    assert (block.kind, block.metadata[HEADER_ROWS]) == ("table", 1)
    assert rows_of(block) == [("Part | Note", 1, 1), ("Relay | two lines", 2, 2), ("Fuse | x", 4, 4)]
    assert block.locator == Cells("", 2, 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "Name;Preis\nRelais;1,50\nPumpe;2,30\n"),
        ("a.csv", "Name\tPreis\nRelais\t1,50\nPumpe\t2,30\n"),
        ("a.tsv", "Name\tPreis\nRelais\t1,50\nPumpe\t2,30\n"),
        ("a.csv", "Name|Preis\nRelais|1,50\nPumpe|2,30\n"),
        ("a.csv", 'Name,Preis\nRelais,"1,50"\nPumpe,"2,30"\n'),
        ("a.csv", "sep=;\r\nName;Preis\r\nRelais;1,50\r\nPumpe;2,30\r\n"),
        ("a.csv", "Name;Preis\rRelais;1,50\rPumpe;2,30\r"),
    ],
)
def test_the_delimiter_is_found(tmp_path: Path, name: str, text: str) -> None:
    reading = read(tmp_path, text, name=name)
    assert lines(reading) == ["Name | Preis", "Relais | 1,50", "Pumpe | 2,30"]
    assert reading.blocks[0].locator == Cells("", 2, 3)


def test_marks_that_quote_nothing_are_plain_characters(tmp_path: Path) -> None:
    text = "size\tpart\n" + "".join(f'"{i} inch\tpipe {i}\n' for i in range(9))
    assert lines(read(tmp_path, text, name="a.tsv"))[1] == '"0 inch | pipe 0'


def test_a_mark_that_is_never_closed_does_not_swallow_the_rest(tmp_path: Path) -> None:
    rows = [f"a{i},b{i}" for i in range(3000)]
    rows[2500] = '"open,b2500'
    reading = read(tmp_path, "x,y\n" + "\n".join(rows))
    assert lines(reading)[-1] == "a2999 | b2999"
    assert reading.blocks[-1].locator == Cells("", 2902, 3001)
    assert len(reading.problems) == 1
    assert reading.problems[0].startswith("A quotation mark opens in row 2502 and never ends its cell")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Part,Price\nRelay,12\n", ["Part | Price", "Relay | 12"]),
        ("country,1999,2000\nPeru,1,2\n", ["country | 1999 | 2000", "Peru | 1 | 2"]),
        (",a,b\n0,x,y\n", [" | a | b", "0 | x | y"]),
        ("1,2\n3,4\n", ["column 1 | column 2", "1 | 2", "3 | 4"]),
        ("ham,hello\nspam,win\nham,ok\n", ["column 1 | column 2", "ham | hello", "spam | win", "ham | ok"]),
        ("pear\nplum\n", ["pear", "plum"]),
        ("weight\n12\n13\n", ["weight", "12", "13"]),
    ],
)
def test_the_header_is_found_or_named(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert lines(read(tmp_path, text)) == [line.strip() for line in expected]


def test_lines_above_the_header_are_a_paragraph(tmp_path: Path) -> None:
    text = "Stock in May,,\n,,\nPart,Price,Count\nRelay,12,3\nFuse,3,9\n"
    above, table = read(tmp_path, text).blocks
    assert (above.kind, above.text, above.locator) == ("paragraph", "Stock in May", Cells("", 1, 1))
    assert rows_of(table)[:2] == [("Part | Price | Count", 3, 3), ("Relay | 12 | 3", 4, 4)]


def test_ragged_rows_are_kept_and_counted(tmp_path: Path) -> None:
    reading = read(tmp_path, "Part,Price\nRelay,12,extra\nFuse\nPump,3\nLamp,4\n")
    assert lines(reading) == ["Part | Price", "Relay | 12 | extra", "Fuse", "Pump | 3", "Lamp | 4"]
    assert reading.metadata == {"rows": 4, "ragged_rows": 2}
    assert reading.problems == ()


def test_a_bar_in_a_cell_is_no_border(tmp_path: Path) -> None:
    assert lines(read(tmp_path, "Part,Kind\nRelay,a | b\n"))[1] == "Relay | a / b"


def test_a_table_without_rows_says_its_columns(tmp_path: Path) -> None:
    (block,) = read(tmp_path, "Part,Price\n").blocks
    assert block.text == "A table without rows; its columns: Part, Price"
    with pytest.raises(Empty):
        read(tmp_path, ",,\n , \n")


def test_wide_rows_are_records(tmp_path: Path) -> None:
    text = ",".join(["serial", "name", *WIDE]) + "\n"
    text += "".join(",".join([str(n), f"pump {n}", *[f"{i}.5" for i in range(40)]]) + "\n" for n in (7, 8))
    first, second = read(tmp_path, text).blocks
    assert first.text.split("\n")[:3] == ["serial: 7", "name: pump 7", "measurement_0: 0.5"]
    assert (first.locator, second.locator) == (Cells("", 2, 2), Cells("", 3, 3))


def test_each_piece_of_a_wide_row_names_it(tmp_path: Path) -> None:
    text = ",".join(["serial", "name", *WIDE]) + "\n" + ",".join(["7", "pump 7", *["0.5"] * 40]) + "\n"
    reading = read(tmp_path, text)
    splitter = PassageSplitter(lambda texts: [len(t.split()) for t in texts], max_tokens=20, min_tokens=0)
    items = splitter.split(Source(SourceId("a.csv"), "", 1, "text/csv"), "table/1", reading)
    assert len(items) > 3
    assert all(item.text.startswith("serial: 7\nname: pump 7\n") for item in items)
    assert all(item.locator == Cells("", 2, 2) for item in items)


def test_long_cells_end_at_sentences_and_keep_their_paragraphs(tmp_path: Path) -> None:
    long = "This is one sentence about pumps. " * 40
    (block,) = read(tmp_path, f'id,text\n7,"{long}\nNext paragraph."\n').blocks
    assert block.text.split("\n")[:2] == ["id: 7", "text: This is one sentence about pumps."]
    assert block.text.endswith("\nNext paragraph.")


def test_pieces_of_a_long_table_repeat_the_header_and_say_their_rows(tmp_path: Path) -> None:
    reading = read(tmp_path, "Part,Price\n" + "".join(f"part {i},{i}\n" for i in range(250)))
    assert [b.locator for b in reading.blocks] == [
        Cells("", 2, 101),
        Cells("", 102, 201),
        Cells("", 202, 251),
    ]
    splitter = PassageSplitter(lambda texts: [len(t.split()) for t in texts], max_tokens=40, min_tokens=0)
    items = splitter.split(Source(SourceId("a.csv"), "", 1, "text/csv"), "table/1", reading)
    assert all(item.text.startswith("Part | Price\n") for item in items)
    rows = [item.locator for item in items if isinstance(item.locator, Cells)]
    assert len(rows) == len(items)
    assert [row.first for row in rows] == [2, *(row.last + 1 for row in rows[:-1])]


def test_limits_are_said(tmp_path: Path) -> None:
    limits = replace(ReadLimits(), max_rows=3)
    reading = read(tmp_path, "Part\n" + "word\n" * 9, limits=limits)
    assert lines(reading) == ["Part", "word", "word"]
    assert reading.problems == ("Only the first 3 of 10 rows were read.",)
    with pytest.raises(TooLarge):
        read(tmp_path, "a,b\n1,2\n", limits=replace(ReadLimits(), max_text_bytes=4))


def test_cells_may_be_longer_than_the_library_allows(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    reading = read(tmp_path, f'id,text\n1,"{"word " * 40_000}"\n')
    assert len(reading.blocks[0].text) > 190_000
    assert csv.field_size_limit() == before


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    reading = read(tmp_path, "ab," * 800_000 + "\n1,2\n")
    assert reading.problems == (
        "1 lines have more than 2000000 characters, the first one in row 1: the rest of them was left out.",
    )


def test_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="binary"):
        read(tmp_path, b"a,b\n1,\x002\n")


def test_ten_thousand_ragged_columns_end(tmp_path: Path) -> None:
    text = "\n".join(",".join(f"v{i}" for i in range(n)) for n in (10_000, 1, 5000))
    reading = read(tmp_path, text)
    assert reading.metadata["ragged_rows"] == 2
    assert "column 10000: v9999" in lines(reading)


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\t;|", exclude_categories=("Cs",)), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=8))
def test_no_word_of_a_table_is_lost(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    try:
        found = read(path.parent, path.read_bytes())
    except Empty:
        found = Reading(())
    said = "\n".join(lines(found))
    wanted = [word for row in rows for cell in row for word in re.findall(r"\w+", cell)]
    assert [word for word in wanted if word not in said] == []
