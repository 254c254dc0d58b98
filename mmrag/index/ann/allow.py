"""Choose how to search: by what is allowed, where it lies, and what was measured."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmrag.index.ann import costs
from mmrag.index.ann.base import Base, Point
from mmrag.index.ann.engine import Layers, centroids_of, layers_of, only, parameters, selector

Positions = NDArray[np.int64]
Way = Literal["nothing", "once", "widen", "walk"]
Made = TypeVar("Made")

KEPT_FILTERS = 4
FEW_DEAD = 0.01
"""Up to this share of dead rows the points that were measured with them still hold. With more, a search is a
filtered one: it may choose its lists, as the quick base cannot."""

_FILTERED_RERANK = 3
"""Filters promise .99 of the true best: at 100k vectors twice the rerank took 4-bit codes from .989 to .993
at 50 %, but left 1-bit codes at .975 for far half-spaces; 6 times found no more than 3 times."""

_GRAPH_BREADTH = 5
"""A graph that found .956 of the best ten found .986 at 4 times and .990 at 8 times the breadth."""

_GRAPH_SPARE = 5
"""How many times the wanted rows a walk should meet: at 10 % allowed, twice found .969 and 5 times .989."""

_FILTERED_GAP = 1.1
"""With .95, 1 and 1.1 of the measured gap 4-bit codes found .993, .995 and .9995 of the true ten at 100k
vectors and 50 %, and .9865, .992 and .995 at 12k and 95 %."""

_WIDENED = 4
"""How many times the probes of a plain search a filtered one reads: 1 to 6 in trials, with the first look."""

_COPY_BYTES = 64 << 20
"""A copy lives as long as its filter, and a few filters are kept: 87,000 rows of 384 dimensions in f16."""

_COPY_SHARE = 0.5
"""More than that share of a small index would be nearly a second index."""

_NEARLY_ALL = 0.9
"""Choosing among some lists takes longer than reading a few in vain: 0.2 ms of 0.5 at 1015 of 1024."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How a search is done.

    Args:
        way: `once` asks one index once; `widen` reads as many more lists as the first answers show
            to be needed; `walk` goes through a graph and drops what is not allowed, and asks `spare`
            where too little is left.
        why: One sentence for people.
        count: How many positions can be found.
        index: The FAISS index to ask.
        params: With which parameters.
        is_complete: Whether every allowed row is looked at.
        probes: How many lists are read, or `efSearch`.
        wider: Parameters for more lists.
        most: How many lists hold allowed rows.
        centroids: Those of all lists.
        lists: Which of them hold allowed rows; None where nearly all do.
        gap: As in `Point`.
        mask: The allowed positions, for `walk`.
        spare: The complete plan of a walk.
    """

    way: Way
    why: str
    count: int = 0
    index: Any = None
    params: Any = None
    is_complete: bool = False
    probes: int = 0
    wider: Callable[[int], Any] | None = None
    most: int = 0
    centroids: NDArray[np.float32] | None = None
    lists: NDArray[np.bool_] | None = None
    gap: float = 0.0
    mask: NDArray[np.bool_] | None = None
    spare: Plan | None = None


def plan_for(base: Base, k: int, allow: Positions | None = None) -> Plan:
    """Return how to find the `k` best of `allow`, sorted and unique, or of all.

    What is worked out for a read-only `allow` is kept as long as that array lives, for a few of them.
    """
    allowed = compiled(base, allow)
    found = allowed.plans.get(k)
    if found is None:
        found = allowed.plans.setdefault(k, _chosen(base, k, allowed))
    return found


class Allowed:
    """What may be found, in the forms that plans need; each is made when the first plan needs it."""

    def __init__(self, base: Base, positions: Positions | None) -> None:
        self._base = base
        self.is_kept = positions is not None and not _may_change(positions)
        if positions is not None:
            positions = _without(positions, base.dead)
        # `Recent` keeps this as long as nobody drops the array: to hold that very array would be for ever.
        self._positions = positions.copy() if positions is not None and self.is_kept else positions
        self.count = len(base) - len(base.dead) if self._positions is None else len(self._positions)
        self.plans: dict[int, Plan] = {}

    @property
    def is_chosen(self) -> bool:
        """Whether somebody chose, or so many rows are dead that it is as if somebody had."""
        live = len(self._base) - len(self._base.dead)
        return self.count < live or live < (1 - FEW_DEAD) * len(self._base)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each position is allowed."""
        if self._positions is None:
            mask = np.ones(len(self._base), np.bool_)
            mask[self._base.dead] = False
        else:
            mask = np.zeros(len(self._base), np.bool_)
            mask[self._positions] = True
        return mask

    @cached_property
    def positions(self) -> Positions:
        """The allowed positions, sorted."""
        return np.flatnonzero(self.mask) if self._positions is None else self._positions

    @cached_property
    def rows(self) -> Any:
        """The selector of the allowed positions; None where all are."""
        return None if self.count == len(self._base) else selector(layers_of(self._base), self.mask)

    @cached_property
    def lists(self) -> NDArray[np.bool_] | None:
        """Whether each list holds allowed rows; None where nearly all do."""
        layers = layers_of(self._base)
        if self._positions is None or self._base.lists is None:
            return None
        held = np.zeros(layers.lists, np.bool_)
        held[self._base.lists[self._positions]] = True
        return None if np.count_nonzero(held) > _NEARLY_ALL * layers.lists else held

    @cached_property
    def can_copy(self) -> bool:
        """Whether the engine's codes can be copied, and these are few enough."""
        codes = layers_of(self._base).codes
        return (
            codes is not None
            and self.count <= _COPY_SHARE * len(self._base)
            and self.count * int(codes.code_size) <= _COPY_BYTES
        )

    @cached_property
    def copy(self) -> Any:
        """An index over the allowed positions alone, for every `k`."""
        return only(layers_of(self._base), self.positions)


