"""The stages of a comparison, each run in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from peers import engine
from peers.engine import Knob

from dense import data, usage
from dense.asking import one_by_one, searched
from dense.data import FILTERED, FILTERS, K
from dense.vectors import recall

_TUNING_S, _FEWEST = 4.0, 100

Facts = dict[str, object]


def make_data(folder: str, items: int) -> Facts:
    """Draw the vectors of a comparison and find the true rows of its queries."""
    data.make(Path(folder), items)
    return {}


def build(name: str, target: float, folder: str, index: str) -> Facts:
    """Build an engine's index."""
    given, made = data.load(Path(folder)), engine(name, target)
    Path(index).mkdir(parents=True)
    cpu, wall = usage.cpu_s(), time.perf_counter()
    facts = made.build(Path(index), given)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": usage.cpu_s() - cpu,
        "peak_rss_mb": usage.peak_rss_mb(),
        "disk_mb": usage.disk_mb(Path(index)),
        "settings": made.settings,
        **facts,
    }


def tune(name: str, target: float, folder: str, index: str) -> Facts:
    """Find the cheapest settings of a search that reach the recall, or else those that come nearest."""
    (queries, true), made = data.load(Path(folder)).tuning, engine(name, target)
    made.open(Path(index))
    if len(made.knobs) == 1:
        return {"knob": made.knobs[0], "tried": []}
    made.search(queries[:1], K, made.knobs[0])
    start = time.perf_counter()
    made.search(queries[:_FEWEST], K, made.knobs[0])
    count = int(_TUNING_S / (time.perf_counter() - start) * _FEWEST)
    count = max(_FEWEST, min(count, len(queries)))
    tried = []
    for knob in made.knobs:
        cpu = usage.cpu_s()
        found = made.search(queries[:count], K, knob)
        tried.append(
            {
                "knob": knob,
                "recall": recall(found, true[:count]),
                "cpu_ms": (usage.cpu_s() - cpu) / count * 1e3,
            }
        )
    enough = [one for one in tried if one["recall"] >= target]
    chosen = (
        min(enough, key=lambda one: one["cpu_ms"]) if enough else max(tried, key=lambda one: one["recall"])
    )
    return {"knob": chosen["knob"], "queries": count, "tried": tried}


def search(name: str, target: float, folder: str, index: str, knob: Knob) -> Facts:
    """Open an index and search it: one query at a time, then in batches of 1,000."""
    (queries, true), made = data.load(Path(folder)).measured, engine(name, target)
    before, start = usage.rss_mb(), time.perf_counter()
    made.open(Path(index))
    opened = {"open_s": time.perf_counter() - start, "rss_before_mb": before, "rss_open_mb": usage.rss_mb()}
    return opened | searched(lambda some: made.search(some, K, knob), queries, true)


def search_filtered(name: str, target: float, folder: str, index: str, knob: Knob) -> Facts:
    """Ask queries one by one under each filter."""
    given, made = data.load(Path(folder)), engine(name, target)
    made.open(Path(index))
    facts: Facts = {}
    for chosen in FILTERS:
        made.allow(given, chosen)
        found, times = one_by_one(
            lambda query: made.search_allowed(query, K, knob), given.measured[0][:FILTERED]
        )
        facts[chosen.name] = {
            "recall": recall(found, given.true_allowed(chosen)[: len(found)]),
            "p50_ms": float(np.median(times)),
            "mean_ms": float(np.mean(times)),
            "allowed": len(given.allowed(chosen)),
        }
    return facts
