from pathlib import Path

import pytest

from mmrag.core.errors import Corrupt, Empty
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader
from mmrag.core.reading import Reading
from mmrag.core.types import Box, Page, Source, SourceId
from mmrag.corpus.readers.drawings.svg import DrawingReader
from mmrag.corpus.readers.drawings.svg_words import is_drawing, read_drawing
from mmrag.testing import ReaderContract

KIND = "image/svg+xml"


def read(folder: Path, text: str | bytes) -> Reading:
    data = text.encode() if isinstance(text, str) else text
    (folder / "a.svg").write_bytes(data)
    source = Source(SourceId("a.svg"), digest_bytes(data), len(data), KIND)
    return DrawingReader().read(folder / "a.svg", source, ReadContext(folder))


def words(inner: str, root: str = 'viewBox="0 0 200 100"') -> str:
    part = read_drawing(f"<svg {root}>{inner}</svg>".encode(), name="a.svg").words
    return (part.text or "") if part else ""


def box(inner: str, root: str = 'viewBox="0 0 200 100"') -> Box | None:
    part = read_drawing(f"<svg {root}>{inner}</svg>".encode(), name="a.svg").words
    assert part is not None
    (place,) = part.places
    assert isinstance(place.locator, Page)
    return place.locator.box


class TestContract(ReaderContract):
    media_type = KIND
    words = ("Relay K1", "24 V", "Wiring plan", "where the blue wire goes")

    def make(self) -> Reader:
        return DrawingReader()

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "plan.svg"
        path.write_text(
            '<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="http://www.w3.org/2000/svg" '
            'viewBox="0 0 200 100"><title>Wiring plan</title><desc>It shows where the blue wire goes.</desc>'
            '<text x="20" y="40">Relay K1</text><text x="120" y="40">24 V</text></svg>'
        )
        return [path]


def test_a_drawing_is_one_figure(tmp_path: Path) -> None:
    text = '<svg viewBox="0 0 200 100"><title>Plan</title><desc>How.</desc><text x="9" y="50">K1</text></svg>'
    reading = read(tmp_path, text)
    (figure,) = reading.blocks
    assert figure.parts[0].media == digest_bytes(text.encode())
    assert [(p.role, p.text) for p in figure.parts[1:]] == [("caption", "Plan\nHow."), ("ocr", "K1")]
    assert (reading.title, reading.blobs, reading.problems) == ("Plan", (), ())


def test_labels_read_from_top_to_bottom_in_rows() -> None:
    inner = (
        '<text x="100" y="90">below</text><text x="120" y="30">right</text><text x="10" y="31">left</text>'
        '<text><tspan x="10" y="50">two</tspan><tspan x="10" dy="1.2em">lines</tspan></text>'
    )
    assert words(inner) == "left | right\ntwo lines\nbelow"


@pytest.mark.parametrize(
    ("inner", "x", "y"),
    [
        ('<text x="100" y="50" font-size="10">ab</text>', 100, 50),
        ('<text x="100" y="50" style="font-size: 10px">ab</text>', 100, 50),
        ('<g transform="translate(60 30)" font-size="10"><text x="40" y="20">ab</text></g>', 100, 50),
        ('<g transform="translate(60,30) scale(2)" font-size="5"><text x="20" y="10">ab</text></g>', 100, 50),
        ('<g transform="matrix(1 0 0 1 60 30)"><text x="40" y="20" font-size="10">ab</text></g>', 100, 50),
        ('<svg x="60" y="30"><text x="40" y="20" font-size="10">ab</text></svg>', 100, 50),
        (
            '<svg x="60" y="30" width="80" height="80" viewBox="0 0 40 40"><text x="20" y="10" font-size="5">'
            "ab</text></svg>",
            100,
            50,
        ),
        ('<text x="105.5" y="50" font-size="10" text-anchor="middle">ab</text>', 100, 50),
        ('<text x="111" y="50" font-size="10" style="text-anchor:end">ab</text>', 100, 50),
    ],
)
def test_boxes_follow_the_coordinates(inner: str, x: float, y: float) -> None:
    found = box(inner)
    assert found is not None
    corners = (found.x0 * 200, found.y0 * 100, found.x1 * 200, found.y1 * 100)
    assert corners == pytest.approx((x, y - 8, x + 11, y + 2))


def test_words_that_are_turned_stand_upright_in_their_box() -> None:
    found = box('<text transform="translate(20 50) rotate(-90)" font-size="10">abcd</text>')
    assert found is not None
    assert (found.x1 - found.x0) * 200 < (found.y1 - found.y0) * 100


@pytest.mark.parametrize(
    "inner",
    [
        '<text x="10%" y="50">ab</text>',
        '<text x="900" y="50">ab</text>',
        '<text><textPath href="#p">ab</textPath></text>',
        '<symbol id="s"><text x="1" y="9">ab</text></symbol>',
        '<text x="1e999" y="9">ab</text>',
        '<text transform="scale(nan)" x="NaN" y="9">ab</text>',
    ],
)
def test_where_the_place_is_not_known_there_is_no_box(inner: str) -> None:
    assert box(inner) is None


