"""What a typed query means, and what stays plain words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.fields import SearchText
from mmrag.core.query_syntax import Wish, describe, understand
from mmrag.index.lexical import LexicalIndex, LexicalOptions

TEXTS = (
    SearchText("Relay manual", "Supply fan", "the relay drives the supply fan", "", "manual"),
    SearchText("Pump guide", "Fan of the supply", "the relay and the pump", "", "guide"),
    SearchText("Index", "Draft", "relay relay relay pump fan supply", "", "index", "supply fan"),
)


@pytest.fixture(scope="module")
def index() -> LexicalIndex:
    made = LexicalOptions().open(None)
    made.add(np.arange(len(TEXTS)), TEXTS)
    made.commit()
    return made


def found(index: LexicalIndex, query: str) -> list[int]:
    rows = index.search([query], 10).rows[0]
    return sorted(rows[rows >= 0].tolist())


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("title:relay", [0]),
        ("name:manual", [0]),
        ("ocr:fan", [2]),
        ("heading:fan", [0, 1]),
        ('+heading:"supply fan"', [0]),
        ("+heading:supply-fan", [0, 1]),
        ('+"relay and"', [1]),
        ('relay +"pump"', [1, 2]),
        ('relay -"pump"', [0]),
        ("relay -title:index", [0, 1]),
        ('relay -"supply fan"', [1]),
        ('+"relay" +"pump" -name:guide', [2]),
        ("title:guide title:index", [1, 2]),
        ("title:pumps", [1]),
        ('+"zeppelin" relay', []),
        ('-"relay"', []),
    ],
)
def test_marks_choose_rows(index, query, rows):
    assert found(index, query) == rows


def test_a_quoted_phrase_in_a_field_counts_more_than_its_words(index):
    rows = index.search(['heading:"supply fan"'], 3).rows[0]
    assert rows[0] == 0
    assert rows[1] == 1


@pytest.mark.parametrize(
    "query",
    [
        "relay -20 C", "-relay", "+relay", "C++ relay", "what does tar -xzf do to a relay",
        "relay --no-deps", "relay - pump", "relay-pump", "title: relay", "note:relay",
        "relay:title:pump", "subtitle:relay", "Title:relay", "it costs +5 V, relay", "body:", 'title:"relay',
        "https://relay.example/name:x", "relay's", "title:-relay",
    ],
)  # fmt: skip
def test_what_ordinary_questions_hold_stays_words(index, query):
    assert not understand(query).wishes
    assert found(index, query) == ([] if query == "body:" else [0, 1, 2])


def test_pieces_are_told_apart():
    understood = understand('fan (title:relay) +"two words" -name:draft "loose phrase" end')
    assert understood.wishes == (
        Wish("relay", "title", "asked", False),
        Wish("two words", None, "demanded", True),
        Wish("draft", "name", "excluded", False),
        Wish("loose phrase", None, "asked", True),
    )
    assert "loose phrase" in understood.words
    assert "two words" not in understood.words


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("blue relay?", "Looks for blue, relay."),
        ('fan heading:"supply fan"', 'Looks for fan and the phrase "supply fan" in the headings.'),
        (
            'relay +name:manual -"draft"',
            "Looks for relay; finds only what has manual in the file name; leaves out what has draft.",
        ),
        ('-"draft"', "Leaves out what has draft; finds nothing, because no word is asked for."),
        ("?!", "Finds nothing, because no word is asked for."),
    ],
)
def test_a_sentence_says_how_a_query_is_understood(index, query, sentence):
    assert describe(query) == index.describe(query) == sentence


PIECES = ["title:", "ocr:", '"', "+", "-", "relay", "pump", " ", "\u201c", "(", "保", "\x00", '-"', "+body:"]
MARKS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@settings(deadline=None, max_examples=200)
@given(MARKS | st.text(max_size=30))
def test_no_query_fails(index, query):
    index.search([query], 3)
    assert index.describe(query).endswith(".")


def test_a_pasted_page_of_marks_is_taken(index):
    assert found(index, 'relay "supply fan" title:pump ' * 3000) == [0, 1, 2]
