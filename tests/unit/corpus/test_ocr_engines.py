import io
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from mmrag.core.errors import Corrupt, MissingExtra, NotFound
from mmrag.core.protocols import Ocr, OcrLine
from mmrag.core.types import Box, SourceId
from mmrag.corpus.ocr import (
    CachedOcr,
    OcrMemory,
    RapidOcr,
    Tesseract,
    TesseractOptions,
    _bundled,
    _tsv_lines,
    on_threads,
)
from mmrag.store import Store

WORDS = ["Relay wiring diagram", "Warranty: 24 months", "Supply 230 V AC"]
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


def page(kind: str = "PNG", *, orientation: int = 0) -> bytes:
    picture = Image.new("RGB", (800, 400), "white")
    draw = ImageDraw.Draw(picture)
    for i, words in enumerate(WORDS):
        draw.text((60, 40 + 110 * i), words, font=ImageFont.load_default(40), fill="black")
    out = io.BytesIO()
    if orientation == 6:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.rotate(90, expand=True).save(out, kind, exif=exif)
    else:
        picture.save(out, kind)
    return out.getvalue()


class CountingOcr:
    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.calls = 0

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        self.calls += 1
        return (OcrLine(f"größe {len(image)}", Box(0.1, 0.2, 0.3, 0.4), 0.5),)


@pytest.fixture(scope="module")
def rapid() -> RapidOcr:
    return RapidOcr()


def test_rapidocr_reads_lines_with_boxes(rapid: RapidOcr) -> None:
    assert isinstance(rapid, Ocr)
    lines = rapid.read(page())
    assert [line.text for line in lines] == WORDS
    for i, line in enumerate(lines):
        assert line.box.x0 == pytest.approx(60 / 800, abs=0.03)
        assert line.box.y0 < (40 + 110 * i + 25) / 400 < line.box.y1
        assert line.confidence > 0.8


def test_models_of_another_release_are_found_if_there_is_one_of_each_kind(tmp_path: Path) -> None:
    names = ("multi_PP-OCRv7_det_small.onnx", "multi_PP-OCRv7_rec_small.onnx", "ch_ppocr_v3_cls_mobile.onnx")
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in _bundled(tmp_path)] == list(names)
    (tmp_path / "en_PP-OCRv7_rec_small.onnx").touch()
    with pytest.raises(NotFound, match="none of the models"):
        _bundled(tmp_path)


def test_rapidocr_turns_photos_upright(rapid: RapidOcr) -> None:
    assert [line.text for line in rapid.read(page("JPEG", orientation=6))] == WORDS


def test_rapidocr_says_nothing_of_an_empty_picture(rapid: RapidOcr) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(out, "PNG")
    assert rapid.read(out.getvalue()) == ()


@pytest.mark.parametrize("size", [(5, 300), (300, 5), (3, 200), (1, 1)])
def test_rapidocr_finds_nothing_in_a_sliver_and_does_not_break(
    rapid: RapidOcr, size: tuple[int, int]
) -> None:
    out = io.BytesIO()
    Image.new("RGB", size, (120, 30, 30)).save(out, "PNG")
    assert rapid.read(out.getvalue()) == ()


def test_rapidocr_identity_names_versions_and_models(rapid: RapidOcr) -> None:
    assert rapid.identity.startswith("rapidocr/3.")
    assert "det" in rapid.identity


