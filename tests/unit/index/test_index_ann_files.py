import json
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, Damaged, IdentityMismatch
from mmrag.core.types import Embeddings
from mmrag.index.ann.codes import CodesInFile, emptied, empty_codes, mapped
from mmrag.index.ann.kinds import KINDS
from mmrag.index.ann.options import FaissOptions
from mmrag.index.vectors import GivenVectors

faiss = pytest.importorskip("faiss")
DIM, COUNT = 16, 600


def clustered(count: int, seed: int, dim: int = DIM) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    made = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def source(first: int, count: int, seed: int) -> GivenVectors:
    return GivenVectors(np.arange(first, first + count), Embeddings.dense(clustered(count, seed)))


@pytest.fixture(params=list(KINDS))
def options(request) -> FaissOptions:
    return FaissOptions(kind=request.param)


@pytest.fixture
def written(options, tmp_path) -> Path:
    options.write(tmp_path / "old", source(0, COUNT, 0))
    return tmp_path / "old"


def recall(index, vectors: np.ndarray, rows: np.ndarray) -> float:
    queries = clustered(60, 5)
    found = index.search(Embeddings.dense(queries), 10).rows
    true = rows[np.argsort(-(queries @ vectors.T), axis=1)[:, :10]]
    return float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)]))


@pytest.mark.parametrize("coding", ["f32", "f16", "sq8"])
def test_codes_streamed_to_a_file_are_what_faiss_itself_writes(coding, tmp_path):
    """The file is FAISS's own format, written by other hands: a change of it must not go unseen."""
    vectors = clustered(1000, 0)
    start = empty_codes(coding, DIM, vectors)
    sink = CodesInFile(start, tmp_path / "streamed")
    for batch in np.array_split(vectors, 7):
        sink.add(batch)
    streamed = sink.close()
    start.add(vectors)
    faiss.write_index(start, str(tmp_path / "whole"))
    assert (tmp_path / "streamed").read_bytes() == (tmp_path / "whole").read_bytes()
    decoded = streamed.reconstruct_n(0, 1000)
    np.testing.assert_allclose(decoded, vectors, atol={"f32": 0, "f16": 1e-3, "sq8": 5e-3}[coding])
    again = CodesInFile(emptied(mapped(tmp_path / "streamed")), tmp_path / "more", tmp_path / "streamed")
    again.add(vectors[:3])
    np.testing.assert_array_equal(again.close().reconstruct_n(0, 1003), np.vstack([decoded, decoded[:3]]))


def test_what_is_built_on_disk_searches_as_what_is_built_in_memory(options, written):
    vectors = source(0, COUNT, 0)
    on_disk, in_memory = options.load(written), options.build(vectors)
    queries = Embeddings.dense(clustered(30, 5))
    one, other = on_disk.search(queries, 10), in_memory.search(queries, 10)
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert on_disk.report().points == in_memory.report().points


class ManyVectors(GivenVectors):
    def __post_init__(self):
        """Take items of many vectors, as a store of late-interaction embeddings gives them."""

    def take(self, rows):
        return self.embeddings

    def batches(self, size):
        yield self.rows, self.embeddings


def test_many_vectors_an_item_are_refused_when_built_and_updated(options, written, tmp_path):
    many = ManyVectors(np.array([7000]), Embeddings(clustered(3, 0), np.array([0, 3])))
    with pytest.raises(ConfigError, match="one vector"):
        options.write(tmp_path / "many", many)
    with pytest.raises(ConfigError, match="one vector"):
        options.update(written, tmp_path / "more", many, np.empty(0, np.int64))


def test_every_file_torn_missing_or_foreign_is_named(options, written):
    for file in sorted(written.iterdir()):
        if file.stat().st_size < 200:
            continue
        whole = file.read_bytes()
        for harm in (whole[:-100], b"x" * len(whole), None):
            file.unlink() if harm is None else file.write_bytes(harm)
            with pytest.raises(Damaged, match=file.name.replace(".", r"\.")):
                options.load(written)
        file.write_bytes(whole)
    options.load(written)


def test_a_file_of_another_index_is_named(options, written, tmp_path):
    options.write(tmp_path / "other", source(0, COUNT - 100, 1))
    for name in ("engine.faiss", "codes.faiss", "rows.npy", "lists.npy"):
        file = written / name
        if file.exists():
            whole = file.read_bytes()
            file.write_bytes((tmp_path / "other" / name).read_bytes())
            header = json.loads((written / "index.json").read_text())
            sized = header | {"files": header["files"] | {name: file.stat().st_size}}
            (written / "index.json").write_text(json.dumps(sized))
            with pytest.raises(Damaged, match=name.replace(".", r"\.")):
                options.load(written)
            file.write_bytes(whole)
            (written / "index.json").write_text(json.dumps(header))


def test_an_index_of_other_options_is_refused(options, written):
    other = FaissOptions(kind="hnsw" if options.kind == "flat" else "flat")
    with pytest.raises(IdentityMismatch, match=rf"kind: {options.kind} -> {other.kind}"):
        other.load(written)


def test_an_update_adds_replaces_and_hides(options, written, tmp_path):
    removed, replaced = np.arange(0, 60, 2), np.array([100, 101])
    fresh = clustered(52, 7)
    rows = np.concatenate([replaced, np.arange(COUNT, COUNT + 50)])
    added = GivenVectors(rows, Embeddings.dense(fresh))
    options.update(written, tmp_path / "new", added, removed)
    index = options.load(tmp_path / "new")
    kept = np.setdiff1d(np.arange(COUNT), np.concatenate([removed, replaced]))
    live = np.concatenate([kept, rows])
    np.testing.assert_array_equal(index.rows(), np.sort(live))
    assert len(index) == len(live)
    assert recall(index, np.vstack([clustered(COUNT, 0)[kept], fresh]), live) >= 0.93
    found = index.search(Embeddings.dense(fresh[:2]), 1).rows[:, 0]
    np.testing.assert_array_equal(found, replaced)
    assert not np.isin(index.search(Embeddings.dense(clustered(COUNT, 0)), 10).rows, removed).any()
    # The old folder is as it was.
    assert len(options.load(written)) == COUNT


