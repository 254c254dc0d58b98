"""The tables that bench_index.py prints, and whether what mmrag promises holds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dense.data import FILTERS

_OURS = "mmrag"
_SPEEDS = ("queries_a_cpu_s", "queries_a_cpu_s_one_by_one", "p50_ms", "p99_ms", "first_ms")


def median(place: Mapping[str, Any], fact: str) -> float:
    """Return the median of a fact over an engine's rounds."""
    return statistics.median(one[fact] for one in place["rounds"].values())


def compare(place: Mapping[str, Any], items: int, target: float) -> None:
    """Print what each engine took, how it was tuned, and the promises."""
    done = {name: one for name, one in place.items() if one.get("rounds")}
    if not done:
        return
    rounds = min(len(one["rounds"]) for one in done.values())
    print(f"\n## {items:,} items, tuned to recall@10 {target}; medians of {rounds} alternating rounds\n")
    _table(
        "|recall|queries a CPU-s|one by one|p50 ms|p99 ms|first ms|build CPU-s|open s"
        "|MB open|MB used|MB before|MB on disk",
        [
            [
                name,
                f"{median(one, 'recall'):.3f}",
                *(short(median(one, fact)) for fact in _SPEEDS),
                short(one["build"]["cpu_s"]),
                f"{median(one, 'open_s'):.3f}",
                *(f"{median(one, fact):.0f}" for fact in ("rss_open_mb", "rss_used_mb", "rss_before_mb")),
                f"{one['build']['disk_mb']:.0f}",
            ]
            for name, one in done.items()
        ],
    )
    print()
    _table(
        "|built as|searched with",
        [
            [
                name,
                one["build"]["settings"],
                ", ".join(f"{k} {v}" for k, v in one["tune"]["knob"].items()) or "its own choice",
            ]
            for name, one in done.items()
        ],
    )
    if _OURS in done:
        print(
            f"\n{_OURS} against each peer, medians of the ratios of each round (under 1.25 means nothing):\n"
        )
        _table(
            "|queries a CPU-s|one by one|one query, p50|build CPU|memory used|disk",
            [
                [
                    name,
                    *(f"{value:.2f}x" for value in _ratios(done[_OURS], one).values()),
                ]
                for name, one in done.items()
                if name != _OURS
            ],
        )
        promises(done, items)


def filters(place: Mapping[str, Any], items: int) -> None:
    """Print recall and time of each engine under each filter."""
    done = {name: one for name, one in place.items() if one.get("filters")}
    if not done:
        return
    names = [chosen.name for chosen in FILTERS]
    print(f"\n## {items:,} items, queries one by one under a filter: recall@10 against exact, p50 ms\n")
    _table(
        "|".join(["allowed", *names]),
        [
            [name, *(f"{one['filters'][f]['recall']:.3f} · {one['filters'][f]['p50_ms']:.2f}" for f in names)]
            for name, one in done.items()
        ],
    )
    if _OURS not in done:
        return
    ours = done[_OURS]["filters"]
    print("\n| must hold | measured | |\n|:--|--:|:--|")
    worst = min(names, key=lambda f: ours[f]["recall"])
    _promise(
        "recall under every filter within .01 of exact", ours[worst]["recall"], 0.99, f"{{:.3f}} ({worst})"
    )
    if "lancedb" in done:
        theirs = done["lancedb"]["filters"]
        slowest = min(names, key=lambda f: theirs[f]["p50_ms"] / ours[f]["p50_ms"])
        ratio = theirs[slowest]["p50_ms"] / ours[slowest]["p50_ms"]
        _promise("under every filter 20 times LanceDB's speed", ratio, 20, f"{{:.1f}}x ({slowest})")


def scale(place: Mapping[str, Any]) -> None:
    """Print the cost curve."""
    done = [
        (int(items), kind, one)
        for items, kinds in sorted(place.items(), key=lambda pair: int(pair[0]))
        for kind, one in kinds.items()
        if "search" in one
    ]
    print("\n## mmrag from a source of vectors, by size\n")
    _table(
        "items|kind|recall|build CPU-s|build wall s|peak MB|bytes an item|open s|MB open|MB used"
        "|p50 ms|p99 ms|queries a CPU-s",
        [
            [
                f"{items:,}",
                kind,
                f"{one['search']['recall']:.3f}",
                *(short(one["build"][fact]) for fact in ("cpu_s", "wall_s")),
                *(f"{one['build'][fact]:.0f}" for fact in ("peak_rss_mb", "bytes_an_item")),
                f"{one['search']['open_s']:.3f}",
                *(f"{one['search'][fact]:.0f}" for fact in ("rss_open_mb", "rss_used_mb")),
                *(short(one["search"][fact]) for fact in ("p50_ms", "p99_ms", "queries_a_cpu_s")),
            ]
            for items, kind, one in done
        ],
    )


