from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import numpy as np
import pytest

from mmrag.core.errors import StoreError
from mmrag.core.fields import embedding_key
from mmrag.core.types import Item, ItemId, Part, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import Indexes, open_lexical, publish
from mmrag.index.upkeep import leftovers, row_lists
from mmrag.store import Store, erase, forget, verify
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()
DENSE, WORDS = FaissOptions(kind="flat"), LexicalOptions()
INDEXES = Indexes(DENSE, WORDS)
SECRET = "The vault code of the Halden depot is Zanzibar-Quince."
SHARED = "Everybody may read this paragraph about ventilation."
HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PICTURE, LOGO = HEADER + b" secret pixels" * 40, HEADER + b" logo" * 99
PRIVATE = SourceId("private/vault-notes.md")


def _put(fakes, writer, id, texts, blobs=()):
    items = [
        Item(
            ItemId(fakes.item(id, text).id),
            SourceId(id),
            Span(i, i + len(text)),
            (Part("text", text=text),),
            {"title": f"Title of {texts[0]}", "heading": 'A "quoted" heading'},
        )
        for i, text in enumerate(texts)
    ]
    keys = [embedding_key(item) for item in items]
    writer.add_vectors(keys, EMBEDDER.embed_items(items))
    writer.put(
        fakes.record(id, title=f"Title of {texts[0]}"), items, keys, [fakes.blob(data) for data in blobs]
    )


@pytest.fixture
def filled(tmp_path, fakes):
    with Store.create(tmp_path / "store", identity=EMBEDDER.identity) as store:
        with store.writer() as writer:
            _put(
                fakes,
                writer,
                PRIVATE,
                [SECRET, SHARED, "Störung „E42“ am Gehäuse"],
                [PICTURE, LOGO],
            )
            _put(fakes, writer, "manual.md", [SHARED, "The fan turns at 900 rpm."], [LOGO])
            writer.cache("ocr", "11" * 32, b'[["ZANZIBAR QUINCE seen in the picture"]]', PRIVATE)
            writer.cache("ocr", "22" * 32, b'[["the logo of the firm"]]', PRIVATE)
            writer.cache_used("ocr", "22" * 32, "manual.md")
            writer.cache("sync", "looked", b"5")
            writer.commit()
            # An earlier version leaves dead vectors, tombstones and deletion marks.
            publish(store, INDEXES)
            _put(
                fakes,
                writer,
                PRIVATE,
                [SECRET, SHARED, "Now the code has changed."],
                [PICTURE, LOGO],
            )
            writer.commit()
        publish(store, INDEXES)
        yield store


def _forget(store, *ids, patience_s=10.0, publish_=True):
    def again() -> None:
        if publish_:
            publish(store, INDEXES)

    return forget(store, ids, publish=again, leftovers=leftovers(store, WORDS), patience_s=patience_s)


def _bytes(store) -> dict[str, bytes]:
    return {
        str(path.relative_to(store.path)): path.read_bytes()
        for path in store.path.rglob("*")
        if path.is_file()
    }


def _holding(store, words: bytes) -> list[str]:
    return [name for name, data in _bytes(store).items() if words in data]


def test_a_forgotten_source_leaves_no_byte(filled, fakes):
    secret = EMBEDDER.embed_items([next(iter(filled.items(filled.rows_of(PRIVATE)).values()))])
    traces = [b"vault-notes", b"private", b"Zanzibar", b"ZANZIBAR", b"secret pixels", b"E42", b"has changed"]
    traces += [secret.vectors.tobytes(), fakes.blob(PICTURE).digest.encode(), b"11" * 32]
    # All but the words of the version before can be seen in the files.
    assert all(_holding(filled, trace) for trace in traces if trace != b"E42")
    assert fakes.blob(PICTURE).digest in str(list(filled.path.rglob("*")))
    report = _forget(filled, PRIVATE)
    assert report.clean, report
    assert (report.sources, report.items, report.blobs, report.cached) == (1, 3, 1, 1)
    assert report.vectors == 3
    assert report.proof.findings == ()
    assert report.proof.needles > 100
    assert report.proof.files == len(_bytes(filled))
    # The lock file names its holder while the search goes on.
    assert 0 <= report.proof.bytes - sum(map(len, _bytes(filled).values())) < 200
    assert {trace: _holding(filled, trace) for trace in traces} == {trace: [] for trace in traces}
    assert not [
        path for path in filled.path.rglob("*") if path.name.startswith(fakes.blob(PICTURE).digest[:8])
    ]
    words = open_lexical(filled, WORDS)
    nowhere = words.idf(["thiswordisnowhere"])[0]
    assert [words.idf([word])[0] for word in words.analyze("Zanzibar quince vault notes")] == [nowhere] * 4


