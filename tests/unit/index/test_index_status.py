"""What a store tells of its search indexes."""

from __future__ import annotations

import numpy as np
import pytest

from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.auto import AutoOptions
from mmrag.index.exact import ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.pictures import PictureOptions
from mmrag.index.published import DENSE, Indexes, publish
from mmrag.index.status import IndexStatus, index_status
from mmrag.store import SourceRecord, Store
from mmrag.testing.samples import unit_vectors

DIM = 16
PQ = FaissOptions(kind="ivf-pq", lists=8)
WORDS = LexicalOptions()
NOT_ON_DISK = "It is not on disk yet; the next sync or reindex writes it."


class _PatientOptions:
    """IVF-PQ options that leave the index as it is until it is built anew."""

    def __init__(self) -> None:
        self.identity, self.keeps, self.write = PQ.identity, PQ.keeps, PQ.write
        self.update, self.is_worn, self.load = PQ.update, PQ.is_worn, PQ.load

    def is_due(self, old, count: int, added: int, removed: int) -> bool:
        return False


def _put(store: Store, source: str, count: int) -> None:
    keys = [f"{source} {i}" for i in range(count)]
    items = [Item(ItemId(key), SourceId(source), Span(0, 1), (Part("text", text=key),)) for key in keys]
    with store.writer() as writer:
        writer.add_vectors(keys, Embeddings.dense(unit_vectors(count, DIM, seed=count)))
        record = SourceRecord(Source(SourceId(source), source, 1, "text/plain"), 0, "indexed")
        writer.put(record, items, keys)
        writer.commit()


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store", identity={"embedder": "drawn", "dim": str(DIM)}) as store:
        _put(store, "a", 600)
        yield store


def _told(store: Store, indexes: Indexes) -> dict[str, IndexStatus]:
    found = index_status(store, indexes, DIM)
    assert found[0].name == DENSE
    return {one.name: one for one in found}


def test_an_exact_index_tells_how_many_rows_it_looks_at(store):
    publish(store, Indexes(ExactOptions(), WORDS))
    dense = _told(store, Indexes(ExactOptions(), WORDS))[DENSE]
    assert dense == IndexStatus(DENSE, "exact", 600, 0, 0)
    assert dense.sentence() == "dense: exact over 600 rows"


def test_auto_says_why_it_searches_exactly(store):
    dense = _told(store, Indexes(AutoOptions(), WORDS))[DENSE]
    assert (dense.kind, dense.rows, dense.disk_bytes) == ("exact", 600, 0)
    assert dense.notes == AutoOptions().choose(600, DIM).reasons
    assert "There are few vectors" in dense.notes[0]


def test_a_trained_index_tells_its_recall_and_sizes(store):
    indexes = Indexes(PQ, WORDS)
    publish(store, indexes)
    dense = _told(store, indexes)[DENSE]
    files = [file for file in store.derived(DENSE).path.rglob("*") if file.is_file()]
    assert (dense.kind, dense.rows, dense.newer) == ("ivf-pq", 600, 0)
    assert dense.disk_bytes == sum(file.stat().st_size for file in files)
    first = dense.detail["points"][0]
    assert first["recall"] >= dense.detail["target"] == 0.95
    assert dense.sentence().startswith(
        f"dense: ivf-pq over 600 rows, recall@10 {first['recall']:.3f} of 0.95 wanted, "
        f"{first['probes']} probes, {first['rerank']} rescored a hit, "
    )
    assert " MB on disk, " in dense.sentence()
    assert dense.sentence().endswith(" MB in memory")


def test_newer_rows_are_counted_until_they_are_merged(store):
    publish(store, Indexes(PQ, WORDS))
    indexes = Indexes(_PatientOptions(), WORDS)
    _put(store, "b", 40)
    with store.writer() as writer:
        writer.remove(SourceId("a"))
        writer.commit()
    told = _told(store, indexes)
    assert (told[DENSE].rows, told[DENSE].newer, told["lexical"].newer) == (40, 640, 640)
    assert told[DENSE].sentence().endswith(", 640 newer changes beside it")
    assert "600 removed or replaced rows still take room." in told[DENSE].notes
    publish(store, indexes)
    told = _told(store, indexes)
    assert (told[DENSE].newer, told["lexical"].newer) == (640, 0)
    publish(store, Indexes(PQ, WORDS))
    assert (_told(store, Indexes(PQ, WORDS))[DENSE].rows, _told(store, indexes)[DENSE].newer) == (40, 0)


def test_what_is_not_on_disk_yet_says_so(store):
    indexes = Indexes(PQ, WORDS, PictureOptions())
    told = _told(store, indexes)
    assert list(told) == [DENSE, "lexical", "pictures"]
    assert told[DENSE].kind == "exact"
    assert all(one.notes == (NOT_ON_DISK,) for one in told.values())
    publish(store, indexes)
    told = _told(store, indexes)
    assert all(NOT_ON_DISK not in one.notes for one in told.values())
    assert (told["lexical"].kind, told["pictures"].kind) == ("tantivy", "pictures")
    assert told["lexical"].disk_bytes > 0
    assert told["pictures"].sentence().startswith("pictures: pictures, 0.0 MB on disk")


def test_what_was_published_with_other_options_counts_as_not_on_disk(store):
    publish(store, Indexes(PQ, LexicalOptions(stemmer="german")))
    _put(store, "b", 5)
    told = _told(store, Indexes(FaissOptions(kind="ivf-pq", lists=4), LexicalOptions(stemmer="english")))
    for one in told.values():
        assert (one.newer, one.disk_bytes, one.notes) == (0, 0, (NOT_ON_DISK,))


def test_an_empty_store_has_an_empty_dense_index(tmp_path):
    with Store.create(tmp_path / "none", identity={"embedder": "drawn", "dim": str(DIM)}) as store:
        dense = _told(store, Indexes(PQ, WORDS))[DENSE]
        assert dense.sentence() == "dense: exact over 0 rows"
        assert dense.notes == ()


def test_columns_are_named_where_they_are_kept(store):
    assert "columns" not in _told(store, Indexes(ExactOptions(), WORDS))
    _put(store, "many", 4500)
    indexes = Indexes(ExactOptions(), WORDS)
    assert _told(store, indexes)["columns"].notes == (NOT_ON_DISK,)
    publish(store, indexes)
    columns = _told(store, indexes)["columns"]
    assert columns.notes == ()
    assert columns.disk_bytes > 0
    assert np.isclose(columns.newer, 0)
