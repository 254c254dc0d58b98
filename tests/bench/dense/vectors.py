"""Vectors to search: clustered unit vectors with a decaying spectrum, drawn again from a seed when needed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmrag.core.types import Embeddings

DIM = 384
BLOCK = 10_000
_CLUSTERS = 2_000
_QUERIES_AT = 1 << 40


class Drawn:
    """A VectorSource of rows 0 to `count` - 1; each block of vectors is drawn from a seed of its own.

    Embeddings of texts fill few of their dimensions: the variance along their principal axes falls
    like a power of the axis, and topics overlap rather than lie apart. So a vector is a topic's centre plus
    as much noise, both shrunk along random axes by axis ** -0.5, and then normalised. The true neighbours
    of a query then lie in several clusters: hnswlib with 16 links finds .95 of them among 20,000 at ef 40,
    and .75 at ef 10, where isotropic tight clusters let any index find all.
    No more than one block is ever held, so that 10 million vectors need no disk and no memory.

    Args:
        count: How many vectors.
        seed: Other seeds give other vectors of the same distribution.

    Units:
        `cpu_s` and `wall_s` are the seconds spent drawing so far, to be taken off a build's time.
    """

    dim = DIM

    def __init__(self, count: int, seed: int = 1) -> None:
        self.count = count
        self.rows = np.arange(count, dtype=np.int64)
        self.cpu_s = self.wall_s = 0.0
        self._seed = seed
        rng = np.random.default_rng(7)
        axes, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
        self._axes = (np.arange(1, DIM + 1)[:, None] ** -0.5 * axes).astype(np.float32)
        self._centres = rng.standard_normal((_CLUSTERS, DIM), dtype=np.float32)
        self._held: tuple[int, NDArray[np.float32]] = (-1, np.empty((0, DIM), np.float32))

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        """Yield all rows with their embeddings, at most `size` rows at a time."""
        for start in range(0, self.count, BLOCK):
            block = self._block(start // BLOCK)[: self.count - start]
            for at in range(0, len(block), size):
                vectors = block[at : at + size]
                yield self.rows[start + at : start + at + len(vectors)], Embeddings.dense(vectors)

    def take(self, rows: NDArray[np.int64]) -> Embeddings:
        """Return the embeddings of some rows, in their order."""
        taken = np.empty((len(rows), DIM), np.float32)
        blocks = rows // BLOCK
        for number in np.unique(blocks):
            mine = blocks == number
            taken[mine] = self._block(int(number))[rows[mine] % BLOCK]
        return Embeddings.dense(taken)

    def queries(self, count: int) -> NDArray[np.float32]:
        """Return vectors of the same distribution that are none of the rows."""
        return self._draw(_QUERIES_AT, count)

    def _block(self, number: int) -> NDArray[np.float32]:
        if self._held[0] != number:
            cpu, wall = time.thread_time(), time.perf_counter()
            self._held = number, self._draw(number, BLOCK)
            self.cpu_s += time.thread_time() - cpu
            self.wall_s += time.perf_counter() - wall
        return self._held[1]

    def _draw(self, number: int, count: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, number])
        topics = self._centres[rng.integers(0, _CLUSTERS, count)]
        vectors = (topics + rng.standard_normal((count, DIM), dtype=np.float32)) @ self._axes
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors.flags.writeable = False
        return vectors


def true_rows(source: Drawn, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the rows of the k largest inner products of each query, best first, int64 [n_queries, k]."""
    best_rows = np.empty((len(queries), 0), np.int64)
    best_scores = np.empty((len(queries), 0), np.float32)
    for rows, embeddings in source.batches(BLOCK):
        scores = queries @ embeddings.vectors.T
        top = np.argpartition(-scores, min(k, len(rows)) - 1, axis=1)[:, :k]
        best_rows = np.hstack([best_rows, rows[top]])
        best_scores = np.hstack([best_scores, np.take_along_axis(scores, top, axis=1)])
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, :k]
        best_rows = np.take_along_axis(best_rows, order, axis=1)
        best_scores = np.take_along_axis(best_scores, order, axis=1)
    return best_rows


def recall(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Return the mean share of the true rows found; -1 pads both sides and counts as nothing."""
    shares = []
    for some, wanted in zip(found, true, strict=True):
        wanted = wanted[wanted >= 0]
        shares.append(len(np.intersect1d(some, wanted)) / len(wanted))
    return float(np.mean(shares))
