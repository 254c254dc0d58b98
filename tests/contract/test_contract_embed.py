from pathlib import Path
from typing import Any

import pytest

from mmrag.core.protocols import Embedder, StreamEmbedder, TextEmbedder
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.minilm import MiniLMOptions
from mmrag.embed.mllm.options import Form, MllmOptions
from mmrag.testing import EmbedderContract, StreamEmbedderContract, TextEmbedderContract
from mmrag.testing.tiny import build_tiny


class TestMiniLM(EmbedderContract):
    def make(self) -> Embedder:
        return MiniLMOptions(threads=1).build()


class TestMiniLMTexts(TextEmbedderContract):
    def make(self) -> TextEmbedder:
        return MiniLMOptions(threads=1).build()


def tiny_options(folder: Path, **more: Any) -> MllmOptions:
    """A family of the plainest form: the same for queries and items."""
    form = Form(wrap="<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n")
    return MllmOptions(str(folder), "qwen2_vl", query=form, dtype="float32", **more)


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny("qwen2_vl", tmp_path_factory.mktemp("contract") / "qwen2_vl")


class TestMllm(EmbedderContract):
    """A multimodal LLM of random weights: what holds for any embedder holds for it, but for its sense."""

    folder: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _folder(cls, qwen: Path) -> None:
        cls.folder = qwen

    def make(self) -> Embedder:
        return tiny_options(self.folder).build()


class TestMllmStream(StreamEmbedderContract):
    folder: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _folder(cls, qwen: Path) -> None:
        cls.folder = qwen

    def make(self) -> StreamEmbedder:
        return tiny_options(self.folder, engine=EngineOptions(window=4, batch_items=3)).build()
