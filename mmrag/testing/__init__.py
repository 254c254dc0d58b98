"""Executable contracts: subclass a suite, say how to make your component, and run pytest.

    from mmrag.testing import EmbedderContract

    class TestMyEmbedder(EmbedderContract):
        def make(self):
            return MyEmbedder()

Needs pytest. The fakes are honest little implementations for tests of code that needs a component.
"""

# ruff: noqa: E402 (asserts are rewritten before the suites are imported)

import pytest

pytest.register_assert_rewrite(
    *(
        f"mmrag.testing.{name}"
        for name in ("answerer", "embedder", "index", "ocr", "reader", "search", "splitter", "text_index")
    )
)

from mmrag.testing.answerer import AnswererContract
from mmrag.testing.embedder import EmbedderContract, StreamEmbedderContract, TextEmbedderContract
from mmrag.testing.fakes import FakeOcr, HashingEmbedder, HashingOptions, SeeingEmbedder
from mmrag.testing.index import IndexContract
from mmrag.testing.ocr import OcrContract
from mmrag.testing.reader import ReaderContract
from mmrag.testing.search import FusionContract, RetrieverContract
from mmrag.testing.splitter import SplitterContract
from mmrag.testing.text_index import TextIndexContract

__all__ = [
    "AnswererContract",
    "EmbedderContract",
    "FakeOcr",
    "FusionContract",
    "HashingEmbedder",
    "HashingOptions",
    "IndexContract",
    "OcrContract",
    "ReaderContract",
    "RetrieverContract",
    "SeeingEmbedder",
    "SplitterContract",
    "StreamEmbedderContract",
    "TextEmbedderContract",
    "TextIndexContract",
]
