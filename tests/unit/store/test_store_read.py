from __future__ import annotations

import errno
import os
import threading

import numpy as np
import pytest

from mmrag.core.errors import BadFilter, OutOfSpace, UnknownField
from mmrag.core.filters import Compare, Or, parse
from mmrag.core.types import Item, ItemId, Page, Part, SourceId
from mmrag.store import Store, verify
from mmrag.store.disk import space_checked, write_whole


@pytest.fixture
def filled(store, fakes):
    with store.writer() as writer:
        for id, language in (("docs/a.pdf", "en"), ("docs/sub/b.pdf", "de"), ("c.md", "en")):
            kind = "application/pdf" if id.endswith("pdf") else "text/markdown"
            record = fakes.record(id)
            source = type(record.source)(record.source.id, record.source.digest, 10, kind)
            items = [
                Item(
                    ItemId(f"{id}{page}"),
                    SourceId(id),
                    Page(page),
                    (Part("text", text=f"text {page}"),),
                    {"language": language, "title": f"Title of {id}", "final": page == 2, "n": page},
                )
                for page in (1, 2)
            ]
            keys = [item.id for item in items]
            writer.add_vectors(keys, fakes.vectors(keys))
            writer.put(type(record)(source, 10**18 + len(id), "indexed"), items, keys)
        writer.commit()
    return store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind == "pdf" and page <= 1', ["docs/a.pdf1", "docs/sub/b.pdf1"]),
        ('language in ["en"] and not source startswith "docs/"', ["c.md1", "c.md2"]),
        ('source matches "docs/*.pdf"', ["docs/a.pdf1", "docs/a.pdf2"]),
        ('folder == "docs/sub"', ["docs/sub/b.pdf1", "docs/sub/b.pdf2"]),
        ('title contains "TITLE OF C"', ["c.md1", "c.md2"]),
        ('meta.final == true and language != "en"', ["docs/sub/b.pdf2"]),
        ("meta.n == 2.0 and meta.final != 1", ["c.md2", "docs/a.pdf2", "docs/sub/b.pdf2"]),
        ("meta.n == true", []),
        ("not meta.nope == 1 and page > 1", ["c.md2", "docs/a.pdf2", "docs/sub/b.pdf2"]),
        ("meta.nope != 1", []),
        ("kind in []", []),
        ('kind not in [] and name == "c.md"', ["c.md1", "c.md2"]),
        ("size < 10", []),
        ('modified >= "2001-09-09" and page == 1', ["c.md1", "docs/a.pdf1", "docs/sub/b.pdf1"]),
    ],
)
def test_filters(filled, text, expected):
    assert sorted(i.id for i in filled.items(filled.rows(parse(text))).values()) == expected


def test_rows_of_a_filter_are_sorted(filled):
    rows = filled.rows(parse('language in ["en", "de"] or kind == "pdf"'))
    assert rows.tolist() == sorted(rows.tolist())
    assert rows.dtype == np.int64


def test_filters_built_by_hand_are_checked(filled):
    with pytest.raises(UnknownField, match="lang"):
        filled.rows(Compare("lang", "==", "en"))
    with pytest.raises(BadFilter, match="at most"):
        filled.rows(Compare("meta.n", "in", tuple(range(40_000))))
    with pytest.raises(BadFilter, match="takes text"):
        filled.rows(Compare("meta.n", "contains", 3))
    assert len(filled.rows(Or(tuple(Compare("page", "==", i) for i in range(400))))) == 6


def test_hand_made_numbers_compare_as_in_python(filled):
    assert len(filled.rows(Compare("page", "<", 10**400))) == 6
    assert len(filled.rows(Compare("page", ">", -(2**70)))) == 6
    assert len(filled.rows(Compare("page", "==", float("nan")))) == 0
    assert len(filled.rows(Compare("page", "!=", float("nan")))) == 6
    assert len(filled.rows(Compare("meta.n", "<", float("nan")))) == 0


def test_a_snapshot_sees_one_state(filled, fakes):
    with filled.snapshot():
        rows = filled.rows()
        before = filled.generation, filled.root
        with filled.writer() as writer:
            writer.remove(SourceId("c.md"))
            writer.commit()
        with filled.snapshot():
            assert filled.rows().tolist() == rows.tolist()
        assert (filled.generation, filled.root) == before
        assert len(filled.items(rows)) == len(filled.embeddings(rows)) == 6
        # Only this thread stands still.
        counts: list[int] = []
        thread = threading.Thread(target=lambda: counts.append(filled.count()))
        thread.start()
        thread.join()
        assert counts == [4]
    assert filled.count() == 4


def test_many_threads_read_while_one_writes(store, fakes):
    errors: list[BaseException] = []
    seen: set[int] = set()
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                with store.snapshot():
                    rows = store.rows()
                    texts = [item.text for item in store.items(rows).values()]
                    vectors = store.embeddings(rows)
                # Both sources are always of one version.
                assert len({text.split()[0] for text in texts}) <= 1
                assert len(texts) in (0, 6)
                expected = fakes.vectors(texts).vectors
                np.testing.assert_array_equal(np.sort(vectors.vectors, axis=0), np.sort(expected, axis=0))
                seen.update(int(text.split()[0]) for text in texts)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    version = 0
    # As long as it takes for the readers to have seen some of it.
    while (len(seen) < 3 or version < 12) and not errors and version < 2000:
        with store.writer() as writer:
            for _ in range(4):
                version += 1
                for id in ("a.txt", "b.txt"):
                    fakes.put(writer, id, *[f"{version} {id} {i}" for i in range(3)])
                writer.commit()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(seen) >= 3
    assert verify(store).problems == ()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom modes bind")
def test_a_store_on_a_read_only_disk_can_be_read(filled):
    filled.close()
    for folder in [filled.path, *(p for p in filled.path.rglob("*") if p.is_dir())]:
        folder.chmod(0o555)
    try:
        with Store.open(filled.path) as store:
            assert len(store.embeddings(store.rows())) == 6
            assert store.derived("dense") is None
    finally:
        for folder in [filled.path, *(p for p in filled.path.rglob("*") if p.is_dir())]:
            folder.chmod(0o755)


def test_full_disk_has_our_name(tmp_path):
    with pytest.raises(OutOfSpace), space_checked(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), space_checked(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_write_whole_replaces_at_once(tmp_path):
    target = tmp_path / "deep" / "file"
    write_whole(target, b"one", aside=tmp_path / "tmp")
    write_whole(target, b"two", aside=tmp_path / "tmp")
    assert target.read_bytes() == b"two"
    assert list((tmp_path / "tmp").iterdir()) == []
