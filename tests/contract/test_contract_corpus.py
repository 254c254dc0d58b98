import importlib.util
import shutil
from collections.abc import Callable, Sequence

import pytest

from mmrag.core.protocols import Ocr, Splitter
from mmrag.corpus.ocr import CachedOcr, RapidOcrOptions, TesseractOptions
from mmrag.corpus.split import PassageOptions
from mmrag.testing import OcrContract, SplitterContract


class TestPassages(SplitterContract):
    # At most 40, and a rest of less than 8 joins the passage before it.
    max_tokens = 40 + 8

    def make(self, count_tokens: Callable[[Sequence[str]], list[int]]) -> Splitter:
        return PassageOptions(max_tokens=40, min_tokens=8).build(count_tokens)


class TestOverlappingPassages(SplitterContract):
    max_tokens = 40 + 8

    def make(self, count_tokens: Callable[[Sequence[str]], list[int]]) -> Splitter:
        return PassageOptions(max_tokens=40, min_tokens=8, overlap_sentences=1).build(count_tokens)


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="rapidocr is not installed")
class TestRapidOcr(OcrContract):
    def make(self) -> Ocr:
        return RapidOcrOptions().build()


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="rapidocr is not installed")
class TestCachedOcr(OcrContract):
    def make(self) -> Ocr:
        cache: dict[str, bytes] = {}
        return CachedOcr(RapidOcrOptions().build(), cache.get, cache.__setitem__)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
class TestTesseract(OcrContract):
    def make(self) -> Ocr:
        return TesseractOptions().build()
