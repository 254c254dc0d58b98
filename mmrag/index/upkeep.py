"""Builds published indexes anew, and looks into them: for `reindex`, `verify` and `forget`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mmrag.core.errors import Damaged
from mmrag.core.fields import FIELDS, search_text
from mmrag.core.protocols import Rows
from mmrag.core.types import Item
from mmrag.index.lexical import LexicalIndex
from mmrag.index.okapi import OkapiIndex
from mmrag.index.published import (
    COLUMNS,
    DENSE,
    LEXICAL,
    PICTURES,
    Indexes,
    Kept,
    TextIndexOptions,
    kept_indexes,
    publish,
    stamp_of,
)
from mmrag.store import Derived, RowsOf, Store
from mmrag.store.derived import Shelf


def reindex(store: Store, indexes: Indexes) -> list[Derived]:
    """Build the derived indexes anew from the stored vectors and words, and publish them.

    Readers keep the old ones until then.

    Returns:
        Those that are kept on disk.

    Raises:
        Locked: There is a writer.
        OutOfSpace: The old ones stay.
    """
    with store.writer():
        publish(store, indexes, anew=True)
        found = [store.derived(name) for name in (LEXICAL, DENSE, COLUMNS, PICTURES)]
    return [derived for derived in found if derived is not None]


def row_lists(store: Store, indexes: Indexes) -> dict[str, RowsOf]:
    """Return how `verify` looks into the indexes of these options.

    One that was published with other options is not looked into: it is built anew when it is needed.
    """
    return {kept.name: _look(kept) for kept in kept_indexes(store, indexes)}


def leftovers(store: Store, lexical: TextIndexOptions) -> Callable[[Sequence[Item]], list[str]]:
    """Return how `forget` looks for items in the published words, through the engine's own interface.

    Words that are on disk and cannot be looked into are named as well: nothing proves that they are clean.
    Dense indexes hold vectors as they are: the search of the files finds these.
    """
    return lambda items: list(_leftovers(store, lexical, items))


def _look(kept: Kept) -> RowsOf:
    def rows(derived: Derived) -> Rows | None:
        # Pictures are of some rows only.
        if derived.stamp != kept.stamp or kept.name == PICTURES:
            return None
        listed = getattr(kept.open(derived.path), "rows", None)
        found: Rows | None = listed() if callable(listed) else listed
        return found

    return rows


def _leftovers(store: Store, options: TextIndexOptions, items: Sequence[Item]) -> Iterator[str]:
    if LEXICAL not in Shelf(store.path / "derived").names():
        return
    published = store.derived(LEXICAL)
    index, why = _opened(published, options) if published is not None else (None, "it is torn")
    if index is None:
        yield f"The words of the index {LEXICAL} ({why}) were not looked into."
        return
    if index.has_removed():
        yield "The lexical index still holds words of rows that were removed."
    strange = set(np.setdiff1d(index.rows(), store.rows()).tolist())
    if strange:
        yield f"The lexical index still holds {len(strange)} rows that were removed."
    fields = (getattr(search_text(item), field) for item in items for field in FIELDS)
    for term in {term for text in fields if text for term in index.analyze(text)}:
        if index.row_with(term) in strange:
            yield f"The lexical index still holds the word {term!r}."


def _opened(published: Derived, options: TextIndexOptions) -> tuple[LexicalIndex | OkapiIndex | None, str]:
    """Open the published words; else say why they cannot be looked into."""
    if published.stamp != stamp_of(options):
        return None, "it was built with other options"
    try:
        index = options.open(published.path)
    except Damaged:
        return None, "it cannot be opened"
    if not isinstance(index, LexicalIndex | OkapiIndex):
        return None, f"mmrag does not know the files of {type(index).__name__}"
    return index, ""