def test_what_other_sources_hold_stays(filled, fakes):
    before = filled.items(filled.rows_of("manual.md")), filled.embeddings(filled.rows_of("manual.md")).vectors
    report = _forget(filled, PRIVATE)
    assert report.proof.shared > 0
    assert [record.source.id for record in filled.sources()] == ["manual.md"]
    assert filled.items(filled.rows()) == before[0]
    np.testing.assert_array_equal(filled.embeddings(filled.rows()).vectors, before[1])
    assert filled.blob(fakes.blob(LOGO).digest) == LOGO
    assert filled.blob(fakes.blob(PICTURE).digest) is None
    assert filled.cached("ocr", "22" * 32) == b'[["the logo of the firm"]]'
    assert filled.cached("ocr", "11" * 32) is None
    assert filled.cached("sync", "looked") == b"5"
    checked = verify(filled, row_lists(filled, INDEXES))
    assert (checked.problems, checked.orphans) == ((), 0)
    assert {state.name: state.rows for state in checked.indexes} == {"dense": 2, "lexical": 2}


def test_a_root_after_forgetting_is_that_of_a_store_that_never_knew(filled, tmp_path, fakes):
    _forget(filled, PRIVATE)
    with Store.create(tmp_path / "never", identity=EMBEDDER.identity) as never:
        with never.writer() as writer:
            _put(fakes, writer, "manual.md", [SHARED, "The fan turns at 900 rpm."], [LOGO])
            writer.commit()
        assert never.root == filled.root


def test_a_source_that_a_sync_removed_before_is_forgotten_as_well(filled):
    with filled.writer() as writer:
        writer.remove(PRIVATE)
        writer.commit()
    assert _holding(filled, b"Zanzibar")
    report = _forget(filled, PRIVATE)
    assert (report.unknown, report.sources, report.clean) == ((PRIVATE,), 0, True)
    assert report.cached == 1
    assert _holding(filled, b"Zanzibar") == _holding(filled, b"ZANZIBAR") == []
    assert filled.cached("ocr", "11" * 32) is None


def test_what_is_kept_of_a_source_that_a_sync_removed_is_no_finding(filled, fakes):
    """It stays until the store is compacted, or that source is forgotten as well."""
    with filled.writer() as writer:
        _put(fakes, writer, "other.md", ["Something else."])
        writer.cache(
            "ocr", "33" * 32, b'[["ZANZIBAR QUINCE seen in the picture, again"]]', SourceId("other.md")
        )
        writer.remove(SourceId("other.md"))
        writer.commit()
    assert _forget(filled, PRIVATE).clean
    assert filled.cached("ocr", "33" * 32) is not None
    assert _holding(filled, b"ZANZIBAR")
    assert _forget(filled, SourceId("other.md")).clean
    assert _holding(filled, b"ZANZIBAR") == []


