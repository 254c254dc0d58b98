"""Which languages a corpus is in."""

from __future__ import annotations

from collections.abc import Mapping

_MAIN_SHARE = 0.1


def main_languages(counts: Mapping[str, int]) -> frozenset[str]:
    """Return the languages (ISO 639-1) of at least a tenth of the items whose language is known."""
    total = sum(counts.values())
    return frozenset(language for language, count in counts.items() if count >= _MAIN_SHARE * total)
