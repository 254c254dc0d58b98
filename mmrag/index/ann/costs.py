"""Estimate what the ways to search take, in nanoseconds of one core, so that plans compare them.

Plans follow from these figures and never from a clock: the same index and filter give the same plan. They
were measured at 100,000 vectors of 384 dimensions in 1024 lists (AMD EPYC of family 26, AVX-512, one
thread); on other machines all of them shift together.
"""

from __future__ import annotations

from mmrag.index.ann.engine import Layers

_QUESTIONS = 4


def reading(layers: Layers, probes: int, total: int, held: int, count: int) -> float:
    """Return the cost of reading some lists for one query.

    Packed codes take 4 ns a row of 384 dimensions, allowed or not; other codes 1 ns a row and 45 ns
    an allowed one; a list 1.5 us when one query reads it alone; the choice of lists and the rest 100 us.

    Args:
        layers: The engine's.
        probes: How many lists are read.
        total: How many rows there are.
        held: How many lists hold allowed rows.
        count: How many rows are allowed.
    """
    rows, scored, dim = total * probes / layers.lists, count * probes / held, int(layers.engine.d)
    return 100_000 + 1500 * probes + (rows * dim * 0.01 if layers.is_packed else rows + scored * dim * 0.12)


def rescoring(candidates: float, dim: int) -> float:
    """Return the cost of scoring candidates again: 70 ns each, one miss of the cache."""
    return candidates * (20 + dim * 0.13)


def copying(layers: Layers, count: int, *, is_kept: bool) -> float:
    """Return the cost of copying rows' codes together (100 ns for 768 bytes) and scoring them (25 ns).

    A copy that is kept for the next questions under the same filter counts as if four asked.
    """
    copied = 0.13 * int(layers.codes.code_size) / (_QUESTIONS if is_kept else 1)
    return 20_000 + count * (copied + 0.065 * int(layers.engine.d))


def passing(layers: Layers, total: int, count: int) -> float:
    """Return the cost of passing over all rows (3.3 ns) and scoring the allowed ones (70 ns, from memory)."""
    return total * 3.3 + rescoring(count, int(layers.engine.d))


def walking(layers: Layers, breadth: int) -> float:
    """Return the cost of a walk through a graph of 16 links a row: 2.8 us a step of `efSearch`."""
    return breadth * (1000 + 4.7 * int(layers.engine.d))
