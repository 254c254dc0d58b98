"""Sentences in which readers say what they left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def counted(thing: str, kinds: Counter[str]) -> str:
    """Return the sentence for things that could not be read: '3 shapes could not be read: 2 ..., 1 ...'."""
    count = kinds.total()
    listed = ", ".join(f"{n} {kind.removesuffix('.')}" for kind, n in sorted(kinds.items()))
    return f"{count} {thing}{'s' if count > 1 else ''} could not be read: {listed}."


def few_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first names of a list that may be long: 'a, b, c, ...'."""
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"
