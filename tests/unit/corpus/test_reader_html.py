import io
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from mmrag.core.errors import Empty
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId, Span
from mmrag.corpus.readers.web.html import HtmlReader
from mmrag.corpus.split import PassageSplitter
from mmrag.corpus.table_marks import HEADER_ROWS


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


def test_names_stand_over_all_of_their_columns(tmp_path: Path) -> None:
    page = """<table><thead><tr><th rowspan=2>Part<th colspan=2>2019<tr><th>Q1<th>Q2<tbody>
    <tr><td colspan=3>Relays<tr><td>K1<td>1<td>2<tr><td colspan=2>All<td>3</table>"""
    (table,) = _read(tmp_path, page).blocks
    assert table.text == "Part | 2019 | 2019\nPart | Q1 | Q2\nRelays\nK1 | 1 | 2\nAll |  | 3"
    assert table.metadata[HEADER_ROWS] == 2


def test_each_piece_of_a_table_has_the_whole_header(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>part {i}<td>{i}" for i in range(60))
    page = f"<table><thead><tr><th>Part<th>Price<tr><th>name<th>EUR<tbody>{rows}</table>"
    reading = _read(tmp_path, page)
    splitter = PassageSplitter(lambda texts: [len(t.split()) for t in texts], max_tokens=40, min_tokens=0)
    items = splitter.split(Source(SourceId("a.html"), "", 1, "text/html"), "html/1", reading)
    assert len(items) > 5
    assert all(item.text.startswith("Part | Price\nname | EUR\npart ") for item in items)
    spans = [item.locator for item in items if isinstance(item.locator, Span)]
    assert all(one.end <= other.start for one, other in pairwise(spans[1:]))


def test_drawings_in_the_page_are_figures(tmp_path: Path) -> None:
    (tmp_path / "d.svg").write_text('<svg viewBox="0 0 400 300"><text>Relay K1</text></svg>')
    page = """<figure><svg viewBox="0 0 400 300"><text x=9 y=9>Pump&nbsp;P2</text></svg>
    <figcaption>Figure 2</figcaption></figure><p>words</p><object data="d.svg">never</object>
    <img src=d.svg alt="again"><svg viewBox="0 0 24 24"><title>icon</title><text>x</text></svg>
    <svg viewBox="0 0 400 300"><path/></svg><object data="film.mp4"><p>instead</p></object>"""
    reading = _read(tmp_path, page)
    assert [(b.kind, b.text) for b in reading.blocks] == [
        ("figure", "Figure 2\nPump P2"),
        ("paragraph", "words"),
        ("figure", "Relay K1"),
        ("figure", "again\nRelay K1"),
        ("paragraph", "instead"),
    ]
    assert {blob.media_type for blob in reading.blobs} == {"image/svg+xml"}
    assert reading.problems == ()


def test_xhtml_may_close_its_elements_at_once(tmp_path: Path) -> None:
    page = (
        '<html><head><title/><script src="a.js"/></head><body><a id="x"/><p>words<br/>more</p></body></html>'
    )
    (tmp_path / "a.xhtml").write_text(page)
    source = Source(SourceId("a.xhtml"), "", len(page), "application/xhtml+xml")
    reading = HtmlReader().read(tmp_path / "a.xhtml", source, ReadContext(tmp_path))
    assert [(b.text, b.metadata["anchor"]) for b in reading.blocks] == [("words\nmore", "x")]


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


@pytest.mark.parametrize(
    "kept",
    [
        '<aside epub:type="footnote">kept</aside>',
        '<aside role="doc-footnote">kept</aside>',
        '<aside class="admonition-title">kept</aside>',
        '<aside class="system-message">kept</aside>',
        '<aside class="sidebar">kept</aside>',
        "<blockquote><footer>kept</footer></blockquote>",
        "<div role=main><div><aside>kept</aside></div></div>",
        "<section><div role=complementary>kept</div></section>",
        "<header>kept</header>",
    ],
)
def test_asides_and_footers_of_the_content_are_words(tmp_path: Path, kept: str) -> None:
    page = f"<aside>Ad</aside><p>first</p>{kept}<footer>Imprint</footer>"
    assert [b.text for b in _read(tmp_path, page).blocks] == ["first", "kept"]


@pytest.mark.parametrize("tag", ["aside", "footer", "nav"])
def test_a_page_that_is_all_frame_is_read(tmp_path: Path, tag: str) -> None:
    assert [b.text for b in _read(tmp_path, f"<{tag}>All there is</{tag}>").blocks] == ["All there is"]


def test_placeholders_of_templates_are_no_missing_pictures(tmp_path: Path) -> None:
    page = """<p>words<img src="{{ pathto('_static/x.png', 1) }}"><img src="{% static 'x.png' %}">"""
    assert _read(tmp_path, page).problems == ()
