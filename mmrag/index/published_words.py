"""A published lexical index beside the rows that it does not know yet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrag.core.fields import SearchText, search_text
from mmrag.core.protocols import Rows, TextIndex
from mmrag.core.types import Matches
from mmrag.store import Derived, Store

_BATCH_ROWS = 2000


def add_items(index: TextIndex, store: Store, rows: Rows) -> None:
    """Add the words of rows, as far as they are still in the store."""
    for start in range(0, len(rows), _BATCH_ROWS):
        batch = rows[start : start + _BATCH_ROWS]
        items = store.items(batch)
        # A writer may have removed some since: the next changes tell.
        present = batch[np.isin(batch, list(items))]
        index.add(present, [search_text(items[row]) for row in present.tolist()])


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder by hard links: index segments are never changed in place, only replaced."""
    for file in source.iterdir():
        if file.suffix == ".lock":
            continue
        # Small state files are copied, in case an engine rewrites one in place.
        if file.suffix == ".json":
            shutil.copy2(file, target / file.name)
        else:
            try:
                os.link(file, target / file.name)
            except OSError:
                shutil.copy2(file, target / file.name)


def demanded(index: TextIndex, query: str) -> Rows | None:
    """Return the rows that a query's `+` and `-` leave; None where it, or the index, has none."""
    find: Callable[[str], Rows | None] | None = getattr(index, "demanded", None)
    return find(query) if find is not None else None


class PublishedWords:
    """A published text index, the rows that it does not know yet, and those it must not show.

    Holding on to `Derived` keeps the files from being removed when a newer index is published.
    """

    def __init__(self, derived: Derived, base: TextIndex, tail: TextIndex, hidden: Rows) -> None:
        self._derived, self._base, self._tail, self._hidden = derived, base, tail, hidden

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        """Add rows to those beside the published ones."""
        self._hidden = np.union1d(self._hidden, rows)
        self._tail.add(rows, texts)

    def remove(self, rows: Rows) -> None:
        """Hide rows."""
        self._hidden = np.union1d(self._hidden, rows)
        self._tail.remove(rows)

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query among both."""
        if not len(self._hidden) and not len(self._tail):
            return self._base.search(queries, k, allow=allow)
        old = self._base.search(queries, k + len(self._hidden), allow=allow)
        shown = ~np.isin(old.rows, self._hidden)
        new = self._tail.search(queries, k, allow=allow)
        as_in_base = np.array([self._scale(query) for query in queries], np.float32)[:, None]
        new = Matches(new.rows, new.scores * as_in_base)
        rows = np.hstack([np.where(shown, old.rows, -1), new.rows])
        scores = np.hstack([np.where(shown, old.scores, -np.inf), new.scores]).astype(np.float32)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return Matches(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))

    def _scale(self, query: str) -> float:
        """Return what a score of the tail is worth beside those of the published part.

        BM25 adds up idf, and in a tail of one item every word is frequent: unscaled, a new item that
        alone holds the query's words stood behind all old ones that hold one of them.
        """
        terms = list(dict.fromkeys(self._base.analyze(query)))
        nowhere = self._tail.idf([""])
        own = self._tail.idf(terms)
        known = own < nowhere
        return float(self._base.idf(terms)[known].sum() / own[known].sum()) if known.any() else 1.0

    def demanded(self, query: str) -> Rows | None:
        """Return the rows that a query's `+` and `-` leave, sorted; None when it has none."""
        old, new = demanded(self._base, query), demanded(self._tail, query)
        if old is None or new is None:
            return None
        return np.union1d(np.setdiff1d(old, self._hidden, assume_unique=True), new)

    def describe(self, query: str) -> str:
        """Say in one sentence how a query is understood."""
        told: Callable[[str], str] | None = getattr(self._base, "describe", None)
        return told(query) if told is not None else ""

    def commit(self) -> None:
        """Let searches see what was added."""
        self._tail.commit()

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return each term's inverse document frequency in the published part."""
        # The published part is nearly all of the corpus; a term only the tail knows is rare anyway.
        return self._base.idf(terms)

    def analyze(self, text: str) -> list[str]:
        """Return the terms that the index keeps of a text, in order."""
        return self._base.analyze(text)

    def __len__(self) -> int:
        return len(self._base) + len(self._tail)
