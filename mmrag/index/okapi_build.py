"""Count and score texts: the arrays of an Okapi index from an older one and fresh texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows
from mmrag.index.okapi_arrays import LANES, Allocate, OkapiArrays, hash_of, in_memory

_DENSE_SHARE = 8
"""A term that one text in so many holds is kept as a full array too: adding 100,000 numbers takes as
long as adding 12,000 at scattered places."""


@dataclass(frozen=True, slots=True)
class Formula:
    """The parameters of BM25Okapi."""

    k1: float
    b: float
    epsilon: float


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """New texts: how often text `docs[i]` holds term `terms[i]` of the pending vocabulary, sorted by term."""

    rows: Rows
    lengths: NDArray[np.int32]
    terms: NDArray[np.int32]
    docs: NDArray[np.int32]
    counts: NDArray[np.unsignedinteger[Any]]

    @classmethod
    def of(cls, rows: Rows, lengths: Sequence[int], tokens: Sequence[int]) -> Batch:
        """Count the tokens of texts, which stand one text after the other."""
        long = np.array(lengths, np.int32)
        whose = np.repeat(np.arange(len(rows), dtype=np.int64), long)
        keys, counts = np.unique(np.array(tokens, np.int64) * max(1, len(rows)) + whose, return_counts=True)
        terms, docs = np.divmod(keys, max(1, len(rows)))
        small = np.min_scalar_type(int(counts.max(initial=0)))
        return cls(rows, long, terms.astype(np.int32), docs.astype(np.int32), counts.astype(small))


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Texts to add: the batches in the order of adding, and which of their texts still count."""

    vocabulary: Sequence[str]
    batches: Sequence[Batch]
    counted: Sequence[NDArray[np.bool_]]

    @property
    def rows(self) -> Rows:
        """The rows that count, in the order of adding."""
        return np.concatenate([np.empty(0, np.int64), *self._each("rows")])

    @property
    def lengths(self) -> NDArray[np.int32]:
        """How many terms these have."""
        return np.concatenate([np.empty(0, np.int32), *self._each("lengths")])

    @property
    def most(self) -> int:
        """How often a text holds a term at most."""
        return max((int(batch.counts.max(initial=0)) for batch in self.batches), default=0)

    def parts(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]]:
        """Yield terms, positions and counts, a batch at a time, terms together."""
        before = 0
        for batch, counted in zip(self.batches, self.counted, strict=True):
            place = (np.cumsum(counted) - 1 + before).astype(np.int32)
            before += int(counted.sum())
            if counted.all():
                yield batch.terms, place[batch.docs], batch.counts
            else:
                kept = counted[batch.docs]
                yield batch.terms[kept], place[batch.docs[kept]], batch.counts[kept]

    def _each(self, name: str) -> list[NDArray[Any]]:
        return [getattr(b, name)[counted] for b, counted in zip(self.batches, self.counted, strict=True)]


def build(
    formula: Formula, old: OkapiArrays, keep: NDArray[np.bool_], fresh: Fresh, allocate: Allocate = in_memory
) -> OkapiArrays:
    """Build the arrays of an older index's texts (those to `keep`) and fresh ones.

    Memory holds a few numbers a term and text, and a part of the postings at a time.
    """
    words, held, of_old, of_fresh = _numbered(old, keep, fresh)
    starts = np.append(0, np.cumsum(held)).astype(np.int64)
    most = max(int(old.counts.max(initial=0)), fresh.most)
    placed: dict[str, NDArray[Any]] = {
        "docs": allocate("docs", (int(starts[-1]),), np.int32),
        "counts": allocate("counts", (int(starts[-1]),), np.min_scalar_type(most)),
    }
    new_place, cursor = (np.cumsum(keep) - 1).astype(np.int32), starts[:-1].copy()
    for terms, docs, counts in _kept(old, keep):
        _scatter(of_old[terms], new_place[docs], counts, cursor, placed)
    for terms, docs, counts in fresh.parts():
        _scatter(of_fresh[terms], docs + int(keep.sum()), counts, cursor, placed)
    rows = np.concatenate([old.rows[keep], fresh.rows])
    codes = np.array([hash_of(word) for word in words], np.uint64)
    order = np.argsort(codes)
    small: dict[str, NDArray[Any]] = {
        "rows": rows,
        "lengths": np.concatenate([old.lengths[keep], fresh.lengths]).astype(np.int32),
        "letters": np.frombuffer(b"".join(words), np.uint8),
        "ends": np.cumsum(np.array([len(word) for word in words], np.int64)),
        "hashes": codes[order],
        "hashed": order.astype(np.int32),
        "starts": starts,
        "idf": _idf(held, len(rows), formula.epsilon),
    }
    for name, values in small.items():
        placed[name] = allocate(name, values.shape, values.dtype)
        placed[name][...] = values
    placed |= _scored(formula, placed, allocate)
    return OkapiArrays(**{name: np.asarray(array) for name, array in placed.items()})


