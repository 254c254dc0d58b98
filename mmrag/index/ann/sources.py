"""Vectors to build from: cut to their first dimensions, decoded from an index, or two sources as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings
from mmrag.index.ann.base import Base
from mmrag.index.ann.codes import faiss, owned
from mmrag.index.ann.kinds import Parts

BATCH = 65_536


def narrowed(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Return contiguous float32 vectors; with fewer dimensions kept they are made unit vectors again."""
    if vectors.shape[1] <= dim:
        return np.ascontiguousarray(vectors, np.float32)
    cut = np.array(vectors[:, :dim], np.float32)
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    np.divide(cut, norms, out=cut, where=norms > 0)
    return cut


def dense(embeddings: Embeddings) -> NDArray[np.float32]:
    """Return the vectors of items that have one each.

    Raises:
        ConfigError: An item has none or many.
    """
    if not embeddings.is_dense:
        raise ConfigError(
            f"This index takes one vector a row; {len(embeddings)} rows came with "
            f"{len(embeddings.vectors)} vectors.",
            fix="Use the exact index for embeddings of many vectors.",
        )
    return embeddings.vectors


def is_decodable(parts: Parts) -> bool:
    """Tell whether the vectors can be had back from the codes, near enough to build from them again."""
    return parts.refine != "none" or parts.codes in ("f32", "sq8")


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """The rows of a base that are not dead, with their vectors as its finest codes give them."""

    base: Base
    rows: Rows
    positions: NDArray[np.int64]
    decoder: object

    @classmethod
    def of(cls, base: Base) -> Live:
        """Read a base; its rows come in rising order, whatever their positions."""
        positions = np.setdiff1d(np.arange(len(base)), base.dead)
        rows = np.asarray(base.rows[positions])
        order = np.argsort(rows, kind="stable")
        return cls(base, rows[order], positions[order], _decoder(base))

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return int(self.base.engine.d)

    def batches(self, size: int) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield all rows with their vectors."""
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            yield self.rows[part], self._decoded(self.positions[part])

    def take(self, rows: Rows) -> Embeddings:
        """Return the vectors of some rows, in their order."""
        return self._decoded(self.positions[np.searchsorted(self.rows, rows)])

    def _decoded(self, positions: NDArray[np.int64]) -> Embeddings:
        vectors: NDArray[np.float32] = self.decoder.reconstruct_batch(positions)  # type: ignore[attr-defined]
        return Embeddings.dense(vectors)


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Two sources without a row in common, as one."""

    first: Live
    rows_of_second: Rows
    second: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.first.dim

    @property
    def rows(self) -> Rows:
        """All rows, rising."""
        return np.sort(np.concatenate([self.first.rows, self.rows_of_second]))

    def batches(self, size: int) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield all rows with their vectors."""
        rows = self.rows
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield part, self.take(part)

    def take(self, rows: Rows) -> Embeddings:
        """Return the vectors of some rows, in their order."""
        vectors = np.empty((len(rows), self.dim), np.float32)
        fresh = np.isin(rows, self.rows_of_second)
        vectors[fresh] = self.second[np.searchsorted(self.rows_of_second, rows[fresh])]
        vectors[~fresh] = self.first.take(rows[~fresh]).vectors
        return Embeddings.dense(vectors)


def _decoder(base: Base) -> object:
    lib = faiss()
    engine = base.engine
    if isinstance(engine, lib.IndexRefine):
        return lib.downcast_index(engine.refine_index)
    if isinstance(engine, lib.IndexIVF):
        # Rows are found in their lists by a map that a mapped index must not be given: others search it.
        copy = owned(engine)
        copy.make_direct_map()
        return copy
    return engine
