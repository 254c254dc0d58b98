import io
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmrag.core.errors import Corrupt, TooLarge
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Box, Page, Place, Source, SourceId
from mmrag.corpus.readers.drawings.image import ImageReader
from mmrag.corpus.readers.figures import ocr_part
from mmrag.media.pictures import open_picture, upright


class ScriptedOcr:
    identity = "scripted/1"

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        return (OcrLine(" PUMP  P2 ", Box(0, 0, 0.5, 0.1), 0.9), OcrLine("  ", Box(0, 0, 1, 1), 0.9))


def _read(
    folder: Path, data: bytes, *, name: str = "a.png", ocr: bool = True, limits: ReadLimits | None = None
) -> Reading:
    (folder / name).write_bytes(data)
    source = Source(SourceId(name), digest_bytes(data), len(data), "image/png")
    context = ReadContext(folder, ScriptedOcr() if ocr else None, limits or ReadLimits())
    return ImageReader().read(folder / name, source, context)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_a_picture_is_one_figure(tmp_path: Path) -> None:
    data = _encoded(Image.new("RGB", (30, 20)), "PNG")
    reading = _read(tmp_path, data)
    (block,) = reading.blocks
    assert (block.kind, block.locator) == ("figure", Page(1))
    assert block.parts[0].media == digest_bytes(data)
    assert reading.blobs == ()
    assert (block.parts[1].role, block.parts[1].text) == ("ocr", "PUMP P2")
    assert block.parts[1].places == (Place(0, 7, Page(1, Box(0, 0, 0.5, 0.1))),)
    assert reading.pages[0].ocr
    assert reading.problems == ()


def test_cells_of_a_row_stay_together() -> None:
    cells = [("Serial no.", 0.1, 0.10), ("LW-7", 0.5, 0.11), ("Supply", 0.1, 0.2), ("left of it", 0.05, 0.2)]
    part = ocr_part([OcrLine(text, Box(x, y, x + 0.2, y + 0.05), 0.9) for text, x, y in cells])
    assert part is not None
    assert part.text == "Serial no. | LW-7\nSupply\nleft of it"
    for place, (text, x, y) in zip(part.places, cells, strict=True):
        assert part.text[place.start : place.end] == text
        assert place.locator == Page(1, Box(x, y, x + 0.2, y + 0.05))


def test_exif_turns_and_tells(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "The pump room"
    exif[0x010F], exif[0x0110] = "Acme", "Acme X1"
    exif[0x0132] = "2024:05:06 07:08:09"
    data = _encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    (block,) = _read(tmp_path, data, name="a.jpg").blocks
    assert block.metadata == {"width": 20, "height": 40, "taken": "2024-05-06", "camera": "Acme X1"}
    assert [(p.role, p.text) for p in block.parts[1:]] == [("caption", "The pump room"), ("ocr", "PUMP P2")]


def test_png_texts_tell(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("Title", "Wiring")
    info.add_itxt("Description", "Größe")
    reading = _read(tmp_path, _encoded(Image.new("RGB", (9, 9)), "PNG", pnginfo=info))
    assert reading.title == "Wiring"
    assert reading.blocks[0].parts[1].text == "Größe"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_modes_become_rgb(mode: str) -> None:
    kind = {"CMYK": "JPEG", "F": "TIFF"}.get(mode, "PNG")
    data = _encoded(Image.new(mode, (6, 4)), kind)
    picture = upright(open_picture(data, max_pixels=100))
    assert (picture.mode, picture.size) == ("RGB", (6, 4))


def test_transparent_is_white() -> None:
    data = _encoded(Image.new("RGBA", (3, 3), (0, 0, 0, 0)), "PNG")
    assert upright(open_picture(data, max_pixels=100)).getpixel((1, 1)) == (255, 255, 255)


def test_first_frame_and_pages(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    gif = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert _read(tmp_path, gif, name="a.gif").problems == ()
    tiff = _encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert _read(tmp_path, tiff, name="a.tif").problems == ("Only the first of 2 pages was read.",)


def test_without_ocr_it_is_partial(tmp_path: Path) -> None:
    reading = _read(tmp_path, _encoded(Image.new("RGB", (9, 9)), "PNG"), ocr=False)
    assert "pip install 'mmrag[ocr]'" in reading.problems[0]
    assert len(reading.blocks) == 1


def test_bombs_and_torn_files_are_refused(tmp_path: Path) -> None:
    data = _encoded(Image.effect_noise((90, 90), 50), "PNG")
    with pytest.raises(TooLarge, match="90 x 90"):
        _read(tmp_path, data, limits=ReadLimits(max_pixels=8099))
    with pytest.raises(TooLarge):
        _read(tmp_path, data, limits=ReadLimits(max_bytes=100))
    with pytest.raises(Corrupt):
        _read(tmp_path, data[: len(data) // 2])
    with pytest.raises(Corrupt):
        _read(tmp_path, b"\x89PNG\r\n\x1a\n" + b"\x00" * 50)
    huge = bytearray(data)
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises((TooLarge, Corrupt)):
        _read(tmp_path, bytes(huge))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_32_bits_are_spread_over_what_a_screen_shows(mode: str) -> None:
    picture = Image.new(mode, (2, 1), 0)
    picture.putpixel((1, 0), 0.5 if mode == "F" else 2_000_000)
    shown = upright(open_picture(_encoded(picture, "TIFF"), max_pixels=10))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]
