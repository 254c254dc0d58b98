"""Look at an embedding space: is it split by modality, what lies too near, what lies far off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError

Vectors = NDArray[np.float32]

NEIGHBOURS = 10
_PROBES = 2000
_PAIRS = 1000
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Questions:
    """Queries that each have one right answer among the vectors.

    Shapes:
        vectors float32 [n, dim] unit vectors; answers int64 [n], places in the space
    """

    vectors: Vectors
    answers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a space lies.

    Args:
        gap: The length of the difference of two modalities' means, "image-text" and so on.
        similarity: The mean cosine within a modality ("image") and between two ("image-text").
        other_neighbours: Of the 10 nearest neighbours, the share of another modality.
        other_by_chance: What that share would be if modality did not matter.
    """

    gap: Mapping[str, float]
    similarity: Mapping[str, float]
    other_neighbours: float
    other_by_chance: float


@dataclass(frozen=True, slots=True)
class Found:
    """What questions find in a space, as shares of all.

    Args:
        wrong_at_1: Of the first answers, those of another modality than the right one.
        wrong_at_10: Of the first ten, the same.
        hit_at_1: Questions whose right answer comes first.
        hit_at_10: Questions whose right answer is among the first ten.
    """

    wrong_at_1: float
    wrong_at_10: float
    hit_at_1: float
    hit_at_10: float


@dataclass(frozen=True, slots=True)
class Odd:
    """Items to look at, by their places in the space.

    Args:
        duplicates: Pairs of the nearest pictures and their cosine, the nearest first.
        outliers: Pictures and their mean cosine with their nearest ten, the loneliest first.
    """

    duplicates: tuple[tuple[int, int, float], ...] = field(default_factory=tuple)
    outliers: tuple[tuple[int, float], ...] = field(default_factory=tuple)


def shape_of(vectors: Vectors, modalities: Sequence[str], *, seed: int = 0) -> Shape:
    """Measure a space.

    Args:
        vectors: Unit vectors.
        modalities: Of each.
        seed: Of the sample that neighbours are counted for.

    Shapes:
        vectors float32 [n, dim]

    Raises:
        ConfigError: There are less than two vectors.

    Source: Liang et al., Mind the Gap, NeurIPS 2022, for the gap.
    """
    names = np.asarray(modalities)
    if len(vectors) < 2:
        raise ConfigError(f"The space has {len(vectors)} vectors.", fix="Index at least two items.")
    rng = np.random.default_rng(seed)
    kinds = sorted(set(names.tolist()))
    means = means_of(vectors, modalities)
    gap = {f"{a}-{b}": float(np.linalg.norm(means[a] - means[b])) for a, b in _pairs(kinds)}
    similarity = {kind: _within(vectors[names == kind], rng) for kind in kinds}
    for a, b in _pairs(kinds):
        similarity[f"{a}-{b}"] = float(means[a] @ means[b])
    probes = np.sort(rng.permutation(len(vectors))[:_PROBES])
    near = nearest(vectors[probes], vectors, min(NEIGHBOURS, len(vectors) - 1), without=probes)
    other = float((names[near] != names[probes, None]).mean())
    counts = np.array([(names == kind).sum() for kind in kinds], np.float64)
    chance = float((counts * (len(names) - counts)).sum() / (len(names) * (len(names) - 1)))
    return Shape(gap, similarity, other, chance)


def found_by(
    questions: Questions, vectors: Vectors, modalities: Sequence[str], *, calibrated: bool = False
) -> Found:
    """Ask, and see which modality answers.

    Args:
        questions: At least one.
        vectors: The space.
        modalities: Of each.
        calibrated: Put each modality's scores on one scale first: their distance from its mean score, in
            standard deviations.

    Source: Lin et al., MM-Embed, ICLR 2025, for answers of the wrong modality.
    """
    names = np.asarray(modalities)
    scores = questions.vectors @ vectors.T
    if calibrated:
        for kind in set(modalities):
            part = scores[:, names == kind]
            scores[:, names == kind] = (part - part.mean()) / max(float(part.std()), 1e-9)
    found = _best(scores, min(NEIGHBOURS, len(vectors)))
    wrong = names[found] != names[questions.answers, None]
    right = found == questions.answers[:, None]
    return Found(
        float(wrong[:, 0].mean()),
        float(wrong.mean()),
        float(right[:, 0].mean()),
        float(right.any(axis=1).mean()),
    )