def test_without_a_canvas_there_is_no_box() -> None:
    assert box('<text x="9" y="9">ab</text>', "") is None
    assert box('<text x="9" y="9">ab</text>', 'width="200px" height="100px"') is not None


def test_text_that_flows_in_a_drawing() -> None:
    inner = '<foreignObject x="100" y="50" width="50" height="25"><div>one<p>two</p></div></foreignObject>'
    assert words(inner) == "one two"
    assert box(inner) == Box(0.5, 0.5, 0.75, 0.75)


def test_of_a_switch_only_one_is_shown() -> None:
    inner = "<switch><foreignObject><p>shown</p></foreignObject><text>Text is not SVG</text></switch>"
    assert words(inner) == "shown"
    assert words('<switch><text systemLanguage="de">Herz</text><text>heart</text></switch>') == "heart"


def test_hidden_words_are_not_read() -> None:
    inner = '<g style="display:none"><text>a</text></g><text visibility="hidden">b</text><style>c</style>'
    assert words(f"{inner}<defs><clipPath><text>d</text></clipPath></defs><text>e</text>") == "e"


def test_names_of_parts_are_read_once() -> None:
    inner = '<g aria-label="pump"><title>pump</title><text y="50">pump</text></g><g><title>A to B</title></g>'
    assert words(inner) == "pump\nA to B"


def test_words_that_matplotlib_draws_as_outlines() -> None:
    inner = (
        '<g id="text_1"><!-- Voltage (V) --><g transform="translate(100 50) scale(0.1 -0.1)">'
        '<use href="#DejaVuSans-56"/></g></g><!-- no words -->'
    )
    assert words(inner) == "Voltage (V)"
    found = box(inner)
    assert found is not None
    assert (found.x0 * 200, found.y0 * 100, found.y1 * 100) == pytest.approx((100, 42, 52))


def test_dublin_core_says_what_it_is(tmp_path: Path) -> None:
    text = (
        "<svg><metadata><rdf:RDF><cc:Work><dc:title>Pump plan</dc:title><dc:creator><cc:Agent>"
        "<dc:title>Ann</dc:title></cc:Agent></dc:creator><dc:date>2020</dc:date></cc:Work></rdf:RDF></metadata></svg>"
    )
    reading = read(tmp_path, text)
    assert (reading.title, reading.blocks[0].metadata["author"]) == ("Pump plan", "Ann")


def test_names_of_namespaces_are_no_bomb() -> None:
    text = '<!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg">]><svg xmlns="&ns;"><text>ok</text></svg>'
    part = read_drawing(text.encode(), name="a.svg").words
    assert part is not None
    assert part.text == "ok"


@pytest.mark.parametrize(
    "entity",
    ['<!ENTITY a "ha"><!ENTITY b "&a;&a;">', '<!ENTITY a SYSTEM "/etc/passwd">', '<!ENTITY % a "x">'],
)
def test_entities_that_grow_or_read_files_are_refused(tmp_path: Path, entity: str) -> None:
    with pytest.raises(Corrupt, match="entity"):
        read(tmp_path, f"<!DOCTYPE svg [{entity}]><svg><text>&a;</text></svg>")


@pytest.mark.parametrize("text", ["<svg><text>", "no xml", "<html><body/></html>", "<svg>&undefined;</svg>"])
def test_what_is_no_drawing(tmp_path: Path, text: str) -> None:
    with pytest.raises(Corrupt):
        read(tmp_path, text)


def test_a_drawing_without_words_is_empty(tmp_path: Path) -> None:
    with pytest.raises(Empty, match="no words") as caught:
        read(tmp_path, '<svg viewBox="0 0 9 9"><path d="M0 0"/></svg>')
    assert "PNG" in caught.value.fix


def test_deep_nesting_ends(tmp_path: Path) -> None:
    reading = read(tmp_path, "<svg>" + "<g>" * 50_000 + "<text>deep</text>" + "</g>" * 50_000 + "</svg>")
    assert reading.blocks[0].text == "deep"


def test_encodings(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="{}"?><svg><text>größe</text></svg>'
    for encoding in ("utf-8", "utf-16", "iso-8859-1", "windows-1252"):
        assert read(tmp_path, text.format(encoding).encode(encoding)).blocks[0].text == "größe"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<svg>", True),
        (
            b'\xef\xbb\xbf<?xml version="1.0"?><!-- x --><!DOCTYPE svg [<!ENTITY b "c">]>\n<svg:svg>',
            True,
        ),
        (b"<html><svg>", False),
        (b"<!---->" * 1100 + b"x", False),
        (b"\x89PNG", False),
    ],
)
def test_a_drawing_is_known_by_its_first_bytes(data: bytes, expected: bool) -> None:
    assert is_drawing(data) is expected
