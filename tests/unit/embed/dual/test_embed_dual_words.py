"""What a dual encoder reads for an input, without any model."""

from typing import Any

import pytest

from mmrag.core.errors import ConfigError, QueryError, UnsupportedModality
from mmrag.embed.content import Content, Picture, Sound
from mmrag.embed.dual.options import DualOptions
from mmrag.embed.dual.words import write_words

PICTURE = Picture(lambda: b"")
SOUND = Sound(lambda: (None, 0))  # type: ignore[arg-type,return-value]


def clip(**given: Any) -> DualOptions:
    return DualOptions(model="m", architecture="clip", **given)


UNIIR = clip(
    fusion="sum",
    takes_instruction=True,
    instruction="find it",
    tasks={"news": "find the news"},
    normalize_text="uniir",
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Content(("a cat",), "query"), "Find it. a cat."),
        (Content(("a cat",), "query", task="news"), "Find the news. a cat."),
        (Content(("a cat",), "query", instruction="show me!"), "Show me! a cat."),
        (Content(("a cat",), "query", instruction="show me", task="news"), "Show me. a cat."),
        (Content(("a cat",), "query", instruction=""), "A cat."),
        (Content(("a", " ", "cat"), "query", instruction=""), "A cat."),
        # A picture alone with an instruction is a picture with words.
        (Content((PICTURE,), "query"), "Find it."),
        (Content((PICTURE,), "query", instruction=""), None),
        (Content((PICTURE, "a cat"), "query"), "Find it. a cat."),
        (Content(("a cat", PICTURE), "document"), "A cat."),
        (Content((PICTURE,), "document"), None),
        (Content((PICTURE, " \n"), "document"), None),
        (Content(("",), "document"), ""),
        (Content(("a cat",), "document", instruction="never"), "A cat."),
    ],
)
def test_instructions_stand_before_queries_only(content: Content, expected: str | None) -> None:
    assert write_words(content, UNIIR) == (expected, ())


def test_the_recipes_task_is_that_of_queries_without_one() -> None:
    options = clip(takes_instruction=True, tasks={"news": "The news:"}, task="news")
    assert write_words(Content(("a cat",), "query"), options)[0] == "The news: a cat"
    with pytest.raises(QueryError, match="Known: news"):
        write_words(Content(("a cat",), "query", task="other"), options)


def test_a_model_without_instructions_says_that_it_leaves_one_out() -> None:
    text, notes = write_words(Content(("a cat",), "query", instruction="find"), clip())
    assert text == "a cat"
    assert "was not trained with any" in notes[0]
    text, notes = write_words(Content((PICTURE,), "query", instruction="find"), clip(takes_instruction=True))
    assert text is None
    assert "cannot be joined" in notes[0]


def test_what_the_model_does_not_take_is_refused() -> None:
    both = Content((PICTURE, "a cat"), "document")
    with pytest.raises(UnsupportedModality, match="no joint vector"):
        write_words(both, clip())
    assert write_words(both, clip(fusion="sum"))[0] == "a cat"
    with pytest.raises(UnsupportedModality, match="takes text, and the input has: image"):
        write_words(Content((PICTURE,), "document"), clip(takes=("text",)))
    with pytest.raises(UnsupportedModality, match="takes image, and the input has: text"):
        write_words(Content(("a cat",), "query"), clip(takes=("image",)))
    with pytest.raises(UnsupportedModality, match="has: audio"):
        write_words(Content((SOUND,), "document"), clip())
    with pytest.raises(UnsupportedModality, match="has 2"):
        write_words(Content((PICTURE, PICTURE), "document"), clip(fusion="sum"))


def test_special_tokens_in_words_are_spelled_apart() -> None:
    text, notes = write_words(
        Content(("a <|endoftext|> b <|ENDOFTEXT|>",), "document"),
        clip(lowercase=True),
        ["<|endoftext|>"],
    )
    assert text == "a < |endoftext|> b < |endoftext|>"
    assert "<|endoftext|>" in notes[0]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"takes": ("audio",)}, "takes"),
        ({"fusion": "feature"}, "fusion"),
        ({"fusion": "sum", "takes": ("text",)}, "fusion"),
        ({"fusion": "sum", "architecture": "clap"}, "fusion"),
        ({"pooled": "pooler"}, "pooled"),
        ({"pictures": "fused"}, "pictures"),
        ({"instruction": "find"}, "takes_instruction"),
        ({"tasks": {"a": "b"}}, "takes_instruction"),
        ({"text_weight": 0.0}, "text_weight"),
        ({"max_text_tokens": 2}, "max_text_tokens"),
        ({"dim": 12}, "dim"),
        ({"dim": 12, "dims": (8, 24)}, "dim"),
        ({"task": "news"}, "task"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(given: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DualOptions(**{"model": "m", "architecture": "clip", **given})
    assert caught.value.where == where
