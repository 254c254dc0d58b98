from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import BadFilter, Damaged, UnknownField
from mmrag.core.filters import Compare, field_values, parse
from mmrag.core.types import Embeddings, Item, ItemId, Page, Part, Source, SourceId, Span
from mmrag.index import column_table
from mmrag.index.coded import Coded, joined
from mmrag.index.columns import IDENTITY, Columns, is_due, update, write
from mmrag.store import Derived, SourceRecord, Store

FILTERS = [
    'kind == "text"',
    'kind != "text"',
    "modified >= 5",
    'source matches "a/**"',
    'modality == "image"',
    "not page > 1",
    "page != 2",
    'title == "T1" and page == 1',
    'not (title == "T1" or meta.n >= 3)',
    'title contains "t"',
    'title != "T1"',
    'title not in ["T2"]',
    "meta.title == 7",
    'language in ["en", "de"]',
    "meta.n not in [1, 2.0]",
    "meta.n == true",
    "meta.flag == true",
    "meta.flag < true",
    'meta.rare startswith "r"',
    'not meta.rare == "r3"',
    'meta.nowhere == "x"',
]


def where(text: str):
    if text.startswith("modified"):
        return Compare("modified", ">=", 5)
    if text == "meta.flag < true":
        return Compare("meta.flag", "<", True)
    return parse(text)


def record(id: str, media_type: str = "text/plain", modified: int = 1) -> SourceRecord:
    return SourceRecord(Source(SourceId(id), "d", 9, media_type), modified, "indexed")


def put(writer, one: SourceRecord, count: int, start: int = 0) -> None:
    items = [
        Item(
            ItemId(str(i)),
            one.source.id,
            Page(i % 3 + 1, None) if i % 4 else Span(0, 1),
            (Part("image" if i % 5 == 0 else "text", text="t"),),
            {
                "title": f"T{i % 4}" if i % 7 else 7,
                "language": ("en", "de", "fr")[i % 3],
                "n": (1, 2, 2.5, 3, True, "1")[i % 6],
                **({"flag": i % 2 == 0} if i % 3 else {}),
                **({"rare": f"r{i}"} if i == 3 else {}),
            },
        )
        for i in range(start, start + count)
    ]
    writer.add_vectors(["v"], Embeddings.dense(np.ones((1, 2), np.float32)))
    writer.put(one, items, ["v"] * count)
    writer.commit()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store", identity={}) as store:
        with store.writer() as writer:
            put(writer, record("a/one.txt"), 60)
            put(writer, record("b/two.pdf", "application/pdf", 9), 30)
        yield store


@pytest.fixture
def published(store: Store) -> Derived:
    return publish(store)


def publish(store: Store) -> Derived:
    return store.publish("columns", IDENTITY, store.generation, lambda folder: write(folder, store))


def check(store: Store, columns: Columns) -> None:
    """Compare with the meaning of filters, and see to it that columns found the rows and not SQL."""
    known = {one.source.id: one for one in store.sources()}
    values = {
        row: field_values(item, known[item.source].source, known[item.source].mtime_ns)
        for row, item in store.items(store.rows()).items()
    }
    assert len(columns) == store.count()
    for text in FILTERS:
        expected = sorted(row for row, value in values.items() if where(text).matches(value))
        assert columns.rows(where(text)).tolist() == expected, text


def test_columns_find_what_matches(store, published):
    check(store, Columns.open(store, published))


def test_sql_is_asked_for_keys_without_a_column_only(store, published, monkeypatch):
    columns = Columns.open(store, published)
    asked = []
    monkeypatch.setattr(Store, "rows", lambda self, where: asked.append(str(where)) or np.array([2]))
    for text in FILTERS:
        columns.rows(where(text))
    assert asked == ['meta.rare startswith "r"', 'meta.rare == "r3"', 'meta.nowhere == "x"']


def test_what_was_found_is_sorted_and_read_only(store, published):
    found = Columns.open(store, published).rows(parse("page == 1"))
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    assert not found.flags.writeable


