"""mmrag: a folder becomes an index, a question becomes an answer that a person can check."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmrag.core.errors import MmragError
    from mmrag.core.types import Answer, Citation, Hit, Item, Query
    from mmrag.pipeline import Pipeline

__version__ = "0.1.0"

_PUBLIC = {
    "Answer": "mmrag.core.types",
    "Citation": "mmrag.core.types",
    "Hit": "mmrag.core.types",
    "Item": "mmrag.core.types",
    "MmragError": "mmrag.core.errors",
    "Pipeline": "mmrag.pipeline",
    "Query": "mmrag.core.types",
}

__all__ = [
    "Answer",
    "Citation",
    "Hit",
    "Item",
    "MmragError",
    "Pipeline",
    "Query",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `import mmrag` and `mmrag --help` stay quick.
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mmrag' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
