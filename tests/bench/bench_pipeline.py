"""Sync, open, search and ask a real folder: python tests/bench/bench_pipeline.py FOLDER [--recipe NAME].

Prints a Markdown table. Queries are headings and sentences taken from the folder itself. The overhead
of a search is its wall time less what the embedder, the lexical and the dense index took.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from mmrag import Pipeline
from mmrag.core.fields import HEADING

ENGINES = ("lexical", "dense")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="no-ocr")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--store", type=Path, help="keep the store here; an existing one is not synced anew")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(args.folder, args.store or Path(scratch) / "store", args.recipe, args.queries)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    print("| figure | value |\n|:--|--:|")
    for name, value in figures.items():
        print(f"| {name} | {value:.3g} |" if isinstance(value, float) else f"| {name} | {value} |")


def measure(folder: Path, store: Path, recipe: str, count: int) -> dict[str, float | int]:
    figures: dict[str, float | int] = {}
    cpu, wall = time.process_time(), time.perf_counter()
    with Pipeline.from_folder(folder, recipe=recipe, store=store) as pipeline:
        items = pipeline.store.count()
        figures["sources"] = len(pipeline.sources())
        figures["items"] = items
        figures["first sync, s"] = time.perf_counter() - wall
        figures["items a CPU-second"] = items / (time.process_time() - cpu)
        wall = time.perf_counter()
        pipeline.sync()
        figures["second sync, s"] = time.perf_counter() - wall
        queries = questions(pipeline, count)
    wall = time.perf_counter()
    pipeline = Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never")
    pipeline.search(queries[0])
    figures["open and first search, s"] = time.perf_counter() - wall
    searched, overhead, asked = [], [], []
    for query in queries:
        wall = time.perf_counter()
        found = pipeline.explain(query)
        searched.append(1e3 * (time.perf_counter() - wall))
        overhead.append(searched[-1] - sum(step.ms for step in found.steps if step.name in ENGINES))
    for query in queries[: count // 4]:
        wall = time.perf_counter()
        pipeline.ask(query)
        asked.append(1e3 * (time.perf_counter() - wall))
    pipeline.close()
    for name, values in (("search", searched), ("search beyond the engines", overhead), ("ask", asked)):
        figures[f"{name}, ms, median"] = median(values)
        figures[f"{name}, ms, p95"] = quantiles(values, n=20)[-1]
    figures["store, bytes an item"] = sum(f.stat().st_size for f in store.rglob("*") if f.is_file()) // items
    figures["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return figures


def questions(pipeline: Pipeline, count: int) -> list[str]:
    """Return headings as questions, the same ones for the same store."""
    rows = pipeline.store.rows().tolist()
    chosen = random.Random(7).sample(rows, min(4 * count, len(rows)))
    items = pipeline.store.items(sorted(chosen)).values()
    headings = {str(item.metadata.get(HEADING, "")).rsplit(" > ", 1)[-1] for item in items}
    return [f"How does {heading} work?" for heading in sorted(headings) if 3 < len(heading) < 60][:count]


if __name__ == "__main__":
    main()
