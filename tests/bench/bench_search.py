"""Measure search: each engine alone, and what HybridRetriever adds to them.

    python tests/bench/bench_search.py FOLDER [--items 10000 --items 100000] [--json out.json]

FOLDER holds real documentation (text, Markdown, HTML, reStructuredText), cut into passages of about
120 words; when there is too little, passages are made of its sentences in another order. Vectors
are drawn in clusters, 384 wide, one cluster to about 50 items. Query words are taken from the texts.
Times are medians over queries of one process, in ms.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmrag.core.fields import search_text
from mmrag.core.protocols import Media
from mmrag.core.types import Embeddings, Item, ItemId, Part, Query, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactIndex
from mmrag.index.lexical import LexicalOptions
from mmrag.index.okapi import OkapiOptions
from mmrag.search import DenseLane, HybridRetriever, LexicalLane, MinMaxFusion

DIM, WORDS_A_PASSAGE, QUERIES, DEPTH = 384, 120, 200, 100
SUFFIXES = {".txt", ".md", ".rst", ".html", ".htm"}


def passages(folder: Path, count: int) -> list[tuple[str, str]]:
    """Return (file, text) pairs."""
    found: list[tuple[str, str]] = []
    sentences: list[str] = []
    for path in sorted(folder.rglob("*")):
        if len(found) >= count:
            break
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        text = re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8", errors="replace"))
        sentences += re.split(r"(?<=[.!?])\s+", text)
        words = text.split()
        found += [
            (path.relative_to(folder).as_posix(), " ".join(words[start : start + WORDS_A_PASSAGE]))
            for start in range(0, len(words), WORDS_A_PASSAGE)
        ]
    if not found:
        raise SystemExit(f"{folder} holds no documentation.")
    rng = np.random.default_rng(0)
    real = min(len(found), count)
    while len(found) < count:
        found.append(
            (f"made/{len(found)}.txt", " ".join(sentences[i] for i in rng.integers(0, len(sentences), 6)))
        )
    print(f"{count} passages, {real} of them as they stand in {folder}")
    return found[:count]


def clustered(count: int, centres: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = centres[rng.integers(0, len(centres), count)]
    made += 0.04 * rng.standard_normal((count, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


class GivenVectors:
    """An embedder that looks its queries up, so that only search is measured."""

    identity = {"embedder": "given"}  # noqa: RUF012
    modalities = frozenset({"text"})
    languages = None
    dim = DIM

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self._vectors = vectors

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        raise NotImplementedError

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        return Embeddings.dense(np.stack([self._vectors[query.text] for query in queries]))


class Timed:
    """Adds up the time spent inside an engine."""

    def __init__(self, engine: object) -> None:
        self._engine = engine
        self.seconds = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def __len__(self) -> int:
        return len(self._engine)  # type: ignore[arg-type]

    def search(self, queries: object, k: int, *, allow: np.ndarray | None = None) -> object:
        start = time.perf_counter()
        try:
            return self._engine.search(queries, k, allow=allow)  # type: ignore[attr-defined]
        finally:
            self.seconds += time.perf_counter() - start


def median_ms(call: Callable[[int], object], runs: int) -> float:
    call(0)
    times = []
    for i in range(runs):
        start = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(times), 3)


def measure(folder: Path, count: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    rng = np.random.default_rng(1)
    items = [
        Item(ItemId(f"{i:032x}"), SourceId(file), Span(0, len(text)), (Part("text", text=text),))
        for i, (file, text) in enumerate(passages(folder, count))
    ]
    rows = np.arange(count)
    centres = rng.standard_normal((max(4, count // 50), DIM)).astype(np.float32) / DIM**0.5
    vectors = clustered(count, centres, 2)
    asked = clustered(QUERIES, centres, 3)
    texts = []
    for i in range(QUERIES):
        words = re.findall(r"\w+", items[int(rng.integers(count))].text) or ["nothing"]
        texts.append(f"{i} " + " ".join(rng.choice(words, 6)))
    queries = [Embeddings.dense(asked[i : i + 1]) for i in range(QUERIES)]
    scattered = np.sort(rng.choice(rows, count // 20, replace=False))

    start = time.perf_counter()
    exact = ExactIndex.over(rows, Embeddings.dense(vectors))
    engines: dict[str, object] = {"exact": exact}
    for kind in ("flat", "ivf-flat"):
        start = time.perf_counter()
        engines[f"faiss-{kind}"] = FaissOptions(kind=kind).over(rows, Embeddings.dense(vectors))  # type: ignore[arg-type]
        figures[f"faiss-{kind} build s"] = round(time.perf_counter() - start, 2)
    for name, engine in engines.items():
        figures[f"{name} k=100"] = median_ms(lambda i, e=engine: e.search(queries[i], DEPTH), QUERIES)
        figures[f"{name} k=100, 5 % allowed"] = median_ms(
            lambda i, e=engine: e.search(queries[i], DEPTH, allow=scattered), QUERIES
        )
    true = exact.search(Embeddings.dense(asked), 10).rows
    approximate = engines["faiss-ivf-flat"].search(Embeddings.dense(asked), 10).rows
    figures["faiss-ivf-flat recall@10"] = float(
        np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(true, approximate, strict=True)])
    )

    with tempfile.TemporaryDirectory() as place:
        lexical = LexicalOptions().open(Path(place) / "lexical")
        start = time.perf_counter()
        lexical.add(rows, [search_text(item) for item in items])
        lexical.commit()
        figures["tantivy build s"] = round(time.perf_counter() - start, 2)
        figures["tantivy MB"] = round(
            sum(f.stat().st_size for f in (Path(place) / "lexical").iterdir()) / 1e6, 1
        )
        figures["tantivy open"] = median_ms(lambda _: len(LexicalOptions().open(Path(place) / "lexical")), 20)
        figures["tantivy k=100"] = median_ms(lambda i: lexical.search([texts[i]], DEPTH), QUERIES)
        figures["tantivy k=100, 5 % allowed"] = median_ms(
            lambda i: lexical.search([texts[i]], DEPTH, allow=scattered), QUERIES
        )
        run = rows[count // 2 : count // 2 + count // 20]
        figures["tantivy k=100, one run of 5 %"] = median_ms(
            lambda i: lexical.search([texts[i]], DEPTH, allow=run), QUERIES
        )
        if count <= 10_000:
            okapi = OkapiOptions().open(None)
            okapi.add(rows, [search_text(item) for item in items])
            okapi.commit()
            figures["okapi k=100"] = median_ms(lambda i: okapi.search([texts[i]], DEPTH), 20)

        timed = Timed(lexical), Timed(exact)
        embedder = GivenVectors(dict(zip(texts, asked, strict=True)))
        lanes = [LexicalLane(timed[0]), DenseLane(embedder, timed[1])]  # type: ignore[arg-type]
        retriever = HybridRetriever(lanes, MinMaxFusion(), lambda some: {row: items[row] for row in some})
        overheads, totals = [], []
        for text in [texts[0], *texts]:
            inside = sum(engine.seconds for engine in timed)
            start = time.perf_counter()
            retriever.retrieve(Query.of(text), 10)
            total = time.perf_counter() - start
            totals.append(total * 1000)
            overheads.append((total - sum(engine.seconds for engine in timed) + inside) * 1000)
        figures["hybrid k=10"] = round(statistics.median(totals[1:]), 3)
        figures["hybrid over its engines, median"] = round(statistics.median(overheads[1:]), 3)
        figures["hybrid over its engines, p99"] = round(float(np.percentile(overheads[1:], 99)), 3)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, action="append")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    results = {}
    for count in chosen.items or [10_000]:
        results[str(count)] = measure(chosen.folder, count)
        for name, value in results[str(count)].items():
            print(f"  {name:<40} {value:>10}")
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
