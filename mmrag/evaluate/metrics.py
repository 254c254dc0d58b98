"""Retrieval metrics over one ranking; the mean over queries is the caller's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from mmrag.core.errors import ConfigError


def rank(scores: Mapping[str, float]) -> list[str]:
    """Return the ids of a run, best score first; equal scores go by id, ascending.

    The order of equal scores is ours to choose. trec_eval sorts them by id descending, which
    gives other figures on runs with many ties.
    """
    return sorted(scores, key=lambda name: (-scores[name], name))


def hit_rate(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return 1 if one of the first k is relevant, else 0 (success@k)."""
    _check(k)
    return float(any(name in relevant for name in ranking[:k]))


def recall(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the share of the relevant that is among the first k; 0 when nothing is relevant.

    A name that stands twice in the ranking counts once.
    """
    _check(k)
    wanted = set(relevant)
    return len(wanted.intersection(ranking[:k])) / len(wanted) if wanted else 0.0


def mrr(ranking: Sequence[str], relevant: Collection[str], k: int | None = None) -> float:
    """Return 1 / rank of the first relevant (among the first k, if given), 0 if there is none.

    Source: Voorhees, The TREC-8 Question Answering Track Report, 1999.
    """
    if k is not None:
        _check(k)
    return next((1.0 / i for i, name in enumerate(ranking[:k], 1) if name in relevant), 0.0)


def dcg(gains: Sequence[float]) -> float:
    """Return the sum of gain_i / log2(i + 1) for i from 1."""
    values = np.asarray(gains, dtype=np.float64)
    return float((values / np.log2(np.arange(2, len(values) + 2))).sum())


def ndcg(ranking: Sequence[str], gains: Mapping[str, float], k: int) -> float:
    """Return DCG@k over the DCG@k of the best order; 0 when nothing has a gain.

    Gains enter as they are (linear, as in trec_eval and pytrec_eval); pass 2**grade - 1 for the
    exponential form. A name that stands twice gains once.

    Source: Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, TOIS 2002.
    """
    _check(k)
    if any(gain < 0 for gain in gains.values()):
        raise ConfigError("A gain is negative.", fix="Give gains of 0 or more.", where="gains")
    ideal = dcg(sorted(gains.values(), reverse=True)[:k])
    seen: set[str] = set()
    found = []
    for name in ranking[:k]:
        found.append(0.0 if name in seen else gains.get(name, 0.0))
        seen.add(name)
    return dcg(found) / ideal if ideal > 0 else 0.0


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, None of nothing."""
    return float(np.mean(values)) if len(values) else None


def _check(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k is {k}.", fix="Give 1 or more.", where="k")
