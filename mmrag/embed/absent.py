"""Stands in for an embedder whose model is gone, so that an index can be looked after without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from mmrag.core.errors import NotFound
from mmrag.core.protocols import Media
from mmrag.core.types import Embeddings, Item, Modality, Query


@dataclass(frozen=True, slots=True)
class AbsentEmbedder:
    """Tells what a store knows of its embedder; whatever needs the model itself says that it is gone.

    Args:
        identity: That of the store's vectors.
        reason: Raised by all else.
    """

    identity: Mapping[str, str]
    reason: NotFound

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return int(self.identity["dim"])

    @property
    def modalities(self) -> frozenset[Modality]:
        """Raise the reason: a store does not know what its embedder takes."""
        self._refuse()

    @property
    def languages(self) -> frozenset[str] | None:
        """Raise the reason."""
        self._refuse()

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Raise the reason."""
        self._refuse()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Raise the reason."""
        self._refuse()

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Raise the reason."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise NotFound(self.reason.message, fix=self.reason.fix, where=self.reason.where)
