"""From what a model says to the words that are indexed."""

import pytest

from mmrag.caption.answers import read_caption
from mmrag.core.errors import Empty


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("A red cube.", "A red cube."),
        ('A red cube.\n["red cube", "table"]', "A red cube.\nObjects: red cube, table."),
        ('A cube.\n```json\n["cube", "cube"]\n```\n', "A cube.\nObjects: cube."),
        ('A cube.\n```\n["cube"]\n```', "A cube.\nObjects: cube."),
        ('["cube", "ball"]', "cube, ball."),
        ("A cube.\n[]", "A cube."),
        ('A cube.\n[{"name": "cube", "colour": "red", "count": 2}]', "A cube.\nObjects: 2 red cube."),
        ('A cube.\n["red cube", "blue ba', "A cube.\nObjects: red cube."),
        ("The sign says [EXIT] in red.", "The sign says [EXIT] in red."),
        ("The sign says [EXIT]", "The sign says [EXIT]"),
        ("Rows a[0] and a[1]", "Rows a[0] and a[1]"),
    ],
)
def test_a_list_at_the_end_becomes_words(answer: str, words: str) -> None:
    assert read_caption(answer, objects=True) == words


def test_a_list_that_was_not_asked_for_stays() -> None:
    assert read_caption('A cube.\n["cube"]', objects=False) == 'A cube.\n["cube"]'


@pytest.mark.parametrize("answer", ["", " \n", "[]", "```json\n[]\n```"])
def test_no_words_are_an_error(answer: str) -> None:
    with pytest.raises(Empty):
        read_caption(answer, objects=True)


def test_a_long_answer_is_read_soon() -> None:
    """The search for the list must not try every bracket against the whole rest."""
    answer = "[" * 20_000 + "a" * 20_000
    assert read_caption(answer, objects=True) == answer
