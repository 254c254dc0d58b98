"""Measure search by words against its peers in one run.

    python -m venv peers
    peers/bin/pip install . -r tests/bench/peers.txt
    peers/bin/python tests/bench/bench_lexical.py [--passages 100000] [--folder DOCS] [--json out.json]

Passages are made by code from a Zipf vocabulary, about 100 words long, each with a title, a heading and a
file name, or are cut from the text files of a folder. Queries are 2 to 8 words of a passage. Every engine
builds in one process and searches in another. After some queries to warm up the engines take turns, and
the medians of their rounds are printed. Times of queries are CPU ms in all threads; the first query is
wall time from the opening of the index, imports apart. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from lexical_engines import ENGINES
from lexical_texts import questions, write_made, write_read

SLOW_FROM = 200_000
WARM_UP = 200
DEPTHS = (10, 100)
SHARES = (0.001, 0.01, 0.1, 0.5)
COLUMNS = (
    "build s", "disk MB", "first query ms", "peak MB, build", "peak MB, search",
    *(f"ms, top {k}" for k in DEPTHS),
)  # fmt: skip
OWN = ("mmrag tantivy", "mmrag okapi")


def serve(link: Connection, name: str, corpus: Path, folder: Path, task: str) -> None:
    """Build in this process, or open and answer rounds of queries until told to stop."""
    engine = ENGINES[name][0]()
    cpu = time.process_time()
    if task == "build":
        engine.build(corpus, folder)
        link.send((time.process_time() - cpu, peak_mb()))
        return
    first = link.recv()
    wall = time.perf_counter()
    engine.open(corpus, folder)
    opened = time.process_time() - cpu
    engine.search(first, 10)
    link.send((1000 * (time.perf_counter() - wall), opened, peak_mb()))
    while (order := link.recv()) is not None:
        queries, k, share = order
        if share is not None:
            size = len(engine.index)
            engine.allow = np.sort(np.random.default_rng(2).choice(size, round(share * size), replace=False))
        cpu = time.process_time()
        scores = [engine.search(query, k) for query in queries]
        link.send((1000 * (time.process_time() - cpu) / len(queries), scores))


def peak_mb() -> float:
    """Return the most memory that this process had."""
    if (status := Path("/proc/self/status")).exists():
        # On Linux ru_maxrss begins with what the parent had when it forked.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


class Server:
    """A process that holds one engine."""

    def __init__(self, name: str, corpus: Path, folder: Path, task: str = "search") -> None:
        context = multiprocessing.get_context("spawn")
        self._link, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, name, corpus, folder, task), daemon=True)
        self._process.start()
        other.close()

    def ask(self, *order: object) -> tuple[float, ...]:
        """Send an order, if there is one, and wait for the answer."""
        if order:
            self._link.send(order[0] if len(order) == 1 else order)
        return self._link.recv()

    def stop(self) -> None:
        """Let the process end."""
        self._link.send(None)
        self._process.join()


def measure(args: argparse.Namespace, place: Path) -> dict[str, dict[str, float]]:
    """Build and search with all engines that are installed."""
    corpus = place / "passages.tsv"
    if args.folder:
        write_read(corpus, args.folder, args.passages)
    else:
        write_made(corpus, args.passages)
    queries = questions(corpus, args.queries * args.rounds + WARM_UP)
    figures: dict[str, dict[str, float]] = {}
    servers: dict[str, Server] = {}
    for name, (kind, needs) in ENGINES.items():
        if args.engine and name not in args.engine:
            continue
        if missing := [module for module in needs if importlib.util.find_spec(module) is None]:
            print(f"{name}: not measured, {' and '.join(missing)} is not installed.")
            continue
        if args.passages > SLOW_FROM and getattr(kind, "slow", False):
            print(f"{name}: not measured above {SLOW_FROM} passages.")
            continue
        folder = place / getattr(kind, "files_of", name).replace(" ", "-")
        line = figures[name] = {}
        if hasattr(kind, "build"):
            folder.mkdir()
            line["build s"], line["peak MB, build"] = Server(name, corpus, folder, "build").ask()
            line["disk MB"] = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        servers[name] = Server(name, corpus, folder)
        line["first query ms"], opened, line["peak MB, search"] = servers[name].ask(queries[-1])
        if getattr(kind, "in_memory", False):
            line["build s"] = opened
            line["first query ms"] -= 1000 * opened
    for name, server in servers.items():
        # A file that is mapped is slower where nobody has read it yet.
        slow = getattr(ENGINES[name][0], "slow", False)
        server.ask(queries[-5 if slow else -WARM_UP :], 10, None)
    for k in DEPTHS:
        times: dict[str, list[float]] = {name: [] for name in servers}
        answers: dict[str, list[list[float]]] = {}
        for turn in range(args.rounds):
            asked = queries[turn * args.queries : (turn + 1) * args.queries]
            for name, server in servers.items():
                taken, scores = server.ask(asked, k, None)
                times[name].append(taken)
                answers.setdefault(name, []).extend(scores)
        for name in servers:
            figures[name][f"ms, top {k}"] = statistics.median(times[name])
        if {"rank-bm25", "mmrag okapi"} <= answers.keys():
            figures["mmrag okapi"][f"largest difference from rank-bm25, top {k}"] = farthest(answers)
    for name in servers.keys() & set(OWN):
        for share in SHARES:
            figures[name][f"ms, {share:.1%} allowed"] = servers[name].ask(queries[: args.queries], 10, share)[
                0
            ]
    for server in servers.values():
        server.stop()
    return figures


def farthest(answers: dict[str, list[list[float]]]) -> float:
    """Return how far okapi's scores are from rank-bm25's at most, as a share of the score."""
    pairs = zip(answers["mmrag okapi"], answers["rank-bm25"], strict=True)
    return max(
        abs(a - b) / max(1.0, b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True) if b > 0
    )


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print the table, and how the engines compare."""
    print(f"\n{'':16}" + "".join(f"{column:>17}" for column in COLUMNS))
    for name, line in figures.items():
        print(f"{name:16}" + "".join(f"{line[c]:17.3g}" if c in line else f"{'-':>17}" for c in COLUMNS))
    print()
    for name in (name for name in OWN if name in figures):
        shares = ", ".join(f"{share:.1%} {figures[name][f'ms, {share:.1%} allowed']:.2f}" for share in SHARES)
        print(f"{name}, ms for the top 10 of scattered allowed rows: {shares}")
        for peer in (peer for peer in figures if peer not in OWN):
            ratios = [figures[peer][f"ms, top {k}"] / figures[name][f"ms, top {k}"] for k in DEPTHS]
            print(f"{name} is {ratios[0]:.3g}x as fast as {peer} at top 10, {ratios[1]:.3g}x at top 100")
    for column, value in figures.get("mmrag okapi", {}).items():
        if column.startswith("largest"):
            print(f"{column}: {value:.1e} of the score")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="real texts instead of made ones")
    parser.add_argument("--queries", type=int, default=40, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", action="append", choices=list(ENGINES), help="only these")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    place = Path(tempfile.mkdtemp())
    try:
        figures = measure(args, place)
    finally:
        shutil.rmtree(place)
    show(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