def compiled(base: Base, allow: Positions | None) -> Allowed:
    """Return what is allowed and not dead, ready for plans."""
    if allow is None:
        found: Allowed | None = base.memo.get("all")
        return found or base.memo.setdefault("all", Allowed(base, None))
    recent: Recent[Allowed] | None = base.memo.get("recent")
    if recent is None:
        recent = base.memo.setdefault("recent", Recent(KEPT_FILTERS))
    return recent.get(allow, lambda: Allowed(base, allow))


class Recent(Generic[Made]):
    """Keeps what was made from the last few arrays that nobody can change, found again by identity."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[int, tuple[weakref.ref[NDArray[Any]], Made]] = OrderedDict()
        self._lock = Lock()

    def get(self, array: NDArray[Any], make: Callable[[], Made]) -> Made:
        """Return what was made from this very array, or make it."""
        if _may_change(array):
            return make()
        with self._lock:
            kept = self._kept.get(id(array))
            if kept is not None and kept[0]() is array:
                self._kept.move_to_end(id(array))
                return kept[1]
        made = make()
        with self._lock:
            self._kept[id(array)] = (weakref.ref(array, self._forgetting(id(array))), made)
            self._kept.move_to_end(id(array))
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return made

    def _forgetting(self, key: int) -> Callable[[object], None]:
        recent = weakref.ref(self)

        def forget(_: object) -> None:
            # Without the lock, which this thread may hold when garbage is collected. Python calls this
            # before it gives the address away, so that no other array can have the key yet.
            if (kept := recent()) is not None:
                kept._kept.pop(key, None)

        return forget


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a search for some number of rows looks, by the points that were measured."""

    probes: int
    rerank: float
    gap: float


def reach(base: Base, k: int) -> Reach:
    """Return how far to look for `k` rows.

    Between two points probes are interpolated, and the larger rerank counts. Above all points probes
    grow with the root of `k`: from 10 to 1000 rows the lists to read grew by half where the root grows
    tenfold, so that errs on the side of recall.
    """
    layers = layers_of(base)
    points = base.points or (_unmeasured(layers),)
    probes = float(np.exp(np.interp(np.log(k), *np.log([(p.k, max(1, p.probes)) for p in points]).T)))
    if k > points[-1].k:
        probes *= (k / points[-1].k) ** 0.5
    if layers.structure == "lists":
        probes = min(probes, layers.lists)
    below = next((point for point in reversed(points) if point.k <= k), points[0])
    above = next((point for point in points if point.k >= k), points[-1])
    rerank = max(above.rerank, below.rerank) * max(1.0, points[0].k / k)
    return Reach(max(1, round(probes)), rerank if layers.is_refined else 1.0, below.gap)


