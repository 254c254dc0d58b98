from __future__ import annotations

import pytest

from mmrag.answer.locate import locate, locators
from mmrag.answer.quotes import find_quote, verify
from mmrag.core.protocols import Draft, Quote
from mmrag.core.types import Box, Hit, Item, ItemId, Page, Part, Place, SourceId, Span, TimeRange
from mmrag.testing.samples import text_item


def draft(*quotes: Quote) -> Draft:
    return Draft("text", quotes, complete=True)


def test_a_quote_gets_its_place_and_support() -> None:
    hits = [Hit(text_item("One. Two is here. Three.", start=100), 1.0)]
    citations, dropped = verify(draft(Quote(0, "Two is here.", 0.7)), hits)
    assert dropped == 0
    (citation,) = citations
    assert citation.quote == "Two is here."
    assert (citation.start, citation.end) == (5, 17)
    assert citation.support == 0.7
    assert citation.item.text[citation.start : citation.end] == citation.quote


@pytest.mark.parametrize(
    ("quote", "text", "own"),
    [
        ("open the lid slowly", "Please open  the\n lid slowly now", "open  the\n lid slowly"),
        ("the warranty card", "Keep the war-\nranty card.", "the war-\nranty card"),
        ("a two-year term", "It has a two-\nyear term.", "a two-\nyear term"),
        ("a two-\nyear term", "It has a two-year term.", "a two-year term"),
        ('say "yes"', "They say “yes” often", "say “yes”"),
        ("5-10 bar", "About 5\u201310 bar of it", "5\u201310 bar"),
        ("the filter", "Change the \ufb01lter now", "the \ufb01lter"),
        ("warranty", "war\u00adranty", "war\u00adranty"),
        ("caf\u00e9 noir", "un cafe\u0301 noir", "cafe\u0301 noir"),
        ("两年", "保修期为两年。", "两年"),
        ("  spaced  ", "a spaced b", "spaced"),
    ],
)
def test_marks_and_line_ends_may_differ_and_the_items_wording_is_given(
    quote: str, text: str, own: str
) -> None:
    place = find_quote(quote, text)
    assert place is not None
    assert text[place[0] : place[1]] == own


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("art", "The heart starts."),
        ("3.5 kg", "13.5 kg"),
        ("34 bar", "3-4 bar"),
        ("Warranty", "the warranty"),
        ("not covered", "not really covered"),
        ("cafe", "cafe\u0301"),
        ("", "text"),
        ("\u00ad", "text"),
    ],
)
def test_other_words_are_no_quote(quote: str, text: str) -> None:
    assert find_quote(quote, text) is None


def test_a_later_whole_word_is_found_behind_a_part_of_a_word() -> None:
    assert find_quote("art", "heart of art") == (9, 12)


def test_wrong_quotes_are_dropped_and_counted_and_twins_are_cited_once() -> None:
    hits = [Hit(text_item("One. Two."), 1.0)]
    quotes = (
        Quote(0, "Two.", 1.5),
        Quote(0, "Two.", 0.2),
        Quote(0, "Three.", 1.0),
        Quote(3, "One.", 1.0),
        Quote(-1, "One.", 1.0),
    )
    citations, dropped = verify(draft(*quotes), hits)
    assert [c.quote for c in citations] == ["Two."]
    assert citations[0].support == 1.0
    assert dropped == 3


def item_with(parts: tuple[Part, ...], locator: Page | Span | TimeRange) -> Item:
    return Item(ItemId("i"), SourceId("a.pdf"), locator, parts)


UPPER, LOWER = Box(0.1, 0.1, 0.9, 0.2), Box(0.1, 0.2, 0.5, 0.3)


def test_boxes_of_the_quotes_lines_are_joined() -> None:
    text = "line one\nline two\nline three"
    places = (
        Place(0, 8, Page(3, UPPER)),
        Place(9, 17, Page(3, LOWER)),
        Place(18, 28, Page(3, Box(0, 0.9, 1, 1))),
    )
    item = item_with((Part("text", text=text, places=places),), Page(3))
    assert locate(item, 0, 17) == Page(3, Box(0.1, 0.1, 0.9, 0.3))
    assert locate(item, 9, 17) == Page(3, LOWER)
    assert locators(item, 0, 17) == [Page(3, UPPER), Page(3, LOWER)]


def test_the_box_of_a_line_is_cut_to_the_quote_with_a_margin() -> None:
    text = "x" * 20 + "\na | " + "y" * 16
    places = (Place(0, 20, Page(1, UPPER)), Place(21, 41, Page(1, UPPER)))
    item = item_with((Part("text", text=text, places=places),), Page(1))
    (cut,) = locators(item, 5, 10)
    assert isinstance(cut, Page)
    assert cut.box is not None
    assert (cut.box.x0, cut.box.x1) == (pytest.approx(0.1 + 0.8 * 3 / 20), pytest.approx(0.1 + 0.8 * 12 / 20))
    assert locators(item, 26, 30) == [Page(1, UPPER)]


def test_times_are_joined_from_the_first_cue_to_the_last() -> None:
    cues = [TimeRange(0.0, 4.0), TimeRange(4.0, 9.5), TimeRange(9.5, 12.0)]
    places = tuple(Place(10 * i, 10 * i + 9, cue) for i, cue in enumerate(cues))
    item = item_with((Part("text", text="x" * 29, places=places),), TimeRange(0.0, 12.0))
    assert locate(item, 12, 16) == cues[1]
    assert locate(item, 5, 15) == TimeRange(0.0, 9.5)
    assert locators(item, 5, 15) == cues[:2]


def test_places_of_later_parts_are_shifted() -> None:
    parts = (
        Part("image", media="d"),
        Part("text", text="alt", role="alt"),
        Part("text", text="words", role="ocr", places=(Place(0, 5, Page(1, UPPER)),)),
    )
    item = item_with(parts, Page(1))
    start = item.text.index("words")
    assert locate(item, start, start + 5) == Page(1, UPPER)
    assert locate(item, 0, 3) == Page(1)


def test_a_span_is_cut_to_the_quote_only_where_characters_match() -> None:
    same = item_with((Part("text", text="abcdef", places=(Place(0, 6, Span(100, 106)),)),), Span(100, 106))
    assert locate(same, 2, 4) == Span(102, 104)
    other = item_with((Part("text", text="abcdef", places=(Place(0, 6, Span(100, 120)),)),), Span(90, 130))
    assert locate(other, 2, 4) == Span(100, 120)


def test_times_run_from_the_first_to_the_last() -> None:
    places = (Place(0, 3, TimeRange(1.0, 2.0)), Place(4, 7, TimeRange(2.5, 4.0)))
    item = item_with((Part("text", text="one two", places=places),), TimeRange(0, 60))
    assert locate(item, 0, 7) == TimeRange(1.0, 4.0)


def test_without_places_it_is_the_items_own_locator() -> None:
    item = item_with((Part("text", text="abc"),), Page(7, LOWER))
    assert locate(item, 0, 2) == Page(7, LOWER)
    boxless = item_with((Part("text", text="abc", places=(Place(0, 3, Page(7)),)),), Page(7, LOWER))
    assert locate(boxless, 0, 2) == Page(7, LOWER)
