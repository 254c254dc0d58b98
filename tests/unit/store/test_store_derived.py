from __future__ import annotations

import gc
from pathlib import Path

import pytest

from mmrag.core.errors import OutOfSpace
from mmrag.store import Store, verify

STAMP = {"index": "flat", "dim": "4"}


def _build(text: str):
    def build(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "deep").mkdir()
        (folder / "deep" / "index.bin").write_text(text)
        (folder / "a.json").write_text("{}")

    return build


def _read(derived) -> str:
    return (derived.path / "deep" / "index.bin").read_text()


def _versions(store: Store, name: str = "dense") -> int:
    return len([p for p in (store.path / "derived" / name).iterdir() if p.is_dir()])


def test_publish_and_find(store):
    assert store.derived("dense") is None
    made = store.publish("dense", STAMP, 3, _build("one"))
    found = store.derived("dense")
    assert found == made
    assert (found.stamp, found.generation, _read(found)) == (STAMP, 3, "one")
    assert store.derived("lexical") is None
    with Store.open(store.path) as other:
        assert other.derived("dense") == made


def test_the_old_one_stays_while_it_is_used(store):
    store.publish("dense", STAMP, 1, _build("one"))
    with Store.open(store.path) as reader:
        used = reader.derived("dense")
        store.publish("dense", STAMP, 2, _build("two"))
        assert _read(used) == "one"
        assert _versions(store) == 2
        assert _read(reader.derived("dense")) == "two"
        del used
        gc.collect()
        store.publish("dense", STAMP, 3, _build("three"))
    assert _versions(store) == 1
    assert _read(store.derived("dense")) == "three"


def test_a_failed_build_leaves_the_published_one(store):
    store.publish("dense", STAMP, 1, _build("one"))

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        store.publish("dense", STAMP, 2, fail)
    assert _read(store.derived("dense")) == "one"
    assert _versions(store) == 1


def test_a_full_disk_is_named(store):
    def fill(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutOfSpace) as caught:
        store.publish("dense", STAMP, 2, fill)
    assert "Free some space" in caught.value.fix


@pytest.mark.parametrize("harm", ["missing", "short", "extra", "stamp", "folder", "pointer"])
def test_a_torn_one_is_none_and_can_be_replaced(store, harm):
    made = store.publish("dense", STAMP, 1, _build("one"))
    if harm == "missing":
        (made.path / "deep" / "index.bin").unlink()
    elif harm == "short":
        (made.path / "deep" / "index.bin").write_text("on")
    elif harm == "extra":
        (made.path / "more").write_text("x")
    elif harm == "stamp":
        (made.path.parent / "stamp.json").write_text("{")
    elif harm == "folder":
        made.path.parent.rename(store.path / "elsewhere")
    else:
        (store.path / "derived" / "dense" / "current").write_text("nowhere")
    assert store.derived("dense") is None
    assert any("dense is torn" in problem for problem in verify(store).problems)
    store.publish("dense", STAMP, 2, _build("two"))
    assert _read(store.derived("dense")) == "two"


def test_what_a_killed_builder_left_is_swept(store):
    store.publish("dense", STAMP, 1, _build("one"))
    home = store.path / "derived" / "dense"
    (home / "0123" / "files").mkdir(parents=True)
    (home / "0123" / "files" / "half").write_text("x")
    (home / "draft").write_text("x")
    assert verify(store).orphans == 2
    with store.writer():
        pass
    assert verify(store).orphans == 0
    assert _read(store.derived("dense")) == "one"


def test_a_builder_at_work_is_not_swept(store):
    def build(folder: Path) -> None:
        (folder / "half").write_text("x")
        with store.writer():
            pass
        assert (folder / "half").exists()

    assert store.publish("dense", STAMP, 1, build).path.is_dir()


def test_an_index_ahead_of_the_store_is_a_problem(store):
    store.publish("dense", STAMP, 7, _build("one"))
    assert "covers generation 7 of 0" in verify(store).problems[0]


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b"])
def test_names_stay_inside_the_store(store, name):
    with pytest.raises(ValueError, match="cannot name"):
        store.publish(name, STAMP, 1, _build("one"))
