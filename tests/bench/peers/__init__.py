"""The engines that are compared, one file each. A peer that is not installed is skipped."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from peers.engine import Engine

ENGINES = {
    "mmrag": "peers.ours:Mmrag",
    "faiss-same": "peers.raw_faiss:SameFaiss",
    "faiss": "peers.raw_faiss:RawFaiss",
    "hnswlib": "peers.hnsw:Hnswlib",
    "lancedb": "peers.lance:LanceDb",
    "milvus-lite": "peers.milvus:MilvusLite",
    "chroma": "peers.chroma:Chroma",
    "exact": "peers.ours:Exact",
}
"""Name -> where it is. `faiss-same` comes after `mmrag`, whose files it searches."""

_NEEDS = {
    "mmrag": "faiss",
    "faiss-same": "faiss",
    "faiss": "faiss",
    "hnswlib": "hnswlib",
    "lancedb": "lancedb",
    "milvus-lite": "milvus_lite",
    "chroma": "chromadb",
    "exact": "numpy",
}


def is_installed(name: str) -> bool:
    """Say whether an engine's package can be imported."""
    return find_spec(_NEEDS[name]) is not None


def engine(name: str, recall: float) -> Engine:
    """Return an engine that is to find this share of the true rows; nothing is built or opened yet."""
    module, _, kind = ENGINES[name].partition(":")
    made: Engine = getattr(import_module(module), kind)(recall)
    return made
