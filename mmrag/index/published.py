"""Publish a store's derived indexes, and open them with everything newer beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from mmrag.core.errors import Damaged, IdentityMismatch
from mmrag.core.protocols import Index, Rows, TextIndex, VectorSource
from mmrag.index import columns
from mmrag.index.column_table import load_table
from mmrag.index.columns import Columns
from mmrag.index.exact import ExactOptions
from mmrag.index.pictures import PictureIndex, PictureOptions
from mmrag.index.published_words import PublishedWords, add_items, link_tree
from mmrag.store import Derived, Store

Loaded = TypeVar("Loaded")
LEXICAL, DENSE, COLUMNS, PICTURES = "lexical", "dense", "columns", "pictures"


class TextIndexOptions(Protocol):
    """Options of a lexical index.

    With an `identity` (what its files depend on) it is kept on disk, without it is built when opened.
    """

    def open(self, folder: Path | None) -> TextIndex:
        """Open or create the index in a folder, or in memory."""
        ...


@runtime_checkable
class Detachable(Protocol):
    """A lexical index in which another text changes the scores of all: newer rows cannot stand beside it."""

    def detached(self) -> TextIndex:
        """Return an index in memory that begins as this one."""
        ...


class IndexOptions(Protocol):
    """Options of a dense index that is built in memory whenever it is opened."""

    def build(self, vectors: VectorSource) -> Index:
        """Return an index over the vectors."""
        ...


@runtime_checkable
class KeptIndexOptions(Protocol):
    """Options of a dense index that is kept on disk; `identity` is what its files depend on."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What the files depend on."""
        ...

    def keeps(self, count: int, dim: int) -> bool:
        """Return whether so many vectors are worth an index; else they are searched exactly."""
        ...

    def write(self, folder: Path, vectors: VectorSource) -> None:
        """Build the index into an empty folder."""
        ...

    def update(self, old: Path, folder: Path, added: VectorSource, removed: Rows) -> None:
        """Write what an old folder holds, with changes, into an empty one."""
        ...

    def is_due(self, old: Path, count: int, added: int, removed: int) -> bool:
        """Return whether so many changes to an old folder are worth an update now."""
        ...

    def is_worn(self, old: Path, added: int, removed: int) -> bool:
        """Return whether so many changes leave an index that is better built anew than updated."""
        ...

    def load(self, folder: Path) -> Index:
        """Open a folder; rows newer than it are added to what this returns."""
        ...


@dataclass(frozen=True, slots=True)
class Indexes:
    """The derived indexes of a store, as options; the columns that filters read are always kept.

    Picture files are read in the folder `corpus`.
    """

    dense: IndexOptions | KeptIndexOptions
    lexical: TextIndexOptions
    pictures: PictureOptions | None = None
    corpus: Path | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The indexes of one state of a store.

    Holding on to `held` keeps the files from being removed when newer indexes are published.
    """

    lexical: TextIndex
    dense: Index
    columns: Columns
    pictures: PictureIndex | None
    held: tuple[Derived, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """An index on disk: how it is built, brought up to date and opened."""

    name: str
    stamp: Mapping[str, str]
    open: Callable[[Path], object]
    build: Callable[[Path], None]
    update: Callable[[Derived, Path], None]
    is_due: Callable[[Derived], bool] = lambda old: True


def publish(store: Store, indexes: Indexes, *, anew: bool = False) -> list[str]:
    """Bring the derived indexes on disk up to the store's generation; call it as the writer.

    An index over vectors is left behind until a merge is worth its price: what is newer is then
    searched exactly by those who open it.

    Args:
        store: The store.
        indexes: What is kept, and how.
        anew: Build from all rows, also what is published already; readers keep that until then.

    Returns:
        The names of those that were written.
    """
    written = []
    for kept in kept_indexes(store, indexes):
        # The generation is asked for first: if `forget` comes in between, the store refuses the index.
        generation = store.generation
        old = None if anew else _base(store, kept, generation)
        if old is None:
            store.publish(kept.name, kept.stamp, generation, kept.build)
        elif old.generation != generation and kept.is_due(old):
            store.publish(kept.name, kept.stamp, generation, _updating(kept, old))
        else:
            continue
        written.append(kept.name)
    return written


def open_indexes(store: Store, indexes: Indexes, dim: int) -> Opened:
    """Open all indexes, each with the rows that are newer than it; call it inside a snapshot."""
    lexical = open_lexical(store, indexes.lexical)
    dense, held = _open_dense(store, indexes.dense, dim)
    pictures, hashes = indexes.pictures, None
    if pictures is not None:
        found = _whole(store, PICTURES, pictures.identity, pictures.load)
        hashes = pictures.open(store, None if found is None else found[0], corpus=indexes.corpus)
    return Opened(lexical, dense, open_columns(store), hashes, (held,) if held is not None else ())


def open_lexical(store: Store, options: TextIndexOptions) -> TextIndex:
    """Open the published lexical index; rows newer than it are indexed in memory beside it."""
    found = _whole(store, LEXICAL, stamp_of(options), options.open)
    if found is None:
        return _with_items(options.open(None), store, store.rows())
    published, base = found
    added, removed = store.changes(published.generation)
    if isinstance(base, Detachable) and (len(added) or len(removed)):
        whole = base.detached()
        whole.remove(removed)
        return _with_items(whole, store, added)
    return PublishedWords(published, base, _with_items(options.open(None), store, added), removed)


def open_columns(store: Store) -> Columns:
    """Open the published columns with what is newer; without them, filters are left to SQL."""
    try:
        return Columns.open(store, usable(store, COLUMNS, columns.IDENTITY))
    except Damaged:
        return Columns.open(store, None)


def open_dense(store: Store, options: IndexOptions | KeptIndexOptions, dim: int) -> Index:
    """Open the published dense index with what is newer, or search the stored vectors exactly."""
    return _open_dense(store, options, dim)[0]


def kept_indexes(store: Store, indexes: Indexes) -> Iterator[Kept]:
    """Yield the indexes that are kept on disk."""
    if stamp_of(indexes.lexical) is not None:
        yield _words(store, indexes.lexical)
    if isinstance(indexes.dense, KeptIndexOptions) and (vectors := _vectors(store, indexes.dense)):
        yield vectors
    # SQL answers filters over a small store as soon.
    if columns.is_due(0, store.count(), 0):
        yield _columns(store)
    if indexes.pictures is not None:
        yield _pictures(store, indexes.pictures, indexes.corpus)


def stamp_of(options: object) -> Mapping[str, str] | None:
    """Return what an index's files depend on; None for an index that is not kept on disk."""
    stamp: Mapping[str, str] | None = getattr(options, "identity", None)
    return stamp


