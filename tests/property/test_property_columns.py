"""Columns find exactly the rows that SQL finds and `Filter.matches` lets through, whatever the history."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrag.core.filters import Filter, field_values
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId
from mmrag.index.columns import Columns, update, write
from mmrag.store import SourceRecord, Store

sys.path.insert(0, str(Path(__file__).parent))

from test_property_store_filters import filters, integers, items, media_types, paths, sources

put = st.tuples(st.just("put"), paths, media_types, integers, items)
remove = st.tuples(st.just("remove"), st.integers(0, 9))
touch = st.tuples(st.just("touch"), st.integers(0, 9), integers)
move = st.tuples(st.just("move"), st.integers(0, 9), paths)
histories = st.lists(put | remove | touch | move, max_size=5)
publish = st.sampled_from(["write", "update", "keep"])


def _put(writer, record: SourceRecord, drawn: list) -> None:
    mine = [
        Item(ItemId(f"{n}"), record.source.id, locator, (Part(modality, text="t"),), metadata)
        for n, (locator, modality, metadata) in enumerate(drawn)
    ]
    writer.put(record, mine, ["v"] * len(mine))


def _record(id: str, media_type: str, size: int, modified: int) -> SourceRecord:
    return SourceRecord(Source(SourceId(id), "d", size, media_type), modified, "indexed")


def _step(store: Store, writer, step: tuple) -> None:
    kind, *drawn = step
    known = sorted((record.source.id, record) for record in store.sources())
    if kind == "put":
        path, media_type, modified, some = drawn
        _put(writer, _record(path, media_type, 1, modified), some)
    elif known:
        id, record = known[drawn[0] % len(known)]
        old = record.source
        if kind == "remove":
            writer.remove(id)
        elif kind == "touch":
            writer.update(_record(id, old.media_type, old.size + 1, drawn[1]))
        else:
            writer.move(id, _record(drawn[1], old.media_type, old.size, record.mtime_ns))
    writer.commit()


def _check(store: Store, columns: Columns, conditions: list[Filter]) -> None:
    known = {record.source.id: record for record in store.sources()}
    values = {
        row: field_values(item, known[item.source].source, known[item.source].mtime_ns)
        for row, item in store.items(store.rows()).items()
    }
    assert len(columns) in (0, len(values))
    for condition in conditions:
        expected = sorted(row for row, value in values.items() if condition.matches(value))
        assert columns.rows(condition).tolist() == expected, condition


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    sources,
    items,
    st.lists(st.tuples(histories, publish), min_size=1, max_size=3),
    st.lists(filters, min_size=5, max_size=25),
)
def test_columns_mean_what_matches_means(
    drawn_sources: list, drawn_items: list, histories: list, conditions: list[Filter]
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with Store.create(folder / "s", identity={}) as store, store.writer() as writer:
            writer.add_vectors(["v"], Embeddings.dense(np.ones((1, 2), dtype=np.float32)))
            for n, (id, media_type, size, modified) in enumerate(drawn_sources):
                _put(writer, _record(id, media_type, size, modified), drawn_items[n :: len(drawn_sources)])
            writer.commit()
            published = store.publish("columns", {}, store.generation, lambda aside: write(aside, store))
            for history, how in histories:
                for step in history:
                    _step(store, writer, step)
                _check(store, Columns.open(store, published), conditions)
                if how == "write":
                    published = store.publish(
                        "columns", {}, store.generation, lambda aside: write(aside, store)
                    )
                elif how == "update":
                    old, changes = published, store.changes(published.generation)
                    published = store.publish(
                        "columns",
                        {},
                        store.generation,
                        lambda aside, old=old, changes=changes: update(old.path, aside, store, *changes),
                    )
                _check(store, Columns.open(store, published), conditions)
            del published
    finally:
        shutil.rmtree(folder)
