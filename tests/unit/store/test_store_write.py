from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from mmrag.core.errors import IdentityMismatch, StoreError, Unsupported
from mmrag.core.reading import PageCoverage
from mmrag.core.types import Embeddings, SourceId
from mmrag.store import verify


def test_put_and_read_back(store, fakes):
    pages = (PageCoverage(1, text=True, ocr=False, figures=2),)
    record = fakes.record("b/c.txt", title="T", pages=pages, depends={"x.png": "d"}, reason="r", fix="f")
    items = [fakes.item("b/c.txt", t, {"title": "T", "n": 3, "x": 0.1, "ok": True}) for t in ("one", "two")]
    with store.writer() as writer:
        assert writer.missing(["one", "two", "one"]) == ["one", "two"]
        writer.add_vectors(["one", "two"], fakes.vectors(["one", "two"]))
        assert writer.missing(["one", "three"]) == ["three"]
        writer.put(record, items, ["one", "two"])
        assert store.count() == 0
        assert writer.commit() == 1
        assert store.count() == 2
    assert store.generation == 1
    assert store.source(SourceId("b/c.txt")) == replace(record, items=2)
    assert store.sources() == [replace(record, items=2)]
    assert store.source(SourceId("nope")) is None
    rows = store.rows()
    assert store.rows_of(SourceId("b/c.txt")).tolist() == rows.tolist()
    assert list(store.items(rows).values()) == items
    np.testing.assert_array_equal(store.embeddings(rows).vectors, fakes.vectors(["one", "two"]).vectors)
    report = verify(store)
    assert (report.problems, report.sources, report.items, report.vectors) == ((), 1, 2, 2)


