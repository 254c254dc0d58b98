"""Published indexes over many rows: merged, built anew, torn, of other recipes, and after forgetting."""

import numpy as np
import pytest

from mmrag.core.filters import parse
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.index.ann.index import FaissIndex
from mmrag.index.ann.options import FaissOptions
from mmrag.index.auto import AutoOptions
from mmrag.index.column_table import load_table
from mmrag.index.exact import ExactIndex, ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.pictures import PictureOptions
from mmrag.index.published import (
    COLUMNS,
    DENSE,
    LEXICAL,
    PICTURES,
    Indexes,
    open_columns,
    open_dense,
    open_indexes,
    publish,
)
from mmrag.index.upkeep import leftovers, row_lists
from mmrag.store import SourceRecord, Store, forget, verify
from mmrag.testing.samples import picture_item, picture_of

DIM = 16
PQ = FaissOptions(kind="ivf-pq", lists=8)
PATIENT = FaissOptions(kind="ivf-flat", lists=8)


@pytest.fixture
def many(tmp_path):
    """A store of 10 sources with 80 vectors each."""
    with Store.create(tmp_path / "many", identity={"embedder": "drawn", "dim": str(DIM)}) as store:
        for number in range(10):
            _put_vectors(store, f"s{number}", number * 80, 80)
        yield store


def _vector(number: int) -> np.ndarray:
    drawn = np.random.default_rng(number).standard_normal(DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def _put_vectors(store: Store, source: str, first: int, count: int) -> None:
    numbers = [str(number) for number in range(first, first + count)]
    items = [Item(ItemId(n), SourceId(source), Span(0, 1), (Part("text", text=f"n{n}"),)) for n in numbers]
    with store.writer() as writer:
        writer.add_vectors(numbers, Embeddings.dense(np.stack([_vector(int(n)) for n in numbers])))
        record = SourceRecord(Source(SourceId(source), numbers[0], 1, "text/plain"), 0, "indexed")
        writer.put(record, items, numbers)
        writer.commit()


def _remove(store: Store, *sources: str) -> None:
    with store.writer() as writer:
        for source in sources:
            writer.remove(SourceId(source))
        writer.commit()


def _publish(store: Store, dense) -> None:
    publish(store, Indexes(dense, LexicalOptions()))


def _check_dense(store: Store, dense, *, recall: float = 1.0) -> None:
    """Check that every vector finds itself, and about the ten that are nearest, among the live rows."""
    with store.snapshot():
        rows = store.rows()
        vectors = store.embeddings(rows).vectors
    index = open_dense(store, dense, DIM)
    assert len(index) == len(rows)
    np.testing.assert_array_equal(index.rows(), rows)
    found = index.search(Embeddings.dense(vectors), 10).rows
    exact = ExactIndex.over(rows, Embeddings.dense(vectors)).search(Embeddings.dense(vectors), 10).rows
    assert np.isin(found, rows).all()
    shared = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, exact, strict=True)])
    assert shared >= recall, shared


class _PatientOptions:
    """IVF options that put a merge off until 150 rows have changed."""

    def __init__(self) -> None:
        self.identity = PATIENT.identity
        self.keeps, self.write, self.update = PATIENT.keeps, PATIENT.write, PATIENT.update
        self.is_worn, self.load = PATIENT.is_worn, PATIENT.load

    def is_due(self, old, count: int, added: int, removed: int) -> bool:
        return added + removed >= 150


def test_a_dense_index_lags_behind_until_a_merge_is_due(many):
    options = _PatientOptions()
    _publish(many, options)
    first = many.derived(DENSE)
    _put_vectors(many, "new", 5000, 30)
    _remove(many, "s4")
    _put_vectors(many, "s4", 6000, 10)
    _publish(many, options)
    assert many.derived(DENSE).generation == first.generation
    assert many.derived(LEXICAL).generation == many.generation
    _check_dense(many, options, recall=0.93)
    newest = int(many.rows_of(SourceId("new"))[-1])
    found = open_dense(many, options, DIM).search(Embeddings.dense(_vector(5029)[None]), 1)
    assert found.rows[0].tolist() == [newest]
    _remove(many, "s5")
    _publish(many, options)
    assert many.derived(DENSE).generation == many.generation
    _check_dense(many, options, recall=0.93)


