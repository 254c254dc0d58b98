"""Exact BM25Okapi: the scores of rank-bm25, from an inverted index in numpy arrays."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, IdentityMismatch
from mmrag.core.fields import FIELDS, SearchText
from mmrag.core.identity import differences
from mmrag.core.protocols import Rows
from mmrag.core.types import Matches
from mmrag.index.analysis import Analyzer, FixedStemmer, is_partial
from mmrag.index.files import REBUILD, damaged, read_header, write_header
from mmrag.index.okapi_arrays import OkapiArrays, file_names, in_files, load, nothing
from mmrag.index.okapi_build import Batch, Formula, Fresh, build
from mmrag.index.okapi_search import OkapiSearcher
from mmrag.index.ranking import check_k, matches

_KIND = "okapi"


@dataclass(frozen=True, slots=True)
class OkapiOptions:
    """The parameters of BM25Okapi, as rank-bm25 defines them.

    A term that n of N texts hold has the idf ln((N - n + 0.5) / (n + 0.5)) (Robertson); where that is
    negative, `epsilon` times the mean idf of all terms. A text of length L that holds it f times gets
    idf * f * (k1 + 1) / (f + k1 * (1 - b + b * L / mean length)), the ATIRE variant, once for each
    time that the query has the term.

    Args:
        k1: How soon repeating a term stops to count.
        b: How far long texts are held back, 0 to 1.
        epsilon: A negative idf is replaced by this share of the mean idf.
        stemmer: The language whose word endings are cut; none for corpora in many languages.
    """

    k1: float = 1.5
    b: float = 0.75
    epsilon: float = 0.25
    stemmer: FixedStemmer = "english"

    def __post_init__(self) -> None:
        if not (0 <= self.k1 < np.inf and 0 <= self.b <= 1 and 0 <= self.epsilon < np.inf):
            raise ConfigError(
                f"Okapi cannot score with k1 {self.k1}, b {self.b} and epsilon {self.epsilon}.",
                fix="Use k1 and epsilon from 0 and b from 0 to 1, or leave them out.",
            )

    @property
    def identity(self) -> dict[str, str]:
        """What the files of an index depend on."""
        return {
            "engine": "okapi/1",
            "analyser": Analyzer(self.stemmer).identity,
            "fields": " ".join(FIELDS),
            "formula": f"k1={self.k1} b={self.b} epsilon={self.epsilon}",
        }

    def open(self, folder: Path | None = None) -> OkapiIndex:
        """Open or create an index in a folder, or a passing one in memory when that is None.

        Raises:
            Damaged: The folder holds something else, or a torn index.
            IdentityMismatch: It was built with other options.
        """
        return OkapiIndex(self, folder)


class OkapiIndex:
    """Ranks rows by BM25Okapi over all fields of a text as one bag of terms.

    Changes are seen by searches after `commit`, which counts and scores all texts anew: another text
    changes every idf. Searching from several threads is safe; one writer at a time.
    """

    def __init__(self, options: OkapiOptions, folder: Path | None = None) -> None:
        self.options = options
        self.analyzer = Analyzer(options.stemmer)
        self._folder = folder
        self._generation = 0
        self._lock = Lock()
        self._searcher = OkapiSearcher(self._opened())
        self._forget_changes()

    def detached(self) -> OkapiIndex:
        """Return an index in memory that begins as this one: for rows that the files do not know yet."""
        index = OkapiIndex(self.options)
        index._searcher = self._searcher
        return index

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        """Add rows; a row that is already there is replaced. Call `commit` to publish."""
        if len(rows) != len(texts):
            raise ConfigError(f"{len(rows)} rows came with {len(texts)} texts.", fix="Give one text a row.")
        with self._lock:
            tokens: list[int] = []
            lengths = []
            for text in texts:
                terms = self.analyzer.kept("\n".join(getattr(text, name) for name in FIELDS))
                tokens += map(self._vocabulary.__getitem__, terms)
                lengths.append(len(terms))
            batch = Batch.of(np.array(rows, np.int64), lengths, tokens)
            for place, row in enumerate(rows.tolist()):
                self._latest[row] = (len(self._batches), place)
            self._batches.append(batch)

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored. Call `commit` to publish."""
        with self._lock:
            self._latest.update(dict.fromkeys(rows.tolist()))

    def commit(self) -> None:
        """Publish all changes: count and score anew, and sync the files to disk."""
        with self._lock:
            written = self._folder is None or self._generation > 0
            if written and not self._latest:
                return
            old = self._searcher.arrays
            keep = ~np.isin(old.rows, np.array(list(self._latest), np.int64))
            counted = [np.zeros(len(batch.rows), bool) for batch in self._batches]
            for at in self._latest.values():
                if at is not None:
                    counted[at[0]][at[1]] = True
            fresh = Fresh(list(self._vocabulary), self._batches, counted)
            self._searcher = OkapiSearcher(self._built(keep, fresh))
            self._forget_changes()

    def close(self) -> None:
        """Give up changes that were not committed."""
        with self._lock:
            self._forget_changes()

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query; rows that share no term with it are not matches.

        Raises:
            QueryError: k is below 1.
        """
        check_k(k)
        searcher = self._searcher
        wanted = [Counter(self._numbers(searcher.arrays, self.analyzer.terms(query))) for query in queries]
        return matches([searcher.top(each, k, allow) for each in wanted], k)

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return each term's inverse document frequency; a term that is nowhere gets the largest."""
        arrays = self._searcher.arrays
        held = np.array([len(self._holders(arrays, term)) for term in terms], np.float64)
        return np.log1p((len(arrays.rows) - held + 0.5) / (held + 0.5)).astype(np.float32)

    def rows(self) -> Rows:
        """Return the rows that it holds, sorted."""
        return np.sort(self._searcher.arrays.rows)

    def row_with(self, term: str) -> int | None:
        """Return a row that holds a term, as `analyze` gives it; None if the index does not know it."""
        arrays = self._searcher.arrays
        holders = self._holders(arrays, term)
        return int(arrays.rows[holders].min()) if len(holders) else None

    def has_removed(self) -> bool:
        """Whether its files still hold words of rows that were removed: a commit leaves none."""
        return False

    def analyze(self, text: str) -> list[str]:
        """Return the terms that the index keeps of a text, in order."""
        return self.analyzer.terms(text)

    def __len__(self) -> int:
        return len(self._searcher.arrays.rows)

    def _opened(self) -> OkapiArrays:
        folder = self._folder
        if folder is None:
            return nothing()
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            return nothing()
        facts = {name: str(value) for name, value in read_header(folder, _KIND).items()}
        self._generation = int(facts.pop("generation"))
        if different := differences(facts, self.options.identity):
            raise IdentityMismatch(
                f"This okapi index was built otherwise ({'; '.join(different)}).",
                fix=REBUILD,
                where=str(folder),
            )
        return self._loaded(folder)

    def _built(self, keep: NDArray[np.bool_], fresh: Fresh) -> OkapiArrays:
        formula, old = Formula(self.options.k1, self.options.b, self.options.epsilon), self._searcher.arrays
        if self._folder is None:
            return build(formula, old, keep, fresh)
        # Readers keep the files of before mapped: new ones have other names, and the header comes last.
        before, self._generation = self._generation, self._generation + 1
        build(formula, old, keep, fresh, in_files(self._folder, _suffix(self._generation)))
        made = file_names(_suffix(self._generation))
        for name in made:
            with (self._folder / name).open("rb+") as file:
                os.fsync(file.fileno())
        facts = {**self.options.identity, "generation": self._generation}
        write_header(self._folder, _KIND, facts, made)
        for name in file_names(_suffix(before)):
            (self._folder / name).unlink(missing_ok=True)
        return self._loaded(self._folder)

    def _loaded(self, folder: Path) -> OkapiArrays:
        try:
            return load(folder, _suffix(self._generation))
        except (ValueError, OSError, EOFError) as error:
            raise damaged(folder, _KIND, str(error)) from error

    def _forget_changes(self) -> None:
        self._batches: list[Batch] = []
        self._latest: dict[int, tuple[int, int] | None] = {}
        self._vocabulary: defaultdict[str, int] = defaultdict()
        self._vocabulary.default_factory = self._vocabulary.__len__

    def _numbers(self, arrays: OkapiArrays, terms: Sequence[str]) -> list[int]:
        whole = arrays.find([term for term in terms if not is_partial(term)])
        partial = [number for term in terms if is_partial(term) for number in arrays.beginning(term)]
        return [number for number in whole if number >= 0] + partial

    def _holders(self, arrays: OkapiArrays, term: str) -> NDArray[np.int32]:
        lists = [arrays.docs[arrays.starts[n] : arrays.starts[n + 1]] for n in self._numbers(arrays, [term])]
        return np.unique(np.concatenate([np.empty(0, np.int32), *lists]))


def _suffix(generation: int) -> str:
    return f".{generation}.npy"
