"""The disk gets full: the error says so, and what was committed is there."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crash_filler.py")


def _on_small_disk(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that sees a disk of 3 MB at `folder`."""
    mounted = f"mount -t tmpfs -o size=3m none {shlex.quote(str(folder))} && exec {shlex.join(command)}"
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    try:
        possible = _on_small_disk(tmp_path, ["true"]).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("needs Linux with user namespaces to mount a small disk")
    return tmp_path


@pytest.mark.parametrize("kind", ["catalog", "blobs", "vectors"])
def test_full_disk_loses_nothing_committed(small_disk: Path, kind: str) -> None:
    run = _on_small_disk(small_disk, [sys.executable, str(SCRIPT), str(small_disk / "s"), kind])
    assert run.returncode == 0, run.stderr
    error, committed, count, read, known, problems = json.loads(run.stdout)
    assert error == "OutOfSpace"
    # The first one is the one that was to be forgotten.
    assert known in (list(range(1, committed + 1)), list(range(2, committed + 1)))
    assert count == read == len(known) > 0
    assert problems == []


LIMITED = """
import resource, signal, sys
from pathlib import Path
from mmrag.core.errors import StoreError
from mmrag.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    Store.create(Path(sys.argv[1]), identity={"embedder": "any"})
except StoreError as error:
    print(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of processes")
@pytest.mark.parametrize("size", [4_000, 30_000])
def test_a_disk_that_refuses_to_write_is_named(tmp_path: Path, size: int) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "s"), str(size)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"{tmp_path / 's'} refused (disk I/O error)" in run.stdout
