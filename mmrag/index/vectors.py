"""Embeddings in memory as a source of vectors: what `over` builds an index from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings

_BLOCK = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class GivenVectors:
    """Rows with their embeddings, one vector each, held in memory or mapped from a file.

    Raises:
        ConfigError: The numbers differ, an item owns many vectors, a vector holds NaN or infinity, or the
            rows do not rise strictly.
    """

    rows: Rows
    embeddings: Embeddings

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.embeddings) or not self.embeddings.is_dense:
            raise ConfigError(
                f"{len(self.rows)} rows came with {len(self.embeddings.vectors)} vectors.",
                fix="Give one vector a row; use the exact index for embeddings of many vectors.",
            )
        if (np.diff(self.rows) <= 0).any():
            raise ConfigError("The rows to index do not rise strictly.", fix="Sort them first, or use add().")
        check_finite(self.embeddings)

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.embeddings.dim

    def batches(self, size: int) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield all rows with their embeddings, at most `size` rows at a time."""
        for start in range(0, len(self.rows), size):
            vectors = self.embeddings.vectors[start : start + size]
            yield self.rows[start : start + size], Embeddings.dense(vectors)

    def take(self, rows: Rows) -> Embeddings:
        """Return the embeddings of some rows, in their order."""
        return Embeddings.dense(self.embeddings.vectors[np.searchsorted(self.rows, rows)])


def check_finite(embeddings: Embeddings) -> None:
    """Refuse vectors with NaN or infinity: one of them would drop others out of every search.

    Raises:
        ConfigError: There is one.
    """
    for start in range(0, len(embeddings.vectors), _BLOCK):
        if not np.isfinite(embeddings.vectors[start : start + _BLOCK]).all():
            raise ConfigError("An embedding holds NaN or infinity.", fix="Check the embedder that made it.")
