from dataclasses import replace

import pytest

from mmrag.core.fields import embedding_key, embedding_text, search_text, spoken_name
from mmrag.core.types import Item, ItemId, Page, Part, SourceId, Span

PASSAGE = Item(
    ItemId("p"),
    SourceId("docs/relay-manual_v2.md"),
    Span(0, 4),
    (Part("text", text="Turn it off."),),
    {"title": "Relay", "heading": "Safety > First", "context": "unused", "year": 2019},
)
FIGURE = Item(
    ItemId("f"),
    SourceId("figures/wiring-2.png"),
    Page(1),
    (Part("image", media="d1"), Part("text", text="Terminals", role="alt")),
    {"title": "Relay", "context": "see terminal A2"},
)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("figures/relay_wiring-2.png", "relay wiring 2"),
        ("a.b.c.md", "a b c"),
        ("Übersicht (neu).pdf", "Übersicht neu"),
        ("README", "README"),
        ("..hidden", ""),
        ("deep/.env", ""),
    ],
)
def test_a_file_name_can_be_spoken(source: str, words: str) -> None:
    assert spoken_name(source) == words


def test_words_are_sorted_into_fields() -> None:
    words = search_text(PASSAGE)
    assert (words.title, words.heading, words.body) == ("Relay", "Safety > First", "Turn it off.")
    assert words.name == "relay manual v2"
    assert search_text(replace(PASSAGE, metadata={})).heading == ""


def test_a_passage_is_embedded_under_its_headings() -> None:
    assert embedding_text(PASSAGE) == "Safety > First\nTurn it off."
    assert embedding_text(replace(PASSAGE, metadata={"title": "Relay"})) == "Relay\nTurn it off."
    assert embedding_text(replace(PASSAGE, metadata={})) == "Turn it off."


def test_a_picture_is_embedded_with_all_that_says_what_it_shows() -> None:
    assert embedding_text(FIGURE) == "Relay\nwiring 2\nTerminals\nsee terminal A2"


def test_a_renamed_text_keeps_its_key_and_a_renamed_picture_does_not() -> None:
    assert embedding_key(PASSAGE) == embedding_key(replace(PASSAGE, source=SourceId("old.md")))
    assert embedding_key(FIGURE) != embedding_key(replace(FIGURE, source=SourceId("old.png")))
    moved = replace(FIGURE, source=SourceId("elsewhere/wiring-2.png"))
    assert embedding_key(FIGURE) == embedding_key(moved)


@pytest.mark.parametrize(
    "changed",
    [
        replace(FIGURE, parts=(Part("image", media="d2"), FIGURE.parts[1])),
        replace(FIGURE, parts=(FIGURE.parts[0], Part("text", text="Other", role="alt"))),
        replace(FIGURE, metadata={**FIGURE.metadata, "context": "other"}),
        replace(FIGURE, metadata={**FIGURE.metadata, "heading": "other"}),
    ],
)
def test_what_the_vectors_depend_on_changes_the_key(changed: Item) -> None:
    assert embedding_key(changed) != embedding_key(FIGURE)


def test_what_they_do_not_depend_on_does_not() -> None:
    same = replace(FIGURE, id=ItemId("x"), locator=Page(9), metadata={**FIGURE.metadata, "year": 1999})
    assert embedding_key(same) == embedding_key(FIGURE)


READ = replace(
    FIGURE,
    parts=(*FIGURE.parts, Part("text", text="A2 14V", role="ocr")),
    metadata={**FIGURE.metadata, "language": "de"},
)


def test_words_read_out_of_a_picture_are_a_field_of_their_own() -> None:
    words = search_text(READ)
    assert (words.body, words.ocr, words.language) == ("Terminals", "A2 14V", "de")
    assert (search_text(PASSAGE).ocr, search_text(PASSAGE).language) == ("", "")


def test_embedders_see_all_words_in_their_order() -> None:
    assert embedding_text(READ) == "Relay\nwiring 2\nTerminals\nA2 14V\nsee terminal A2"
