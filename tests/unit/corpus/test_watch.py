import threading
from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError
from mmrag.corpus import changes
from mmrag.corpus.watch import _Relevant


def test_a_watch_tells_the_first_look_and_every_change(tmp_path: Path) -> None:
    store = tmp_path / ".mmrag"
    store.mkdir()
    stop = threading.Event()
    told = changes(tmp_path, exclude=(store,), stop=stop)
    next(told)
    for act in (
        lambda: (tmp_path / "a.txt").write_text("one"),
        lambda: (tmp_path / "a.txt").rename(tmp_path / "b.txt"),
        lambda: (tmp_path / "deep" / "er").mkdir(parents=True),
        lambda: (tmp_path / "deep" / "er" / "c.txt").write_text("three"),
        lambda: (tmp_path / "b.txt").unlink(),
    ):
        act()
        next(told)
    stop.set()
    assert list(told) == []


def test_the_store_and_a_quiet_folder_tell_nothing(tmp_path: Path) -> None:
    store = tmp_path / ".mmrag"
    store.mkdir()
    stop = threading.Event()
    asked = 0

    def again() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            (store / "catalog.db").write_text("changed by the sync itself")
        if asked == 5:
            stop.set()
        return False

    told = changes(tmp_path, exclude=(store,), stop=stop, again=again)
    assert len(list(told)) == 1
    assert asked == 5


def test_ignored_files_may_change_every_second(tmp_path: Path) -> None:
    (tmp_path / ".mmragignore").write_text("*.log\nbuild/\n")
    for name in (".git", "build", "sub"):
        (tmp_path / name).mkdir()
    (tmp_path / "sub" / ".mmragignore").write_text("draft.txt\n")
    counts = _Relevant(tmp_path, [tmp_path / "store"])
    for name in (
        "a.log",
        ".git/index",
        "build/x.txt",
        "sub/draft.txt",
        "sub/a.log",
        "store/catalog.db",
        "x.tmp",
    ):
        assert not counts(str(tmp_path / name)), name
    for name in ("a.txt", "sub/a.txt", "draft.txt", ".mmragignore", "sub/.mmragignore", "sub"):
        assert counts(str(tmp_path / name)), name


def test_a_change_that_could_not_be_followed_is_told_again(tmp_path: Path) -> None:
    told = changes(tmp_path, again=lambda: True)
    for _ in range(3):
        next(told)
    told.close()


def test_a_look_is_due_after_a_while_without_news(tmp_path: Path) -> None:
    asked: list[int] = []

    def clock() -> float:
        asked.append(60 * len(asked))
        return asked[-1]

    told = changes(tmp_path, every_s=100, clock=clock)
    for looks in (0, 3, 6):
        next(told)
        assert len(asked) == looks, "one reading of the clock a tick, and one a look"
    told.close()


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        next(changes(tmp_path / "nowhere"))
