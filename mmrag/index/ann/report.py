"""What an index tells of itself: what it holds, how well it finds, what it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrag.index.ann.base import Base, Point
from mmrag.index.ann.build import Built
from mmrag.index.ann.facts import Price
from mmrag.index.ann.kinds import SMALL, Parts

_GRAPH_BYTES = 140
"""What the 16 links a row of a graph take, both ways on the ground level."""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The state of a dense index.

    Args:
        kind: The kind that was asked for.
        rows: How many rows are found.
        fresh: How many of them are newer than the built part, and searched exactly.
        removed: How many rows of the built part are not shown any more.
        target: The recall at 10 that was aimed at.
        points: What was measured: the recall of the best k, and how far a search looks for it.
        sample: How many queries that was measured with.
        disk_bytes: What the files take; 0 in memory.
        memory_bytes: What stays in memory whatever is searched; mapped files are not counted.
        prices: What coarser codes and fewer dimensions cost.
        device: Where it is searched.
        build_cpu_s: CPU-seconds of the build.
        notes: Sentences that say why it is as it is.
    """

    kind: str
    rows: int
    fresh: int
    removed: int
    target: float
    points: tuple[Point, ...]
    sample: int
    disk_bytes: int
    memory_bytes: int
    prices: tuple[Price, ...]
    device: str
    build_cpu_s: float
    notes: tuple[str, ...]


def row_bytes(parts: Parts, dim: int) -> int:
    """Return about what a row takes in the files: codes, finer codes, its number and its list."""
    sizes = {"f32": 4 * dim, "f16": 2 * dim, "sq8": dim, "none": 0}
    sizes |= {"pq4": dim // 4, "pq8": dim // 8, "rabitq": dim // 8 + 8}
    extra = {"flat": 8, "ivf": 8 + 8 + 4, "hnsw": 8 + _GRAPH_BYTES}[parts.structure]
    return sizes[parts.codes] + sizes[parts.refine] + extra


def reasons(built: Built | None, fresh: int, probes: int) -> tuple[str, ...]:
    """Say in sentences why the index is as it is."""
    if built is None:
        return (f"Nothing is built yet: {fresh:,} rows are searched exactly.",) if fresh else ()
    facts, live = built.facts, len(built.base) - len(built.base.dead)
    notes = []
    if facts.parts == Parts("flat", "f32") and facts.kind != "flat":
        notes.append(f"Fewer than {SMALL} rows were there when it was built: all of them are scanned.")
    if facts.parts.codes == "pq8":
        notes.append("It is built with 8-bit codes, the ones that a GPU can search.")
    if probes:
        notes.append(f"The options fix {probes} probes: the recall of the points was measured with others.")
    if missed := [point for point in facts.points if point.recall < facts.target]:
        deepest = missed[-1]
        notes.append(
            f"The best {deepest.k} are found with a recall of {deepest.recall:.3f}, below the target of "
            f"{facts.target:.2f}: these codes give no more."
        )
    notes += [
        f"With {price.saving}, {price.recall:.1%} of the true best {price.k} are found."
        for price in facts.prices
    ]
    if live < len(built.base):
        notes.append(f"{len(built.base) - live:,} removed or replaced rows still take room.")
    return tuple(notes)


def memory_of(base: Base | None, parts: Parts | None, *, is_mapped: bool) -> int:
    """Return what a base keeps in memory."""
    if base is None or parts is None:
        return 0
    if is_mapped:
        coarse = row_bytes(Parts(parts.structure, parts.codes), int(base.engine.d)) - 12
        return len(base) * coarse if parts.is_packed else 0
    return len(base) * row_bytes(parts, int(base.engine.d)) + int(np.asarray(base.dead).nbytes)
