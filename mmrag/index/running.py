"""Keep the best rows of many queries while scores come in block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows
from mmrag.index.ranking import TIE, Ranked, best

_SAMPLE = 8192
"""The first bound comes from this many scores a query; later ones from what has passed."""
_LOWEST = np.finfo(np.float32).min
"""Only MaxSim over an item without vectors gives less, -inf: no match."""


class RunningBest:
    """The k best rows of each query so far, and all that tie with the last of them.

    What `ranked` returns is what `mmrag.index.ranking.best` finds among all scores at once, whatever
    the blocks: a score that is left out is more than a tie below k others.
    """

    def __init__(self, queries: int, k: int) -> None:
        self._queries, self._k = queries, k
        self._bounds = np.full(queries, _LOWEST, np.float32)
        self._owners: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._rows: list[Rows] = [np.empty(0, np.int64)]
        self._scores: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
        self._kept = self._waiting = 0
        self._started = False

    def take(self, rows: Rows, scores: NDArray[np.float32]) -> None:
        """Take the scores of some rows; no row comes twice.

        Shapes:
            rows (n,), scores (queries, n)
        """
        if not self._started and scores.shape[1] >= self._k:
            self._start(scores)
        # Comparing takes a fifth of the time of partitioning each query's scores, which in batches of
        # 1,000 queries over 100,000 rows took longer than the products did.
        hits = np.flatnonzero(scores >= self._bounds[:, None])
        if not len(hits):
            return
        owners, places = np.divmod(hits, scores.shape[1])
        self._owners.append(owners)
        self._rows.append(rows[places])
        self._scores.append(scores.ravel()[hits])
        self._waiting += len(hits)
        if self._waiting > 4 * self._queries * self._k + self._kept:
            self._thin()

    def ranked(self) -> list[Ranked]:
        """Return the k best rows and their scores, a query each, best first."""
        self._thin()
        cuts = np.searchsorted(self._owners[0], np.arange(1, self._queries))
        rows, scores = np.split(self._rows[0], cuts), np.split(self._scores[0], cuts)
        return [best(r, s, self._k) for r, s in zip(rows, scores, strict=True)] if self._queries else []

    def _start(self, scores: NDArray[np.float32]) -> None:
        some = scores[:, : max(_SAMPLE, self._k)]
        last = some.shape[1] - self._k
        self._raise(np.partition(some, last, axis=1)[:, last])
        self._started = True

    def _raise(self, last_of_k: NDArray[np.float32]) -> None:
        self._bounds = np.maximum(self._bounds, last_of_k - np.float32(TIE))

    def _thin(self) -> None:
        """Drop what cannot be among the best any more; leave the rest sorted by query."""
        owners, rows = np.concatenate(self._owners), np.concatenate(self._rows)
        scores = np.concatenate(self._scores)
        order = np.lexsort((rows, -scores, owners))
        owners, rows, scores = owners[order], rows[order], scores[order]
        starts = np.searchsorted(owners, np.arange(self._queries))
        lasts = starts + self._k - 1
        full = np.append(starts[1:], len(owners)) > lasts
        if len(scores):
            self._raise(np.where(full, scores[np.minimum(lasts, len(scores) - 1)], _LOWEST))
        keep = scores >= self._bounds[owners]
        # Of many rows with one score (copies of a text), k are enough: those with the smallest numbers.
        new = np.ones(len(scores), bool)
        new[1:] = (scores[1:] != scores[:-1]) | (owners[1:] != owners[:-1])
        at = np.arange(len(scores))
        keep &= at - np.maximum.accumulate(np.where(new, at, 0)) < self._k
        self._owners, self._rows, self._scores = [owners[keep]], [rows[keep]], [scores[keep]]
        self._kept, self._waiting = int(keep.sum()), 0
