"""Numbers with their uncertainty: totals of a corpus from samples of its parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SIGMAS = 2.0
_UNKNOWN = 1.0
"""The relative uncertainty of what was not sampled, or seen once only."""

_ENOUGH = 4
"""Fewer files, all alike by chance, do not show that size does not matter."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An estimated number: `error` is its standard error, 0 for what was counted."""

    value: float
    error: float = 0.0

    @property
    def low(self) -> float:
        """The lower end of two standard errors, never below 0."""
        return max(0.0, self.value - _SIGMAS * self.error)

    @property
    def high(self) -> float:
        """The upper end of two standard errors."""
        return self.value + _SIGMAS * self.error

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.value + other.value, math.hypot(self.error, other.error))

    def times(self, factor: float) -> Amount:
        """Return it in other units."""
        return Amount(self.value * factor, self.error * abs(factor))

    def by(self, other: Amount) -> Amount:
        """Return the product of two amounts that vary independently."""
        error = math.hypot(self.value * other.error, other.value * self.error)
        return Amount(self.value * other.value, error)


ZERO = Amount(0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the corpus whose files are alike: what was seen of some, and what all of them weigh.

    Args:
        files: How many files it has.
        bytes: What they weigh together.
        sizes: The bytes of each sampled file.
        values: What was found in each, in the same order.
    """

    files: int
    bytes: int
    sizes: Sequence[int]
    values: Sequence[float]


def total(parts: Mapping[str, Sequence[Part]]) -> Amount:
    """Return the sum over all files of what was found in the sampled ones.

    Of each part it is in proportion to the files or to their bytes (an expansion or a ratio estimate, with
    its usual variance), whichever fits the sampled ones better: a picture is one item whatever its size. A
    part of which nothing was sampled is taken to be like the other parts of its kind, and is uncertain.

    Args:
        parts: The parts of each kind.

    Source: Cochran, Sampling Techniques, 3rd edition, sections 2.6 and 6.3.
    """
    found = ZERO
    for kind in parts.values():
        sizes = [size for part in kind for size in part.sizes]
        values = [value for part in kind for value in part.values]
        for part in kind:
            if part.sizes:
                found += _of_part(part)
            elif sizes:
                guess = _of_part(Part(part.files, part.bytes, sizes, values)).value
                found += Amount(guess, _UNKNOWN * guess / _SIGMAS)
    return found


def _of_part(part: Part) -> Amount:
    count, weight = len(part.sizes), sum(part.sizes)
    if count == part.files:
        return Amount(float(sum(part.values)))
    by_file = _scaled(part, [1.0] * count, float(part.files))
    by_bytes = _scaled(part, [float(size) for size in part.sizes], float(part.bytes)) if weight else by_file
    better = by_file if count >= _ENOUGH and by_file.error < by_bytes.error else by_bytes
    # Files that are all alike in a small sample need not be so everywhere.
    return Amount(better.value, max(better.error, better.value / (2 * count)))


def _scaled(part: Part, sizes: Sequence[float], whole: float) -> Amount:
    """Return the total of what grows with some size, of which all files together have `whole`."""
    count = len(sizes)
    rate = sum(part.values) / sum(sizes)
    value = rate * whole
    if count == 1:
        return Amount(value, _UNKNOWN * value / _SIGMAS)
    pairs = zip(sizes, part.values, strict=True)
    spread = sum((found - rate * size) ** 2 for size, found in pairs) / (count - 1)
    # A few values do not show their whole spread: about what Student's t allows for that.
    unseen = 1 + 2 / (count - 1)
    return Amount(value, unseen * part.files * math.sqrt(max(0.0, 1 - count / part.files) * spread / count))


def mean(values: Iterable[float], weights: Iterable[float], *, otherwise: float) -> Amount:
    """Return a weighted mean with its standard error.

    Args:
        values: What was measured.
        weights: How much each counts.
        otherwise: The relative error of a single value, from which no spread can be seen.
    """
    pairs = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight > 0]
    if not pairs:
        return ZERO
    weight = sum(w for _, w in pairs)
    middle = sum(v * w for v, w in pairs) / weight
    if len(pairs) == 1:
        return Amount(middle, otherwise * middle)
    spread = sum(w * (v - middle) ** 2 for v, w in pairs) / weight
    return Amount(middle, math.sqrt(spread / (len(pairs) - 1)))
