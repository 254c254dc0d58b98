"""Publish a store's derived indexes, and open them with everything newer searched exactly."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import Damaged
from mmrag.core.fields import SearchText, search_text
from mmrag.core.protocols import Index, Rows, TextIndex
from mmrag.core.types import Matches
from mmrag.store import Derived, Store

LEXICAL, DENSE = "lexical", "dense"
_BATCH_ROWS = 2000


class TextIndexOptions(Protocol):
    """Options of a lexical index.

    With an `identity` (what its files depend on) it is kept on disk, without it is built when opened.
    """

    def open(self, folder: Path | None) -> TextIndex:
        """Open or create the index in a folder, or in memory."""
        ...


class IndexOptions(Protocol):
    """Options of a dense index; `identity` as in `TextIndexOptions`."""

    def build(self, dim: int) -> Index:
        """Return an empty index."""
        ...

    def load(self, folder: Path) -> Index:
        """Open a saved index."""
        ...


def publish(
    store: Store, dense: IndexOptions, lexical: TextIndexOptions, dim: int, *, anew: bool = False
) -> None:
    """Bring the derived indexes on disk up to the store's generation; call it as the writer.

    Args:
        store: The store.
        dense: Options of the index over vectors; one without an identity is not kept on disk.
        lexical: Options of the index over words.
        dim: The length of a vector.
        anew: Build from all rows, also what is published already; readers keep that until then.
    """
    if (stamp := stamp_of(lexical)) is not None:
        _publish_lexical(store, lexical, stamp, anew=anew)
    if (stamp := stamp_of(dense)) is not None:
        _publish_dense(store, dense, {**store.identity, **stamp}, dim, anew=anew)


def open_lexical(store: Store, options: TextIndexOptions) -> TextIndex:
    """Open the published lexical index; rows newer than it are indexed in memory beside it."""
    published = _usable(store, LEXICAL, stamp_of(options))
    if published is None or _is_damaged(options.open, published):
        whole = options.open(None)
        _add(whole, store, store.rows())
        whole.commit()
        return whole
    base = options.open(published.path)
    added, removed = store.changes(published.generation)
    tail = options.open(None)
    _add(tail, store, added)
    tail.commit()
    return _Published(published, base, tail, np.union1d(added, removed))


def open_dense(store: Store, options: IndexOptions, dim: int) -> Index:
    """Open the published dense index and add what is newer, or build it over the stored vectors."""
    stamp = stamp_of(options)
    published = None if stamp is None else _usable(store, DENSE, {**store.identity, **stamp})
    if published is None or _is_damaged(options.load, published):
        return _built(store, options, dim)
    index = options.load(published.path)
    _catch_up(index, store, published.generation)
    return index


def stamp_of(options: object) -> Mapping[str, str] | None:
    """Return what an index's files depend on; None for an index that is not kept on disk."""
    stamp: Mapping[str, str] | None = getattr(options, "identity", None)
    return stamp


def _usable(store: Store, name: str, stamp: Mapping[str, str] | None) -> Derived | None:
    published = store.derived(name) if stamp is not None else None
    if published is None or published.stamp != stamp:
        return None
    # What was removed before the horizon is not known any more, or must leave no trace.
    return published if published.generation >= store.horizon else None


def _is_damaged(load: Callable[[Path], object], published: Derived) -> bool:
    """Tell whether files of the right names and sizes hold something else: they are built again."""
    try:
        load(published.path)
    except Damaged:
        return True
    return False


def _base(store: Store, name: str, stamp: Mapping[str, str], generation: int) -> Derived | None:
    """Return the published index to go on from; one ahead of its catalog (restored from a backup) is none."""
    old = _usable(store, name, stamp)
    return old if old is not None and old.generation <= generation else None


def _publish_lexical(
    store: Store, options: TextIndexOptions, stamp: Mapping[str, str], *, anew: bool
) -> None:
    # The generation is asked for first: if `forget` comes in between, the store refuses the index.
    generation = store.generation
    old = None if anew else _base(store, LEXICAL, stamp, generation)
    if old is not None and _is_damaged(options.open, old):
        old = None
    if old is not None and old.generation == generation:
        return

    def build(folder: Path) -> None:
        if old is not None:
            _link_tree(old.path, folder)
        index = options.open(folder)
        if old is None:
            added = store.rows()
        else:
            added, removed = store.changes(old.generation)
            index.remove(removed)
        _add(index, store, added)
        index.commit()

    store.publish(LEXICAL, stamp, generation, build)


def _publish_dense(
    store: Store, options: IndexOptions, stamp: Mapping[str, str], dim: int, *, anew: bool
) -> None:
    generation = store.generation
    old = None if anew else _base(store, DENSE, stamp, generation)
    if old is not None and _is_damaged(options.load, old):
        old = None
    if old is not None and old.generation == generation:
        return

    def build(folder: Path) -> None:
        if old is None:
            index = _built(store, options, dim)
        else:
            index = options.load(old.path)
            _catch_up(index, store, old.generation)
        index.save(folder)

    store.publish(DENSE, stamp, generation, build)


def _built(store: Store, options: IndexOptions, dim: int) -> Index:
    index = options.build(dim)
    with store.snapshot():
        rows = store.rows()
        if len(rows):
            index.add(rows, store.embeddings(rows))
    return index


def _catch_up(index: Index, store: Store, generation: int) -> None:
    with store.snapshot():
        added, removed = store.changes(generation)
        index.remove(removed)
        if len(added):
            index.add(added, store.embeddings(added))


def _add(index: TextIndex, store: Store, rows: Rows) -> None:
    for batch in _batches(rows):
        items = store.items(batch)
        # A writer may have removed some since: the next changes tell.
        present = batch[np.isin(batch, list(items))]
        index.add(present, [search_text(items[row]) for row in present.tolist()])


def _batches(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + _BATCH_ROWS] for start in range(0, len(rows), _BATCH_ROWS))


def _link_tree(source: Path, target: Path) -> None:
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


class _Published:
    """A published text index, the rows that it does not know yet, and those it must not show.

    Holding on to `Derived` keeps the files from being removed when a newer index is published.
    """

    def __init__(self, derived: Derived, base: TextIndex, tail: TextIndex, hidden: Rows) -> None:
        self._derived, self._base, self._tail, self._hidden = derived, base, tail, hidden

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        self._hidden = np.union1d(self._hidden, rows)
        self._tail.add(rows, texts)

    def remove(self, rows: Rows) -> None:
        self._hidden = np.union1d(self._hidden, rows)
        self._tail.remove(rows)

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
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

    def commit(self) -> None:
        self._tail.commit()

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        # The published part is nearly all of the corpus; a term only the tail knows is rare anyway.
        return self._base.idf(terms)

    def analyze(self, text: str) -> list[str]:
        return self._base.analyze(text)

    def __len__(self) -> int:
        return len(self._base) + len(self._tail)