def promises(done: Mapping[str, Any], items: int) -> None:
    """Print each promise about speed and memory that the engines at hand can prove or disprove."""
    ours = done[_OURS]
    print("\n| must hold | measured | |\n|:--|--:|:--|")
    for peer, words, fact, bound, size in _PROMISES:
        if peer in done:
            said = f"{words} (promised at {size:,})" if size and size != items else words
            _promise(said, fact(ours, done[peer]), bound, "{:.2f}")
    _promise("opens in less than 1 s (promised up to 1,000,000)", median(ours, "open_s"), -1, "{:.3f} s")
    _promise(
        "less than 300 MB once open (promised up to 1,000,000)",
        median(ours, "rss_open_mb"),
        -300,
        "{:.0f} MB",
    )


def _promise(words: str, value: float, bound: float, form: str) -> None:
    """Print a line; a negative bound is one to stay below."""
    holds = value >= bound if bound >= 0 else value <= -bound
    print(f"| {words} | {form.format(value)} | {'holds' if holds else '**does not hold**'} |")


def _ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    return {
        "queries": _by_round(ours, theirs, "queries_a_cpu_s"),
        "one by one": _by_round(ours, theirs, "queries_a_cpu_s_one_by_one"),
        "p50": _by_round(ours, theirs, "p50_ms"),
        "build": ours["build"]["cpu_s"] / theirs["build"]["cpu_s"],
        "memory": _by_round(ours, theirs, "rss_used_mb"),
        "disk": ours["build"]["disk_mb"] / theirs["build"]["disk_mb"],
    }


def _by_round(ours: Mapping[str, Any], theirs: Mapping[str, Any], fact: str) -> float:
    both = ours["rounds"].keys() & theirs["rounds"].keys()
    return statistics.median(ours["rounds"][i][fact] / theirs["rounds"][i][fact] for i in both)


def _more_ms(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    both = ours["rounds"].keys() & theirs["rounds"].keys()
    return statistics.median(ours["rounds"][i]["p50_ms"] - theirs["rounds"][i]["p50_ms"] for i in both)


_Fact = Callable[[Mapping[str, Any], Mapping[str, Any]], float]


def _of(name: str) -> _Fact:
    return lambda ours, theirs: _ratios(ours, theirs)[name]


_PROMISES: Sequence[tuple[str, str, _Fact, float, int]] = (
    ("faiss-same", "batches at least 0.9 of raw FAISS at the same settings", _of("queries"), 0.9, 0),
    ("faiss-same", "less than 0.3 ms more a single query than raw FAISS", _more_ms, -0.3, 0),
    ("hnswlib", "at least 3 times hnswlib's queries a CPU-second", _of("queries"), 3, 1_000_000),
    ("hnswlib", "at most 1/5 of hnswlib's build CPU", _of("build"), -0.2, 1_000_000),
    ("hnswlib", "at most 0.65 of hnswlib's memory", _of("memory"), -0.65, 1_000_000),
    ("hnswlib", "one query in at most half of hnswlib's time, p50", _of("p50"), -0.5, 1_000_000),
    ("lancedb", "at least 20 times LanceDB's queries a CPU-second, in batches", _of("queries"), 20, 100_000),
    ("lancedb", "at least 20 times LanceDB's, one by one", _of("one by one"), 20, 100_000),
    ("milvus-lite", "at least 100 times milvus-lite's, in batches", _of("queries"), 100, 100_000),
    ("milvus-lite", "at least 100 times milvus-lite's, one by one", _of("one by one"), 100, 100_000),
)
"""Peer, promise, what is compared, its bound (negative: to stay below), the size that it is promised at."""


def short(value: float) -> str:
    """Return a number with three digits that count, or all of a large one."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: str, rows: Sequence[Sequence[str]]) -> None:
    print("| " + head.replace("|", " | ") + " |")
    print("|:--" + "|--:" * head.count("|") + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
