from pathlib import Path

import pytest

from mmrag.core.errors import Corrupt, Empty, TooLarge
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId, Span
from mmrag.corpus.readers.text import TextReader
from mmrag.testing.samples import picture_of


def _read(folder: Path, data: str | bytes, name: str = "a.txt", limits: ReadLimits | None = None) -> Reading:
    raw = data.encode() if isinstance(data, str) else data
    (folder / name).write_bytes(raw)
    source = Source(SourceId(name), digest_bytes(raw), len(raw), "text/plain")
    return TextReader().read(folder / name, source, ReadContext(folder, limits=limits or ReadLimits()))


def test_is_a_reader() -> None:
    assert isinstance(TextReader(), Reader)


def test_paragraphs_join_wrapped_lines_and_keep_spans(tmp_path: Path) -> None:
    text = "First line\nof one.\r\n\r\n  Second\tparagraph.\n"
    blocks = _read(tmp_path, text).blocks
    assert [block.text for block in blocks] == ["First line of one.", "Second\tparagraph."]
    for block in blocks:
        for place in block.parts[0].places:
            assert isinstance(place.locator, Span)
            assert text[place.locator.start : place.locator.end] == block.text[place.start : place.end]


def test_underlined_lines_are_headings(tmp_path: Path) -> None:
    text = (
        "=====\nTitle\n=====\n\nwords\n\nPart one\n--------\n\nmore\n\n"
        "Deeper\n~~~~~~\n\nand\n\nPart two\n--------\nend\n"
    )
    reading = _read(tmp_path, text, "a.rst")
    headings = [(b.text, b.level) for b in reading.blocks if b.kind == "heading"]
    assert headings == [("Title", 1), ("Part one", 2), ("Deeper", 3), ("Part two", 2)]
    assert reading.title == "Title"


def test_a_rule_under_a_paragraph_is_no_heading(tmp_path: Path) -> None:
    blocks = _read(tmp_path, "one\ntwo three\n----------------\n").blocks
    assert [b.kind for b in blocks] == ["paragraph"]


def test_capitals_alone_above_a_text_are_a_heading(tmp_path: Path) -> None:
    reading = _read(
        tmp_path, "CLEANING GUIDE\n\nEvery day\nEmpty the bins and wipe the tables.\n\nEND.\n\nx\n"
    )
    assert [(b.kind, b.text) for b in reading.blocks] == [
        ("heading", "CLEANING GUIDE"),
        ("paragraph", "Every day\nEmpty the bins and wipe the tables."),
        ("paragraph", "END."),
        ("paragraph", "x"),
    ]
    assert reading.title == "CLEANING GUIDE"


