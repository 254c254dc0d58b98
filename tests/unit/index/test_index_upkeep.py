"""Indexes that are built anew, and looked into."""

from __future__ import annotations

import numpy as np
import pytest

from mmrag.core.errors import Damaged
from mmrag.core.fields import SearchText, embedding_key
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import DENSE, LEXICAL, Indexes, publish
from mmrag.index.upkeep import leftovers, reindex, row_lists
from mmrag.store import SourceRecord, Store, verify
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()
FLAT, WORDS = FaissOptions(kind="flat"), LexicalOptions()
INDEXES = Indexes(FLAT, WORDS)


def _put(store: Store, *names: str) -> None:
    with store.writer() as writer:
        for name in names:
            text = f"The {name} is described here."
            item = Item(ItemId(name), SourceId(name), Span(0, 9), (Part("text", text=text),))
            keys = [embedding_key(item)]
            writer.add_vectors(keys, EMBEDDER.embed_items([item]))
            source = Source(SourceId(name), name, 1, "text/plain")
            writer.put(SourceRecord(source, 0, "indexed"), [item], keys)
        writer.commit()


def _remove(store: Store, name: str) -> None:
    with store.writer() as writer:
        writer.remove(SourceId(name))
        writer.commit()


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store", identity=EMBEDDER.identity) as store:
        _put(store, "relay", "fan", "duct")
        yield store


@pytest.mark.parametrize(
    "options", [ExactOptions(), FaissOptions(kind="flat"), FaissOptions(kind="ivf-flat")]
)
def test_a_dense_index_lists_its_rows(options):
    index = options.empty(4)
    assert index.rows().tolist() == []
    rows = np.arange(90)[::-1] * 3
    index.add(rows, Embeddings.dense(np.random.default_rng(0).random((90, 4), np.float32)))
    index.remove(np.array([6, 9]))
    assert index.rows().tolist() == sorted(set(rows.tolist()) - {6, 9})
    assert index.rows().dtype == np.int64


def test_a_lexical_index_lists_its_rows_and_who_holds_a_word(tmp_path):
    index = WORDS.open(tmp_path / "words")
    assert index.rows().tolist() == []
    index.add(np.array([7, 3, 5]), [SearchText("", "", f"common word{i}", "", "") for i in range(3)])
    index.commit()
    assert index.rows().tolist() == [3, 5, 7]
    assert not index.has_removed()
    assert (index.row_with("word1"), index.row_with("nowhere")) == (3, None)
    index.remove(np.array([3]))
    index.commit()
    assert index.rows().tolist() == [5, 7]
    assert index.has_removed()


def test_reindex_builds_from_all_rows(store):
    publish(store, INDEXES)
    _remove(store, "fan")
    publish(store, INDEXES)
    old = [store.derived(name) for name in (LEXICAL, DENSE)]
    assert WORDS.open(old[0].path).has_removed()
    new = reindex(store, INDEXES)
    assert [derived.generation for derived in new] == [store.generation] * 2
    assert not WORDS.open(new[0].path).has_removed()
    assert {derived.path for derived in old}.isdisjoint(derived.path for derived in new)
    # A reader of the old ones keeps its files.
    assert all(derived.path.exists() for derived in old)


def test_reindex_mends_a_torn_index(store):
    publish(store, INDEXES)
    file = next(store.derived(LEXICAL).path.glob("*.term"))
    file.write_bytes(bytes(file.stat().st_size))
    assert any("lexical is torn" in problem for problem in verify(store).problems)
    reindex(store, INDEXES)
    assert verify(store, row_lists(store, INDEXES)).problems == ()


def test_verify_sees_rows_that_an_index_lacks(store):
    publish(store, INDEXES)
    report = verify(store, row_lists(store, INDEXES))
    assert (report.problems, [state.rows for state in report.indexes]) == ((), [3, 3])
    stamp = {**store.identity, **FLAT.identity}
    store.publish(DENSE, stamp, store.generation, lambda folder: FLAT.empty(EMBEDDER.dim).save(folder))
    report = verify(store, row_lists(store, INDEXES))
    assert any("dense and the catalog differ in 3 rows" in problem for problem in report.problems)


def test_an_index_of_other_options_is_not_looked_into(store):
    publish(store, INDEXES)
    report = verify(
        store, row_lists(store, Indexes(FaissOptions(kind="ivf-flat"), LexicalOptions(stemmer="german")))
    )
    assert (report.problems, [state.rows for state in report.indexes]) == ((), [None, None])
    assert set(row_lists(store, Indexes(ExactOptions(), WORDS))) == {LEXICAL}


def test_an_index_that_cannot_be_opened_is_named(store):
    store.publish(LEXICAL, WORDS.identity, store.generation, lambda folder: (folder / "x").write_bytes(b""))
    (problem,) = verify(store, row_lists(store, INDEXES)).problems
    assert "lexical cannot be opened" in problem
    with pytest.raises(Damaged):
        row_lists(store, INDEXES)[LEXICAL](store.derived(LEXICAL))


def test_words_of_rows_that_are_gone_are_found(store):
    publish(store, INDEXES)
    gone = list(store.items(store.rows_of(SourceId("fan"))).values())
    assert leftovers(store, WORDS)(gone) == []
    _remove(store, "fan")
    found = leftovers(store, WORDS)(gone)
    assert "The lexical index still holds 1 rows that were removed." in found
    assert "The lexical index still holds the word 'fan'." in found
    publish(store, INDEXES)
    found = leftovers(store, WORDS)(gone)
    assert "The lexical index still holds words of rows that were removed." in found
    reindex(store, INDEXES)
    assert leftovers(store, WORDS)(gone) == []


class _OtherEngine:
    """A lexical engine that is none of mmrag's own."""

    identity = WORDS.identity

    def open(self, folder):
        return object()


def test_words_that_were_not_looked_into_are_a_finding(store):
    gone = list(store.items(store.rows_of(SourceId("fan"))).values())
    assert leftovers(store, WORDS)(gone) == []
    publish(store, INDEXES)
    for options, why in (
        (LexicalOptions(stemmer="german"), "it was built with other options"),
        (object(), "it was built with other options"),
        (_OtherEngine(), "mmrag does not know the files of object"),
    ):
        assert leftovers(store, options)(gone) == [
            f"The words of the index lexical ({why}) were not looked into."
        ]


def test_words_in_torn_files_are_a_finding(store):
    publish(store, INDEXES)
    file = next(store.derived(LEXICAL).path.glob("*.term"))
    file.write_bytes(b"")
    assert leftovers(store, WORDS)([]) == [
        "The words of the index lexical (it is torn) were not looked into."
    ]
    store.publish(LEXICAL, WORDS.identity, store.generation, lambda folder: (folder / "x").write_bytes(b""))
    assert leftovers(store, WORDS)([]) == [
        "The words of the index lexical (it cannot be opened) were not looked into."
    ]


class _Unscanned(np.ndarray):
    """Rows that must not be gone through one by one."""

    def __contains__(self, row: object) -> bool:
        raise AssertionError(f"all rows were gone through to find {row}")


def test_all_rows_are_not_gone_through_for_each_word(store, monkeypatch):
    publish(store, INDEXES)
    gone = list(store.items(store.rows_of(SourceId("fan"))).values())
    _remove(store, "fan")
    rows = store.rows().view(_Unscanned)
    monkeypatch.setattr(store, "rows", lambda: rows)
    assert "The lexical index still holds the word 'fan'." in leftovers(store, WORDS)(gone)
