"""Asking an index that is open: what a query takes, alone and in batches."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dense import usage
from dense.vectors import recall

_BATCHES_CPU_S, _ONE_BY_ONE_S = 2.0, 20.0
_FEWEST = 50

_Ask = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def searched(ask: _Ask, queries: NDArray[np.float32], true: NDArray[np.int64]) -> dict[str, object]:
    """Ask one query at a time, then in batches of 1,000, and return times, recall and memory."""
    start = time.perf_counter()
    ask(queries[:1])
    first = time.perf_counter() - start
    cpu = usage.cpu_s()
    found, times = one_by_one(ask, queries)
    facts: dict[str, object] = {
        "first_ms": first * 1e3,
        "p50_ms": float(np.percentile(times, 50)),
        "p99_ms": float(np.percentile(times, 99)),
        "one_by_one": len(times),
        "queries_a_cpu_s_one_by_one": len(times) / (usage.cpu_s() - cpu),
        "recall_one_by_one": recall(found, true[: len(found)]),
        "rss_used_mb": usage.rss_mb(),
    }
    cpu, batches = usage.cpu_s(), 0
    while batches == 0 or usage.cpu_s() - cpu < _BATCHES_CPU_S:
        found = ask(queries)
        batches += 1
    return facts | {
        "queries_a_cpu_s": batches * len(queries) / (usage.cpu_s() - cpu),
        "recall": recall(found, true),
        "rss_batches_mb": usage.rss_mb(),
    }


def one_by_one(ask: _Ask, queries: NDArray[np.float32]) -> tuple[NDArray[np.int64], list[float]]:
    """Ask until all are answered, or enough while a slow engine takes its time; times are in ms."""
    found, times = [], []
    begun = time.perf_counter()
    for i in range(len(queries)):
        start = time.perf_counter()
        found.append(ask(queries[i : i + 1]))
        times.append((time.perf_counter() - start) * 1e3)
        if i + 1 >= _FEWEST and time.perf_counter() - begun > _ONE_BY_ONE_S:
            break
    return np.vstack(found), times
