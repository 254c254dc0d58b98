"""A store is built beside another one and takes its place; what is stopped half-way is finished later."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import Locked, StoreError
from mmrag.core.types import Embeddings, SourceId
from mmrag.store import Store, verify
from mmrag.store.lock import FileLock, writer_lock
from mmrag.store.swap import (
    building_path,
    carry_over,
    finish_swap,
    refuse_unmovable,
    retired_path,
    swap_in,
)

NEW = {"name": "new", "dim": "4"}
STEPS = ("locked", "aside", "in place", "half removed", "removed")


class Stopped(Exception):
    """Where a test ends a swap."""


def stop_at(wanted: str):
    def on_step(step: str) -> None:
        if step == wanted:
            raise Stopped(step)

    return on_step


def fill(fakes, store: Store, id: str, *texts: str) -> None:
    with store.writer() as writer:
        fakes.put(writer, id, *texts)
        writer.commit()


@pytest.fixture
def path(tmp_path: Path, fakes) -> Path:
    """Two stores, one beside the other, that nobody holds open."""
    path = tmp_path / "docs" / ".mmrag"
    with Store.create(path, identity=fakes.identity) as store:
        fill(fakes, store, "old.txt", "old words")
    with Store.create(building_path(path), identity=NEW) as store:
        fill(fakes, store, "new.txt", "new words", "more new words")
    return path


def file_of(path: Path):
    with Store.open(path) as store:
        return store.file


def sources(path: Path) -> list[str]:
    with Store.open(path) as store:
        report = verify(store)
        assert (report.problems, report.orphans) == ((), 0)
        return [record.source.id for record in store.sources()]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_the_new_store_takes_the_place_of_the_old_one(path: Path) -> None:
    swap_in(path, file_of(path))
    assert sources(path) == ["new.txt"]
    assert names(path) == [".mmrag"]


def test_names_beside_are_hidden_so_that_no_sync_reads_them(tmp_path: Path) -> None:
    assert building_path(tmp_path / ".mmrag") == tmp_path / ".mmrag.next"
    assert building_path(tmp_path / "index") == tmp_path / ".index.next"
    assert retired_path(tmp_path / "index") == tmp_path / ".index.old"


@pytest.mark.parametrize("step", STEPS)
def test_a_swap_that_is_stopped_is_finished_or_has_not_begun(path: Path, step: str) -> None:
    expected = file_of(path)
    with pytest.raises(Stopped):
        swap_in(path, expected, on_step=stop_at(step))
    assert sources(path) == (["old.txt"] if step == "locked" else ["new.txt"])
    if step == "locked":
        assert names(path) == [".mmrag", ".mmrag.next"]
        swap_in(path, expected)
        assert sources(path) == ["new.txt"]
    assert names(path) == [".mmrag"]


@pytest.mark.parametrize("step", STEPS[1:])
def test_making_a_store_finishes_a_swap_too(path: Path, fakes, step: str) -> None:
    with pytest.raises(Stopped):
        swap_in(path, file_of(path), on_step=stop_at(step))
    with pytest.raises(StoreError, match="already"):
        Store.create(path, identity=fakes.identity)
    assert sources(path) == ["new.txt"]


def test_the_old_store_comes_back_when_the_new_one_was_taken_away(path: Path) -> None:
    with pytest.raises(Stopped):
        swap_in(path, file_of(path), on_step=stop_at("aside"))
    building_path(path).rename(path.with_name("elsewhere"))
    assert sources(path) == ["old.txt"]


def test_nothing_is_removed_for_a_folder_that_is_no_store(path: Path) -> None:
    with pytest.raises(Stopped):
        swap_in(path, file_of(path), on_step=stop_at("aside"))
    path.mkdir()
    finish_swap(path)
    assert names(path) == [".mmrag", ".mmrag.next", ".mmrag.old"]
    path.rmdir()
    assert sources(path) == ["new.txt"]


def test_who_opens_while_a_swap_is_at_work_waits_for_it(path: Path) -> None:
    old, new = retired_path(path), building_path(path)
    opened: list[list[str]] = []
    with writer_lock(path / "lock"):
        path.rename(old)
        reader = threading.Thread(target=lambda: opened.append(sources(path)))
        reader.start()
        time.sleep(0.1)
        assert not opened
        assert new.exists(), "the swap of a living process was taken over"
        new.rename(path)
        reader.join(10)
        assert opened == [["new.txt"]]
        assert old.exists(), "what a living process removes was removed"
    finish_swap(path)
    assert names(path) == [".mmrag"]


def test_a_swap_that_never_ends_is_told(path: Path) -> None:
    with writer_lock(path / "lock"):
        path.rename(retired_path(path))
        with pytest.raises(Locked, match="being replaced"):
            finish_swap(path, patience_s=0.05)


def test_a_second_swap_after_a_kill_first_finishes_the_one_before(path: Path, fakes) -> None:
    with pytest.raises(Stopped):
        swap_in(path, file_of(path), on_step=stop_at("half removed"))
    with Store.create(building_path(path), identity=fakes.identity) as third:
        fill(fakes, third, "third.txt", "third")
    swap_in(path, file_of(path))
    assert sources(path) == ["third.txt"]
    assert names(path) == [".mmrag"]


def test_a_store_that_is_read_or_written_stays(path: Path, fakes) -> None:
    expected = file_of(path)
    with Store.open(path) as store:
        with store.snapshot(), pytest.raises(Locked, match="is being read") as caught:
            swap_in(path, expected, patience_s=0.05)
        assert "kept" in caught.value.fix
        with store.writer(), pytest.raises(Locked, match="is being written"):
            swap_in(path, expected)
    assert sources(path) == ["old.txt"]
    assert sources(building_path(path)) == ["new.txt"]


def test_a_builder_of_indexes_is_waited_for(path: Path) -> None:
    expected = file_of(path)
    (path / "derived").mkdir(exist_ok=True)
    building = FileLock(path / "derived" / "building", shared=True, wait=False)
    with pytest.raises(Locked):
        swap_in(path, expected, patience_s=0.05)
    threading.Timer(0.1, building.release).start()
    swap_in(path, expected)
    assert sources(path) == ["new.txt"]


def test_another_store_than_the_expected_one_stays(path: Path, fakes) -> None:
    with pytest.raises(StoreError, match="replaced meanwhile"):
        swap_in(path, (0, 0))
    assert sources(path) == ["old.txt"]


def test_an_open_store_says_that_it_was_replaced(path: Path, fakes) -> None:
    with Store.open(path) as old:
        generation = old.generation
        assert old.count() == 1
        swap_in(path, old.file)
        for read in (
            old.sources,
            old.rows,
            lambda: old.generation,
            lambda: old.embeddings(old.rows()),
            lambda: old.publish("words", {}, generation, lambda folder: None),
            lambda: old.writer().__enter__(),
            lambda: old.compact(),
        ):
            with pytest.raises(StoreError, match="was replaced by another one"):
                read()
    assert sources(path) == ["new.txt"]


def test_a_snapshot_from_before_goes_on_and_a_closing_reader_harms_nothing(path: Path, fakes) -> None:
    """SQLite closes by name: it must not take the new store's log for the old one's."""
    old = Store.open(path)
    swap_in(path, old.file)
    with Store.open(path) as new:
        with new.writer() as writer:
            fakes.put(writer, "later.txt", "later")
            writer.commit()
            assert (path / "catalog.db-wal").exists()
            old.close()
            assert (path / "catalog.db-wal").exists()
        assert new.count() == 3
    assert sources(path) == ["later.txt", "new.txt"]


def test_readers_never_see_one_store_with_the_vectors_of_another(tmp_path: Path, fakes) -> None:
    """Segments of both have the same file names, and are opened by name."""
    path = tmp_path / "store"

    def make(place: Path, number: int) -> None:
        with Store.create(place, identity={"number": str(number)}) as store, store.writer() as writer:
            item = fakes.item("a.txt", "text")
            vectors = np.full((1, 4), number, dtype=np.float32)
            writer.add_vectors(["text"], Embeddings.dense(vectors))
            writer.put(fakes.record("a.txt"), [item], ["text"])
            writer.commit()

    ended = threading.Event()
    seen: set[int] = set()
    wrong: list[object] = []

    def read() -> None:
        while not ended.is_set():
            try:
                with Store.open(path) as store, store.snapshot():
                    number = int(store.identity["number"])
                    time.sleep(0.002)
                    found = store.embeddings(store.rows()).vectors[0, 0]
                    seen.add(number)
                    if found != number:
                        wrong.append((number, found))
            except StoreError as error:
                if "was re" not in error.message:
                    wrong.append(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the test has to show it)
                wrong.append(error)

    make(path, 1)
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(2, 12):
        make(building_path(path), number)
        swap_in(path, file_of(path))
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 3


def test_a_removed_store_says_so(path: Path) -> None:
    with Store.open(path) as store:
        shutil.rmtree(path)
        with pytest.raises(StoreError, match="was removed"):
            store.count()


def test_a_lock_on_the_old_store_is_no_lock_on_the_new_one(path: Path, monkeypatch) -> None:
    """A writer may open the lock file before a swap and lock it after."""
    gone = path.with_name("gone")

    class LateLock(FileLock):
        def __init__(self, place: Path, *, shared: bool, wait: bool) -> None:
            super().__init__(place, shared=shared, wait=wait)
            if not gone.exists():
                path.rename(gone)
                building_path(path).rename(path)

    monkeypatch.setattr("mmrag.store.lock.FileLock", LateLock)
    with writer_lock(path / "lock"):
        assert "pid" in (path / "lock").read_text()
        assert not (gone / "lock").read_text()
        with pytest.raises(Locked), writer_lock(path / "lock"):
            pass


def test_a_link_to_a_store_stays_a_link(path: Path, fakes, tmp_path: Path) -> None:
    far = tmp_path / "disk" / "index"
    far.parent.mkdir()
    path.rename(far)
    building_path(path).rename(far.with_name(".index.next"))
    path.symlink_to(far)
    assert building_path(path) == far.with_name(".index.next")
    swap_in(path, file_of(path))
    assert path.is_symlink()
    assert sources(path) == ["new.txt"]
    assert [entry.name for entry in far.parent.iterdir()] == ["index"]


def test_the_root_of_a_disk_is_refused_before_anything_is_built() -> None:
    with pytest.raises(StoreError, match="root of a disk"):
        refuse_unmovable(Path("/"))


def test_what_was_dear_is_carried_over_and_no_more(path: Path, fakes) -> None:
    with Store.open(path) as old, Store.open(building_path(path)) as new:
        with old.writer() as writer:
            writer.cache("ocr", "a", b"words", SourceId("old.txt"))
            writer.cache("ocr", "b", b"of the old", SourceId("old.txt"))
            writer.cache("sync", "looked", b"123")
            writer.commit()
        with new.writer() as writer:
            writer.cache("ocr", "b", b"of the new", SourceId("new.txt"))
            writer.commit()
        assert carry_over(old, new) == 1
        assert carry_over(old, new) == 0
        assert new.cached("ocr", "a") == b"words"
        assert new.cached("ocr", "b") == b"of the new"
        assert new.cached("sync", "looked") is None
        assert verify(new).problems == ()
        # It goes with its source, as in the old one.
        new.compact()
        assert new.cached("ocr", "a") is None


def test_a_note_outlives_a_rebuild(path: Path, fakes) -> None:
    with Store.open(path) as store:
        assert store.note("recipe") is None
        generation = store.generation
        with store.writer() as writer:
            writer.note("recipe", "gme")
            writer.commit()
        assert (store.note("recipe"), store.generation) == ("gme", generation)
    with Store.create(path, identity=NEW, replace=True) as store:
        assert store.note("recipe") == "gme"
        assert verify(store).problems == ()
