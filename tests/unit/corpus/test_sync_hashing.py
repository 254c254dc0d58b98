"""Digests: taken where size or time say so, where a time may lie, and where there is none yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrag.core.identity import digest_bytes
from mmrag.core.types import Source, SourceId
from mmrag.corpus.hashing import RACY_NS, hash_files
from mmrag.corpus.scan import Found, Problem
from mmrag.store import SourceRecord

MTIME = 10 * RACY_NS
REAL = digest_bytes(b"abc")


def look(
    path: Path,
    *,
    digest: str,
    size: int = 3,
    mtime_ns: int = MTIME,
    status_ns: int = 0,
    looked: int | None,
) -> tuple[str, bool]:
    path.write_bytes(b"abc")
    record = SourceRecord(Source(SourceId("a"), digest, size, "text/plain"), mtime_ns, "indexed")
    files, racy = hash_files(
        [Found(SourceId("a"), path, 3, MTIME, status_ns=status_ns)],
        {SourceId("a"): record},
        looked,
        lambda _: None,
    )
    return files[0].digest, racy


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"looked": MTIME + RACY_NS + 1}, ("old", False)),
        ({"looked": MTIME + RACY_NS}, (REAL, True)),
        ({"looked": MTIME - 1}, (REAL, True)),
        ({"looked": None}, (REAL, True)),
        ({"looked": 2 * MTIME, "status_ns": MTIME}, ("old", False)),
        ({"looked": 2 * MTIME, "status_ns": 2 * MTIME}, (REAL, True)),
        ({"looked": 2 * MTIME, "size": 4}, (REAL, False)),
        ({"looked": 2 * MTIME, "mtime_ns": MTIME + 1}, (REAL, False)),
        ({"looked": 2 * MTIME, "digest": ""}, (REAL, False)),
    ],
)
def test_when_a_digest_is_taken_again(tmp_path: Path, changes: dict, expected: tuple[str, bool]) -> None:
    assert look(tmp_path / "a", **{"digest": "old"} | changes) == expected


def test_a_vanished_file_is_left_out_and_an_unreadable_one_is_a_problem(tmp_path: Path) -> None:
    gone = Found(SourceId("gone"), tmp_path / "gone", 1, 1)
    folder = Found(SourceId("folder"), tmp_path, 1, 1)
    told = Found(SourceId("told"), Path(), 0, 0, Problem("skipped", "No.", ""))
    done: list[int] = []
    files, _ = hash_files([gone, folder, told], {}, None, done.append)
    assert [(file.found.id, file.digest) for file in files] == [("folder", ""), ("told", "")]
    assert files[0].found.problem is not None
    assert files[0].found.problem.state == "failed"
    assert done == sorted(done)
