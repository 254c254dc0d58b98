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
from mmrag.corpus.readers.web.markdown import MarkdownReader
from mmrag.corpus.split import PassageSplitter


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("![](p.png){alt='A relay' width=50%}", [("alt", "A relay")]),
        ('![](p.png){: .wide alt="A *relay* in_it"}', [("alt", "A *relay* in_it")]),
        ("![mine](p.png){alt=other}", [("alt", "mine")]),
        ("![mine][ref]\n\n[ref]: p.png 'A title'", [("caption", "A title"), ("alt", "mine")]),
        ("[![thumb](p.png){width=5%}](http://a.b){target=_blank}", [("alt", "thumb")]),
        (
            ':::image type="content" source="p.png" alt-text="The page, open." lightbox="b.png":::',
            [("alt", "The page, open.")],
        ),
        ("```{image} p.png\n:alt: mine\n:width: 5px\n```", [("alt", "mine")]),
        (
            "```{figure} p.png\n:alt: mine\n\nThe *caption*.\n```",
            [("caption", "The caption."), ("alt", "mine")],
        ),
        (":::{figure} p.png\n:alt: mine\n\nCaption\n:::", [("caption", "Caption"), ("alt", "mine")]),
        ("![[p.png|The plan]]", [("alt", "The plan")]),
        ("![[p.png|300]]", []),
        ('<img src="p.png" alt="a &amp; b">', [("alt", "a & b")]),
        (
            '<figure>\n<img src="p.png" alt="mine">\n<figcaption>Its <b>words</b></figcaption>\n</figure>',
            [("caption", "Its words"), ("alt", "mine")],
        ),
        ('<picture><source srcset="x.webp"><img src="p.png" alt="mine"></picture>', [("alt", "mine")]),
        ('<p align="center"><img src="p.png"></p>\n\n<p><em>Below it</em></p>', [("caption", "Below it")]),
        (
            "<figure>\n\n![mine](p.png)\n\n<figcaption>Below</figcaption>\n</figure>",
            [("caption", "Below"), ("alt", "mine")],
        ),
        ("![mine](p.png)\n{: .center}\n\n*Below*", [("caption", "Below"), ("alt", "mine")]),
    ],
)
def test_each_dialect_shows_its_picture(tmp_path: Path, text: str, said: list[tuple[str, str]]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/p.png").write_bytes(_png())
    reading = _read(tmp_path, text)
    (figure,) = _figures(reading)
    assert _said(figure) == said
    assert [b.text for b in reading.blocks if b is not figure] == []


def test_pictures_in_lists(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(_png())
    text = (
        '1. Open it:\n\n   :::image type="content" source="/p.png" alt-text="The page":::\n\n'
        "2. Look:\n\n   ```{figure} /p.png\n   Its caption\n   ```\n"
    )
    first, *figures = _read(tmp_path, text).blocks
    assert first.text == "1. Open it:\n2. Look:"
    assert [b.text for b in figures] == ["The page", "Its caption"]


def test_what_a_directive_says_beside_its_picture(tmp_path: Path) -> None:
    text = "```{figure} gone.png\n:alt: nothing\n\nThe caption.\n\nThe legend.\n```\n"
    reading = _read(tmp_path, text)
    assert [(b.kind, b.text) for b in reading.blocks] == [
        ("paragraph", "The caption."),
        ("paragraph", "The legend."),
    ]
    where = reading.blocks[1].locator
    assert isinstance(where, Span)
    assert text[where.start : where.end] == "The legend."


def test_a_picture_of_a_vault_may_lie_above(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(_png())
    reading = _read(tmp_path, "![[p.png]]\n\n![[note]] and {braces}\n", "a/b/c.md")
    assert len(_figures(reading)) == 1
    assert reading.blocks[1].text == "![[note]] and {braces}"
    assert reading.depends == ("a/b/p.png", "a/p.png", "p.png")


def test_local_drawings_are_figures(tmp_path: Path) -> None:
    (tmp_path / "d.svg").write_text(
        '<svg viewBox="0 0 400 300"><title>Plan</title><text>Relay K1</text></svg>'
    )
    (tmp_path / "logo.svg").write_text('<svg viewBox="0 0 400 300"><path/></svg>')
    (tmp_path / "torn.svg").write_text("<svg><text>")
    reading = _read(tmp_path, "![the plan](/d.svg)\n\n![x](/logo.svg)\n\n![y](/torn.svg)\n")
    (figure,) = _figures(reading)
    assert _said(figure) == [("caption", "Plan"), ("alt", "the plan"), ("ocr", "Relay K1")]
    assert reading.blobs[0].media_type == "image/svg+xml"
    assert reading.problems == ("The picture /torn.svg cannot be read.",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("> [!WARNING]\n> Hot *surface*.", ["Warning: Hot surface."]),
        ("> [!tip]- Do it\n> now", ["Tip: Do it now"]),
        ("!!! note\n    Words.\n\n    - one\n\nAfter.", ["Note", "Words.", "- one", "After."]),
        ('!!! danger highlight "Hot!"\n    Words.', ["Hot!", "Words."]),
        ('??? tip ""\n    Words.', ["Words."]),
        ("!!! this is only text", ["!!! this is only text"]),
        ("::: warning Careful\nWords.\n:::", ["Careful", "Words."]),
        (":::note[Mine]\nWords.\n:::", ["Mine", "Words."]),
        ("::: {.column width=50%}\nWords.\n:::", ["Words."]),
        (":::row:::\nWords.\n:::row-end:::", ["Words."]),
        ("```{warning}\nHot *surface*.\n```", ["Warning", "Hot surface."]),
        (
            "````{admonition} Mine\n:class: tip\nWords.\n```{code-block} py\nx = 1\n```\n````",
            ["Mine", "Words.", "x = 1"],
        ),
        ("```{toctree}\na\nb\n```\n\nWords.", ["Words."]),
        ("```{r, echo=FALSE}\nplot(x)\n```", ["plot(x)"]),
        ("Words.\n{: .lead}\n\n`x`{.py} y", ["Words.", "x y"]),
    ],
)
def test_notes_are_text_and_their_markup_is_not(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert [b.text for b in _read(tmp_path, text).blocks] == expected


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (
            "---\ntitle: T\nauthors:\n  - name: Ann\n  - Bob\ndate: 2020-01-02\n---\n",
            {"author": "Ann, Bob", "created": "2020-01-02"},
        ),
        (
            "---\ntitle: T\ndate: 2020-01-02T10:00:00Z\ntags: [a, b]\n---\n",
            {"created": "2020-01-02", "keywords": "a, b"},
        ),
        ('---\ntitle: T\nauthor: "Ann: the author\n---\n', {"author": "Ann: the author"}),
        ("---\ntitle: T\ndescription: >\n  two\n  lines\n---\n", {"description": "two lines"}),
        ('+++\ntitle = "T"\ndate = 2020-01-02\n+++\n', {"created": "2020-01-02"}),
        ("---\ntitle: T\na: &a [x]\nb: [*a, *a]\ndate: soon\n---\n", {}),
        ("---\ntitle: T\nx: " + "[" * 1000 + "\n---\n", {}),
    ],
)
def test_front_matter(tmp_path: Path, text: str, metadata: dict[str, str]) -> None:
    reading = _read(tmp_path, text + "words\n")
    assert (reading.title, dict(reading.metadata)) == ("T", metadata)
    (block,) = reading.blocks
    assert isinstance(block.locator, Span)
    assert (text + "words\n")[block.locator.start : block.locator.end] == "words"


def test_tables_written_in_html_keep_their_rows(tmp_path: Path) -> None:
    text = (
        "words\n\n<table>\n<tr><th>Part</th><th>Price</th></tr>\n<tr><td>Fuse</td><td>4</td></tr>\n</table>\n"
    )
    table = _read(tmp_path, text).blocks[1]
    assert (table.kind, table.text, table.metadata["header_rows"]) == ("table", "Part | Price\nFuse | 4", 1)


def test_pieces_of_a_table_say_where_their_rows_stand(tmp_path: Path) -> None:
    text = "| Part | Price |\n|---|---|\n" + "".join(f"| part {i} | {i} |\n" for i in range(50))
    reading = _read(tmp_path, text)
    splitter = PassageSplitter(lambda texts: [len(t.split()) for t in texts], max_tokens=30, min_tokens=0)
    items = splitter.split(Source(SourceId("a.md"), "", 1, "text/markdown"), "markdown/1", reading)
    assert all(item.text.startswith("Part | Price\npart ") for item in items)
    where = items[2].locator
    assert isinstance(where, Span)
    rows = [line.strip("| ") for line in text[where.start : where.end].split("\n")]
    assert rows == items[2].text.split("\n")[1:]


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}\n" * 500 + "deep",
        "".join("    " * i + "!!! note\n" for i in range(200)) + "deep",
        "````{note}\n```{note}\n" * 300 + "deep",
        "![](a)" + "{" * 5000 + "deep",
        "![[" * 2000 + "deep",
    ],
)
def test_hostile_dialects_end(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text).blocks


def test_hostile_nesting_ends(tmp_path: Path) -> None:
    assert _read(tmp_path, "> " * 3000 + "deep\n\nend\n").blocks[-1].text == "end"
    assert _read(tmp_path, "[" * 20_000 + "\n\nend").blocks[-1].text == "end"


def test_nothing_to_index(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        _read(tmp_path, "<!-- nothing -->\n")
