from __future__ import annotations

from mmrag.answer.labels import split_picture
from mmrag.answer.units import units_of
from mmrag.core.types import Box, Item, ItemId, Page, Part, Place, SourceId


def part(*lines: tuple[str, float, float]) -> Part:
    """Make OCR lines of the given text at x, y; a line is 0.03 high, a character 0.01 wide."""
    text = "\n".join(line for line, _, _ in lines)
    places, start = [], 0
    for line, x, y in lines:
        box = Box(x, y, x + 0.01 * len(line), y + 0.03)
        places.append(Place(start, start + len(line), Page(1, box)))
        start += len(line) + 1
    return Part("text", text=text, role="ocr", places=tuple(places))


def words(picture: Part) -> list[str]:
    return [unit.text for unit in split_picture(picture)]


def test_a_label_and_its_value_beside_it_are_one_unit() -> None:
    plate = part(("Weight", 0.1, 0.1), ("21 kg", 0.5, 0.1), ("Supply", 0.1, 0.2), ("230 V", 0.5, 0.2))
    units = split_picture(plate)
    assert "Weight: 21 kg" in [unit.text for unit in units]
    assert "Supply: 230 V" in [unit.text for unit in units]
    first = units[0]
    assert plate.text is not None
    assert plate.text[first.start : first.end] == "Weight\n21 kg"


def test_a_label_without_its_value_is_no_unit() -> None:
    found = words(part(("Max concurrency:", 0.1, 0.1), ("6 (jobs=4 ncpu=4)", 0.5, 0.1)))
    assert found == ["Max concurrency: 6 (jobs=4 ncpu=4)"]


def test_a_label_and_the_line_under_it_are_read_together() -> None:
    found = words(part(("Extract filter", 0.1, 0.1), ("grey tab", 0.1, 0.14), ("far below", 0.1, 0.6)))
    assert "Extract filter: grey tab" in found
    assert "far below" in found
    assert not any("far" in text and "grey" in text for text in found)


def test_a_table_in_a_picture_is_read_with_its_header() -> None:
    table = part(
        ("Part", 0.1, 0.1), ("Name", 0.3, 0.1), ("Sent", 0.5, 0.1),
        ("LW-1", 0.1, 0.2), ("Lid", 0.3, 0.2), ("2", 0.5, 0.2),
    )  # fmt: skip
    assert words(table) == ["Part: LW-1; Name: Lid; Sent: 2"]


def test_prose_in_a_picture_stays_prose() -> None:
    page = part(
        ("Dear customer, one batch of fans was built with too", 0.1, 0.1),
        ("little grease. We replace them.", 0.1, 0.14),
    )
    found = words(page)
    assert found[:2] == [
        "Dear customer, one batch of fans was built with too little grease.",
        "We replace them.",
    ]


def test_without_places_it_is_split_like_any_text() -> None:
    assert words(Part("text", text="One. Two.", role="ocr")) == ["One.", "Two."]


def test_units_of_later_parts_are_shifted() -> None:
    ocr = part(("Weight", 0.1, 0.1), ("21 kg", 0.5, 0.1))
    parts = (Part("image", media="d"), Part("text", text="A plate", role="alt"), ocr)
    item = Item(ItemId("i"), SourceId("p.png"), Page(1), parts)
    unit = next(unit for unit in units_of(item) if unit.kind == "row")
    assert item.text[unit.start : unit.end] == "Weight\n21 kg"
