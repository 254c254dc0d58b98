import pytest

from mmrag.embed.texts import add_instruction, normalize, normalize_uniir


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a cat", "A cat."),
        ("  a cat  ", "A cat."),
        ('"a cat"', "A cat."),
        (' "a cat" ', "A cat."),
        ('""a cat""', "A cat."),
        ("a\r\ncat\r", "A\ncat."),
        ("Is it a cat?", "Is it a cat?"),
        ("a cat!", "A cat!"),
        ("a cat.", "A cat."),
        ("a cat,", "A cat,."),
        ("éclair", "Éclair."),
        ("straße", "Straße."),
        ("ßa", "SSa."),
        ("3 cats", "3 cats."),
        ("", ""),
        ("   ", ""),
        ('""', ""),
        # What is inside the quotes is not stripped again.
        ('" a cat "', " a cat ."),
    ],
)
def test_uniir_writes_sentences(written: str, expected: str) -> None:
    assert normalize_uniir(written) == normalize(written, "uniir") == expected
    assert normalize(written, "none") == written


def test_an_instruction_is_a_sentence_before_the_text() -> None:
    assert add_instruction("find the  news", "a cat", "uniir") == "Find the  news. a cat."
    assert add_instruction("Find it?", "is it?", "uniir") == "Find it? is it?"
    assert add_instruction("find it", "", "uniir") == "Find it."
    assert add_instruction("", "a cat", "uniir") == "A cat."
    assert add_instruction("", "", "uniir") == ""
    assert add_instruction("find it", " a cat", "none") == "find it  a cat"
    assert add_instruction("", "a cat") == "a cat"
