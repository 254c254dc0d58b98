"""Fold newer rows into a base in memory: as it was trained, or built anew where it is worn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mmrag.core.types import Embeddings
from mmrag.index.ann.base import Base
from mmrag.index.ann.build import Built, build, composed, lists_of, measured_again, split
from mmrag.index.ann.codes import owned
from mmrag.index.ann.files import has_drifted, wears
from mmrag.index.ann.sources import BATCH, Joined, Live, is_decodable
from mmrag.index.ann.tail import Tail
from mmrag.index.vectors import GivenVectors

if TYPE_CHECKING:
    from mmrag.index.ann.options import FaissOptions


def folded(built: Built | None, tail: Tail, options: FaissOptions) -> Built | None:
    """Return a base that holds the tail's rows as well; None where there are none at all."""
    live = 0 if built is None else len(built.base) - len(built.base.dead)
    if live + len(tail) == 0:
        return None
    if built is None or live == 0:
        made = build(GivenVectors(tail.rows, Embeddings.dense(tail.vectors)), options)
        return made if built is None else _as_part_of(made, built)
    count, dead = len(built.base), len(built.base.dead)
    if is_decodable(built.facts.parts) and wears(built.facts, count, dead, len(tail), 0):
        made = build(Joined(Live.of(built.base), tail.rows, tail.vectors), options)
        return _as_part_of(made, built)
    return _extended(built, tail, options) if len(tail) else built


def _as_part_of(made: Built, before: Built) -> Built:
    """Keep what is known of the full vectors: the made one saw only what was kept of them."""
    known = {price.saving for price in made.facts.prices}
    prices = (*made.facts.prices, *(price for price in before.facts.prices if price.saving not in known))
    return replace(made, facts=replace(made.facts, full_dim=before.facts.full_dim, prices=prices))


def _extended(built: Built, tail: Tail, options: FaissOptions) -> Built:
    base, facts = built.base, built.facts
    engine, codes = (None if part is None else owned(part) for part in split(base.engine, facts.parts))
    for start in range(0, len(tail), BATCH):
        batch = tail.vectors[start : start + BATCH]
        for part in (engine, codes):
            if part is not None:
                part.add(batch)
    rows = np.concatenate([base.rows, tail.rows])
    rising = facts.rising and bool(tail.rows[0] > base.rows[-1])
    grown = Base(rows, composed(engine, codes), lists_of(engine), base.dead, base.points)
    made = Built(grown, replace(facts, rising=rising), built.coarse)
    return measured_again(made, options) if has_drifted(made, changed=len(tail)) else made