def test_updates_of_updates_keep_the_right_vectors(options, written, tmp_path):
    folder = written
    for step in range(3):
        new = tmp_path / f"step{step}"
        options.update(folder, new, source(1000 + 20 * step, 20, 50 + step), np.array([step]))
        folder = new
    index = options.load(folder)
    np.testing.assert_array_equal(index.rows(), np.concatenate([np.arange(3, COUNT), np.arange(1000, 1060)]))
    for step in range(3):
        found = index.search(Embeddings.dense(clustered(20, 50 + step)), 1).rows[:, 0]
        np.testing.assert_array_equal(found, np.arange(1000 + 20 * step, 1020 + 20 * step))


def test_an_index_without_rows_is_written_updated_and_emptied(options, tmp_path):
    options.write(tmp_path / "a", source(0, 0, 0))
    assert len(options.load(tmp_path / "a")) == 0
    assert options.is_worn(tmp_path / "a", 1, 0)
    options.update(tmp_path / "a", tmp_path / "b", source(0, 300, 0), np.empty(0, np.int64))
    assert len(options.load(tmp_path / "b")) == 300
    options.update(tmp_path / "b", tmp_path / "c", source(0, 0, 0), np.arange(300))
    assert len(options.load(tmp_path / "c")) == 0


def test_a_merge_is_due_for_few_rows_at_once_and_for_many_when_a_hundredth_changed(tmp_path):
    options = FaissOptions()
    assert options.is_due(tmp_path, 1000, 1, 0)
    assert options.is_due(tmp_path, 1000, 0, 1)
    assert not options.is_due(tmp_path, 1000, 0, 0)
    assert not options.is_due(tmp_path, 1_000_000, 9_000, 1_000)
    assert options.is_due(tmp_path, 1_000_000, 9_000, 1_001)


def test_an_index_is_worn_when_it_grew_fourfold_or_a_third_is_dead(tmp_path):
    options = FaissOptions(kind="ivf-pq")
    options.write(tmp_path / "a", source(0, COUNT, 0))
    assert not options.is_worn(tmp_path / "a", 2 * COUNT, 0)
    assert options.is_worn(tmp_path / "a", 3 * COUNT, 0)
    assert not options.is_worn(tmp_path / "a", 0, COUNT // 4)
    assert options.is_worn(tmp_path / "a", 0, COUNT // 3)


def test_an_index_too_small_to_train_is_worn_once_there_are_rows_enough(tmp_path):
    options = FaissOptions(kind="ivf-pq")
    options.write(tmp_path / "a", source(0, 100, 0))
    assert "scanned" in " ".join(options.load(tmp_path / "a").report().notes)
    assert not options.is_worn(tmp_path / "a", 100, 0)
    assert options.is_worn(tmp_path / "a", 200, 0)


def test_points_are_measured_again_when_more_than_a_tenth_changed(tmp_path):
    options = FaissOptions(kind="ivf-pq")
    options.write(tmp_path / "a", source(0, COUNT, 0))
    options.update(tmp_path / "a", tmp_path / "b", source(COUNT, 50, 1), np.empty(0, np.int64))
    options.update(tmp_path / "a", tmp_path / "c", source(COUNT, 80, 1), np.empty(0, np.int64))
    measured = [
        json.loads((tmp_path / name / "index.json").read_text())["facts"]["measured"] for name in "abc"
    ]
    assert measured == [COUNT, COUNT, COUNT + 80]


def harmed(folder: Path, name: str, value: int) -> Path:
    numbers = np.load(folder / name)
    numbers[len(numbers) // 2] = value
    np.save(folder / name, numbers)
    return folder


@pytest.mark.parametrize("name", ["dead.npy", "lists.npy"])
@pytest.mark.parametrize("value", [-1, 10**6])
def test_numbers_of_positions_and_lists_that_do_not_exist_are_named(name, value, tmp_path):
    options = FaissOptions(kind="ivf-flat")
    index = options.build(source(0, COUNT, 0))
    index.remove(np.arange(3))
    index.save(tmp_path / "index")
    options.load(tmp_path / "index")
    with pytest.raises(Damaged, match=name.replace(".", r"\.")):
        options.load(harmed(tmp_path / "index", name, value))


@pytest.mark.parametrize("how", ["write", "save", "update"])
def test_a_save_over_an_index_that_is_broken_off_leaves_none(how, options, written, tmp_path, monkeypatch):
    def broken_off(path, array):
        raise OSError("disk full")

    anew = source(0, COUNT, 1)
    index = options.build(anew)
    options.write(tmp_path / "there", anew)
    saves = {
        "write": lambda folder: options.write(folder, anew),
        "save": index.save,
        "update": lambda folder: options.update(written, folder, source(COUNT, 9, 2), np.empty(0, np.int64)),
    }
    monkeypatch.setattr("mmrag.index.ann.files.write_arrays", broken_off)
    with pytest.raises(OSError, match="disk full"):
        saves[how](tmp_path / "there")
    with pytest.raises(Damaged, match=r"index\.json"):
        options.load(tmp_path / "there")
