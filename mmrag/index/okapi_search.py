"""Find the best texts of an Okapi index: frequent terms are skipped where they cannot change the result."""

from __future__ import annotations

from collections import Counter
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows
from mmrag.index.okapi_arrays import LANES, OkapiArrays
from mmrag.index.ranking import Ranked, best

_MARGIN = 1e-5
"""Sums of float32 differ from the exact ones by less than this share."""
_FEW = 16
"""Looking a position up in a list costs about as much as adding so many of its postings."""

Positions = NDArray[np.integer[Any]]


class OkapiSearcher:
    """Searches arrays that do not change; several threads may share it."""

    def __init__(self, arrays: OkapiArrays) -> None:
        self.arrays = arrays
        rising = bool((np.diff(arrays.rows) > 0).all())
        self._order = None if rising else np.argsort(arrays.rows)
        self._sorted = arrays.rows if self._order is None else arrays.rows[self._order]
        self._own = local()

    def top(self, wanted: Counter[int], k: int, allow: Rows | None) -> Ranked:
        """Return the k best rows of terms, given by number, with how often the query has each."""
        arrays = self.arrays
        if not wanted or (allow is not None and len(allow) == 0):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        terms = sorted((int(arrays.starts[t + 1] - arrays.starts[t]), t) for t in wanted)
        places = None if allow is None else self.places(allow)
        if arrays.idf[[t for _, t in terms]].min() <= 0:
            # Only in tiny corpora: a term of half of the texts counts nothing, and may count less.
            found = np.unique(np.concatenate([self._docs(t) for _, t in terms]))
            found = found if places is None else np.intersect1d(found, places)
        elif places is None:
            few = self._skipping(terms, wanted, k)
            found = self._summed(terms, wanted, k) if few is None else few
        elif len(places) * _FEW < sum(n for n, _ in terms):
            found = places[self._holds(terms, places)]
        else:
            found = self._summed(terms, wanted, k, places)
        return best(arrays.rows[found], self.scores(wanted, found).astype(np.float32), k)

    def scores(self, wanted: Counter[int], places: Positions) -> NDArray[np.float64]:
        """Return the exact scores of positions, which are sorted."""
        total = np.zeros(len(places))
        for term, times in wanted.items():
            total += times * self._at(term, places).astype(np.float64)
        return total

    def places(self, rows: Rows) -> Positions:
        """Return the positions of rows, sorted; rows that it does not hold are left out."""
        at = np.searchsorted(self._sorted, rows)
        at[at == len(self._sorted)] = 0
        at = at[self._sorted[at] == rows] if len(self._sorted) else at[:0]
        return at if self._order is None else np.sort(self._order[at])

    def _skipping(self, terms: list[tuple[int, int]], wanted: Counter[int], k: int) -> Positions | None:
        """Return all positions that may be among the k best, from the lists of the rare terms alone.

        A text without a rare term reaches at most the highest scores of the frequent ones together: where
        k texts have more, it need not be looked at. None where that cannot be shown.
        """
        bounds = np.array([wanted[t] * float(self.arrays.tops[t]) for _, t in terms])
        rest = bounds.sum() - np.cumsum(bounds)
        split = int(np.argmax(np.cumsum(bounds) > rest)) + 1
        size = sum(n for n, _ in terms[:split])
        if size < k or size * _FEW > len(self.arrays.rows) or split == len(terms) > 1:
            return None
        total = self._taken()
        lists = [self._docs(t) for _, t in terms[:split]]
        for docs, (_, term) in zip(lists, terms, strict=False):
            total[docs] += wanted[term] * self._scores(term)
        partial = []
        for docs in lists:
            partial.append(total[docs])
            # A text of several lists keeps its sum in the first one, and the next query finds zeros.
            total[docs] = 0
        self._own.total = total
        sums = partial[0] if split == 1 else np.concatenate(partial)
        least = np.partition(sums, len(sums) - k)[len(sums) - k] * (1 - _MARGIN)
        missing = rest[split - 1]
        if least <= missing:
            return None
        docs = lists[0] if split == 1 else np.concatenate(lists)
        return np.sort(docs[sums >= least - missing])

    def _summed(
        self, terms: list[tuple[int, int]], wanted: Counter[int], k: int, places: Positions | None = None
    ) -> Positions:
        """Return all positions that may be among the k best (of `places`), from the sums of all lists."""
        arrays = self.arrays
        total = self._taken()
        for _, term in terms:
            times, dense = wanted[term], int(arrays.dense_of[term])
            values = arrays.dense[dense] if dense >= 0 else self._scores(term)
            if times > 1:
                values = values * np.float32(times)
            if dense >= 0:
                total += values
            else:
                total[self._docs(term)] += values
        found = _best_of(total, k) if places is None else places[_best_of(total[places], k)]
        total.fill(0)
        self._own.total = total
        return found

    def _taken(self) -> NDArray[np.float32]:
        """Take this thread's sums, all zero; given back so, or by an interrupted search not at all."""
        total: NDArray[np.float32] | None = getattr(self._own, "total", None)
        self._own.total = None
        # A fresh one for each query costs 100 page faults at 100,000 texts.
        size = -(-len(self.arrays.rows) // LANES) * LANES
        return np.zeros(size, np.float32) if total is None else total

    def _holds(self, terms: list[tuple[int, int]], places: Positions) -> NDArray[np.bool_]:
        held = np.zeros(len(places), bool)
        for _, term in terms:
            held |= self._among(term, places)[1]
        return held

    def _at(self, term: int, places: Positions) -> NDArray[np.float32]:
        dense = int(self.arrays.dense_of[term])
        if dense >= 0:
            full: NDArray[np.float32] = self.arrays.dense[dense]
            return full[places]
        at, held = self._among(term, places)
        return np.where(held, self._scores(term)[at], np.float32(0))

    def _among(self, term: int, places: Positions) -> tuple[Positions, NDArray[np.bool_]]:
        """Return where positions would stand in a term's list, and which of them do."""
        docs = self._docs(term)
        at = np.searchsorted(docs, places.astype(docs.dtype, copy=False))
        at[at == len(docs)] = 0
        return at, docs[at] == places

    def _docs(self, term: int) -> NDArray[np.int32]:
        return self.arrays.docs[self.arrays.starts[term] : self.arrays.starts[term + 1]]

    def _scores(self, term: int) -> NDArray[np.float32]:
        return self.arrays.scores[self.arrays.starts[term] : self.arrays.starts[term + 1]]


def _best_of(sums: NDArray[np.float32], k: int) -> Positions:
    """Return the places of the k best sums, and of those that rounding may have put behind them."""
    if k >= len(sums):
        return np.flatnonzero(sums > 0)
    # The k-th best of the highest of each slice is at most the k-th best of all, and much sooner found.
    whole = len(sums) // LANES * LANES
    heads = sums[:whole].reshape(LANES, -1).max(axis=0) if whole >= 2 * k * LANES else sums
    least = np.partition(heads, len(heads) - k)[len(heads) - k]
    return np.flatnonzero(sums >= least * (1 - _MARGIN) if least > 0 else sums > 0)
