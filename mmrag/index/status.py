"""Tell what search indexes a store has: what they hold, how well they find, what they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmrag.index.ann.report import IndexReport
from mmrag.index.published import DENSE, Indexes, kept_indexes, open_dense
from mmrag.store import Derived, Store


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
        found = [_dense(store, indexes, dim)]
        for kept in kept_indexes(store, indexes):
            if kept.name != DENSE:
                published = store.derived(kept.name)
                kind = str(kept.stamp.get("engine", kept.name)).split("/")[0]
                notes = () if published else ("It is not on disk yet; the next sync or reindex writes it.",)
                found.append(
                    IndexStatus(
                        kept.name, kind, None, _newer(store, published), _size(published), notes=notes
                    )
                )
        return found


def _dense(store: Store, indexes: Indexes, dim: int) -> IndexStatus:
    index = open_dense(store, indexes.dense, dim)
    choose = getattr(indexes.dense, "choose", None)
    notes: tuple[str, ...] = choose(store.count(), dim).reasons if choose is not None else ()
    report = getattr(index, "report", None)
    if report is None:
        return IndexStatus(DENSE, "exact", len(index), 0, 0, notes=notes)
    told: IndexReport = report()
    published = store.derived(DENSE)
    return IndexStatus(
        DENSE,
        told.kind,
        told.rows,
        _newer(store, published),
        _size(published),
        asdict(told),
        (*notes, *told.notes),
    )


def _newer(store: Store, published: Derived | None) -> int:
    if published is None or published.generation < store.horizon:
        return 0
    added, removed = store.changes(published.generation)
    return len(added) + len(removed)


def _size(published: Derived | None) -> int:
    if published is None:
        return 0
    return sum(file.stat().st_size for file in published.path.rglob("*") if file.is_file())
