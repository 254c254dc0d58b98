from mmrag.core.protocols import Embedder, TextEmbedder
from mmrag.embed.minilm import MiniLMOptions
from mmrag.testing import EmbedderContract, TextEmbedderContract


class TestMiniLM(EmbedderContract):
    def make(self) -> Embedder:
        return MiniLMOptions(threads=1).build()


class TestMiniLMTexts(TextEmbedderContract):
    def make(self) -> TextEmbedder:
        return MiniLMOptions(threads=1).build()
