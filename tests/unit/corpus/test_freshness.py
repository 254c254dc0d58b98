import os
from pathlib import Path

import pytest

from mmrag.corpus import load_readers, sync
from mmrag.corpus.freshness import lag
from mmrag.corpus.split import PassageSplitter
from mmrag.store import Store
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    (root / "a.txt").write_text("The pump is green.")
    return root


@pytest.fixture
def store(tmp_path: Path, folder: Path):
    with Store.create(tmp_path / "store", identity=EMBEDDER.identity) as made:
        update(folder, made)
        yield made


def update(folder: Path, store: Store) -> None:
    splitter = PassageSplitter(EMBEDDER.count_tokens)
    sync(folder, store, EMBEDDER, readers=load_readers(), splitter=splitter, workers=0)


def test_an_index_that_is_as_the_folder_has_nothing_to_tell(folder: Path, store: Store) -> None:
    assert lag(folder, store) == []


def test_new_changed_and_lost_files_are_told(folder: Path, store: Store) -> None:
    (folder / "a.txt").write_text("The pump is red now.")
    for name in "bcde":
        (folder / f"{name}.txt").write_text("new")
    assert lag(folder, store) == [
        "There are 4 new files since the last sync: b.txt, c.txt, d.txt and 1 more.",
        "a.txt was written to after it was indexed.",
    ]
    assert lag(folder, store, [record.source.id for record in store.sources()]) == [
        "a.txt was written to after it was indexed."
    ]
    (folder / "a.txt").unlink()
    assert "a.txt is no longer there, or cannot be read." in lag(folder, store)
    update(folder, store)
    assert lag(folder, store) == []


def test_what_no_sync_can_mend_is_not_told_again(folder: Path, store: Store) -> None:
    (folder / "dangling.pdf").symlink_to("nowhere.pdf")
    os.mkfifo(folder / "pipe.txt")
    update(folder, store)
    assert {record.state for record in store.sources()} == {"indexed", "skipped"}
    assert lag(folder, store) == []
