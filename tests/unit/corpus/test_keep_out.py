from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError, Locked
from mmrag.core.types import SourceId
from mmrag.corpus.keep_out import kept_out
from mmrag.corpus.scan import scan

NAMES = ["a.txt", "sub/b.txt", "odd [1] *? #!.txt", "#first.txt", "!bang.txt", "back\\slash.txt", "end .txt"]


def _keep_out(folder: Path, names: list[str], *, ignore: bool = False) -> None:
    with kept_out(folder, [SourceId(name) for name in names], ignore=ignore):
        pass


def test_a_file_that_is_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="still in the folder") as caught:
        _keep_out(tmp_path, ["a.txt"])
    assert "--ignore" in caught.value.fix
    assert not (tmp_path / ".mmragignore").exists()


def test_files_that_are_gone_or_ignored_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / ".mmragignore").write_text("*.txt\n")
    _keep_out(tmp_path, ["a.txt", "gone.txt"])
    assert (tmp_path / ".mmragignore").read_text() == "*.txt\n"


@pytest.mark.parametrize("before", [b"", b"*.log", b"*.log\n", b"caf\xe9.txt\n"])
def test_names_of_all_kinds_can_be_ignored_and_nothing_else_is(tmp_path: Path, before: bytes) -> None:
    (tmp_path / "sub").mkdir()
    for name in [*NAMES, "sub/a.txt", "odd 1 x.txt", "x.log"]:
        (tmp_path / name).write_text("x")
    (tmp_path / ".mmragignore").write_bytes(before)
    kept = {file.id for file in scan(tmp_path)} - set(NAMES)
    _keep_out(tmp_path, NAMES, ignore=True)
    assert {file.id for file in scan(tmp_path)} == kept
    assert (tmp_path / ".mmragignore").read_bytes().startswith(before)


def test_a_name_that_no_pattern_fits_takes_no_other_file_along(tmp_path: Path) -> None:
    for name in ("x\nkeep.txt", "keep.txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ConfigError, match="ignore file"):
        _keep_out(tmp_path, ["x\nkeep.txt"], ignore=True)
    assert {file.id for file in scan(tmp_path)} == {"x\nkeep.txt", "keep.txt"}
    assert not (tmp_path / ".mmragignore").exists()


def test_what_fails_leaves_the_ignore_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / ".mmragignore").write_text("*.log\n")
    with pytest.raises(Locked), kept_out(tmp_path, [SourceId("a.txt")], ignore=True):
        raise Locked("Another writer holds it.", fix="Wait.")
    assert (tmp_path / ".mmragignore").read_text() == "*.log\n"