def _words(store: Store, options: TextIndexOptions) -> Kept:
    def build(folder: Path) -> None:
        index = options.open(folder)
        add_items(index, store, store.rows())
        index.commit()

    def update(old: Derived, folder: Path) -> None:
        link_tree(old.path, folder)
        index = options.open(folder)
        added, removed = store.changes(old.generation)
        index.remove(removed)
        add_items(index, store, added)
        index.commit()

    return Kept(LEXICAL, stamp_of(options) or {}, options.open, build, update)


def _vectors(store: Store, options: KeptIndexOptions) -> Kept | None:
    """Return the index over vectors, None where exact search does as well."""
    count, dim = store.count(), int(store.identity.get("dim", 0))
    if not count or not options.keeps(count, dim):
        return None

    def build(folder: Path) -> None:
        with store.snapshot():
            options.write(folder, store.vectors())

    def update(old: Derived, folder: Path) -> None:
        with store.snapshot():
            added, removed = store.changes(old.generation)
            if options.is_worn(old.path, len(added), len(removed)):
                options.write(folder, store.vectors())
            else:
                options.update(old.path, folder, store.vectors(added), removed)

    def is_due(old: Derived) -> bool:
        added, removed = store.changes(old.generation)
        return options.is_due(old.path, count, len(added), len(removed))

    stamp = {**store.identity, **options.identity}
    return Kept(DENSE, stamp, options.load, build, update, is_due)


def _columns(store: Store) -> Kept:
    def update(old: Derived, folder: Path) -> None:
        columns.update(old.path, folder, store, *store.changes(old.generation))

    def is_due(old: Derived) -> bool:
        added, removed = store.changes(old.generation)
        return columns.is_due(store.count(), len(added), len(removed))

    return Kept(
        COLUMNS, columns.IDENTITY, load_table, lambda folder: columns.write(folder, store), update, is_due
    )


def _pictures(store: Store, options: PictureOptions, corpus: Path | None) -> Kept:
    def update(old: Derived, folder: Path) -> None:
        options.update(old.path, folder, store, *store.changes(old.generation), corpus=corpus)

    def build(folder: Path) -> None:
        options.write(folder, store, corpus=corpus)

    return Kept(PICTURES, options.identity, options.load, build, update)


def _updating(kept: Kept, old: Derived) -> Callable[[Path], None]:
    return lambda folder: kept.update(old, folder)


def _open_dense(
    store: Store, options: IndexOptions | KeptIndexOptions, dim: int
) -> tuple[Index, Derived | None]:
    with store.snapshot():
        if isinstance(options, KeptIndexOptions):
            stamp = {**store.identity, **options.identity}
            if (found := _whole(store, DENSE, stamp, options.load)) is not None:
                published, index = found
                added, removed = store.changes(published.generation)
                index.remove(removed)
                if len(added):
                    index.add(added, store.embeddings(added))
                return index, published
        if not store.count():
            return ExactOptions().empty(dim), None
        # Training takes minutes: who only searches looks at every vector until the writer has published.
        exact = ExactOptions() if isinstance(options, KeptIndexOptions) else options
        return exact.build(store.vectors()), None


def usable(store: Store, name: str, stamp: Mapping[str, str] | None) -> Derived | None:
    """Return what is published under these options and covers all that was ever forgotten."""
    published = store.derived(name) if stamp is not None else None
    if published is None or published.stamp != stamp:
        return None
    # What was removed before the horizon is not known any more, or must leave no trace.
    return published if published.generation >= store.horizon else None


def _whole(
    store: Store, name: str, stamp: Mapping[str, str] | None, load: Callable[[Path], Loaded]
) -> tuple[Derived, Loaded] | None:
    """Open a usable index; None if files of the right names and sizes hold something else."""
    published = usable(store, name, stamp)
    if published is None:
        return None
    try:
        return published, load(published.path)
    except (Damaged, IdentityMismatch):
        return None


def _with_items(index: TextIndex, store: Store, rows: Rows) -> TextIndex:
    add_items(index, store, rows)
    index.commit()
    return index


def _base(store: Store, kept: Kept, generation: int) -> Derived | None:
    """Return the published index to go on from; one ahead of its catalog (restored from a backup) is none."""
    found = _whole(store, kept.name, kept.stamp, kept.open)
    return found[0] if found is not None and found[0].generation <= generation else None
