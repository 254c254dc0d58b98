"""Search by words with tantivy: weighted fields, incremental, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Lock

import numpy as np
import tantivy
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, IdentityMismatch, Locked, MmragError, did_you_mean
from mmrag.core.fields import FIELDS, SearchText
from mmrag.core.identity import differences
from mmrag.core.protocols import Rows
from mmrag.core.query_syntax import describe
from mmrag.core.types import Matches
from mmrag.index.analysis import Forms, Language, Stemmer
from mmrag.index.files import REBUILD, damaged, read_header, write_header
from mmrag.index.lexical_allow import ROW, is_few_runs, only
from mmrag.index.lexical_query import QueryWriter, document_frequency
from mmrag.index.lexical_scan import all_rows, best_rows, deep_rows, highest_row
from mmrag.index.ranking import Ranked, check_k, matches

_KIND = "lexical"
_ANALYSER = "mmrag"
_ABOUT = "about"
"""The field that names, for each document, its stemmer and its fields: an index knows its languages by it."""


def _default_weights() -> dict[str, float]:
    return {"title": 1.0, "heading": 1.5, "body": 1.0, "ocr": 0.0, "context": 0.5, "name": 1.0}


@dataclass(frozen=True, slots=True)
class LexicalOptions:
    """How words are cut and weighed.

    Args:
        weights: What a match in each field counts; fields left out count nothing. Without a weight for
            `ocr`, words read out of pictures count as the body's: as a field of few items, they were
            weighed down by its short mean length, and scans fell from 89 to 11 % at rank 1.
        stemmer: The language whose word endings are cut, in texts and queries alike; none keeps them; auto
            cuts each text by its own language, and looks for a query's words in all languages of the index.
        phrase_weight: What a matching quoted phrase adds, on top of its words.
        max_terms: Of a longer query only the rarest so many different terms are asked for.
        memory_bytes: What the writer may hold before it starts a new segment.
    """

    weights: Mapping[str, float] = field(default_factory=_default_weights)
    stemmer: Stemmer = "auto"
    phrase_weight: float = 2.0
    max_terms: int = 64
    memory_bytes: int = 64_000_000

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in FIELDS:
                raise ConfigError(
                    f"There is no text field {name!r} to weigh.", fix=did_you_mean(name, FIELDS)
                )
            if not 0 <= weight < np.inf:
                raise ConfigError(
                    f"The weight {weight} of {name!r} is not a number from 0.",
                    fix="Use 0 to leave a field out.",
                )
        if not any(self.weights.values()):
            raise ConfigError("No text field has a weight.", fix="Give body a weight of 1.")
        if self.max_terms < 1 or self.memory_bytes < 15_000_000:
            raise ConfigError(
                "max_terms starts at 1 and memory_bytes at 15000000.",
                fix="Leave them out to use the defaults.",
            )

    @property
    def identity(self) -> dict[str, str]:
        """What the files of an index depend on; weights are applied when searching."""
        return {
            "engine": "tantivy/3",
            "ocr": "body" if self.ocr_is_body else "apart",
            "analyser": Language(self.stemmer).identity,
            "fields": " ".join(FIELDS),
        }

    @property
    def ocr_is_body(self) -> bool:
        """Whether words read out of pictures count as the item's own."""
        return not self.weights.get("ocr")

    def open(self, folder: Path | None) -> LexicalIndex:
        """Open or create an index in a folder, or a passing one in memory when that is None.

        Raises:
            Damaged: The folder holds something else, or a torn index.
            IdentityMismatch: It was built with another analyser.
        """
        return LexicalIndex(_open(folder, self), folder, self)


