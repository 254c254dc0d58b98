"""The kinds of dense index, as one table of what they are put together from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

KindName = Literal["flat", "ivf-flat", "ivf-sq8", "ivf-pq", "ivf-rabitq", "hnsw", "flat-sq8", "flat-binary"]
Structure = Literal["flat", "ivf", "hnsw"]
Codes = Literal["f32", "sq8", "pq4", "pq8", "rabitq"]
Refine = Literal["f16", "sq8", "none"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a kind is put together from.

    Args:
        structure: Which vectors a query looks at: all, some inverted lists, or a walk through a graph.
        codes: What is kept of a vector where it is looked at.
        refine: The finer codes by which candidates are scored again.
    """

    structure: Structure
    codes: Codes
    refine: Refine = "none"

    @property
    def is_packed(self) -> bool:
        """Whether lists hold codes packed for SIMD: FAISS copies those into memory, mapped or not."""
        return self.structure == "ivf" and self.codes in ("pq4", "rabitq")


KINDS: dict[KindName, Parts] = {
    "flat": Parts("flat", "f32"),
    "flat-sq8": Parts("flat", "sq8"),
    # One bit a dimension about the stored mean, with two stored numbers a row: at 100k vectors of 384
    # dimensions it found .974 of the true ten where plain signs (LSH) cannot be filtered at all.
    "flat-binary": Parts("flat", "rabitq", "f16"),
    "ivf-flat": Parts("ivf", "f32"),
    "ivf-sq8": Parts("ivf", "sq8"),
    "ivf-pq": Parts("ivf", "pq4", "f16"),
    "ivf-rabitq": Parts("ivf", "rabitq", "f16"),
    "hnsw": Parts("hnsw", "f32"),
}

SMALL = 256
"""Below it nothing is trained: an exact scan takes some microseconds."""

_MIN_POINTS_A_LIST = 39


def lists_for(count: int) -> int:
    """Return the power of two nearest to four roots of the count, with rows enough a list to train."""
    wanted = round(math.log2(4 * max(count, 1) ** 0.5))
    most = math.floor(math.log2(max(1, count // _MIN_POINTS_A_LIST)))
    return 1 << min(wanted, most)
