import io
from pathlib import Path

import pytest
from PIL import Image

from mmrag.core.errors import Empty
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId, Span
from mmrag.corpus.readers.html import HtmlReader


def _read(root: Path, page: str | bytes) -> Reading:
    data = page.encode() if isinstance(page, str) else page
    (root / "a.html").write_bytes(data)
    source = Source(SourceId("a.html"), digest_bytes(data), len(data), "text/html")
    return HtmlReader().read(root / "a.html", source, ReadContext(root))


def test_words_without_the_frame(tmp_path: Path) -> None:
    page = """<html><head><title>Care &amp; use</title><style>p{}</style><script>x()</script></head><body>
    <nav>Home</nav><div role=navigation>Menu</div><aside>Ad</aside>
    <h1>Care<a class=headerlink href=#>¶</a></h1><p>First <b>words</b>,<br>second line.</p>
    <p hidden>no</p><p style="display: none">no</p><div aria-hidden=true>no</div>
    loose text<pre>code
  here</pre><footer>Imprint</footer></body></html>"""
    reading = _read(tmp_path, page)
    assert reading.title == "Care & use"
    assert [(b.kind, b.text) for b in reading.blocks] == [
        ("heading", "Care"),
        ("paragraph", "First words,\nsecond line."),
        ("paragraph", "loose text"),
        ("code", "code\n  here"),
    ]


def test_permalinks_are_no_words(tmp_path: Path) -> None:
    page = (
        '<p>ffi_type_void<a class="copiable-link" href="#t"> &para;</a> <a href="#x">#</a> <a href="a">#1</a>'
    )
    assert [b.text for b in _read(tmp_path, page).blocks] == ["ffi_type_void #1"]


def test_main_is_the_page_if_it_is_marked(tmp_path: Path) -> None:
    words = "Words that matter. " * 20
    reading = _read(tmp_path, f"<body><div>Sidebar</div><main><p>{words}</p></main><div>More</div>")
    assert [b.text for b in reading.blocks] == [words.strip()]


def test_lists_with_nested_ones(tmp_path: Path) -> None:
    (block,) = _read(tmp_path, "<ul><li>one<li>two <p>more</p><ol start=3><li>a</ol></ul>").blocks
    assert (block.kind, block.text) == ("list", "- one\n- two\n  more\n  3. a")


def test_tables_by_rows(tmp_path: Path) -> None:
    page = """<table><caption>Prices</caption><tr><th>Part<th>Price<tr><td rowspan=2>Relay<td>12
    <tr><td>13<tr><td> <td></table>"""
    caption, table = _read(tmp_path, page).blocks
    assert caption.text == "Prices"
    assert (table.kind, table.text) == ("table", "Part | Price\nRelay | 12\nRelay | 13")
    assert table.metadata["header_rows"] == 1


def test_layout_tables_are_read_as_a_page(tmp_path: Path) -> None:
    page = "<table><tr><td><h2>Head</h2><p>one</p></td><td><h2>Other</h2><p>two</p></td></tr></table>"
    assert [b.text for b in _read(tmp_path, page).blocks] == ["Head", "one", "Other", "two"]


def test_a_table_within_a_layout_table_keeps_its_rows(tmp_path: Path) -> None:
    page = "<table><tr><td><h2>x</h2><table><tr><td>a<td>b<tr><td>c<td>d</table></td></tr></table>"
    assert [b.text for b in _read(tmp_path, page).blocks] == ["x", "a | b\nc | d"]


def test_anchors_and_spans(tmp_path: Path) -> None:
    reading = _read(tmp_path, "<p>intro</p><h2 id=care>Care</h2><p>words</p><p id=x>more</p>")
    assert [b.metadata.get("anchor", "") for b in reading.blocks] == ["", "care", "care", "x"]
    whole = "\n\n".join(b.text for b in reading.blocks)
    for block in reading.blocks:
        assert isinstance(block.locator, Span)
        assert whole[block.locator.start : block.locator.end] == block.text


def test_figures_with_their_captions(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (120, 90)).save(out, "PNG")
    (tmp_path / "w.png").write_bytes(out.getvalue())
    page = """<p>Before.</p><figure><img src=w.png alt="wiring">
    <figcaption>Figure 1. All <i>wires</i></figcaption></figure>
    <p>After. <img src="http://localhost:1/x.png" alt="a remote picture"></p><img src=gone.png>"""
    reading = _read(tmp_path, page)
    (figure,) = [b for b in reading.blocks if b.kind == "figure"]
    assert [(p.role, p.text) for p in figure.parts[1:]] == [
        ("caption", "Figure 1. All wires"),
        ("alt", "wiring"),
    ]
    assert figure.neighbours == "Before.\nAfter. a remote picture"
    assert "Figure 1" not in " ".join(b.text for b in reading.blocks if b.kind != "figure")
    assert reading.depends == ("gone.png", "w.png")
    assert reading.problems[0] == "The picture gone.png is missing."


@pytest.mark.parametrize(
    "page",
    [
        "<p>größe".encode(),
        "<p>größe".encode("utf-16"),
        '<meta charset="iso-8859-1"><p>größe'.encode("cp1252"),
        '<?xml version="1.0" encoding="iso-8859-15"?><p>größe'.encode("iso-8859-15"),
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-9999"><p>größe'.encode(),
    ],
)
def test_encodings(tmp_path: Path, page: bytes) -> None:
    assert _read(tmp_path, page).blocks[-1].text == "größe"


def test_hostile_nesting_ends(tmp_path: Path) -> None:
    assert _read(tmp_path, "<div>" * 5_000 + "deep").blocks[0].text == "deep"
    assert _read(tmp_path, "<table><tr><td>" * 500 + "deep").blocks[0].text == "deep"


def test_nothing_to_index(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        _read(tmp_path, "<html><body><script>1</script></body></html>")
