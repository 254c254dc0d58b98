"""Measure filters: SQL over the catalog against the columns index, for the same rows.

    python tests/bench/bench_filters.py [--items 1000000] [--store FOLDER]

The store is filled by its Writer with made-up items (50 a source, tiny vectors), in a folder that goes
away unless --store names one; a store that is there is used as it stands. Times are medians of several
runs of one process, in ms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmrag.core.filters import parse
from mmrag.core.types import Embeddings, Item, ItemId, Page, Part, Source, SourceId
from mmrag.index.columns import IDENTITY, Columns, write
from mmrag.store import SourceRecord, Store

A_SOURCE, COMMIT_SOURCES = 50, 2000
MEDIA = ("application/pdf", "text/markdown", "text/html", "image/png")
FILTERS = (
    'kind == "pdf"',
    'modality == "image"',
    "page <= 3",
    'language == "de"',
    'language in ["en", "de"]',
    'not language == "en"',
    "meta.year >= 2015",
    "meta.price < 50.0",
    "meta.draft == true",
    'kind == "pdf" and language == "en" and page <= 10',
    'modified >= "2020-01-01" or meta.year == 2001',
    'source matches "team-1*/**/*.pdf"',
    'title contains "TITLE 77"',
    'meta.author == "author 7" and not meta.draft == true',
)


def main() -> None:
    """Fill a store, publish its columns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        folder = options.store or Path(aside) / "store"
        if not Store.exists(folder):
            started = time.perf_counter()
            with Store.create(folder, identity={}) as store:
                fill(store, options.items)
            print(f"filled {options.items:,} items in {time.perf_counter() - started:.0f} s")
        with Store.open(folder) as store:
            measure(store, options.runs)


def fill(store: Store, count: int) -> None:
    """Put `count` made-up items into an empty store."""
    rng = np.random.default_rng(0)
    with store.writer() as writer:
        writer.add_vectors(["v"], Embeddings.dense(np.ones((1, 2), np.float32)))
        for number in range(count // A_SOURCE):
            media = MEDIA[number % len(MEDIA)]
            end = {"application/pdf": "pdf", "text/markdown": "md", "text/html": "html", "image/png": "png"}
            id = SourceId(f"team-{number % 20}/year {number % 7}/file-{number}.{end[media]}")
            source = Source(id, f"{number:064x}", int(rng.integers(1e7)), media)
            record = SourceRecord(source, int(rng.integers(1.5e18, 1.75e18)), "indexed")
            items = [made_item(rng, id, number, i) for i in range(A_SOURCE)]
            writer.put(record, items, ["v"] * len(items))
            if number % COMMIT_SOURCES == COMMIT_SOURCES - 1:
                writer.commit()
        writer.commit()


def made_item(rng: np.random.Generator, source: SourceId, number: int, i: int) -> Item:
    """Make an item with the metadata that readers give and a few of a user's own."""
    metadata = {
        "title": f"Title {number}",
        "heading": f"Heading {rng.integers(40_000)}",
        "language": ("en", "en", "en", "de", "fr")[int(rng.integers(5))],
        "author": f"author {rng.integers(500)}",
        "year": int(rng.integers(1990, 2026)),
        "price": round(float(rng.uniform(0, 100)), 2),
    }
    if rng.random() < 0.1:
        metadata["draft"] = bool(rng.random() < 0.5)
    part = Part("image" if rng.random() < 0.05 else "text", text="made up")
    return Item(ItemId(f"{number}-{i}"), source, Page(i // 2 + 1), (part,), metadata)


def measure(store: Store, runs: int) -> None:
    """Print the median times of every filter both ways; the rows must be the same."""
    started = time.perf_counter()
    generation = store.generation
    published = store.publish("columns", IDENTITY, generation, lambda folder: write(folder, store))
    wrote = time.perf_counter() - started
    size = sum(file.stat().st_size for file in published.path.iterdir())
    opening = median(lambda: Columns.open(store, published), runs)
    columns = Columns.open(store, published)
    rows = len(store.rows())
    print(f"{rows:,} rows: written in {wrote:.1f} s, {size / 1e6:.1f} MB, opened in {opening:.1f} ms\n")
    print(f"{'filter':54} {'rows':>9} {'SQL ms':>8} {'first':>7} {'columns':>8}")
    with store.snapshot():
        for text in FILTERS:
            where = parse(text)
            started = time.perf_counter()
            found = columns.rows(where)
            first = 1000 * (time.perf_counter() - started)
            np.testing.assert_array_equal(found, store.rows(where))
            sql = median(lambda where=where: store.rows(where), max(3, runs // 2))
            ours = median(lambda where=where: columns.rows(where), runs)
            print(f"{text:54} {len(found):9,} {sql:8.2f} {first:7.2f} {ours:8.2f}")


def median(call: Callable[[], object], runs: int) -> float:
    """Return the median time of a call in ms."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


if __name__ == "__main__":
    main()
