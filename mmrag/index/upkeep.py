"""Builds published indexes anew, and looks into them: for `reindex`, `verify` and `forget`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from mmrag.core.fields import search_text
from mmrag.core.protocols import Rows
from mmrag.core.types import Item
from mmrag.index.lexical import LexicalIndex
from mmrag.index.published import DENSE, LEXICAL, IndexOptions, TextIndexOptions, publish, stamp_of
from mmrag.store import Derived, RowsOf, Store


def reindex(store: Store, dense: IndexOptions, lexical: TextIndexOptions, dim: int) -> list[Derived]:
    """Build the derived indexes anew from the stored vectors and words, and publish them.

    Readers keep the old ones until then.

    Returns:
        Those that are kept on disk.

    Raises:
        Locked: There is a writer.
        OutOfSpace: The old ones stay.
    """
    with store.writer():
        publish(store, dense, lexical, dim, anew=True)
        found = [store.derived(name) for name in (LEXICAL, DENSE)]
    return [derived for derived in found if derived is not None]


def row_lists(store: Store, dense: IndexOptions, lexical: TextIndexOptions) -> dict[str, RowsOf]:
    """Return how `verify` looks into the indexes of these options.

    One that was published with other options is not looked into: it is built anew when it is needed.
    """
    looks: dict[str, RowsOf] = {}
    if (stamp := stamp_of(lexical)) is not None:
        looks[LEXICAL] = _look(lexical.open, stamp)
    if (stamp := stamp_of(dense)) is not None:
        looks[DENSE] = _look(dense.load, {**store.identity, **stamp})
    return looks


def leftovers(store: Store, lexical: TextIndexOptions) -> Callable[[Sequence[Item]], list[str]]:
    """Return how `forget` looks for items in the published words, through the engine's own interface.

    Dense indexes hold vectors as they are: the search of the files finds these.
    """
    return lambda items: list(_leftovers(store, lexical, items))


def _look(open_files: Callable[[Path], object], stamp: Mapping[str, str]) -> RowsOf:
    def rows(derived: Derived) -> Rows | None:
        listed = getattr(open_files(derived.path), "rows", None) if derived.stamp == stamp else None
        found: Rows | None = listed() if listed is not None else None
        return found

    return rows


def _leftovers(store: Store, options: TextIndexOptions, items: Sequence[Item]) -> Iterator[str]:
    published = store.derived(LEXICAL)
    if published is None or published.stamp != stamp_of(options):
        return
    index = options.open(published.path)
    if not isinstance(index, LexicalIndex):
        return
    if index.has_removed():
        yield "The lexical index still holds words of rows that were removed."
    living = store.rows()
    if len(strange := np.setdiff1d(index.rows(), living)):
        yield f"The lexical index still holds {len(strange)} rows that were removed."
    fields = (text for item in items for text in astuple(search_text(item)) if text)
    for term in {term for text in fields for term in index.analyze(text)}:
        row = index.row_with(term)
        if row is not None and row not in living:
            yield f"The lexical index still holds the word {term!r}."
