"""Searchable structures over embeddings and words.

from mmrag.index import FaissOptions

index = FaissOptions(kind="ivf-pq").over(rows, embeddings)
index.search(queries, 10)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmrag.index.ann.index import FaissIndex
    from mmrag.index.ann.options import FaissOptions
    from mmrag.index.auto import AutoOptions
    from mmrag.index.exact import ExactIndex, ExactOptions
    from mmrag.index.lexical import LexicalIndex, LexicalOptions
    from mmrag.index.okapi import OkapiIndex, OkapiOptions

__all__ = [
    "AutoOptions",
    "ExactIndex",
    "ExactOptions",
    "FaissIndex",
    "FaissOptions",
    "LexicalIndex",
    "LexicalOptions",
    "OkapiIndex",
    "OkapiOptions",
]

_HOMES = {
    "AutoOptions": "auto",
    "ExactIndex": "exact",
    "ExactOptions": "exact",
    "FaissIndex": "ann.index",
    "FaissOptions": "ann.options",
    "LexicalIndex": "lexical",
    "LexicalOptions": "lexical",
    "OkapiIndex": "okapi",
    "OkapiOptions": "okapi",
}


def __getattr__(name: str) -> Any:
    # Each engine brings its own heavy package: only what is named is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
