from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Embedder, Ocr, OcrLine, TextEmbedder
from mmrag.core.types import Box
from mmrag.testing import (
    EmbedderContract,
    FakeOcr,
    HashingEmbedder,
    OcrContract,
    SeeingEmbedder,
    TextEmbedderContract,
)
from mmrag.testing.ocr import LINES
from mmrag.testing.samples import picture_of


class TestHashingEmbedder(EmbedderContract):
    def make(self) -> Embedder:
        return HashingEmbedder()


class TestHashingTexts(TextEmbedderContract):
    def make(self) -> TextEmbedder:
        return HashingEmbedder()


class TestFakeOcr(OcrContract):
    def make(self) -> Ocr:
        lines = tuple(
            OcrLine(text, Box(0.05, (i + 0.4) / 3, 0.5, (i + 0.6) / 3), 0.9) for i, text in enumerate(LINES)
        )
        pictures = (picture_of(*LINES, encoding=encoding) for encoding in ("PNG", "JPEG"))
        return FakeOcr({digest_bytes(picture): lines for picture in pictures})


class TestSeeingEmbedder(EmbedderContract):
    def make(self) -> Embedder:
        return SeeingEmbedder(gap=0.5)
