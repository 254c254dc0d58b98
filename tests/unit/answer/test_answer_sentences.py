from __future__ import annotations

import pytest

from mmrag.answer.sentences import split
from mmrag.answer.tables import header_of, readable_row
from mmrag.answer.units import units_of
from mmrag.core.types import Item, ItemId, Part, SourceId, Span


def texts(text: str, **kwargs: object) -> list[str]:
    headings = kwargs.get("headings", ())
    assert isinstance(headings, tuple)
    return [unit.text for unit in split(text, headings=headings)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It runs. It stops!", ["It runs.", "It stops!"]),
        ("Ask Dr. Meyer. He knows.", ["Ask Dr. Meyer.", "He knows."]),
        ("Use oil, e.g. Mobil 1. Then close it.", ["Use oil, e.g. Mobil 1.", "Then close it."]),
        ("It weighs 3.5 kg. The lid weighs 0.2 kg.", ["It weighs 3.5 kg.", "The lid weighs 0.2 kg."]),
        ("See Fig. 3 and No. 7 for it. Then go on.", ["See Fig. 3 and No. 7 for it.", "Then go on."]),
        ("Is it loud? No. It hums.", ["Is it loud?", "No.", "It hums."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It waits ... and goes on.", ["It waits ... and goes on."]),
        ("Made by J. Smith in 1990. Sold since.", ["Made by J. Smith in 1990.", "Sold since."]),
        ("保修期为两年。请保留收据。", ["保修期为两年。", "请保留收据。"]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_prose_is_cut_at_its_sentences(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_every_unit_stands_at_its_offsets_without_space_around_it() -> None:
    text = "  One. Two\n\n- three\n- four: five.\n\na | b | c\n1 | 2 | 3\n\nwrapped lines go\non here. Six"
    units = split(text)
    assert len(units) >= 7
    for unit in units:
        quoted = text[unit.start : unit.end]
        assert quoted == quoted.strip()
        if unit.kind != "row":
            assert "".join(unit.text.split()) == "".join(quoted.split())


def test_lines_broken_by_the_pages_width_are_one_sentence() -> None:
    text = (
        "The pump is delivered with a hose of two metres length and a\nclamp. Keep the hose dry\nand clean."
    )
    assert texts(text) == [
        "The pump is delivered with a hose of two metres length and a clamp.",
        "Keep the hose dry and clean.",
    ]


def test_a_word_broken_at_a_lines_end_is_whole_again_but_the_quote_is_not_touched() -> None:
    text = "The warranty covers the war-\nranty card."
    (unit,) = split(text)
    assert unit.text == "The warranty covers the warranty card."
    assert text[unit.start : unit.end] == text


def test_short_labels_stay_apart() -> None:
    assert texts("K1\nRelay\n24 V DC\nMotor M1") == ["K1", "Relay", "24 V DC", "Motor M1"]


def test_list_entries_are_units_without_their_marks() -> None:
    assert texts("1. Open the lid.\n2. Take out the filter\n   with care.\n• Close it.") == [
        "Open the lid.",
        "Take out the filter with care.",
        "Close it.",
    ]


def test_a_sentence_with_a_colon_reaches_over_its_list() -> None:
    text = "The warranty covers:\n- the motor\n- all seals\n\nIt does not cover wear."
    whole, motor, seals, other = split(text)
    assert whole.text == "The warranty covers: the motor; all seals"
    assert text[whole.start : whole.end] == "The warranty covers:\n- the motor\n- all seals"
    assert (motor.text, motor.lead) == ("the motor", "The warranty covers:")
    assert seals.text == "all seals"
    assert other.text == "It does not cover wear."


def test_an_entry_with_a_colon_leads_the_entries_under_it() -> None:
    units = split("It is tested so:\n- daily on:\n  - x86_64\n  - arm")
    assert units[0].text == "It is tested so: daily on: x86_64; arm"


def test_a_list_ends_where_another_kind_begins() -> None:
    whole, *_ = split("It needs:\n- water\n\n1. Open the tap.")
    assert whole.text == "It needs: water"


def test_headings_are_no_units() -> None:
    assert texts("## Care\nWipe it.") == ["Wipe it."]
    assert texts("Care & Cleaning\nWipe it.", headings=("care cleaning",)) == ["Wipe it."]


def test_the_items_own_heading_and_title_are_left_out_and_parts_do_not_run_together() -> None:
    parts = (
        Part("image", media="d"),
        Part("text", text="Care\nThe valve is", role="alt"),
        Part("text", text="closed here.", role="caption"),
    )
    item = Item(
        ItemId("i"), SourceId("a.md"), Span(0, 9), parts, {"heading": "Manual > Care", "title": "Manual"}
    )
    units = units_of(item)
    assert [unit.text for unit in units] == ["The valve is", "closed here."]
    assert [item.text[unit.start : unit.end] for unit in units] == ["The valve is", "closed here."]


def test_rows_are_read_with_their_header_and_quoted_as_they_stand() -> None:
    text = "Prices are net.\nPart | Price | Stock\nFilter | 12 EUR | 5\nSeal | 3 EUR | \nThat is all."
    units = split(text)
    assert [unit.text for unit in units] == [
        "Prices are net.",
        "Part: Filter; Price: 12 EUR; Stock: 5",
        "Part: Seal; Price: 3 EUR",
        "That is all.",
    ]
    assert text[units[1].start : units[1].end] == "Filter | 12 EUR | 5"
    assert [unit.kind for unit in units] == ["sentence", "row", "row", "sentence"]


def test_rules_of_markdown_tables_are_skipped() -> None:
    assert texts("| Key | Word |\n|:---|---:|\n| a | b |") == ["Key: a; Word: b"]


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        (["Part | Price", "Filter | 12 EUR", "Seal | € 3"], ["Part", "Price"]),
        (["Weight | 3.2 kg", "Voltage | 24 V"], []),
        (["Material | Steel", "Colour | Red"], []),
        (["Model | AX-100 | AX-200", "Weight | 3 kg | 4 kg"], ["Model", "AX-100", "AX-200"]),
        (["a | 1 | 2", "b | 3 | 4"], []),
        (["only | one | row"], []),
        (['gprintf("format",x,...) | any | string', "strptime(...) | string | time in seconds"], []),
        (["real | any | number", "imag | any | the imaginary part of the argument"], []),
        (["E05 | Bypass | stuck", "E07 | Tray full | empty the tray under the unit"], []),
        (["Weight (kg) | Width [mm] | Part", "21 | 600 | Fan"], ["Weight (kg)", "Width [mm]", "Part"]),
        (
            ["Function | Larkwind 150 | Larkwind 300", "Timer | yes | yes", "History | 7 days | 90 days"],
            ["Function", "Larkwind 150", "Larkwind 300"],
        ),
    ],
)
def test_a_header_is_told_from_a_first_row(rows: list[str], header: list[str]) -> None:
    assert header_of(rows) == header


def test_rows_longer_or_shorter_than_their_header_lose_nothing() -> None:
    assert readable_row("a | b | c", ["X", "Y"]) == "X: a; Y: b; c"
    assert readable_row("a", ["X", "Y"]) == "X: a"
    assert readable_row("Colour | Red") == "Colour: Red"
    assert readable_row("a | b | c") == "a; b; c"
    assert readable_row("Tests on: | x86_64 | arm") == "Tests on: x86_64; arm"


def test_a_cell_broken_by_the_pages_width_does_not_end_the_table() -> None:
    text = "Name | Value | Note\nRecovery | 88 % | aluminium, nominal\nvolume\nPower | 24 W | both fans"
    assert texts(text) == [
        "Name: Recovery; Value: 88 %; Note: aluminium, nominal volume",
        "Name: Power; Value: 24 W; Note: both fans",
    ]


def test_a_tables_caption_leads_its_rows_and_is_no_unit() -> None:
    units = split("Table 7: Error codes\nCode | Meaning | Help\nE07 | tray full | empty it")
    assert [(unit.text, unit.lead) for unit in units] == [
        ("Code: E07; Meaning: tray full; Help: empty it", "Table 7: Error codes")
    ]