class LexicalIndex:
    """Ranks rows by BM25 (k1 1.2, b 0.75, idf ln(1 + (N - n + 0.5) / (n + 0.5))), summed over the fields.

    Changes are seen by searches after `commit`, in this object and in those opened later.
    Searching from several threads is safe; one writer at a time, also between processes.
    Removed rows count in N and n until their segment is merged.
    """

    def __init__(self, index: tantivy.Index, folder: Path | None, options: LexicalOptions) -> None:
        self.options = options
        self._language = Language(options.stemmer)
        self._forms: dict[Forms, str] = {}
        self._index = index
        self._folder = folder
        self._schema = index.schema
        index.register_tokenizer(_ANALYSER, self._language.usual.words)
        self._query_writer = QueryWriter(
            index.schema,
            self._language,
            options.weights,
            phrase_weight=options.phrase_weight,
            max_terms=options.max_terms,
        )
        self._writer: tantivy.IndexWriter | None = None
        self._lock = Lock()
        self._highest = -1
        self._look_around()

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        """Add rows; a row that is already there is replaced. Call `commit` to publish.

        Raises:
            ConfigError: The numbers of rows and texts differ.
            Locked: Another process writes to this folder.
        """
        if len(rows) != len(texts):
            raise ConfigError(f"{len(rows)} rows came with {len(texts)} texts.", fix="Give one text a row.")
        with self._lock:
            writer = self._writing()
            for row, text in zip(rows.tolist(), texts, strict=True):
                # What to delete is kept in memory until the commit: 1.3 KB a row.
                if row <= self._highest:
                    writer.delete_documents_by_term(ROW, row)
                self._highest = max(self._highest, row)
                writer.add_document(self._document(row, text))

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored. Call `commit` to publish.

        Raises:
            Locked: Another process writes to this folder.
        """
        with self._lock:
            writer = self._writing()
            for row in rows.tolist():
                writer.delete_documents_by_term(ROW, row)

    def commit(self) -> None:
        """Publish all changes: sync them to disk, merge small segments, let searches see them."""
        with self._lock:
            if self._writer is not None:
                self._writer.commit()
                # Merges end before commit does: afterwards nothing works or writes in the background.
                self._writer.wait_merging_threads()
                self._writer = None
                self._index.reload()
                self._look_around()

    def close(self) -> None:
        """Give up changes that were not committed and let others write."""
        with self._lock:
            if self._writer is not None:
                self._writer.rollback()
                self._writer = None

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query; rows that share no term with it are not matches.

        Raises:
            QueryError: k is below 1.
        """
        check_k(k)
        searcher = self._index.searcher()
        try:
            return matches([self._one(searcher, query, k, allow) for query in queries], k)
        except ValueError as error:
            if self._folder is None or isinstance(error, MmragError):
                raise
            raise damaged(self._folder, _KIND, str(error)) from error

    def demanded(self, query: str) -> Rows | None:
        """Return the rows that have what a query demands (`+`) and not what it excludes (`-`), sorted.

        None when it does neither.
        """
        searcher = self._index.searcher()
        demands = self._query_writer.demands(query, searcher)
        return None if demands is None else all_rows(searcher, demands)

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return each term's inverse document frequency; a term that is nowhere gets the largest."""
        searcher = self._index.searcher()
        count = searcher.num_docs
        seen = np.array([min(self._frequency(searcher, term), count) for term in terms], np.float64)
        return np.log1p((count - seen + 0.5) / (seen + 0.5)).astype(np.float32)

    def rows(self) -> Rows:
        """Return the rows that it holds, sorted."""
        return all_rows(self._index.searcher(), tantivy.Query.all_query())

    def row_with(self, term: str) -> int | None:
        """Return a row that holds a term, as `analyze` gives it; None if the index does not know it."""
        searcher = self._index.searcher()
        each = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, name, form))
            for form in self._all_forms(term)
            for name in FIELDS
        ]
        hits = searcher.search(tantivy.Query.boolean_query(each), 1, count=False).hits
        rows = np.array(searcher.fast_field_values(ROW, [address for _, address in hits]), np.int64)
        return int(rows[0]) if len(rows) else None

    def has_removed(self) -> bool:
        """Whether its files still hold words of rows that were removed."""
        segments = (
            json.loads((self._folder / "meta.json").read_text("utf-8"))["segments"] if self._folder else []
        )
        return any(segment.get("deletes") for segment in segments)

    def analyze(self, text: str) -> list[str]:
        """Return the terms that the index keeps of a text, in order.

        Of a word that differs between the languages of the index, the form that it holds most often:
        the same for the same word, whatever stands around it.
        """
        if len(self._language.spoken) == 1:
            return self._language.spoken[0].terms(text)
        return [forms[0] if len(forms) == 1 else self._usual(forms) for forms in self._language.forms(text)]

    def describe(self, query: str) -> str:
        """Say in one sentence how a query is understood."""
        return describe(query)

    def __len__(self) -> int:
        return self._index.searcher().num_docs

    def _one(self, searcher: tantivy.Searcher, text: str, k: int, allow: Rows | None) -> Ranked:
        query = self._query_writer.write(text, searcher)
        count = searcher.num_docs
        if query is None or count == 0 or (allow is not None and len(allow) == 0):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if allow is None:
            return best_rows(searcher, query, k, count)
        if not is_few_runs(allow):
            found = deep_rows(searcher, query, k, allow)
            if found is not None:
                return found
        return best_rows(searcher, only(self._schema, query, allow), k, len(allow))

    def _look_around(self) -> None:
        """Read from the index which languages its texts have, and which fields."""
        about = self._index.searcher().terms_with_prefix(_ABOUT, "")
        told = [name for name, _ in sorted(about, key=lambda pair: (-pair[1], pair[0]))]
        self._query_writer.fill([name for name in told if name in FIELDS])
        self._language.speak([name for name in told if name not in FIELDS])
        self._forms = {}

    def _usual(self, forms: Forms) -> str:
        if forms not in self._forms:
            searcher = self._index.searcher()
            self._forms[forms] = max(forms, key=lambda form: document_frequency(searcher, FIELDS, form))
        return self._forms[forms]

    def _frequency(self, searcher: tantivy.Searcher, term: str) -> int:
        held = document_frequency(searcher, FIELDS, term)
        return held or max(document_frequency(searcher, FIELDS, form) for form in self._all_forms(term))

    def _all_forms(self, term: str) -> list[str]:
        """Return a term and what it is in the languages of this index: it may come from another one."""
        return list(dict.fromkeys([term, *chain.from_iterable(self._language.wordings(term))]))

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            try:
                # One thread fills one segment at a time: fewer segments, and the same ones every time.
                self._writer = self._index.writer(self.options.memory_bytes, 1)
            except ValueError as error:
                raise Locked(
                    f"Another writer holds the lexical index ({error}).",
                    fix="Wait until it has finished, or end it.",
                    where=str(self._folder) if self._folder else None,
                ) from error
            # Another writer may have added rows since this index was opened.
            self._index.reload()
            self._look_around()
            self._highest = highest_row(self._index.searcher())
        return self._writer

    def _document(self, row: int, text: SearchText) -> tantivy.Document:
        document = tantivy.Document()
        stemmer = self._language.of(text.language)
        document.add_integer(ROW, row)
        document.add_text(_ABOUT, stemmer)
        analyzer = self._language.analyzer(stemmer)
        for name in FIELDS:
            words = getattr(text, name)
            if name == "body" and self.options.ocr_is_body:
                words = "\n".join(filter(None, (words, text.ocr)))
            if words:
                document.add_text(_ABOUT, name)
                value = analyzer.field_value(words, cut=analyzer is not self._language.usual)
                if isinstance(value, str):
                    document.add_text(name, value)
                else:
                    document.add_pre_tokenized_text(name, value)
        return document