def test_a_name_that_was_never_known_changes_nothing(filled):
    root, sources = filled.root, filled.sources()
    report = _forget(filled, SourceId("nope.md"))
    assert (report.unknown, report.clean, filled.root, filled.sources()) == (
        ("nope.md",),
        True,
        root,
        sources,
    )


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        (lambda path: (path / "tmp" / "draft").write_bytes(b"..." + SECRET.encode()[7:40]), "tmp/draft"),
        (lambda path: (path / "notes").write_bytes(b"{vault-notes.md}"), "the name of"),
        (lambda path: (path / "notes").write_bytes(b"The fan turns at 900 rpm."), ""),
        (lambda path: _hide_in_the_catalog(path), "catalog.db"),
    ],
)
def test_the_proof_finds_what_was_left(filled, monkeypatch, leave, said):
    """Leave something behind the back of the erasing, and see the proof complain."""
    finish = erase.finish_forgetting

    def finish_and_leave(db, path, *rest, **more):
        held = finish(db, path, *rest, **more)
        (path / "tmp").mkdir(exist_ok=True)
        leave(path)
        return held

    monkeypatch.setattr("mmrag.store.forgetting.finish_forgetting", finish_and_leave)
    report = _forget(filled, PRIVATE)
    assert report.clean == (not said)
    assert not said or any(said in finding for finding in report.proof.findings)


def _hide_in_the_catalog(path) -> None:
    with closing(sqlite3.connect(path / "catalog.db")) as db:
        db.execute("INSERT INTO cache VALUES ('other', 'k', ?, 1, x'')", (SECRET.encode(),))
        db.commit()


def test_readers_are_named_and_the_next_writer_finishes(filled):
    script = (
        "import sys; from pathlib import Path; from mmrag.store import Store\n"
        "store = Store.open(Path(sys.argv[1])); found = store.derived('lexical')\n"
        "with store.snapshot():\n    print(len(store.embeddings(store.rows())), flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script, str(filled.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert reader.stdout.readline() == b"5\n"
        report = _forget(filled, PRIVATE, patience_s=0.1)
        assert not report.clean
        assert len(report.waiting) == 3
        if sys.platform == "linux":
            assert all(f"process {reader.pid}" in said for said in report.waiting)
        assert _holding(filled, b"Zanzibar")
        assert filled.count() == 2
        # Another writer cannot do more as long as the reader is there.
        with filled.writer():
            pass
        assert _holding(filled, b"Zanzibar")
    finally:
        reader.communicate()
    with filled.writer():
        pass
    assert _holding(filled, b"Zanzibar") == []
    checked = verify(filled, row_lists(filled, INDEXES))
    assert (checked.problems, checked.orphans) == ((), 0)


def test_a_forgetting_that_was_killed_is_finished_by_the_next_writer(filled):
    class Killed(BaseException):
        pass

    def killed() -> None:
        raise Killed

    with suppress(Killed):
        forget(filled, [PRIVATE], publish=killed)
    assert filled.count() == 2
    assert verify(filled).problems == ()
    with filled.writer():
        pass
    for trace in (b"Zanzibar", b"ZANZIBAR", b"vault-notes", b"secret pixels"):
        assert _holding(filled, trace) == []
    assert filled.derived("lexical") is None
    publish(filled, INDEXES)
    checked = verify(filled, row_lists(filled, INDEXES))
    assert (checked.problems, checked.orphans) == ((), 0)


def test_an_index_that_was_being_built_meanwhile_is_not_published(filled):
    generation = filled.generation
    _forget(filled, PRIVATE)
    with pytest.raises(StoreError, match="before what has been forgotten"):
        filled.publish(
            "lexical", {}, generation, lambda folder: (folder / "old").write_bytes(SECRET.encode())
        )
    assert _holding(filled, b"Zanzibar") == []
    with pytest.raises(StoreError, match="not known any more"):
        filled.changes(generation)


def test_a_document_of_the_day_on_which_it_is_forgotten_is_no_finding(tmp_path, fakes):
    with Store.create(tmp_path / "store", identity=EMBEDDER.identity) as store:
        with store.writer() as writer:
            today = json.loads((store.path / "lock").read_text())["started"]
            _put(fakes, writer, PRIVATE, [f"Written on {today}", today[:10]])
            writer.commit()
        report = forget(
            store,
            [PRIVATE],
            publish=lambda: tuple(publish(store, INDEXES)),
            leftovers=leftovers(store, WORDS),
        )
    assert report.proof.findings == ()