def _unmeasured(layers: Layers) -> Point:
    probes = max(8, layers.lists // 8) if layers.structure == "lists" else 64
    return Point(10, 0.0, probes, 8)


def _without(positions: Positions, dead: Positions) -> Positions:
    if len(dead) == 0 or len(positions) == 0:
        return positions
    places = np.minimum(np.searchsorted(positions, dead), len(positions) - 1)
    return np.delete(positions, places[positions[places] == dead])


def _may_change(array: NDArray[Any]) -> bool:
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return False


def _chosen(base: Base, k: int, allowed: Allowed) -> Plan:
    """Take the cheapest way; ways and costs depend on the index and the filter alone, not on the queries."""
    if allowed.count == 0:
        return Plan("nothing", "No row is allowed.")
    layers, far = layers_of(base), reach(base, k)
    if not allowed.is_chosen:
        return _open(base, layers, allowed, far)
    ways = _ways(base, k, allowed, far)
    return min(ways, key=lambda way: way[0])[1]()


def _open(base: Base, layers: Layers, allowed: Allowed, far: Reach) -> Plan:
    params = parameters(layers, far.probes, far.rerank, rows=allowed.rows)
    looked = {
        "flat": f"all {len(base):,} rows are looked at",
        "lists": f"the {far.probes:,} nearest of {layers.lists:,} lists are read",
        "graph": f"the graph is walked with efSearch {far.probes:,}",
    }[layers.structure]
    if layers.is_refined:
        looked += f", and {far.rerank:g} candidates a wanted row are scored again"
    complete = layers.structure == "flat" and not layers.is_refined
    return Plan(
        "once", f"Without a filter {looked}.", allowed.count, layers.engine, params, complete, far.probes
    )


def _ways(base: Base, k: int, allowed: Allowed, far: Reach) -> list[tuple[float, Callable[[], Plan]]]:
    """Return the ways that this index has, with what one query is estimated to take, in nanoseconds."""
    layers, count, total = layers_of(base), allowed.count, len(base)
    ways: list[tuple[float, Callable[[], Plan]]] = []
    if allowed.can_copy:
        ways.append((costs.copying(layers, count, is_kept=allowed.is_kept), lambda: _copy(allowed, total)))
    if layers.structure == "flat":
        ways.append((costs.passing(layers, total, count), lambda: _scan(layers, allowed, far, total)))
    elif layers.structure == "graph":
        breadth = max(_GRAPH_BREADTH * far.probes, round(_GRAPH_SPARE * k * total / count))
        ways.append((costs.passing(layers, total, count), lambda: _spare(layers, allowed, total)))
        if breadth < total:
            ways.append((costs.walking(layers, breadth), lambda: _walk(layers, allowed, breadth, total)))
    else:
        held = layers.lists if allowed.lists is None else int(allowed.lists.sum())
        wide = min(held, _WIDENED * far.probes)
        every = costs.reading(layers, held, total, held, count)
        ways.append((every, lambda: _every(layers, allowed, far, held)))
        if far.gap > 0 and wide < held:
            some = costs.reading(layers, wide, total, held, count)
            ways.append((some, lambda: _widen(base, allowed, far, held)))
    return ways


def _copy(allowed: Allowed, total: int) -> Plan:
    why = f"{allowed.count:,} of {total:,} rows are allowed: few enough to compare with each."
    return Plan("once", why, allowed.count, allowed.copy, None, True)


def _scan(layers: Layers, allowed: Allowed, far: Reach, total: int) -> Plan:
    why = f"{allowed.count:,} of {total:,} rows are allowed: all rows are passed over, these are compared."
    rerank = far.rerank * _FILTERED_RERANK if layers.is_refined else 1.0
    params = parameters(layers, far.probes, rerank, rows=allowed.rows)
    return Plan("once", why, allowed.count, layers.engine, params, not layers.is_refined)


def _spare(layers: Layers, allowed: Allowed, total: int) -> Plan:
    why = f"{allowed.count:,} of {total:,} rows are allowed: comparing with each is quicker than the graph."
    params = None if allowed.rows is None else layers.lib.SearchParameters(sel=allowed.rows)
    return Plan("once", why, allowed.count, layers.codes, params, True)


def _walk(layers: Layers, allowed: Allowed, breadth: int, total: int) -> Plan:
    why = (
        f"{allowed.count:,} of {total:,} rows are allowed: the {breadth:,} nearest of all are taken from the "
        f"graph, and every allowed row is compared where too few of those are allowed."
    )
    params = parameters(layers, breadth, 1.0)
    return Plan(
        "walk",
        why,
        allowed.count,
        layers.engine,
        params,
        probes=breadth,
        mask=allowed.mask,
        spare=_spare(layers, allowed, total),
    )


def _every(layers: Layers, allowed: Allowed, far: Reach, held: int) -> Plan:
    why = f"{allowed.count:,} rows are allowed, in {held:,} of {layers.lists:,} lists: all of these are read."
    complete = not layers.is_refined and not layers.is_packed
    return Plan(
        "once", why, allowed.count, layers.engine, _selected(layers, allowed, far, held), complete, held
    )


def _widen(base: Base, allowed: Allowed, far: Reach, held: int) -> Plan:
    layers = layers_of(base)
    why = (
        f"{allowed.count:,} rows are allowed, in {held:,} of {layers.lists:,} lists: the {far.probes:,} "
        f"nearest of these are read, then more where the best rows score so low that others may be better."
    )
    made: dict[int, Any] = {}

    def wider(probes: int) -> Any:
        if probes not in made:
            made[probes] = _selected(layers, allowed, far, probes)
        return made[probes]

    return Plan(
        "widen",
        why,
        allowed.count,
        layers.engine,
        wider(far.probes),
        probes=far.probes,
        wider=wider,
        most=held,
        centroids=centroids_of(base),
        lists=allowed.lists,
        gap=_FILTERED_GAP * far.gap,
    )


def _selected(layers: Layers, allowed: Allowed, far: Reach, probes: int) -> Any:
    lists = None if allowed.lists is None else selector(layers, allowed.lists)
    rerank = far.rerank * _FILTERED_RERANK
    return parameters(layers, probes, rerank, rows=allowed.rows, lists=lists)