def _open(folder: Path | None, options: LexicalOptions) -> tantivy.Index:
    if folder is None:
        return _manual(tantivy.Index(_schema()))
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        index = tantivy.Index(_schema(), path=str(folder))
        write_header(folder, _KIND, options.identity, ())
        return _manual(index)
    facts = {name: str(value) for name, value in read_header(folder, _KIND).items()}
    if different := differences(facts, options.identity):
        raise IdentityMismatch(
            f"This lexical index was built otherwise ({'; '.join(different)}).",
            fix=REBUILD,
            where=str(folder),
        )
    try:
        index = _manual(tantivy.Index.open(str(folder)))
        segments = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["segments"]
    except (ValueError, OSError, KeyError) as error:
        raise damaged(folder, _KIND, str(error)) from error
    # tantivy opens all other files and checks their footers, but takes a missing one of these for
    # an index without positions.
    for segment in segments:
        name = segment["segment_id"].replace("-", "") + ".pos"
        if not (folder / name).exists():
            raise damaged(folder, _KIND, f"{name} is missing")
    return index


def _manual(index: tantivy.Index) -> tantivy.Index:
    index.config_reader("Manual")
    return index


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder().add_integer_field(ROW, stored=False, indexed=True, fast=True)
    builder = builder.add_text_field(_ABOUT, stored=False, tokenizer_name="raw", index_option="basic")
    for name in FIELDS:
        builder = builder.add_text_field(
            name, stored=False, tokenizer_name=_ANALYSER, index_option="position"
        )
    return builder.build()