def test_without_commit_nothing_stays(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", blobs=[fakes.blob(b"picture")])
    assert store.count() == 0
    assert store.generation == 0
    assert verify(store).orphans == 0


def test_error_in_the_block_rolls_back(store, fakes):
    with suppress(RuntimeError), store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        writer.commit()
        fakes.put(writer, "b.txt", "two", blobs=[fakes.blob(b"picture")])
        raise RuntimeError
    assert fakes.texts(store) == {"a.txt": ["one"]}
    assert verify(store).orphans == 1
    with store.writer():
        pass
    assert verify(store).orphans == 0


def test_generation_grows_only_with_changes(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        assert writer.commit() == 1
        assert writer.commit() == 1
        writer.cache("ocr", "k", b"v")
        writer.add_vectors(["new"], fakes.vectors(["new"]))
        assert writer.commit() == 1
        writer.update(fakes.record("a.txt", mtime_ns=5))
        assert writer.commit() == 2


def test_put_keeps_rows_of_unchanged_items(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two", "three")
        first = writer.commit()
        one, two, three = store.rows().tolist()
        fakes.put(writer, "a.txt", "one", "2", "three")
        writer.commit()
    added, removed = store.changes(first)
    assert removed.tolist() == [two]
    assert set(store.rows().tolist()) == {one, three, *added.tolist()}
    assert added[0] > three
    assert fakes.texts(store) == {"a.txt": ["2", "one", "three"]}


@pytest.mark.parametrize("change", ["metadata", "key"])
def test_a_row_never_changes_what_it_stands_for(store, fakes, change):
    item = fakes.item("a.txt", "one", {"title": "old"})
    with store.writer() as writer:
        writer.add_vectors(["k", "l"], fakes.vectors(["k", "l"]))
        writer.put(fakes.record(), [item], ["k"])
        first = writer.commit()
        old = store.rows()
        if change == "metadata":
            writer.put(fakes.record(), [replace(item, metadata={"title": "new"})], ["k"])
        else:
            writer.put(fakes.record(), [item], ["l"])
        writer.commit()
    added, removed = store.changes(first)
    assert removed.tolist() == old.tolist()
    assert added.tolist() == store.rows().tolist() != old.tolist()


def test_equal_items_of_a_source_are_kept_once(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        item = fakes.item("a.txt", "one")
        writer.put(fakes.record(), [item, item], ["one", "one"])
        writer.commit()
    assert store.count() == 1
    assert store.source(SourceId("a.txt")).items == 1


def test_copies_share_vectors_but_not_rows(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        fakes.put(writer, "copy.txt", "one")
        writer.commit()
    report = verify(store)
    assert (report.items, report.vectors, report.problems) == (2, 1, ())
    assert {item.source for item in store.items(store.rows()).values()} == {"a.txt", "copy.txt"}


def test_rows_are_never_used_twice(store, fakes):
    seen: set[int] = set()
    with store.writer() as writer:
        for _ in range(4):
            fakes.put(writer, "a.txt", "one", "two")
            writer.commit()
            rows = set(store.rows().tolist())
            assert not rows & seen
            seen |= rows
            writer.remove(SourceId("a.txt"))
            writer.commit()


def test_changes_see_only_what_the_reader_knew(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        first = writer.commit()
        a = store.rows().tolist()
        fakes.put(writer, "b.txt", "two")
        writer.commit()
        writer.remove(SourceId("b.txt"))
        writer.remove(SourceId("a.txt"))
        fakes.put(writer, "c.txt", "three")
        last = writer.commit()
    added, removed = store.changes(first)
    assert removed.tolist() == a
    assert added.tolist() == store.rows().tolist()
    assert [x.tolist() for x in store.changes(0)] == [added.tolist(), []]
    assert [x.tolist() for x in store.changes(last)] == [[], []]


def test_move_to_another_folder_keeps_rows(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two", title="T")
        first = writer.commit()
        rows = store.rows().tolist()
        writer.move(SourceId("a.txt"), fakes.record("sub/a.txt", title="T"))
        writer.commit()
    assert store.rows_of(SourceId("sub/a.txt")).tolist() == rows
    assert [r.tolist() for r in store.changes(first)] == [[], []]
    assert {item.source for item in store.items(store.rows()).values()} == {"sub/a.txt"}
    assert store.source(SourceId("sub/a.txt")).items == 2
    assert store.source(SourceId("a.txt")) is None
    assert verify(store).problems == ()


def test_move_to_another_name_gives_new_rows(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", "two")
        fakes.put(writer, "z.txt", "three")
        first = writer.commit()
        rows = store.rows_of(SourceId("a.txt")).tolist()
        writer.move(SourceId("a.txt"), fakes.record("b.txt"))
        writer.commit()
        added, removed = store.changes(first)
        assert removed.tolist() == rows
        assert added.tolist() == store.rows_of(SourceId("b.txt")).tolist()
        fakes.put(writer, "c.txt", "four")
        writer.commit()
        assert store.rows_of(SourceId("c.txt"))[0] > added.max()
    assert fakes.texts(store) == {"b.txt": ["one", "two"], "c.txt": ["four"], "z.txt": ["three"]}
    np.testing.assert_array_equal(store.embeddings(added).vectors, fakes.vectors(["one", "two"]).vectors)
    assert verify(store).problems == ()


def test_move_replaces_what_stood_there(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        fakes.put(writer, "b.txt", "two")
        writer.move(SourceId("a.txt"), fakes.record("b.txt"))
        writer.commit()
    assert fakes.texts(store) == {"b.txt": ["one"]}


def test_update_changes_the_record_only(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        writer.commit()
        rows = store.rows().tolist()
        writer.update(fakes.record("a.txt", mtime_ns=7, state="partial", reason="page 2"))
        writer.commit()
    assert store.rows().tolist() == rows
    record = store.source(SourceId("a.txt"))
    assert (record.mtime_ns, record.state, record.reason, record.items) == (7, "partial", "page 2", 1)


@pytest.mark.parametrize("to", ["a.txt", "b.txt"])
def test_unknown_sources_cannot_change(store, fakes, to):
    with store.writer() as writer, pytest.raises(StoreError, match=r"a\.txt"):
        writer.move(SourceId("a.txt"), fakes.record(to))
    with store.writer() as writer, pytest.raises(StoreError, match=r"a\.txt"):
        writer.update(fakes.record("a.txt"))


def test_failed_source_keeps_its_reason_without_items(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        writer.put(fakes.record("a.txt", state="failed", reason="broken", fix="mend"), [], [])
        writer.commit()
    assert store.source(SourceId("a.txt")).state == "failed"
    assert store.count() == 0


def test_items_need_vectors(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        with pytest.raises(StoreError, match=r"1 items of a\.txt have no vectors"):
            writer.put(fakes.record(), [fakes.item("a.txt", "new")], ["new"])
        writer.commit()
    assert fakes.texts(store) == {"a.txt": ["one"]}


def test_vectors_of_another_dim_are_refused(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        with pytest.raises(IdentityMismatch, match="3 dimensions"):
            writer.add_vectors(["x"], Embeddings.dense(np.ones((1, 3), dtype=np.float32)))
        writer.commit()
    assert store.count() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused(store, value):
    with store.writer() as writer, pytest.raises(StoreError, match="NaN"):
        writer.add_vectors(["x"], Embeddings.dense(np.full((1, 4), value, dtype=np.float32)))


def test_keys_and_vectors_must_pair(store, fakes):
    with store.writer() as writer, pytest.raises(ValueError, match="2 keys"):
        writer.add_vectors(["x", "y"], fakes.vectors(["x"]))


def test_known_keys_keep_their_vectors(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        writer.add_vectors(["one", "two", "two"], fakes.vectors(["other", "two", "third"]))
        writer.put(fakes.record(), [fakes.item("a.txt", t) for t in ("one", "two")], ["one", "two"])
        writer.commit()
    np.testing.assert_array_equal(
        store.embeddings(store.rows()).vectors, fakes.vectors(["one", "two"]).vectors
    )


def test_a_failed_change_leaves_no_trace(store, fakes):
    class Refuses:
        digest = "0" * 64
        media_type = "image/png"

        @property
        def data(self):
            raise RuntimeError("no picture")

    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        with pytest.raises(RuntimeError, match="no picture"):
            writer.put(fakes.record(), [], [], [Refuses()])
        writer.commit()
    assert fakes.texts(store) == {"a.txt": ["one"]}
    assert verify(store).problems == ()


def test_names_that_are_not_unicode_are_refused(store, fakes):
    with store.writer() as writer, pytest.raises(Unsupported) as caught:
        fakes.put(writer, "caf\udce9.txt", "one")
    assert caught.value.fix == "Rename the file."


def test_cache_is_seen_by_its_writer_at_once(store):
    with store.writer() as writer:
        writer.cache("ocr", "k", b"1")
        writer.cache("ocr", "k", b"2")
        assert writer.cached("ocr", "k") == b"2"
        assert store.cached("ocr", "k") is None
        writer.commit()
    assert store.cached("ocr", "k") == b"2"
    assert store.cached("other", "k") is None


def test_blobs_live_as_long_as_a_source_holds_them(store, fakes):
    mine, shared = fakes.blob(b"mine"), fakes.blob(b"shared")
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one", blobs=[mine, shared, shared])
        fakes.put(writer, "b.txt", "two", blobs=[shared])
        writer.commit()
    assert store.blob(mine.digest) == b"mine"
    assert (store.path / "blobs" / mine.digest[:2] / mine.digest).is_file()
    with store.writer() as writer:
        writer.remove(SourceId("a.txt"))
        writer.commit()
    assert store.blob(mine.digest) is None
    assert store.blob(shared.digest) == b"shared"
    assert store.blob("../../etc/passwd") is None
    report = verify(store)
    assert (report.problems, report.orphans) == ((), 0)


def test_root_is_about_content(store, tmp_path, fakes):
    from mmrag.store import Store

    def filled(path, ids, **changes):
        with Store.create(path, identity=fakes.identity) as made:
            with made.writer() as writer:
                for id in ids:
                    fakes.put(writer, id, "one", f"of {id}", **changes)
                    writer.commit()
            return made.root

    root = filled(tmp_path / "1", ["a.txt", "b.txt"])
    assert filled(tmp_path / "2", ["b.txt", "a.txt"]) == root
    assert filled(tmp_path / "3", ["b.txt", "a.txt"], mtime_ns=1, title="x") == root
    assert filled(tmp_path / "4", ["a.txt"]) != root
    assert filled(tmp_path / "5", ["a.txt", "b.txt"], state="partial") != root
    assert store.root != root


def test_root_follows_commits_before_the_writer_ends(store, fakes):
    with store.writer() as writer:
        fakes.put(writer, "a.txt", "one")
        writer.commit()
        before = store.root
        fakes.put(writer, "a.txt", "two")
        writer.commit()
        assert store.root != before
        after = store.root
    assert store.root == after