def change(store: Store) -> None:
    with store.writer() as writer:
        put(writer, record("c/three.txt", modified=7), 25, start=40)
        put(writer, record("a/one.txt", modified=6), 50, start=5)
        writer.move(SourceId("b/two.pdf"), record("a/two.pdf", "application/pdf", 2))
        writer.commit()
        writer.move(SourceId("a/two.pdf"), record("a/renamed.pdf", "application/pdf", 2))
        writer.commit()


def test_newer_rows_and_changed_sources_are_seen(store, published):
    change(store)
    columns = Columns.open(store, published)
    assert len(columns) == store.count()
    check(store, columns)


def test_a_source_that_changes_alone_is_seen_at_the_next_opening(store, published):
    with store.writer() as writer:
        writer.update(record("a/one.txt", modified=100))
        writer.commit()
    check(store, Columns.open(store, published))


def test_a_number_that_a_new_source_takes_over_means_the_new_one(store, published):
    with store.writer() as writer:
        writer.remove(SourceId("b/two.pdf"))
        writer.commit()
        put(writer, record("z/other.md", "text/markdown", 3), 12)
    check(store, Columns.open(store, published))


def test_an_open_state_leaves_a_newer_one_to_sql(store, published):
    columns = Columns.open(store, published)
    change(store)
    for text in FILTERS:
        np.testing.assert_array_equal(columns.rows(where(text)), store.rows(where(text)))


@pytest.mark.parametrize("more", [0, 60])
def test_an_update_is_what_writing_anew_gives(store, tmp_path, more):
    with store.writer() as writer:
        put(writer, record("d/many.txt"), 300 if not more else 40)
    old = publish(store)
    change(store)
    added, removed = store.changes(old.generation)
    new = store.publish(
        "columns", IDENTITY, store.generation, lambda folder: update(old.path, folder, store, added, removed)
    )
    columns = Columns.open(store, new)
    check(store, columns)
    (tmp_path / "anew").mkdir()
    write(tmp_path / "anew", store)
    for name in ("rows.npy", "sources.npy"):
        np.testing.assert_array_equal(np.load(new.path / name), np.load(tmp_path / "anew" / name))


def test_values_that_no_row_has_any_more_are_dropped():
    one, two = (Coded.of(2, np.arange(2), values) for values in (["keep", "drop"], ["keep", 3]))
    mixed = joined([Coded(one.codes[:1], one.values), two])
    assert mixed.values.all == [3, "keep"]
    assert [mixed.values.all[code - 1] for code in mixed.codes] == ["keep", "keep", 3]


def test_nothing_published_leaves_everything_to_sql(store):
    columns = Columns.open(store, None)
    for text in FILTERS:
        np.testing.assert_array_equal(columns.rows(where(text)), store.rows(where(text)))
    assert len(columns) == 0


@pytest.mark.parametrize(
    "open_", [lambda store: Columns.open(store, None), lambda s: Columns.open(s, publish(s))]
)
def test_filters_that_make_no_sense_are_refused(store, open_):
    columns = open_(store)
    with pytest.raises(UnknownField):
        columns.rows(Compare("nope", "==", 1))
    with pytest.raises(BadFilter):
        columns.rows(Compare("meta.n", "contains", 3))


def test_an_empty_store_has_columns(tmp_path):
    with Store.create(tmp_path / "s", identity={}) as store:
        columns = Columns.open(store, publish(store))
        assert columns.rows(parse("page == 1")).tolist() == []


def test_numbers_are_compared_as_python_compares_them():
    values = [2**53, float(2**53) + 2, 2**53 + 1, -0.0, 0, 1, True, "1", 1e300, -(2**63)]
    column = Coded.of(len(values), np.arange(len(values)), values)
    for op in ("==", "!=", "<", "<=", ">", ">="):
        for wanted in [*values, 2**53 + 0.0, 10**30, -(10**30), float("nan"), 0.5, False, "", "a"]:
            compare = Compare("meta.k", op, wanted)
            expected = [compare.matches({"meta.k": value}) for value in values]
            assert column.mask(compare).tolist() == expected, compare


