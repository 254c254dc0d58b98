"""Exact BM25 over a small corpus with rank-bm25: what the scores of faster engines are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from mmrag.core.errors import ConfigError
from mmrag.core.fields import SearchText
from mmrag.core.protocols import Rows
from mmrag.core.types import Matches
from mmrag.index.analysis import Analyzer, Stemmer, is_partial
from mmrag.index.ranking import Ranked, best, check_k, matches


@dataclass(frozen=True, slots=True)
class RankBm25Options:
    """The parameters of Okapi BM25, as rank-bm25 defines them.

    Args:
        k1: How soon repeating a term stops to count.
        b: How far long texts are held back, 0 to 1.
        epsilon: A negative idf is replaced by this share of the mean idf.
        stemmer: The language whose word endings are cut; none for corpora in many languages.
    """

    k1: float = 1.5
    b: float = 0.75
    epsilon: float = 0.25
    stemmer: Stemmer = "english"

    def open(self, folder: Path | None = None) -> RankBm25Index:
        """Return an empty index; it lives in memory only.

        Raises:
            ConfigError: A folder was given.
        """
        if folder is not None:
            raise ConfigError(
                "The rank-bm25 index is not kept on disk.", fix="Use the lexical index instead."
            )
        return RankBm25Index(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """The scorer over the rows in rising order; None when no row holds a term."""

    rows: Rows
    okapi: BM25Okapi | None
    postings: dict[str, NDArray[np.int64]]


class RankBm25Index:
    """Ranks rows by BM25Okapi over all fields of a text as one bag of terms.

    Every search scores every row in Python: 0.6 s a query at 100,000 passages.
    """

    def __init__(self, options: RankBm25Options) -> None:
        self.options = options
        self.analyzer = Analyzer(options.stemmer)
        self._texts: dict[int, list[str]] = {}
        self._model: _Model | None = None
        self._lock = Lock()

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        """Add rows; a row that is already there is replaced."""
        if len(rows) != len(texts):
            raise ConfigError(f"{len(rows)} rows came with {len(texts)} texts.", fix="Give one text a row.")
        with self._lock:
            for row, text in zip(rows.tolist(), texts, strict=True):
                whole = "\n".join((text.title, text.heading, text.body, text.context, text.name))
                self._texts[row] = self.analyzer.kept(whole)
            self._model = None

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        with self._lock:
            for row in rows.tolist():
                self._texts.pop(row, None)
            self._model = None

    def commit(self) -> None:
        """Changes are seen at once; there is nothing to publish."""

    def close(self) -> None:
        """There is nothing to give back."""

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query; rows that share no term with it are not matches.

        Raises:
            QueryError: k is below 1.
        """
        check_k(k)
        model = self._current()
        return matches([self._one(model, query, k, allow) for query in queries], k)

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return each term's inverse document frequency; a term that is nowhere gets the largest."""
        model = self._current()
        count = len(model.rows)
        seen = [len(_holders(model, term)) for term in terms]
        return np.array([math.log1p((count - n + 0.5) / (n + 0.5)) for n in seen], np.float32)

    def analyze(self, text: str) -> list[str]:
        """Return the terms that the index keeps of a text, in order."""
        return self.analyzer.terms(text)

    def __len__(self) -> int:
        return len(self._texts)

    def _one(self, model: _Model, query: str, k: int, allow: Rows | None) -> Ranked:
        terms = [gram for term in self.analyzer.terms(query) for gram in _grams(model, term)]
        places = np.unique(np.concatenate([np.empty(0, np.int64), *(model.postings[term] for term in terms)]))
        if allow is not None:
            places = places[np.isin(model.rows[places], allow)]
        if model.okapi is None or len(places) == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        scores = model.okapi.get_scores(terms)[places].astype(np.float32)
        return best(model.rows[places], scores, k)

    def _current(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = self._built()
            return self._model

    def _built(self) -> _Model:
        rows = np.array(sorted(self._texts), np.int64)
        texts = [self._texts[row] for row in rows.tolist()]
        postings: dict[str, list[int]] = {}
        for place, terms in enumerate(texts):
            for term in set(terms):
                postings.setdefault(term, []).append(place)
        options = self.options
        okapi = BM25Okapi(texts, k1=options.k1, b=options.b, epsilon=options.epsilon) if postings else None
        return _Model(rows, okapi, {term: np.array(places, np.int64) for term, places in postings.items()})


def _grams(model: _Model, term: str) -> list[str]:
    if is_partial(term):
        return sorted(gram for gram in model.postings if gram.startswith(term))
    return [term] if term in model.postings else []


def _holders(model: _Model, term: str) -> NDArray[np.int64]:
    return np.unique(
        np.concatenate([np.empty(0, np.int64), *(model.postings[g] for g in _grams(model, term))])
    )