def test_directives_show_pictures(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(picture_of("A2"))
    (tmp_path / "d.svg").write_text('<svg viewBox="0 0 400 300"><text>Relay K1</text></svg>')
    text = (
        "Before.\n\n.. figure:: p.png\n   :alt: The alt\n     goes on\n   :width: 50%\n\n   The *caption*\n"
        "   of it.\n\n   The legend.\n\nAfter.\n\n.. |x| image:: d.*\n.. image:: gone.png\n"
        "   :alt: a picture that is gone\n"
    )
    reading = _read(tmp_path, text, "a.rst")
    assert [(b.kind, b.text) for b in reading.blocks] == [
        ("paragraph", "Before."),
        ("figure", "The *caption* of it.\nThe alt goes on"),
        ("paragraph", "The legend."),
        ("paragraph", "After."),
        ("figure", "Relay K1"),
        ("paragraph", "a picture that is gone"),
    ]
    assert reading.blocks[1].neighbours == "Before.\nThe legend."
    assert reading.depends == ("d.svg", "gone.png", "p.png")
    assert reading.problems[0] == "The picture gone.png is missing."
    assert [b.kind for b in _read(tmp_path, text, "a.txt").blocks if b.kind == "figure"] == []


def test_lists_keep_their_lines(tmp_path: Path) -> None:
    (block,) = _read(tmp_path, "- one\n  goes on\n- two\n").blocks
    assert (block.kind, block.text) == ("list", "- one goes on\n- two")


def test_aligned_columns_keep_their_lines(tmp_path: Path) -> None:
    (block,) = _read(tmp_path, "name      price\nrelay     12.50\nmount      3.00\n").blocks
    assert "relay     12.50\n" in block.text


def test_code_stands_as_it_is(tmp_path: Path) -> None:
    code = _read(tmp_path, "def f():\n    return 1\n\n\nx = f()\n", "a.py").blocks
    assert [(b.kind, b.text) for b in code] == [("code", "def f():\n    return 1"), ("code", "x = f()")]


@pytest.mark.parametrize(
    ("data", "text", "problems"),
    [
        ("grün".encode(), "grün", 0),
        ("grün".encode("utf-8-sig"), "grün", 0),
        ("grün".encode("utf-16"), "grün", 0),
        ("grün".encode("utf-16-be"), None, 0),
        (b"\xfe\xff" + "grün".encode("utf-16-be"), "grün", 0),
        ("grün – €".encode("cp1252"), "grün – €", 1),  # noqa: RUF001
        (b"gr\xfcn \x81", "grün", 1),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, text: str | None, problems: int) -> None:
    if text is None:
        with pytest.raises(Corrupt):
            _read(tmp_path, data)
        return
    reading = _read(tmp_path, data)
    assert reading.blocks[0].text == text
    assert len(reading.problems) == problems


def test_limits_and_emptiness(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        _read(tmp_path, "")
    with pytest.raises(Empty):
        _read(tmp_path, " \n\n\t\n")
    with pytest.raises(TooLarge, match="9 bytes"):
        _read(tmp_path, "123456789", limits=ReadLimits(max_text_bytes=8))


def test_a_million_short_lines_are_bounded_blocks(tmp_path: Path) -> None:
    blocks = _read(tmp_path, "word\n" * 100_000).blocks
    assert max(len(b.text) for b in blocks) < 10_000


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("<?xml version='1.0' encoding='ISO-8859-2'?>\n", "iso-8859-2"),
        (".. -*- encoding: latin2 -*-\n\n", "latin2"),
        ("#!/bin/sh\n# coding=koi8-r\n", "koi8-r"),
    ],
)
def test_an_encoding_that_a_text_says_of_itself_is_used(tmp_path: Path, head: str, encoding: str) -> None:
    words = "město škoda" if encoding != "koi8-r" else "гарантия"
    reading = _read(tmp_path, (head + words).encode(encoding))
    assert reading.problems == ()
    assert words in reading.blocks[-1].text


@pytest.mark.parametrize("said", ["no-such-codec", "utf-16", "rot13", "hex"])
def test_an_encoding_that_cannot_be_is_not_believed(tmp_path: Path, said: str) -> None:
    reading = _read(tmp_path, f"# coding: {said}\nwörter".encode())
    assert "wörter" in reading.blocks[-1].text


@pytest.mark.parametrize(
    "opener",
    [
        "As in this::",
        "::",
        "- As in this::",
        ".. code-block:: rst",
        ".. code::",
        ".. parsed-literal::",
        ".. sourcecode:: rst",
        ".. literalinclude:: a.rst",
    ],
)
def test_examples_of_directives_stay_text(tmp_path: Path, opener: str) -> None:
    text = f"{opener}\n\n    .. image:: example.png\n       :alt: an example of it\n\n.. image:: gone.png\n"
    reading = _read(tmp_path, text, "a.rst")
    assert ".. image:: example.png" in "\n".join(block.text for block in reading.blocks)
    assert reading.problems == ("The picture gone.png is missing.",)


@pytest.mark.parametrize("opener", [".. note::", "The picture:", "- As in this::\n\n  text"])
def test_other_indented_directives_show_pictures(tmp_path: Path, opener: str) -> None:
    reading = _read(tmp_path, f"{opener}\n\n  .. image:: gone.png\n", "a.rst")
    assert reading.problems == ("The picture gone.png is missing.",)


@pytest.mark.parametrize("link", ["/_static/x.png", "/_static/x.*"])
@pytest.mark.parametrize("base", ["", "docs", "docs/guide"])
def test_a_leading_slash_means_a_folder_above_the_text(tmp_path: Path, link: str, base: str) -> None:
    (tmp_path / "docs/guide").mkdir(parents=True)
    (tmp_path / base / "_static").mkdir()
    (tmp_path / base / "_static/x.png").write_bytes(picture_of("A2"))
    reading = _read(tmp_path, f"words\n\n.. image:: {link}\n", "docs/guide/a.rst")
    assert [block.kind for block in reading.blocks] == ["paragraph", "figure"]
    assert not any("missing" in problem for problem in reading.problems)
    assert (Path(base) / "_static/x.png").as_posix() in reading.depends


def test_the_placeholder_of_a_template_is_no_missing_picture(tmp_path: Path) -> None:
    assert _read(tmp_path, "words\n\n.. image:: {{ pathto('x.png') }}\n", "a.rst").problems == ()