def test_long_values_get_no_column(store, monkeypatch):
    monkeypatch.setattr(column_table, "_VALUES_BYTES", 40)
    columns = Columns.open(store, publish(store))
    assert "meta.title" not in columns._tables[0].columns
    assert "meta.flag" in columns._tables[0].columns
    check(store, columns)


@pytest.mark.parametrize("name", ["rows.npy", "sources.npy", "codes-0.npy", "values-1.msgpack", "index.json"])
@pytest.mark.parametrize("harm", ["missing", "torn"])
def test_a_missing_or_torn_file_is_named(store, published, name, harm):
    data = (published.path / name).read_bytes()
    (published.path / name).unlink()
    if harm == "torn":
        (published.path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(Damaged, match=name):
        Columns.open(store, published)


def test_values_that_are_something_else_are_left_to_sql(store, published):
    for path in published.path.glob("values-*"):
        path.write_bytes(b"\xc1" * path.stat().st_size)
    columns = Columns.open(store, published)
    for text in FILTERS:
        np.testing.assert_array_equal(columns.rows(where(text)), store.rows(where(text)))


def test_codes_beyond_the_values_are_left_to_sql(store, published):
    for path in published.path.glob("codes-*"):
        codes = np.load(path)
        np.save(path, np.full_like(codes, 200))
    columns = Columns.open(store, published)
    for text in FILTERS:
        np.testing.assert_array_equal(columns.rows(where(text)), store.rows(where(text)))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "other", identity={}) as other:
        yield other


def test_columns_of_a_catalog_with_more_rows_are_refused(store, published, other):
    with other.writer() as writer:
        put(writer, record("a/one.txt"), 60)
        put(writer, record("b/two.pdf"), 29)
    with pytest.raises(Damaged, match="not those of the catalog"):
        Columns.open(other, published)


def test_columns_of_a_catalog_whose_newer_rows_they_know_are_refused(store, other):
    with store.writer() as writer:
        writer.move(SourceId("a/one.txt"), record("a/renamed.txt"))
        writer.commit()
    published = publish(store)
    with other.writer() as writer:
        for name, count in (("a", 60), ("b", 29), ("c", 1), ("d", 1)):
            put(writer, record(f"{name}.txt"), count)
    assert other.generation == published.generation + 1
    assert other.count() == store.count() + 1
    with pytest.raises(Damaged, match="not those of the catalog"):
        Columns.open(other, published)


def test_an_update_is_due_when_opening_would_read_many_rows():
    assert not is_due(1_000_000, 20_000, 0)
    assert is_due(1_000_000, 15_000, 5_001)
    assert is_due(6000, 6000, 0)
    assert not is_due(5000, 5000, 0), "SQL is as fast for so few rows"


def test_keys_that_came_with_many_small_updates_get_a_column(store, tmp_path):
    (tmp_path / "0").mkdir()
    write(tmp_path / "0", store)
    old = column_table.load_table(tmp_path / "0")
    assert old.changed == 0
    steps = []
    for step in range(1, 13):
        generation = store.generation
        with store.writer() as writer:
            items = [
                Item(
                    ItemId(f"new {step} {i}"),
                    SourceId(f"n/{step}"),
                    Span(0, 1),
                    (Part("text", text="t"),),
                    {"new": step},
                )
                for i in range(6)
            ]
            writer.put(record(f"n/{step}"), items, ["v"] * 6)
            writer.commit()
        (tmp_path / str(step)).mkdir()
        update(tmp_path / str(step - 1), tmp_path / str(step), store, *store.changes(generation))
        steps.append(column_table.load_table(tmp_path / str(step)))
    assert "meta.new" not in steps[0].columns
    assert steps[0].changed == 6
    assert "meta.new" in steps[-1].columns
    np.testing.assert_array_equal(steps[-1].rows, store.rows())
    assert sum(table.changed == 0 for table in steps) in (2, 3)
