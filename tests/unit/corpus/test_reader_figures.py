import io
from pathlib import Path

import pytest
from PIL import Image

from mmrag.core.errors import Corrupt
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.types import Box, Page, Span
from mmrag.corpus.readers.figures import PaintedPictures, is_elsewhere
from mmrag.corpus.readers.sentences import few_of
from mmrag.testing import FakeOcr
from mmrag.testing.samples import picture_of

PICTURE = picture_of("A2")


class CountingOcr(FakeOcr):
    calls = 0

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        self.calls += 1
        return super().read(image)


def gif(width: int = 200, height: int = 120) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "GIF")
    return out.getvalue()


def pictures(folder: Path, ocr: FakeOcr) -> tuple[PaintedPictures, list[str]]:
    unheard: list[str] = []
    return PaintedPictures(ReadContext(folder, ocr), unheard.append, {}), unheard


def test_a_picture_is_kept_and_read_once_and_its_words_stand_wherever_it_does(tmp_path: Path) -> None:
    ocr = CountingOcr({digest_bytes(PICTURE): (OcrLine("A2", Box(0, 0.5, 0.5, 1), 0.9),)})
    painted, unheard = pictures(tmp_path, ocr)
    places = (Page(3, Box(0.2, 0.2, 0.6, 0.6)), Page(4), Span(0, 9))
    figures = [painted.figure(PICTURE, place, name="a.png") for place in places]
    words = [figure.parts[-1].places[0].locator for figure in figures if figure]
    assert words == [
        Page(3, Box(0.2, 0.4, 0.4, 0.6)),
        Page(4, Box(0, 0.5, 0.5, 1)),
        Page(1, Box(0, 0.5, 0.5, 1)),
    ]
    assert (ocr.calls, list(painted.blobs), unheard) == (1, [digest_bytes(PICTURE)], [])


def test_a_picture_whose_words_cannot_be_read_is_shown_and_told_once(tmp_path: Path) -> None:
    painted, unheard = pictures(tmp_path, FakeOcr())
    figures = [painted.figure(gif(), Span(0, 9), name=name, alt="Red") for name in ("a.gif", "b.gif")]
    assert [figure and figure.text for figure in figures] == ["Red", "Red"]
    assert unheard == ["a.gif"]


@pytest.mark.parametrize("size", [(39, 400), (400, 39), (70, 80)])
def test_icons_are_no_figures(tmp_path: Path, size: tuple[int, int]) -> None:
    painted, _ = pictures(tmp_path, FakeOcr())
    assert painted.figure(gif(*size), Span(0, 9), name="a.gif") is None
    assert painted.blobs == {}


def test_a_broken_picture_is_an_error_with_its_name(tmp_path: Path) -> None:
    painted, _ = pictures(tmp_path, FakeOcr())
    with pytest.raises(Corrupt, match=r"torn\.png"):
        painted.figure(b"\x89PNG", Span(0, 9), name="torn.png")


@pytest.mark.parametrize("link", ["https://a.b/c.png", "mailto:ann", "//a.b/c.png", "view-source:x"])
def test_a_scheme_or_host_leads_elsewhere(link: str) -> None:
    assert is_elsewhere(link)


@pytest.mark.parametrize("link", ["a.png", "/a.png", "../b/c:d.png", "#part", ""])
def test_a_path_leads_to_the_corpus(link: str) -> None:
    assert not is_elsewhere(link)


def test_long_lists_of_names_are_cut() -> None:
    assert few_of(["a", "b"], 2) == "a, b"
    assert few_of(["a", "b", "c"], 2) == "a, b, ..."
    assert few_of(list("abcdef")) == "a, b, c, d, e, ..."
