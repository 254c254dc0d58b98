"""Read the words of pictures: RapidOCR with the models of its wheel, or the tesseract program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mmrag.core.errors import Corrupt, MissingExtra, NotFound
from mmrag.core.identity import digest_bytes
from mmrag.core.lazy import require
from mmrag.core.protocols import Ocr, OcrLine, ReadLimits
from mmrag.core.types import Box, SourceId
from mmrag.corpus.readers.pdf.layout import Segment, in_reading_order
from mmrag.media.pictures import encode_png, open_picture, upright
from mmrag.store import Store, Writer

MAX_PIXELS = ReadLimits().max_pixels

_BUNDLES = (
    ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx", "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
    (
        "ch_PP-OCRv5_mobile_det.onnx",
        "ch_PP-OCRv5_rec_mobile_infer.onnx",
        "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    ),
    ("ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx", "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
)
"""What the wheels of rapidocr 3.x carry (detection, recognition, turned lines), newest first. Without
explicit paths rapidocr fetches what it misses from a server."""

_LEAST_SIDE = 32
"""On less, of which a detector makes nothing at all, rapidocr breaks."""

_THINNEST = 17
"""rapidocr rounds sides to multiples of 32; one below this becomes 0."""

_CACHE = "ocr"
_KIND = "ocr/1"
"""The format of cached lines; a reader of the cache ignores other ones."""


@dataclass(frozen=True, slots=True)
class RapidOcrOptions:
    """Options of the OCR engine `rapidocr`.

    Args:
        threads: How many threads one picture may use.
        max_side: A longer picture is scaled down to this side.
        min_confidence: Lines below are left out.

    Units:
        max_side in pixels; min_confidence 0 to 1.
    """

    threads: int = 2
    max_side: int = 2400
    min_confidence: float = 0.5

    def build(self) -> RapidOcr:
        """Check that the engine is installed; its models are loaded by the first picture.

        Raises:
            MissingExtra: rapidocr is not installed.
            NotFound: Its wheel carries none of the known models.
        """
        return RapidOcr(self)


class RapidOcr:
    """PP-OCR on onnxruntime; reads Latin, Chinese, Japanese and more, also tilted lines."""

    def __init__(self, options: RapidOcrOptions | None = None) -> None:
        self._options = options or RapidOcrOptions()
        package = require("rapidocr", extra="ocr", feature="Reading the words of pictures")
        self._models = _bundled(Path(str(package.__file__)).parent / "models")
        self._engine: Any = None
        self._lock = threading.Lock()
        names = ",".join(path.stem for path in self._models)
        self.identity = (
            f"rapidocr/{version('rapidocr')} {names} side={self._options.max_side} "
            f"confidence={self._options.min_confidence}"
        )

    def __getstate__(self) -> dict[str, Any]:
        # A worker process loads the models itself, with its first picture.
        return {**self.__dict__, "_engine": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = {**state, "_lock": threading.Lock()}

    def on_threads(self, threads: int) -> RapidOcr:
        """Return the same engine with at most so many threads a picture; it loads models of its own."""
        made = copy(self)
        made._options = replace(self._options, threads=max(1, min(threads, self._options.threads)))
        return made

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        """Return the lines of an encoded picture, columns after one another.

        Boxes count on the picture turned upright.

        Raises:
            Corrupt: The picture cannot be decoded.
            TooLarge: It has more than 170 million pixels.
        """
        picture = open_picture(image, max_pixels=MAX_PIXELS)
        pixels = np.asarray(upright(picture, near=self._options.max_side))[:, :, ::-1]
        if _is_thread(pixels.shape[:2], self._options.max_side):
            return ()
        height, width = pixels.shape[:2]
        # rapidocr's detector breaks on pictures of a few pixels: white is added at the right and below.
        missing = [(0, max(0, _LEAST_SIDE - side)) for side in (height, width)]
        pixels = np.pad(pixels, (*missing, (0, 0)), constant_values=255)
        with self._lock:
            found = self._load()(np.ascontiguousarray(pixels))
        if found.boxes is None or not len(found.boxes):
            return ()
        segments = [
            Segment(
                text=" ".join(text.split()),
                x0=float(box[:, 0].min()),
                y0=float(box[:, 1].min()),
                x1=float(box[:, 0].max()),
                y1=float(box[:, 1].max()),
                confidence=float(score),
            )
            for box, text, score in zip(np.asarray(found.boxes), found.txts, found.scores, strict=True)
        ]
        return _lines(segments, width, height)

    def _load(self) -> Any:
        if self._engine is None:
            from rapidocr import RapidOCR

            detection, recognition, turned = map(str, self._models)
            self._engine = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.max_side_len": self._options.max_side,
                    "Global.text_score": self._options.min_confidence,
                    "Det.model_path": detection,
                    "Rec.model_path": recognition,
                    "Cls.model_path": turned,
                    "EngineConfig.onnxruntime.intra_op_num_threads": self._options.threads,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                }
            )
        return self._engine


@dataclass(frozen=True, slots=True)
class TesseractOptions:
    """Options of the OCR engine `tesseract`, a program that is installed beside mmrag.

    Args:
        languages: Language packs joined by '+', such as 'eng+deu'.
        min_confidence: Words below are left out.

    Units:
        min_confidence 0 to 1; timeout in seconds a picture.
    """

    languages: str = "eng"
    min_confidence: float = 0.3
    timeout_s: float = 120.0

    def build(self) -> Tesseract:
        """Find the program.

        Raises:
            MissingExtra: The program is not installed.
            NotFound: A language pack is missing.
        """
        return Tesseract(self)


class Tesseract:
    """The tesseract program: faster than RapidOCR on clean scans, weaker on photos and screens.

    Args:
        program: Its name or path; no option of a recipe, since a recipe from a stranger must not run
            programs of its choice.
    """

    def __init__(self, options: TesseractOptions | None = None, *, program: str = "tesseract") -> None:
        self._options = options or TesseractOptions()
        path = shutil.which(program)
        if path is None:
            raise MissingExtra(
                f"Tesseract needs the program {program!r}, which is not installed.",
                fix="Run: apt-get install tesseract-ocr, or brew install tesseract",
            )
        self._path = path
        said = self._run(["--version"]).decode("utf-8", "replace").split("\n", 1)[0]
        known = set(self._run(["--list-langs"]).decode("utf-8", "replace").split())
        for language in self._options.languages.split("+"):
            if language not in known:
                raise NotFound(
                    f"tesseract has no language pack {language!r}.",
                    fix=f"Run: apt-get install tesseract-ocr-{language.replace('_', '-')}",
                )
        self.identity = f"{said} {self._options.languages} confidence={self._options.min_confidence}"

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        """Return the lines of an encoded picture in reading order.

        Raises:
            Corrupt: The picture cannot be decoded.
            TooLarge: It has more than 170 million pixels.
        """
        picture = upright(open_picture(image, max_pixels=MAX_PIXELS))
        width, height = picture.size
        table = self._run(
            ["stdin", "stdout", "-l", self._options.languages, "--psm", "3", "tsv"], encode_png(picture)
        )
        return _lines(
            _tsv_lines(table.decode("utf-8", "replace"), self._options.min_confidence), width, height
        )

    def _run(self, arguments: Sequence[str], data: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                [self._path, *arguments],
                input=data,
                capture_output=True,
                timeout=self._options.timeout_s,
                # More threads make one page slower and take the cores from the other pages.
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise Corrupt(
                f"tesseract took more than {self._options.timeout_s:g} s for a picture.",
                fix="Raise timeout_s, or scale the picture down.",
            ) from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            raise Corrupt(
                f"tesseract failed: {said}", fix="Try the picture with: tesseract FILE -"
            ) from error
        return done.stdout


class CachedOcr:
    """Remembers what was read in each picture, by the picture's bytes and the engine.

    Args:
        ocr: The engine behind.
        get: Returns the remembered bytes of a key, or None.
        put: Remembers bytes under a key.
    """

    def __init__(
        self, ocr: Ocr, get: Callable[[str], bytes | None], put: Callable[[str, bytes], None]
    ) -> None:
        self._ocr = ocr
        self._get = get
        self._put = put
        self.identity = ocr.identity

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        """Return the remembered lines, or read the picture and remember them."""
        key = digest_bytes(f"{_KIND}\n{self.identity}\n{digest_bytes(image)}".encode())
        known = self._get(key)
        if known is not None:
            return tuple(OcrLine(text, Box(*box), confidence) for text, box, confidence in json.loads(known))
        lines = self._ocr.read(image)
        rows = [
            [line.text, [line.box.x0, line.box.y0, line.box.x1, line.box.y1], line.confidence]
            for line in lines
        ]
        self._put(key, json.dumps(rows, ensure_ascii=False).encode())
        return lines


class OcrMemory:
    """What was read in pictures before, by the key that `CachedOcr` gives them.

    Threads that read files ask it and tell it; the one that writes to the store takes what is new with
    each commit, so that a long scan which is stopped keeps the pages that are done.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._new: dict[str, tuple[bytes, SourceId]] = {}
        self._written: dict[str, tuple[bytes, SourceId]] = {}
        self._used: dict[tuple[str, SourceId], None] = {}

    def get(self, key: str, source: SourceId) -> bytes | None:
        """Return what is known of a picture that `source` shows, None if nothing is."""
        with self._lock:
            new = self._new.get(key) or self._written.get(key)
        known = new[0] if new else self._store.cached(_CACHE, key)
        if known is not None:
            with self._lock:
                self._used[key, source] = None
        return known

    def put(self, key: str, value: bytes, source: SourceId) -> None:
        """Remember what was read in a picture of `source`."""
        with self._lock:
            self._new[key] = (value, source)

    def write(self, writer: Writer) -> None:
        """Hand over what is new since the last time; call it right before each commit."""
        with self._lock:
            # What was handed over last time is committed by now; this can be found only here until it is.
            self._written, self._new = self._new, {}
            used, self._used = self._used, {}
        for key, (value, source) in self._written.items():
            writer.cache(_CACHE, key, value, source)
        for key, source in used:
            writer.cache_used(_CACHE, key, source)


