"""Recall by the modality of what should have been found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mmrag.evaluate.metrics import mean, recall


def recall_by_modality(
    rankings: Mapping[str, Sequence[str]],
    relevant: Mapping[str, Collection[str]],
    modality_of: Mapping[str, str],
    k: int,
) -> dict[str, float]:
    """Return the mean recall@k of a run for each modality: whether text starves pictures, or they it.

    A query counts for a modality when something relevant to it has that modality; what is relevant and of
    another modality is left out there, but takes its places among the first k.

    Args:
        rankings: What a run found, best first, by query; a query that is missing found nothing.
        relevant: What is relevant to each query.
        modality_of: The modality of all that is relevant.
        k: How deep to look.

    Raises:
        ConfigError: k is below 1.
        KeyError: The modality of something relevant is not given.
    """
    shares: dict[str, list[float]] = {}
    for query, wanted in relevant.items():
        by_modality: dict[str, set[str]] = {}
        for name in wanted:
            by_modality.setdefault(modality_of[name], set()).add(name)
        for modality, names in by_modality.items():
            shares.setdefault(modality, []).append(recall(rankings.get(query, ()), names, k))
    return {modality: value for modality in sorted(shares) if (value := mean(shares[modality])) is not None}