def _numbered(
    old: OkapiArrays, keep: NDArray[np.bool_], fresh: Fresh
) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return the terms still held, how many texts hold each, and the numbers of old and fresh terms."""
    held_before = np.zeros(max(1, len(old.ends)), np.int64)
    for terms, _, _ in _kept(old, keep):
        held_before += np.bincount(terms, minlength=len(held_before))
    held_fresh = np.zeros(max(1, len(fresh.vocabulary)), np.int64)
    for terms, _, _ in fresh.parts():
        held_fresh += np.bincount(terms, minlength=len(held_fresh))
    held = {old.term(i): int(held_before[i]) for i in np.flatnonzero(held_before).tolist()}
    for word, texts in zip(fresh.vocabulary, held_fresh.tolist(), strict=False):
        if texts:
            held[word.encode()] = held.get(word.encode(), 0) + texts
    words = sorted(held)
    number = {word: i for i, word in enumerate(words)}
    of_old = np.array([number.get(old.term(i), 0) for i in range(len(old.ends))], np.int32)
    of_fresh = np.array([number.get(word.encode(), 0) for word in fresh.vocabulary], np.int32)
    return words, np.array([held[word] for word in words], np.int64), of_old, of_fresh


def _kept(
    old: OkapiArrays, keep: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]]:
    for first, last in _stretches(old.starts):
        span = slice(int(old.starts[first]), int(old.starts[last]))
        terms = np.repeat(np.arange(first, last, dtype=np.int32), np.diff(old.starts[first : last + 1]))
        docs = old.docs[span]
        kept = keep[docs]
        yield terms[kept], docs[kept], old.counts[span][kept]


def _stretches(starts: NDArray[np.int64], postings: int = 2_000_000) -> Iterator[tuple[int, int]]:
    """Cut the terms into stretches of about so many postings, at least a term each."""
    first, terms = 0, len(starts) - 1
    while first < terms:
        last = int(np.searchsorted(starts, starts[first] + postings, side="right")) - 1
        last = min(terms, max(first + 1, last))
        yield first, last
        first = last


def _scatter(
    terms: NDArray[np.int32],
    docs: NDArray[np.int32],
    counts: NDArray[Any],
    cursor: NDArray[np.int64],
    placed: dict[str, NDArray[Any]],
) -> None:
    """Append postings, equal terms of which stand together, to the lists of their terms."""
    if not len(terms):
        return
    runs = np.append(0, np.flatnonzero(np.diff(terms)) + 1)
    long = np.diff(np.append(runs, len(terms)))
    within = np.arange(len(terms)) - np.repeat(runs, long)
    places = cursor[terms] + within
    placed["docs"][places] = docs
    placed["counts"][places] = counts
    cursor[terms[runs]] += long


def _idf(held: NDArray[np.int64], texts: int, epsilon: float) -> NDArray[np.float64]:
    idf: NDArray[np.float64] = np.log(texts - held + 0.5) - np.log(held + 0.5)
    if len(idf):
        idf[idf < 0] = epsilon * idf.mean()
    return idf


def _scored(formula: Formula, arrays: dict[str, NDArray[Any]], allocate: Allocate) -> dict[str, NDArray[Any]]:
    starts, docs, counts, idf = (arrays[name] for name in ("starts", "docs", "counts", "idf"))
    texts, terms = len(arrays["rows"]), len(idf)
    mean = arrays["lengths"].mean() if texts else 1.0
    damping = formula.k1 * (1 - formula.b + formula.b * arrays["lengths"] / max(mean, 1e-12))
    held = np.diff(starts)
    frequent = np.flatnonzero(held * _DENSE_SHARE > max(texts, LANES))
    scores = allocate("scores", docs.shape, np.float32)
    tops = allocate("tops", (terms,), np.float32)
    dense_of = allocate("dense_of", (terms,), np.int32)
    dense = allocate("dense", (len(frequent), -(-texts // LANES) * LANES), np.float32)
    for first, last in _stretches(starts):
        low, high = int(starts[first]), int(starts[last])
        counted = counts[low:high].astype(np.float64)
        value = counted * (formula.k1 + 1) / (counted + damping[docs[low:high]])
        value *= np.repeat(idf[first:last], held[first:last])
        scores[low:high] = value
        tops[first:last] = np.maximum.reduceat(scores[low:high], starts[first:last] - low)
    dense_of[...] = -1
    dense_of[frequent] = np.arange(len(frequent))
    for i, term in enumerate(frequent.tolist()):
        span = slice(int(starts[term]), int(starts[term + 1]))
        dense[i, docs[span]] = scores[span]
    return {"scores": scores, "tops": tops, "dense_of": dense_of, "dense": dense}