def test_rapidocr_needs_no_network_and_is_silent(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(page())
    script = """
import socket, sys
def refuse(*_args, **_options):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from mmrag.corpus.ocr import RapidOcr
print(len(RapidOcr().read(open(sys.argv[1], "rb").read())))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "page.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_rapidocr_travels_without_its_models_and_shares_the_cores(rapid: RapidOcr) -> None:
    rapid.read(page())
    sent = pickle.dumps(rapid)
    assert len(sent) < 2000
    got = on_threads(pickle.loads(sent), 1)
    assert isinstance(got, RapidOcr)
    assert (got.identity, got._options.threads, rapid._options.threads) == (rapid.identity, 1, 2)
    assert [line.text for line in got.read(page())] == WORDS
    assert on_threads(None, 1) is None


def test_a_pickled_rapidocr_is_not_imported_before_its_first_picture(rapid: RapidOcr) -> None:
    script = "import pickle, sys; pickle.loads(sys.stdin.buffer.read()); sys.exit('rapidocr' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], input=pickle.dumps(rapid), check=False).returncode == 0
    )


def test_a_torn_picture_is_corrupt(rapid: RapidOcr) -> None:
    with pytest.raises(Corrupt):
        rapid.read(page()[:300])


@needs_tesseract
def test_tesseract_reads_lines_with_boxes() -> None:
    engine = TesseractOptions().build()
    lines = engine.read(page())
    assert [line.text for line in lines] == WORDS
    assert all(0 <= line.box.x0 < line.box.x1 <= 1 for line in lines)
    assert engine.identity.startswith("tesseract ")
    assert pickle.loads(pickle.dumps(engine)).read(page()) == lines


@needs_tesseract
def test_a_language_pack_that_is_missing_is_named() -> None:
    with pytest.raises(NotFound, match="xyz") as caught:
        TesseractOptions(languages="eng+xyz").build()
    assert "tesseract-ocr-xyz" in caught.value.fix


def test_an_absent_program_is_named_with_the_way_out() -> None:
    with pytest.raises(MissingExtra, match="no-such-tesseract") as caught:
        Tesseract(program="no-such-tesseract")
    assert "install" in caught.value.fix


def test_tesseract_tables_become_lines() -> None:
    head = "level\tpage\tblock\tpar\tline\tword\tleft\ttop\twidth\theight\tconf\ttext"
    rows = [
        "4\t1\t1\t1\t1\t0\t0\t0\t90\t10\t-1\t",
        "5\t1\t1\t1\t1\t1\t10\t5\t20\t10\t90\tRelay",
        "5\t1\t1\t1\t1\t2\t40\t6\t30\t10\t70\tK1",
        "5\t1\t1\t1\t1\t3\t80\t6\t30\t10\t5\tnoise",
        "5\t1\t1\t1\t2\t1\t10\t25\t20\t10\t80\t ",
        "5\t1\t2\t1\t1\t1\t10\t45\t20\t10\t80\tend\r",
        "torn",
    ]
    first, second = _tsv_lines("\n".join([head, *rows]), 0.3)
    assert (first.text, first.x0, first.y0, first.x1, first.y1) == ("Relay K1", 10, 5, 70, 16)
    assert first.confidence == pytest.approx(0.8)
    assert second.text == "end"


def test_the_cache_answers_for_the_same_picture_and_engine() -> None:
    kept: dict[str, bytes] = {}
    engine = CountingOcr("a/1")
    cached = CachedOcr(engine, kept.get, kept.__setitem__)
    first = cached.read(b"one")
    assert cached.read(b"one") == first == engine.read(b"one")
    assert engine.calls == 2
    cached.read(b"two")
    assert engine.calls == 3
    other = CachedOcr(CountingOcr("a/2"), kept.get, kept.__setitem__)
    other.read(b"one")
    assert len(kept) == 3
    assert all(isinstance(json.loads(value), list) for value in kept.values())
    assert cached.identity == "a/1"


def test_the_memory_gives_what_is_not_committed_yet_and_names_its_sources(tmp_path: Path) -> None:
    first, second = SourceId("a.pdf"), SourceId("b.pdf")
    with Store.create(tmp_path / "store", identity={"dim": "2"}) as store:
        memory = OcrMemory(store)
        assert memory.get("key", first) is None
        memory.put("key", b"words", first)
        assert memory.get("key", second) == b"words"
        with store.writer() as writer:
            memory.write(writer)
            assert memory.get("key", second) == b"words"
            assert store.cached("ocr", "key") is None
            writer.commit()
            memory.write(writer)
            writer.commit()
        assert store.cached("ocr", "key") == OcrMemory(store).get("key", second) == b"words"
        assert memory.get("key", first) == b"words"
