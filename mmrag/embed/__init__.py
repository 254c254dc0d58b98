"""Embedders: what turns items and questions into vectors.

from mmrag.recipes import load_index

embedder = load_index("gme-qwen2-vl-2b", model="/models/gme").embedder.build()
embedder.embed_queries([Query.of("a red sofa", image="sofa.jpg")])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmrag.embed.adapters.store import AdapterStore
    from mmrag.embed.content import Content, Picture
    from mmrag.embed.dual.options import DualOptions
    from mmrag.embed.encode import encode
    from mmrag.embed.engine.cache import EmbeddingCache
    from mmrag.embed.local import LocalEmbedder
    from mmrag.embed.minilm.embedder import MiniLMEmbedder, MiniLMOptions
    from mmrag.embed.mllm.options import MllmOptions
    from mmrag.embed.remote.options import OpenAiOptions
    from mmrag.embed.st.options import SentenceTransformersOptions

__all__ = [
    "AdapterStore",
    "Content",
    "DualOptions",
    "EmbeddingCache",
    "LocalEmbedder",
    "MiniLMEmbedder",
    "MiniLMOptions",
    "MllmOptions",
    "OpenAiOptions",
    "Picture",
    "SentenceTransformersOptions",
    "encode",
]

_HOMES = {
    "AdapterStore": "adapters.store",
    "Content": "content",
    "DualOptions": "dual.options",
    "EmbeddingCache": "engine.cache",
    "LocalEmbedder": "local",
    "MiniLMEmbedder": "minilm.embedder",
    "MiniLMOptions": "minilm.embedder",
    "MllmOptions": "mllm.options",
    "OpenAiOptions": "remote.options",
    "Picture": "content",
    "SentenceTransformersOptions": "st.options",
    "encode": "encode",
}


def __getattr__(name: str) -> Any:
    # Each family brings its own heavy packages: only what is named is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