def means_of(vectors: Vectors, modalities: Sequence[str]) -> dict[str, Vectors]:
    """Return the mean vector of each modality."""
    names = np.asarray(modalities)
    return {kind: vectors[names == kind].mean(axis=0) for kind in sorted(set(names.tolist()))}


def centred(vectors: Vectors, modalities: Sequence[str], means: Mapping[str, Vectors]) -> Vectors:
    """Take each vector's modality's mean away and bring it back to length 1.

    Shapes:
        vectors float32 [n, dim] -> float32 [n, dim]
    """
    moved = vectors.astype(np.float32, copy=True)
    names = np.asarray(modalities)
    for kind, mean in means.items():
        moved[names == kind] -= mean
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    unit: Vectors = np.divide(moved, lengths, out=moved, where=lengths > 0)
    return unit


def odd_pictures(vectors: Vectors, places: NDArray[np.int64], *, near: float = 0.98, most: int = 20) -> Odd:
    """Find pictures that nearly repeat another one, and pictures that are like no other.

    Args:
        vectors: The whole space, unit vectors.
        places: Which of them are pictures.
        near: Pictures with at least this cosine are near duplicates.
        most: So many of each at most.
    """
    pictures = vectors[places]
    if len(pictures) < 2:
        return Odd()
    pairs: list[tuple[float, int, int]] = []
    loneliness = np.empty(len(pictures), np.float32)
    k = min(NEIGHBOURS, len(pictures) - 1)
    for start in range(0, len(pictures), _BLOCK):
        scores = pictures[start : start + _BLOCK] @ pictures.T
        own = np.arange(len(scores))
        scores[own, start + own] = -np.inf
        loneliness[start : start + _BLOCK] = np.sort(scores, axis=1)[:, -k:].mean(axis=1)
        # Each pair once; in a space that has collapsed all are near, so that only the best are kept.
        scores[np.arange(len(pictures)) <= start + own[:, None]] = -np.inf
        best = np.argpartition(-scores, min(most, scores.size - 1), axis=None)[:most]
        for left, right in zip(*np.unravel_index(best, scores.shape), strict=True):
            if scores[left, right] >= near:
                pairs.append((float(scores[left, right]), int(left) + start, int(right)))
        pairs = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:most]
    lonely = np.argsort(loneliness, kind="stable")[:most]
    return Odd(
        tuple((int(places[a]), int(places[b]), round(score, 4)) for score, a, b in pairs),
        tuple((int(places[i]), round(float(loneliness[i]), 4)) for i in lonely),
    )


def nearest(
    probes: Vectors, vectors: Vectors, k: int, *, without: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the places of the k nearest vectors of each probe, the nearest first, itself left out.

    Shapes:
        probes float32 [n, dim], vectors float32 [m, dim], without int64 [n] -> int64 [n, k]
    """
    found = np.empty((len(probes), k), np.int64)
    for start in range(0, len(probes), _BLOCK):
        scores = probes[start : start + _BLOCK] @ vectors.T
        if without is not None:
            scores[np.arange(len(scores)), without[start : start + _BLOCK]] = -np.inf
        found[start : start + _BLOCK] = _best(scores, k)
    return found


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the k best scores of each row, the best first."""
    best = np.argpartition(-scores, min(k, scores.shape[1] - 1), axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1).astype(np.int64)


def _within(vectors: Vectors, rng: np.random.Generator) -> float:
    """Return the mean cosine of pairs of different vectors, over a sample of them."""
    some = vectors[rng.permutation(len(vectors))[:_PAIRS]]
    if len(some) < 2:
        return 1.0
    total = float(np.square(some.sum(axis=0, dtype=np.float64)).sum()) - float(np.square(some).sum())
    return total / (len(some) * (len(some) - 1))


def _pairs(kinds: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :]]