def on_threads(ocr: Ocr | None, threads: int) -> Ocr | None:
    """Return an engine that takes at most so many threads a picture, as far as it can be told."""
    return ocr.on_threads(threads) if isinstance(ocr, RapidOcr) else ocr


def _is_thread(shape: Sequence[int], max_side: int) -> bool:
    """Tell whether a picture is so long and thin that rapidocr, scaling it down, finds no pixel left."""
    longest, shortest = max(shape), min(shape)
    return longest > max_side and shortest * max_side <= _THINNEST * longest


def _bundled(folder: Path) -> tuple[Path, Path, Path]:
    for detection, recognition, turned in _BUNDLES:
        paths = (folder / detection, folder / recognition, folder / turned)
        if all(path.is_file() for path in paths):
            return paths
    # A release with other names: clear as long as it carries one model of each kind.
    found = [sorted(folder.glob(f"*_{kind}[_.]*onnx")) for kind in ("det", "rec", "cls")]
    if all(len(paths) == 1 for paths in found):
        return found[0][0], found[1][0], found[2][0]
    raise NotFound(
        f"rapidocr {version('rapidocr')} carries none of the models that mmrag knows.",
        fix="Run: pip install 'rapidocr==3.10.0'",
    )


def _lines(segments: Sequence[Segment], width: float, height: float) -> tuple[OcrLine, ...]:
    def share(value: float, whole: float) -> float:
        return round(min(max(value / whole, 0.0), 1.0), 5)

    return tuple(
        OcrLine(
            s.text,
            Box(share(s.x0, width), share(s.y0, height), share(s.x1, width), share(s.y1, height)),
            round(min(max(s.confidence, 0.0), 1.0), 4),
        )
        for s in in_reading_order(segments, width)
        if s.text
    )


def _tsv_lines(table: str, min_confidence: float) -> list[Segment]:
    """Join the words of tesseract's table to lines: level 5 rows of equal block, paragraph and line."""
    lines: dict[tuple[str, ...], list[tuple[str, float, float, float, float, float]]] = {}
    for row in table.split("\n")[1:]:
        cells = row.rstrip("\r").split("\t")
        if len(cells) != 12 or cells[0] != "5" or not cells[11].strip():
            continue
        left, top, width, height, confidence = map(float, cells[6:11])
        if confidence / 100 >= min_confidence:
            word = (cells[11], left, top, left + width, top + height, confidence / 100)
            lines.setdefault(tuple(cells[1:5]), []).append(word)
    return [
        Segment(
            text=" ".join(word[0] for word in words),
            x0=min(word[1] for word in words),
            y0=min(word[2] for word in words),
            x1=max(word[3] for word in words),
            y1=max(word[4] for word in words),
            confidence=sum(word[5] for word in words) / len(words),
        )
        for words in lines.values()
    ]
