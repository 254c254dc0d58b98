import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from mmrag.core.errors import Empty
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Box, Page, Source, SourceId, Span
from mmrag.corpus.readers.markdown import MarkdownReader


class ScriptedOcr:
    identity = "scripted/1"

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        return (
            OcrLine("K1 24 V", Box(0.1, 0.2, 0.5, 0.3), 0.9),
            OcrLine("ground", Box(0.1, 0.4, 0.5, 0.5), 0.9),
        )


def _png(width: int = 200, height: int = 120) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def _read(root: Path, text: str, name: str = "docs/a.md", *, ocr: bool = False) -> Reading:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    source = Source(SourceId(name), digest_bytes(text.encode()), len(text.encode()), "text/markdown")
    return MarkdownReader().read(path, source, ReadContext(root, ScriptedOcr() if ocr else None))


def _figures(reading: Reading) -> list[Block]:
    return [block for block in reading.blocks if block.kind == "figure"]


def _said(block: Block) -> list[tuple[str, str]]:
    return [(part.role, part.text) for part in block.parts if part.text]


def test_targets_of_myst_are_no_words(tmp_path: Path) -> None:
    text = "Words.\n(SSL Certificate Verification)=\n# Certificates\n\nf\n(x)=y\n\n```\n(x)=\n```\n"
    assert [b.text for b in _read(tmp_path, text).blocks] == ["Words.", "Certificates", "f (x)=y", "(x)="]


def test_words_without_markup(tmp_path: Path) -> None:
    text = '# The *Relay*\n\nSome **bold** [link](http://a.b "t") and `code`,\nnext&nbsp;line <b>x</b>.\n'
    reading = _read(tmp_path, text)
    assert [(b.kind, b.level, b.text) for b in reading.blocks] == [
        ("heading", 1, "The Relay"),
        ("paragraph", 0, "Some bold link and code, next\xa0line x."),
    ]
    assert reading.title == "The Relay"


def test_each_line_of_a_paragraph_has_its_span(tmp_path: Path) -> None:
    text = "intro\n\nalpha *beta*\ngamma `delta`\n"
    block = _read(tmp_path, text).blocks[1]
    found = [
        (block.text[p.start : p.end].strip(), text[p.locator.start : p.locator.end])
        for p in block.parts[0].places
        if isinstance(p.locator, Span)
    ]
    assert found == [("alpha beta", "alpha *beta*"), ("gamma delta", "gamma `delta`")]


def test_front_matter_gives_the_title_and_keeps_spans(tmp_path: Path) -> None:
    text = '---\ntitle: "The manual"\nauthor: Ann\n---\n\nwords here\n'
    reading = _read(tmp_path, text)
    assert reading.title == "The manual"
    assert reading.metadata == {"author": "Ann"}
    (block,) = reading.blocks
    assert isinstance(block.locator, Span)
    assert text[block.locator.start : block.locator.end] == "words here"


def test_a_rule_at_the_top_is_no_front_matter(tmp_path: Path) -> None:
    assert [b.text for b in _read(tmp_path, "---\nwords\n\n---\nmore\n").blocks] == ["words", "more"]


def test_tables_lists_code(tmp_path: Path) -> None:
    text = (
        "| Part | Price |\n|---|---|\n| **Relay** | 12 |\n\n- one\n  - two\n- three\n\n7. a\n8. b\n\n"
        "```py\nx = 1\n```\n"
    )
    assert [(b.kind, b.text) for b in _read(tmp_path, text).blocks] == [
        ("table", "Part | Price\nRelay | 12"),
        ("list", "- one\n  - two\n- three"),
        ("list", "7. a\n8. b"),
        ("code", "x = 1"),
    ]


def test_a_figure_lives_in_its_context(tmp_path: Path) -> None:
    (tmp_path / "fig").mkdir()
    (tmp_path / "fig/relay wiring.png").write_bytes(_png())
    text = 'Before it.\n\n![Wiring of K1](../fig/relay%20wiring.png "Figure 1: wiring")\n\nAfter it.\n'
    reading = _read(tmp_path, text, ocr=True)
    (figure,) = _figures(reading)
    assert figure.parts[0].media == digest_bytes(_png()) == reading.blobs[0].digest
    assert _said(figure) == [
        ("caption", "Figure 1: wiring"),
        ("alt", "Wiring of K1"),
        ("ocr", "K1 24 V\nground"),
    ]
    assert figure.parts[3].places[1].locator == Page(1, Box(0.1, 0.4, 0.5, 0.5))
    assert figure.neighbours == "Before it.\nAfter it."
    assert reading.depends == ("fig/relay wiring.png",)
    assert reading.problems == ()
    assert [b.text for b in reading.blocks if b.kind == "paragraph"] == ["Before it.", "After it."]


@pytest.mark.parametrize("line", ["*How it is wired.*", "Figure 2: How it is wired."])
def test_the_line_behind_a_figure_is_its_caption(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.png").write_bytes(_png())
    reading = _read(tmp_path, f"![alt](/a.png)\n\n{line}\n\nOther *words* follow.\n", ocr=True)
    (figure,) = _figures(reading)
    assert ("caption", line.strip("*")) in _said(figure)
    assert [b.text for b in reading.blocks if b.kind == "paragraph"] == ["Other words follow."]


def test_inline_html_pictures_and_data_uris(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png())
    uri = "data:image/png;base64," + base64.b64encode(_png(90, 80)).decode()
    text = (
        '<p align="center"><img src="../a.png" alt="the board"></p>\n\n'
        f'text <img src="../a.png"> more\n\n![d]({uri})\n'
    )
    reading = _read(tmp_path, text)
    assert len(_figures(reading)) == 3
    assert {blob.digest for blob in reading.blobs} == {digest_bytes(_png()), digest_bytes(_png(90, 80))}


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(_png())
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "docs/link.png").symlink_to(outside)
    (root / "docs/torn.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    text = "![a](nope.png)\n![b](../../secret.png)\n![c](link.png)\n![d](torn.png)\n![e](http://localhost:1/x.png)\n"
    reading = _read(root, text)
    assert not _figures(reading)
    assert not reading.blobs
    assert reading.problems == (
        "The picture nope.png is missing.",
        "2 pictures lie outside of the folder: ../../secret.png, link.png.",
        "The picture torn.png cannot be read.",
    )
    assert "docs/nope.png" in reading.depends


def test_badges_and_icons_are_no_figures(tmp_path: Path) -> None:
    (tmp_path / "icon.png").write_bytes(_png(16, 16))
    text = "[![build](https://x.y/b.svg)](https://x.y) ![i](/icon.png)\n\nwords\n"
    assert [b.text for b in _read(tmp_path, text).blocks] == ["words"]


def test_hostile_nesting_ends(tmp_path: Path) -> None:
    assert _read(tmp_path, "> " * 3000 + "deep\n\nend\n").blocks[-1].text == "end"
    assert _read(tmp_path, "[" * 20_000 + "\n\nend").blocks[-1].text == "end"


def test_nothing_to_index(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        _read(tmp_path, "<!-- nothing -->\n")
