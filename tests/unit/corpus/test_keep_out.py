from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.types import SourceId
from mmrag.corpus.keep_out import keep_out
from mmrag.corpus.scan import scan

NAMES = ["a.txt", "sub/b.txt", "odd [1] *? #!.txt", "#first.txt", "!bang.txt", "back\\slash.txt", "end .txt"]


def test_a_file_that_is_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="still in the folder") as caught:
        keep_out(tmp_path, [SourceId("a.txt")])
    assert "--ignore" in caught.value.fix
    assert not (tmp_path / ".mmragignore").exists()


def test_files_that_are_gone_or_ignored_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / ".mmragignore").write_text("*.txt\n")
    keep_out(tmp_path, [SourceId("a.txt"), SourceId("gone.txt")])


@pytest.mark.parametrize("before", ["", "*.log", "*.log\n"])
def test_names_of_all_kinds_can_be_ignored_and_nothing_else_is(tmp_path: Path, before: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in [*NAMES, "sub/a.txt", "odd 1 x.txt", "x.log"]:
        (tmp_path / name).write_text("x")
    (tmp_path / ".mmragignore").write_text(before)
    kept = {file.id for file in scan(tmp_path)} - set(NAMES)
    keep_out(tmp_path, [SourceId(name) for name in NAMES], ignore=True)
    assert {file.id for file in scan(tmp_path)} == kept
    assert (tmp_path / ".mmragignore").read_text().startswith(before)
