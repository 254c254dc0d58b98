"""Tell what search indexes a store has: what they hold, how well they find, what they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmrag.index.ann.report import IndexReport
from mmrag.index.published import DENSE, Indexes, Kept, kept_indexes, open_dense, usable
from mmrag.store import Derived, Store

_NOT_ON_DISK = "It is not on disk yet; the next sync or reindex writes it."


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What is to be known of one search index.

    Args:
        name: `dense`, `lexical`, `columns` or `pictures`.
        kind: What it is made of.
        rows: How many rows it finds, as far as that is its own to say.
        newer: How many rows were added or removed since it was written to disk.
        disk_bytes: What its files take; 0 when nothing is kept.
        detail: Of a dense index: the recall that was measured, operating points, memory.
        notes: Sentences that say why it is as it is.
    """

    name: str
    kind: str
    rows: int | None
    newer: int
    disk_bytes: int
    detail: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return it in a line: kind, rows, recall, size."""
        told = [self.kind if self.rows is None else f"{self.kind} over {self.rows:,} rows"]
        if points := self.detail.get("points"):
            first = points[0]
            told.append(f"recall@{first['k']} {first['recall']:.3f} of {self.detail['target']:.2f} wanted")
            told.append(f"{first['probes']} probes, {first['rerank']} rescored a hit")
        if self.disk_bytes:
            told.append(f"{self.disk_bytes / 1e6:,.1f} MB on disk")
        if memory := self.detail.get("memory_bytes"):
            told.append(f"{memory / 1e6:,.1f} MB in memory")
        if self.newer:
            told.append(f"{self.newer:,} newer changes beside it")
        return f"{self.name}: {', '.join(told)}"


def index_status(store: Store, indexes: Indexes, dim: int) -> list[IndexStatus]:
    """Return the state of each search index, the dense one first."""
    with store.snapshot():
        kept = {one.name: one for one in kept_indexes(store, indexes)}
        found = [_dense(store, indexes, dim, kept.pop(DENSE, None))]
        for name, one in kept.items():
            published = _published(store, one)
            kind = str(one.stamp.get("engine", name)).split("/")[0]
            notes = () if published else (_NOT_ON_DISK,)
            newer, size = _newer(store, published), _size(published)
            found.append(IndexStatus(name, kind, None, newer, size, notes=notes))
        return found


def _dense(store: Store, indexes: Indexes, dim: int, kept: Kept | None) -> IndexStatus:
    index = open_dense(store, indexes.dense, dim)
    choose = getattr(indexes.dense, "choose", None)
    count = store.count()
    # How an index of nothing would be searched, nobody asks.
    notes: tuple[str, ...] = choose(count, dim).reasons if choose is not None and count else ()
    report = getattr(index, "report", None)
    if report is None:
        waits = (_NOT_ON_DISK,) if kept is not None else _of_another_recipe(store)
        return IndexStatus(DENSE, "exact", len(index), 0, 0, notes=(*notes, *waits))
    told: IndexReport = report()
    published = _published(store, kept)
    newer, size = _newer(store, published), _size(published)
    return IndexStatus(DENSE, told.kind, told.rows, newer, size, asdict(told), (*notes, *told.notes))


def _of_another_recipe(store: Store) -> tuple[str, ...]:
    published = store.derived(DENSE)
    if published is None:
        return ()
    kind = published.stamp.get("kind", published.stamp.get("engine", DENSE))
    return (f"An index of another recipe ({kind}) is on disk: --recipe says which one a command uses.",)


def _published(store: Store, kept: Kept | None) -> Derived | None:
    """Return what is on disk, None where it was written with other options or before the horizon."""
    return usable(store, kept.name, kept.stamp) if kept is not None else None


def _newer(store: Store, published: Derived | None) -> int:
    if published is None:
        return 0
    added, removed = store.changes(published.generation)
    return len(added) + len(removed)


def _size(published: Derived | None) -> int:
    if published is None:
        return 0
    return sum(file.stat().st_size for file in published.path.rglob("*") if file.is_file())
