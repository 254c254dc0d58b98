"""SQL finds exactly the items that `Filter.matches` lets through."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrag.core.filters import And, Compare, Filter, Not, Or, field_values
from mmrag.core.types import Box, Embeddings, Item, ItemId, Page, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store

# Small pools, so that filters meet values: case, folding, NUL, stars, digits that look like numbers.
words = st.sampled_from(
    [
        "",
        "a",
        "A",
        "ab",
        "aB",
        "straße",
        "STRASSE",
        "é",
        "e\u0301",
        "1",
        "1.0",
        "true",
        "a\0b",
        "a*",
        "[a]",
        "\U0001f600",
        "\uffff",
        '"q"',
    ]
)
steps = st.sampled_from(["a", "A", "b", "a*", "**", "*", "a?", "ab", ".x"])
paths = st.lists(steps, min_size=1, max_size=3).map("/".join)
integers = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1])
floats = st.sampled_from([-0.0, 0.1, 0.5, 1.0, 2.5, 1e300, 5e-324, float(2**53), 2.0**63, -1e17 / 3])
numbers = integers | floats
scalars = words | numbers | st.booleans()
keys = st.sampled_from(["k", "title", "heading", 'o"dd \\ key', "ü", "", "a.b", "a\0b"])
media_types = st.sampled_from(["text/plain", "text/markdown", "application/pdf", "image/png", "x/y"])
locators = st.builds(Page, st.integers(1, 4), st.none() | st.just(Box(0, 0, 1, 1))) | st.just(Span(0, 3))

sources = st.lists(
    st.tuples(paths, media_types, st.integers(0, 4), integers),
    min_size=1,
    max_size=4,
    unique_by=lambda source: source[0],
)
items = st.lists(
    st.tuples(
        locators,
        st.sampled_from(["text", "image"]),
        st.dictionaries(keys | st.sampled_from(["title", "heading", "language"]), scalars, max_size=4),
    ),
    max_size=8,
)

equality = st.sampled_from(["==", "!="])
order = st.sampled_from(["<", "<=", ">", ">="])
listing = st.sampled_from(["in", "not in"])
text_ops = st.sampled_from(["contains", "startswith", "endswith", "matches"])
kinds = st.sampled_from(["text", "markdown", "pdf", "image", "other", *["text/plain", "image/png"]])
texts = st.sampled_from(
    ["source", "name", "folder", "kind", "media_type", "modality", "heading", "title", "language"]
)
metas = keys.map("meta.".__add__)
fields = texts | metas | st.sampled_from(["page", "size", "modified"])


def _lists(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, max_size=3).map(tuple)


wanted_texts = words | paths | kinds
comparisons = (
    st.builds(Compare, texts, equality | order | text_ops, wanted_texts)
    | st.builds(Compare, texts, listing, _lists(wanted_texts))
    | st.builds(Compare, st.sampled_from(["source", "folder"]), st.just("matches"), paths)
    | st.builds(Compare, metas, equality | order, scalars)
    | st.builds(Compare, metas, listing, _lists(scalars))
    | st.builds(Compare, metas, text_ops, words)
    | st.builds(Compare, st.sampled_from(["page", "size", "modified"]), equality | order, numbers)
    # What the parser refuses, but Python code can build.
    | st.builds(Compare, fields, equality | order, scalars)
    | st.builds(Compare, fields, listing, _lists(scalars))
)


def _joined(inner: st.SearchStrategy) -> st.SearchStrategy:
    parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.builds(And, parts) | st.builds(Or, parts) | st.builds(Not, inner)


filters = st.recursive(comparisons, _joined, max_leaves=6)


def _fill(store: Store, drawn_sources: list, drawn_items: list) -> dict[int, dict]:
    records = [
        SourceRecord(Source(SourceId(id), "d", size, media_type), modified, "indexed")
        for id, media_type, size, modified in drawn_sources
    ]
    with store.writer() as writer:
        writer.add_vectors(["v"], Embeddings.dense(np.ones((1, 2), dtype=np.float32)))
        for i, record in enumerate(records):
            mine = [
                Item(ItemId(f"{n}"), record.source.id, locator, (Part(modality, text="t"),), metadata)
                for n, (locator, modality, metadata) in enumerate(drawn_items)
                if n % len(records) == i
            ]
            writer.put(record, mine, ["v"] * len(mine))
        writer.commit()
    known = {record.source.id: record for record in records}
    found = store.items(store.rows())
    assert len(found) == len(drawn_items)
    return {
        row: field_values(item, known[item.source].source, known[item.source].mtime_ns)
        for row, item in found.items()
    }


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(sources, items, st.lists(filters, min_size=10, max_size=40))
def test_sql_means_what_matches_means(
    drawn_sources: list, drawn_items: list, conditions: list[Filter]
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with Store.create(folder, identity={}) as store:
            values = _fill(store, drawn_sources, drawn_items)
            for condition in conditions:
                expected = sorted(row for row, value in values.items() if condition.matches(value))
                assert store.rows(condition).tolist() == expected, condition
    finally:
        shutil.rmtree(folder)
