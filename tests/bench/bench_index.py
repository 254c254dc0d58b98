"""Measure mmrag's dense index beside its peers, under filters, and from 10,000 to 10 million items.

    python tests/bench/bench_index.py compare --items 100000
    python tests/bench/bench_index.py filters --items 100000
    python tests/bench/bench_index.py scale --items 10000 100000 1000000
    python tests/bench/bench_index.py plot results.json docs/images/scale.svg

Every engine is built, tuned to the same recall and searched in processes of its own; rounds alternate between
engines, and medians are printed. What is measured is kept in --json and --work, so that a run goes on
where it stopped. The README beside this file says what the columns mean and how long it takes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dense import tables
from dense.runs import Results, StageError, run
from peers import ENGINES, is_installed

_SCALE_QUERIES = 1_000


def main() -> None:
    chosen = _arguments()
    if chosen.command == "plot":
        _draw("scale", Results(chosen.results).at("scale"), chosen.picture)
        return
    # A stage runs in another folder.
    chosen.work = chosen.work.resolve()
    results = Results(chosen.json)
    {"compare": _compare, "filters": _filters, "scale": _scale}[chosen.command](chosen, results)
    print(f"\nKept in {chosen.json}.")


def _compare(chosen: argparse.Namespace, results: Results) -> None:
    for items in chosen.items:
        ready = _ready(chosen, results, items)
        place = results.at("compare", f"{items} at {chosen.recall}")
        for number in range(chosen.rounds):
            for name in ready:
                rounds = place[name].setdefault("rounds", {})
                wanted = _wanted(chosen, items, name) | {"knob": place[name]["tune"]["knob"]}
                _stage(name, results, rounds, str(number), "compared:search", wanted)
        tables.compare(place, items, chosen.recall)
        if chosen.plot:
            _draw("compare", place, chosen.plot, items=items)


def _filters(chosen: argparse.Namespace, results: Results) -> None:
    for items in chosen.items:
        ready = _ready(chosen, results, items)
        place = results.at("compare", f"{items} at {chosen.recall}")
        for name in ready:
            if chosen.again:
                place[name].pop("filters", None)
            wanted = _wanted(chosen, items, name) | {"knob": place[name]["tune"]["knob"]}
            _stage(name, results, place[name], "filters", "compared:search_filtered", wanted)
        tables.filters(place, items)


def _scale(chosen: argparse.Namespace, results: Results) -> None:
    for items in chosen.items:
        folder = chosen.work / "scale" / str(items)
        truth = {"folder": str(folder / "truth")}
        if not (folder / "truth" / "true.npy").exists():
            asked = truth | {"items": items, "queries": _SCALE_QUERIES, "limit_s": chosen.limit}
            if not _stage("truth", results, {}, "truth", "scaled:truth", asked):
                continue
        for kind in chosen.kinds:
            if kind == "exact" and items > chosen.exact_up_to:
                print(f"exact: left out above {chosen.exact_up_to:,} items: its build holds all in memory")
                continue
            place = results.at("scale", str(items), kind)
            index = folder / kind
            if chosen.again or not ("search" in place or index.exists()):
                place.clear()
            where = {"kind": kind, "index": str(index), "target": chosen.recall, "limit_s": chosen.limit}
            if _stage(kind, results, place, "build", "scaled:build", where | {"items": items}):
                _stage(kind, results, place, "search", "scaled:search", where | truth)
            if not chosen.keep:
                shutil.rmtree(index, ignore_errors=True)
    tables.scale(results.at("scale"))
    if chosen.plot:
        _draw("scale", results.at("scale"), chosen.plot)


def _ready(chosen: argparse.Namespace, results: Results, items: int) -> list[str]:
    """Build and tune the engines, and return those that can be searched."""
    place = results.at("compare", f"{items} at {chosen.recall}")
    data = {"folder": str(chosen.work / str(items) / "data"), "items": items, "limit_s": chosen.limit}
    if not _stage("data", results, {}, "data", "compared:make_data", data):
        return []
    ready = []
    for name in chosen.engines:
        if not is_installed(name):
            print(f"{name}: left out, as it is not installed; tests/bench/peers.txt names the packages")
            continue
        mine = place.setdefault(name, {})
        wanted = _wanted(chosen, items, name)
        if (chosen.again and chosen.command == "compare") or not Path(wanted["index"]).exists():
            mine.clear()
        if all(
            _stage(name, results, mine, stage, f"compared:{stage}", wanted) for stage in ("build", "tune")
        ):
            ready.append(name)
    return ready


def _stage(
    name: str, results: Results, place: dict[str, Any], key: str, stage: str, wanted: dict[str, Any]
) -> bool:
    """Fill in `place[key]` from a stage, unless it is there; say so when that fails."""
    if key in place:
        return True
    print(f"{name}: {stage} ...", file=sys.stderr, flush=True)
    if stage.endswith(":build"):
        shutil.rmtree(wanted["index"], ignore_errors=True)
    arguments = dict(wanted)
    try:
        place[key] = run(stage, arguments, arguments.pop("limit_s"))
    except StageError as error:
        print(f"{name}: {error}")
        return False
    results.write()
    return True


def _draw(kind: str, place: dict[str, Any], picture: Path, **about: int) -> None:
    if find_spec("matplotlib") is None:
        print(f"{picture} was not drawn: matplotlib of tests/bench/peers.txt is not installed")
        return
    from dense import plots

    getattr(plots, kind)(place, picture=picture, **about)


def _wanted(chosen: argparse.Namespace, items: int, name: str) -> dict[str, Any]:
    folder = chosen.work / str(items)
    return {
        "name": name,
        "target": chosen.recall,
        "folder": str(folder / "data"),
        "index": str(folder / str(chosen.recall) / name),
        "limit_s": chosen.limit,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, items in (("compare", [100_000]), ("filters", [100_000]), ("scale", [10_000, 100_000])):
        command = commands.add_parser(name)
        command.add_argument("--items", type=int, nargs="+", default=items)
        command.add_argument("--recall", type=float, default=0.95)
        command.add_argument("--json", type=Path, default=Path("bench-index.json"))
        command.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mmrag-bench")
        command.add_argument("--limit", type=float, default=3600, help="seconds that one stage may take")
        command.add_argument("--again", action="store_true", help="measure anew what was measured before")
        command.add_argument("--plot", type=Path, help="an .svg or .png to write")
        if name == "scale":
            command.add_argument("--kinds", nargs="+", default=["auto", "ivf-pq", "exact"])
            command.add_argument("--exact-up-to", type=int, default=1_000_000)
            command.add_argument("--keep", action="store_true", help="keep the indexes under --work")
        else:
            command.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
            command.add_argument("--rounds", type=int, default=3)
    plot = commands.add_parser("plot", help="draw the cost curve from a file of results")
    plot.add_argument("results", type=Path)
    plot.add_argument("picture", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
