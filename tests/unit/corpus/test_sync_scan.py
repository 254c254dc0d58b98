"""Scanning a folder: what is found, in which order, and what is left out or refused."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError
from mmrag.corpus.scan import scan

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def ids(root: Path, **options: object) -> list[str]:
    return [found.id for found in scan(root, **options)]  # type: ignore[arg-type]


def test_files_come_sorted_with_posix_ids(tmp_path: Path) -> None:
    write(tmp_path, "b/z.md", "b/a.md", "a.md", "b.md", "ä/ö.md")
    assert ids(tmp_path) == ["a.md", "b.md", "b/a.md", "b/z.md", "ä/ö.md"]
    found = scan(tmp_path)[0]
    assert (found.path, found.size, found.problem) == (tmp_path / "a.md", 4, None)
    status = (tmp_path / "a.md").stat()
    assert (found.mtime_ns, found.status_ns) == (status.st_mtime_ns, status.st_ctime_ns)


def test_defaults_leave_out_tools_and_hidden_files(tmp_path: Path) -> None:
    write(tmp_path, "a.md", ".hidden.md", ".git/x.md", ".mmrag/catalog.db", "n/node_modules/x.md")
    write(tmp_path, "__pycache__/x.md", "a.md~", "#a.md#", "x.tmp", "~$letter.md", "node_modules.md")
    assert ids(tmp_path) == ["a.md", "node_modules.md"]


def test_ignore_file_has_the_semantics_of_gitignore(tmp_path: Path) -> None:
    write(tmp_path, "a.log", "keep.log", "sub/a.log", "build/x.md", "sub/build/x.md", "docs/draft.md")
    write(tmp_path, "sub/only.md", "sub/deep/only.md", ".github/x.md", "docs/keep.log")
    (tmp_path / ".mmragignore").write_text(
        "\ufeff# logs\n*.log\n!keep.log\n/build/\ndraft.*\n!.github/\n", "utf-8"
    )
    (tmp_path / "sub" / ".mmragignore").write_text("/only.md\n!a.log\n")
    assert ids(tmp_path) == [
        ".github/x.md",
        "docs/keep.log",
        "keep.log",
        "sub/a.log",
        "sub/build/x.md",
        "sub/deep/only.md",
    ]


def test_patterns_of_the_caller_come_before_the_ignore_file(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md", "c.md")
    (tmp_path / ".mmragignore").write_text("!b.md\n")
    assert ids(tmp_path, ignore=["a.*", "b.*"]) == ["b.md", "c.md"]


def test_a_wrong_pattern_names_its_file(tmp_path: Path) -> None:
    write(tmp_path, "sub/a.md")
    (tmp_path / "sub" / ".mmragignore").write_text("!\n")
    with pytest.raises(ConfigError, match=r"sub/\.mmragignore"):
        scan(tmp_path)


def test_the_store_is_no_source_wherever_it_lies(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "index/catalog.md", "other/index/a.md")
    assert ids(tmp_path, exclude=[tmp_path / "index"]) == ["a.md", "other/index/a.md"]
    assert ids(tmp_path, exclude=[tmp_path / "nowhere"]) == ["a.md", "index/catalog.md", "other/index/a.md"]


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    for wrong in (tmp_path / "a.md", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="cannot be read"):
            scan(wrong)


@posix
def test_links_are_followed_once_and_never_in_circles(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(root, "sub/a.md")
    write(outside, "b.md", "deep/c.md")
    (root / "again.md").symlink_to(root / "sub" / "a.md")
    (root / "circle").symlink_to(root, target_is_directory=True)
    (root / "sub" / "up").symlink_to(root, target_is_directory=True)
    (root / "first").symlink_to(outside, target_is_directory=True)
    (root / "second").symlink_to(outside, target_is_directory=True)
    (root / "third.md").symlink_to(outside / "b.md")
    (outside / "back").symlink_to(root, target_is_directory=True)
    (root / "self.md").symlink_to(root / "self.md")
    (root / "broken.md").symlink_to(root / "nowhere.md")
    found = {one.id: one.problem for one in scan(root)}
    assert list(found) == ["broken.md", "first/b.md", "first/deep/c.md", "self.md", "sub/a.md"]
    assert [one for one, problem in found.items() if problem] == ["broken.md", "self.md"]
    assert all(problem.state == "skipped" and problem.fix for problem in found.values() if problem)


@posix
def test_a_link_to_a_folder_around_the_corpus_is_named_and_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "root/sub/a.md", "beside/secret.md")
    for name, target in (("up", tmp_path), ("sub/root", tmp_path / "root"), ("all", Path("/"))):
        (tmp_path / "root" / name).symlink_to(target, target_is_directory=True)
    found = {one.id: one.problem for one in scan(tmp_path / "root")}
    assert list(found) == ["all", "sub/a.md", "up"]
    assert {problem.reason for problem in found.values() if problem} == {
        "The link leads to a folder around the corpus."
    }


def test_a_folder_that_vanishes_meanwhile_is_left_out_and_a_root_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "root/a.md", "root/goes/b.md")
    real, gone = os.scandir, {"goes"}

    def scandir(path: str | Path) -> object:
        if Path(path).name in gone:
            raise FileNotFoundError(2, "No such file or directory")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert ids(tmp_path / "root") == ["a.md"]
    gone.add("root")
    with pytest.raises(ConfigError, match="cannot be read"):
        scan(tmp_path / "root")


def test_a_root_that_is_replaced_meanwhile_empties_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "root/a.md", "other/b.md")
    real = os.scandir
    looks: list[object] = []

    def scandir(path: str | Path) -> object:
        looks.append(path)
        if len(looks) == 2:  # After the first look, before the walk.
            (tmp_path / "root").rename(tmp_path / "old")
            (tmp_path / "other").rename(tmp_path / "root")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigError, match="was replaced"):
        scan(tmp_path / "root")


@posix
def test_hard_links_are_two_sources(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    os.link(tmp_path / "a.md", tmp_path / "b.md")
    assert ids(tmp_path) == ["a.md", "b.md"]


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="APFS refuses such names")
def test_names_that_are_no_text_are_skipped_with_a_printable_id(tmp_path: Path) -> None:
    write(tmp_path, "a.md", r"bad\xff.md")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.md")).write_text("x")
    os.mkdir(os.fsencode(tmp_path) + b"/dir\xfe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/dir\xfe/a.md")).write_text("x")
    found = scan(tmp_path)
    assert [one.id for one in found if not one.problem] == ["a.md", r"bad\xff.md"]
    skipped = [one for one in found if one.problem]
    assert [one.id for one in skipped] == [r"bad\xff.md'", r"dir\xfe"]
    assert all("UTF-8" in one.problem.reason for one in skipped if one.problem)


@posix
def test_special_files_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    monkeypatch.chdir(tmp_path)  # The path of a socket is short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.md")
        found = scan(tmp_path)
    assert [(one.id, one.problem and one.problem.state) for one in found] == [
        ("pipe.md", "skipped"),
        ("socket.md", "skipped"),
    ]


@posix
def test_a_folder_without_permission_is_a_failed_source(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "closed/b.md")
    (tmp_path / "closed").chmod(0)
    try:
        if os.access(tmp_path / "closed", os.R_OK):
            pytest.skip("root may read everything")
        found = scan(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert [(one.id, one.problem and one.problem.state) for one in found] == [
        ("a.md", None),
        ("closed", "failed"),
    ]


def test_very_deep_folders_are_no_recursion(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(300):
        path = path / "d"
    path.mkdir(parents=True)
    (path / "a.md").write_text("x")
    assert ids(tmp_path) == ["d/" * 300 + "a.md"]