def test_few_changes_are_merged_and_many_build_anew(many):
    _publish(many, PQ)
    trained = open_dense(many, PQ, DIM).report()
    assert trained.points
    _remove(many, "s0")
    _publish(many, PQ)
    # A merge keeps the codes of what was removed; they go when the index is built anew.
    assert open_dense(many, PQ, DIM).report().removed == 80
    _check_dense(many, PQ, recall=0.93)
    _remove(many, "s1", "s2", "s3")
    _publish(many, PQ)
    report = open_dense(many, PQ, DIM).report()
    assert (report.rows, report.removed) == (480, 0)
    _check_dense(many, PQ, recall=0.93)


@pytest.mark.parametrize("tear", ["cut", "garbled", "missing"])
def test_a_torn_dense_index_is_searched_around_and_built_anew(many, tear):
    _publish(many, PQ)
    folder = many.derived(DENSE).path
    file = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    size = file.stat().st_size
    if tear == "missing":
        file.unlink()
    else:
        file.write_bytes(b"\x07" * (size if tear == "garbled" else size // 2))
    index = open_dense(many, PQ, DIM)
    assert isinstance(index, ExactIndex)
    _check_dense(many, PQ)
    _publish(many, PQ)
    assert isinstance(open_dense(many, PQ, DIM), FaissIndex)
    assert many.derived(DENSE).path != folder
    assert verify(many, row_lists(many, Indexes(PQ, LexicalOptions()))).problems == ()
    _check_dense(many, PQ, recall=0.93)


def test_a_dense_index_of_another_recipe_is_not_used_and_is_replaced(many):
    _publish(many, PQ)
    finer = FaissOptions(kind="ivf-pq", lists=8, refine="sq8")
    assert isinstance(open_dense(many, finer, DIM), ExactIndex)
    assert isinstance(open_dense(many, ExactOptions(), DIM), ExactIndex)
    _check_dense(many, finer)
    _publish(many, finer)
    assert many.derived(DENSE).stamp["refine"] == "sq8"
    assert isinstance(open_dense(many, finer, DIM), FaissIndex)
    assert isinstance(open_dense(many, PQ, DIM), ExactIndex)


def test_an_index_over_the_vectors_of_another_model_is_not_used(many):
    _publish(many, PQ)
    stamp = {**many.derived(DENSE).stamp, "embedder": "another"}
    many.publish(DENSE, stamp, many.generation, lambda folder: PQ.write(folder, many.vectors()))
    assert isinstance(open_dense(many, PQ, DIM), ExactIndex)


def test_auto_keeps_nothing_below_its_bound_and_publishes_above(tmp_path):
    # Of a length that no product quantiser divides, and a recall beyond int8: whole vectors in lists.
    dim, options = 2603, AutoOptions(recall=0.98)
    with Store.create(tmp_path / "auto", identity={"embedder": "drawn", "dim": str(dim)}) as store:
        for source, count, is_kept in (("few", 1900, False), ("more", 110, True)):
            numbers = [f"{source}{i}" for i in range(count)]
            drawn = np.random.default_rng(count).standard_normal((count, dim)).astype(np.float32)
            vectors = Embeddings.dense(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
            items = [Item(ItemId(n), SourceId(source), Span(0, 1), (Part("text", text=n),)) for n in numbers]
            with store.writer() as writer:
                writer.add_vectors(numbers, vectors)
                record = SourceRecord(Source(SourceId(source), source, 1, "text/plain"), 0, "indexed")
                writer.put(record, items, numbers)
                writer.commit()
            _publish(store, options)
            assert (store.derived(DENSE) is not None) is is_kept
            index = open_dense(store, options, dim)
            assert isinstance(index, FaissIndex if is_kept else ExactIndex)
            found = index.search(vectors, 1).rows[:20, 0].tolist()
            assert found == store.rows_of(SourceId(source))[:20].tolist()


def test_without_any_published_index_everything_is_read_from_the_store(many):
    for options in (PQ, AutoOptions(), ExactOptions()):
        with many.snapshot():
            opened = open_indexes(many, Indexes(options, LexicalOptions(), PictureOptions()), DIM)
        assert isinstance(opened.dense, ExactIndex)
        _check_dense(many, options)
        assert opened.held == ()
        assert len(opened.pictures) == 0
        assert opened.lexical.search(["n17"], 2).rows[0].tolist() == [int(many.rows()[17]), -1]
        where = parse('source == "s3"')
        np.testing.assert_array_equal(opened.columns.rows(where), many.rows_of(SourceId("s3")))


def test_an_empty_store_has_no_dense_index(tmp_path):
    with Store.create(tmp_path / "empty", identity={"embedder": "drawn", "dim": str(DIM)}) as store:
        _publish(store, PQ)
        assert store.derived(DENSE) is None
        found = open_dense(store, PQ, DIM).search(Embeddings.dense(_vector(0)[None]), 3)
        assert found.rows.tolist() == [[-1, -1, -1]]


def test_nothing_of_what_was_forgotten_is_in_any_index(tmp_path):
    indexes = Indexes(PQ, LexicalOptions(), PictureOptions())
    drawn = {f"p{i}.png": picture_of(f"Plate {i}", word) for i, word in enumerate(("pump", "gasket", "fan"))}
    with Store.create(tmp_path / "store", identity={"embedder": "drawn", "dim": str(DIM)}) as store:
        # Columns are kept above 5,000 rows.
        for number, count in enumerate((2501, 2501, 50)):
            _put_vectors(store, f"s{number}", number * 3000, count)
        with store.writer() as writer:
            for i, (name, data) in enumerate(drawn.items()):
                item = picture_item(data, source=name)
                writer.add_vectors([name], Embeddings.dense(_vector(9000 + i)[None]))
                blob = Blob(item.parts[0].media, data, "image/png")
                record = SourceRecord(Source(SourceId(name), name, 1, "image/png"), 0, "indexed")
                writer.put(record, [item], [name], [blob])
            writer.commit()
        publish(store, indexes)
        names = (LEXICAL, DENSE, COLUMNS, PICTURES)
        assert all(store.derived(name).generation == store.generation for name in names)
        before = {name: store.derived(name).path for name in names}
        gone = np.concatenate([store.rows_of(SourceId(name)) for name in ("s2", "p1.png")])
        report = forget(
            store,
            [SourceId("s2"), SourceId("p1.png")],
            publish=lambda: publish(store, indexes),
            leftovers=leftovers(store, indexes.lexical),
        )
        assert report.clean, report
        for name in names:
            derived = store.derived(name)
            assert derived.path != before[name]
            assert not before[name].exists()
            assert derived.generation >= store.horizon > 0
        # Not marked as removed only: no file has them.
        assert not np.isin(gone, np.load(store.derived(DENSE).path / "rows.npy")).any()
        assert not np.isin(gone, np.load(store.derived(PICTURES).path / "rows.npy")).any()
        assert not np.isin(gone, load_table(store.derived(COLUMNS).path).rows).any()
        with store.snapshot():
            opened = open_indexes(store, indexes, DIM)
        assert isinstance(opened.dense, FaissIndex)
        np.testing.assert_array_equal(opened.dense.rows(), store.rows())
        assert len(open_columns(store)) == store.count()
        found = opened.pictures.search(list(drawn.values()), 1)
        left = [store.rows_of(SourceId(name)).tolist() for name in ("p0.png", "p2.png")]
        assert found.rows[[0, 2]].tolist() == left
        assert found.scores[1, 0] < 1


def test_indexes_from_before_the_horizon_are_not_used(many):
    """As a restored backup of the indexes may leave them."""
    indexes = Indexes(PQ, LexicalOptions(), PictureOptions())
    _put_vectors(many, "secret", 7000, 5)
    publish(many, indexes)
    held = [many.derived(name) for name in (LEXICAL, DENSE, PICTURES)]
    report = forget(many, [SourceId("secret")], publish=lambda: publish(many, indexes), patience_s=0)
    # As long as they are held, their files stay.
    assert len(report.waiting) == len(held)
    for old in held:
        folder = old.path.parent
        (folder.parent / "current").write_text(folder.name)
    assert many.derived(DENSE).generation < many.horizon
    with many.snapshot():
        opened = open_indexes(many, indexes, DIM)
    assert isinstance(opened.dense, ExactIndex)
    np.testing.assert_array_equal(opened.dense.rows(), many.rows())
    assert opened.lexical.search(["n7003"], 1).rows[0].tolist() == [-1]
    publish(many, indexes)
    assert {many.derived(name).generation for name in (LEXICAL, DENSE, PICTURES)} == {many.generation}
