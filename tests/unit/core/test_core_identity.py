from pathlib import Path

import pytest

from mmrag.core.identity import differences, digest_bytes, digest_file, digest_json, item_id
from mmrag.core.types import Box, Locator, Page, Part, Place, Span

# BLAKE2b with 32 bytes of b"abc", as `b2sum --length 256` prints it.
ABC = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"


def test_digests_are_blake2b_256() -> None:
    assert digest_bytes(b"abc") == ABC


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * size)
    assert digest_file(path) == digest_bytes(b"a" * size)


def test_equal_json_has_equal_digests_in_any_order() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])
    assert digest_json("1") != digest_json(1)
    assert digest_json(["a", "b"]) != digest_json(["ab"])


def test_any_text_has_a_digest() -> None:
    assert digest_json("ü") == digest_bytes('"ü"'.encode())
    assert digest_json("\ud800") != digest_json("\ud801"), "half a surrogate pair, as broken PDFs give"


def ident(parts: tuple[Part, ...], locator: Locator, reader: str = "r/1", splitter: str = "s/1") -> str:
    return item_id(parts, locator, reader=reader, splitter=splitter)


WORDS = (Part("text", text="x"),)


def test_an_id_is_128_bits_in_hex() -> None:
    found = ident(WORDS, Span(0, 1))
    assert len(found) == 32
    assert int(found, 16) >= 0
    assert found == ident((Part("text", text="x"),), Span(0, 1))


@pytest.mark.parametrize(
    "other",
    [
        ident((Part("text", text="y"),), Span(0, 1)),
        ident((Part("text", text="x", role="ocr"),), Span(0, 1)),
        ident((Part("image", media="x"),), Span(0, 1)),
        ident((*WORDS, *WORDS), Span(0, 1)),
        ident(WORDS, Span(1, 2)),
        ident(WORDS, Page(1)),
        ident(WORDS, Page(1, Box(0, 0, 1, 1))),
        ident(WORDS, Span(0, 1), reader="r/2"),
        ident(WORDS, Span(0, 1), splitter="s/2"),
    ],
)
def test_content_place_reader_and_splitter_enter_the_id(other: str) -> None:
    assert other != ident(WORDS, Span(0, 1))


def test_where_its_words_stand_does_not() -> None:
    placed = (Part("text", text="x", places=(Place(0, 1, Page(1)),)),)
    assert ident(placed, Span(0, 1)) == ident(WORDS, Span(0, 1))


def test_differences_are_named_from_old_to_new() -> None:
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == ["b: 2 -> 3"]
    assert differences({"a": "1"}, {"b": "2"}) == ["a: 1 -> none", "b: none -> 2"]
    assert differences({"a": "1"}, {"a": "1"}) == []
