from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmrag.answer.expects import expected
from mmrag.answer.locate import locate
from mmrag.answer.question import demands_of, missing_demands, questions_in
from mmrag.answer.quotes import find_quote
from mmrag.answer.sentences import split
from mmrag.core.types import Box, Item, ItemId, Page, Part, Place, SourceId

lines = st.text(alphabet=st.sampled_from("aB éß中.!?,;:-|•*#1%\n\t '\"“”\u00ad"), max_size=120)
anything = st.text(max_size=80)


@given(lines)
def test_units_stand_inside_their_text(text: str) -> None:
    for unit in split(text):
        assert 0 <= unit.start < unit.end <= len(text)
        assert unit.text.strip()
        quoted = text[unit.start : unit.end]
        assert quoted == quoted.strip()


@given(lines)
def test_every_unit_is_a_quote_that_verifies(text: str) -> None:
    for unit in split(text):
        assert find_quote(text[unit.start : unit.end], text) is not None or unit.kind == "list"


@given(
    st.lists(st.sampled_from(["pump", "x-ray", "3.5", "“yes”", "ﬁlter", "é", "中文"]), min_size=3, max_size=9)
)
def test_a_quote_is_found_whatever_the_white_space(words: list[str]) -> None:
    text = "\n  ".join(words)
    quote = " ".join(words[1:-1])
    place = find_quote(quote, text)
    assert place is not None
    assert text[place[0] : place[1]].split() == words[1:-1]


@given(anything, anything)
def test_a_found_quote_has_the_items_own_words(quote: str, text: str) -> None:
    place = find_quote(quote, text)
    if place is not None:
        assert 0 <= place[0] < place[1] <= len(text)
        assert find_quote(text[place[0] : place[1]], text) is not None


questions = st.lists(
    st.sampled_from(
        [
            "What",
            "is",
            "the",
            "price",
            "of",
            "Larkwind",
            "150",
            "300",
            "1,500",
            "3.5",
            "AX-200",
            "24V",
            "E07",
            "Dr.",
            "Meyer's",
            '"do',
            "not",
            'open"',
            "USB",
            "Hamburg",
            "and",
            ",",
            "?",
            "EUR",
            "2",
            "Kästen",
            "how",
            "long",
        ]
    ),
    max_size=14,
).map(" ".join)


@given(questions)
def test_a_question_meets_its_own_demands(text: str) -> None:
    assert missing_demands(demands_of(text), text) == []


@given(st.one_of(questions, anything))
def test_reading_a_question_never_fails_and_loses_none_of_its_parts(text: str) -> None:
    assert questions_in(text)
    demands_of(text)
    wish = expected(text)
    assert wish is None or 0 <= wish.mismatch(text) <= 1


@given(st.integers(0, 40), st.integers(1, 40), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_a_located_box_lies_within_the_lines_it_touches(start: int, length: int, widths: list[int]) -> None:
    places, at = [], 0
    for i, width in enumerate(widths):
        places.append(Place(at, at + width, Page(1, Box(0.1, i / 10, 0.9, i / 10 + 0.05))))
        at += width + 1
    text = "\n".join("x" * width for width in widths)
    item = Item(ItemId("i"), SourceId("a.pdf"), Page(1), (Part("text", text=text, places=tuple(places)),))
    start = min(start, len(text) - 1)
    found = locate(item, start, min(start + length, len(text)))
    assert isinstance(found, Page)
    if found.box is not None:
        assert 0.1 <= found.box.x0 < found.box.x1 <= 0.9 + 1e-9
        assert 0 <= found.box.y0 < found.box.y1 <= len(widths) / 10
