"""The engines that `bench_lexical.py` compares: each answers one query at a time.

An engine has `build(corpus, folder)`, unless it keeps nothing on disk or reads another one's files;
`open(corpus, folder)`; and `search(query, k)`, which returns scores. The lines of a corpus hold title,
heading, file name and body, with tabs between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from mmrag.core.fields import SearchText
from mmrag.index.lexical import LexicalOptions
from mmrag.index.okapi import OkapiOptions


class Mmrag:
    """mmrag's own engines, through their public API."""

    options: LexicalOptions | OkapiOptions

    def build(self, corpus: Path, folder: Path) -> None:
        index = self.options.open(folder)
        lines = passages(corpus)
        row = 0
        while batch := list(islice(lines, 2000)):
            texts = [SearchText(title, heading, body, "", name) for title, heading, name, body in batch]
            index.add(np.arange(row, row + len(batch)), texts)
            row += len(batch)
        index.commit()

    def open(self, corpus: Path, folder: Path) -> None:
        self.index = self.options.open(folder)
        self.allow: np.ndarray | None = None

    def search(self, query: str, k: int) -> list[float]:
        return self.index.search([query], k, allow=self.allow).scores[0].tolist()


class MmragTantivy(Mmrag):
    options = LexicalOptions()


class MmragOkapi(Mmrag):
    options = OkapiOptions(stemmer="none")


class RawTantivy:
    """tantivy alone: mmrag's files, schema and query, without planning, ties in order, and row numbers."""

    files_of = "mmrag tantivy"

    def open(self, corpus: Path, folder: Path) -> None:
        import tantivy

        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        for step in (
            tantivy.Filter.remove_long(100),
            tantivy.Filter.lowercase(),
            tantivy.Filter.ascii_fold(),
            tantivy.Filter.stemmer("english"),
        ):
            builder = builder.filter(step)
        self.tantivy, self.words = tantivy, builder.build()
        index = tantivy.Index.open(str(folder))
        self.schema, self.searcher = index.schema, index.searcher()
        self.weights = LexicalOptions().weights

    def search(self, query: str, k: int) -> list[float]:
        make, should = self.tantivy.Query, self.tantivy.Occur.Should
        clauses = [
            (should, make.boost_query(make.term_query(self.schema, field, term, "freq"), weight))
            for term in self.words.analyze(query)
            for field, weight in self.weights.items()
        ]
        hits = self.searcher.search(make.boolean_query(clauses), k, count=False).hits
        return [score for score, _ in hits]


class RankBm25:
    in_memory, slow = True, True

    def open(self, corpus: Path, folder: Path) -> None:
        from rank_bm25 import BM25Okapi

        self.okapi = BM25Okapi([words(passage) for passage in passages(corpus)])

    def search(self, query: str, k: int) -> list[float]:
        scores = self.okapi.get_scores(query.split())
        best = np.argpartition(-scores, k)[:k]
        return np.sort(scores[best])[::-1].tolist()


class Bm25s:
    backend = "numpy"

    def build(self, corpus: Path, folder: Path) -> None:
        import bm25s

        engine = bm25s.BM25(k1=1.5, b=0.75, method="atire", idf_method="robertson", backend=self.backend)
        engine.index([words(passage) for passage in passages(corpus)], show_progress=False)
        engine.save(str(folder))

    def open(self, corpus: Path, folder: Path) -> None:
        import bm25s

        self.engine = bm25s.BM25.load(str(folder), mmap=True)
        self.engine.backend = self.backend

    def search(self, query: str, k: int) -> list[float]:
        known = [word for word in query.split() if word in self.engine.vocab_dict]
        if not known:
            return []
        found = self.engine.retrieve([known], k=k, show_progress=False, n_threads=0)
        return found.scores[0].tolist()


class Bm25sNumba(Bm25s):
    backend = "numba"


class Fts5:
    slow = True

    def build(self, corpus: Path, folder: Path) -> None:
        with sqlite3.connect(folder / "words.db") as db:
            db.execute("CREATE VIRTUAL TABLE p USING fts5(title, heading, name, body, content='')")
            db.executemany("INSERT INTO p(title, heading, name, body) VALUES (?, ?, ?, ?)", passages(corpus))
        db.close()

    def open(self, corpus: Path, folder: Path) -> None:
        self.db = sqlite3.connect(folder / "words.db")

    def search(self, query: str, k: int) -> list[float]:
        wanted = " OR ".join(f'"{word}"' for word in query.split())
        found = self.db.execute("SELECT rank FROM p WHERE p MATCH ? ORDER BY rank LIMIT ?", (wanted, k))
        return [-score for (score,) in found]


def words(passage: tuple[str, ...]) -> list[str]:
    """Return all words of a passage: what engines without fields are given."""
    return " ".join(passage).split()


def passages(corpus: Path) -> Iterator[tuple[str, ...]]:
    """Yield title, heading, name and body."""
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            yield tuple(line.rstrip("\n").split("\t"))


ENGINES: dict[str, tuple[type, tuple[str, ...]]] = {
    "mmrag tantivy": (MmragTantivy, ()),
    "raw tantivy": (RawTantivy, ()),
    "mmrag okapi": (MmragOkapi, ()),
    "rank-bm25": (RankBm25, ("rank_bm25",)),
    "bm25s numpy": (Bm25s, ("bm25s",)),
    "bm25s numba": (Bm25sNumba, ("bm25s", "numba")),
    "SQLite FTS5": (Fts5, ()),
}
