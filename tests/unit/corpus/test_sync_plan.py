"""The planner: what each difference between a folder and a store asks for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmrag.core.types import Source, SourceId
from mmrag.corpus.plan import Hashed, Plan, Stamp, Versions, make_plan
from mmrag.corpus.scan import Found, Problem
from mmrag.store import SourceRecord

VERSIONS = Versions({"text/plain": "text/1", "image/png": "image/2"}, "passages/1")


def file(name: str, digest: str, *, mtime_ns: int = 1, problem: Problem | None = None) -> Hashed:
    return Hashed(Found(SourceId(name), Path(name), 3, mtime_ns, problem), digest)


def record(name: str, digest: str, **changes: object) -> SourceRecord:
    source = Source(SourceId(name), digest, 3, str(changes.pop("media_type", "text/plain")))
    made = SourceRecord(source, 1, "indexed", reader="text/1", splitter="passages/1")
    return replace(made, **changes)  # type: ignore[arg-type]


def lists(plan: Plan) -> dict[str, int]:
    return {name: count for name, count in plan.counts.items() if count}


def test_nothing_to_do() -> None:
    plan = make_plan([file("a", "1")], [record("a", "1")], VERSIONS)
    assert plan.is_empty
    assert lists(plan) == {"unchanged": 1}


def test_added_changed_removed_touched() -> None:
    files = [file("new", "1"), file("changed", "2"), file("touched", "3", mtime_ns=9)]
    plan = make_plan(files, [record("changed", "0"), record("touched", "3"), record("gone", "9")], VERSIONS)
    assert lists(plan) == {"added": 1, "changed": 1, "touched": 1, "removed": 1}
    assert plan.removed == ("gone",)
    assert [one.found.id for one in plan.to_read] == ["changed", "new"]


def test_a_moved_file_is_not_read_when_only_its_folder_differs() -> None:
    plan = make_plan([file("b/x.txt", "1")], [record("a/x.txt", "1")], VERSIONS)
    assert lists(plan) == {"moved": 1}
    assert (plan.moved[0].old.source.id, plan.moved[0].read, plan.to_read) == ("a/x.txt", False, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"depends": {"p": "1"}},
        {"state": "partial"},
        {"reader": "text/0"},
        {"splitter": "old"},
        {"reader": "text/1?"},
    ],
)
def test_a_moved_file_is_read_when_more_than_its_bytes_count(changes: dict[str, object]) -> None:
    plan = make_plan([file("b/x.txt", "1")], [record("a/x.txt", "1", **changes)], VERSIONS)
    assert [move.read for move in plan.moved] == [True]


def test_a_renamed_file_is_read() -> None:
    plan = make_plan([file("a/y.txt", "1")], [record("a/x.txt", "1")], VERSIONS)
    assert [move.read for move in plan.moved] == [True]


def test_moves_pair_files_of_the_same_name_first() -> None:
    files = [file("1/b", "d"), file("1/a", "d"), file("1/c", "d")]
    plan = make_plan(files, [record("0/a", "d"), record("0/b", "d")], VERSIONS)
    assert [(move.old.source.id, move.new.found.id) for move in plan.moved] == [
        ("0/a", "1/a"),
        ("0/b", "1/b"),
    ]
    assert [one.found.id for one in plan.added] == ["1/c"]


def test_many_equal_files_are_paired_in_time_that_grows_with_their_number() -> None:
    def seconds(count: int) -> float:
        files = [file(f"b/{i}", "d") for i in range(count)]
        records = [record(f"a/old {i}", "d") for i in range(count)]
        started = time.process_time()
        assert len(make_plan(files, records, VERSIONS).moved) == count
        return time.process_time() - started

    assert seconds(8000) < 16 * max(seconds(2000), 0.02)
    assert seconds(50_000) < 10


def test_empty_files_are_not_paired() -> None:
    new, gone = file("b/__init__.py", "d"), record("a/__init__.py", "d")
    empty = replace(new, found=replace(new.found, size=0))
    plan = make_plan([empty], [replace(gone, source=replace(gone.source, size=0))], VERSIONS)
    assert lists(plan) == {"added": 1, "removed": 1}


def test_swapped_files_are_changes() -> None:
    plan = make_plan([file("a", "2"), file("b", "1")], [record("a", "1"), record("b", "2")], VERSIONS)
    assert lists(plan) == {"changed": 2}


def test_a_copy_of_a_kept_file_is_told_apart() -> None:
    plan = make_plan([file("a", "1"), file("b", "1"), file("c", "2")], [record("a", "1")], VERSIONS)
    assert lists(plan) == {"copied": 1, "added": 1, "unchanged": 1}


def test_an_empty_digest_is_never_a_copy_or_move() -> None:
    problem = Problem("failed", "No.", "")
    gone = record("gone", "", state="failed")
    plan = make_plan([file("a", "", problem=problem), file("b", "1")], [gone], VERSIONS)
    assert lists(plan) == {"added": 1, "blocked": 1, "removed": 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reader": "text/0"}, "upgraded"),
        ({"splitter": "passages/0"}, "upgraded"),
        ({"splitter": "passages/0", "state": "skipped"}, "unchanged"),
        ({"media_type": "image/png", "reader": "image/2+none"}, "unchanged"),
        ({"media_type": "image/png", "reader": "image/1+none"}, "upgraded"),
        ({"media_type": "image/png", "reader": "image/2+12345678"}, "upgraded"),
        ({"media_type": "audio/mpeg", "reader": "audio/1"}, "upgraded"),
        ({"reader": VERSIONS.unread, "state": "skipped", "media_type": "audio/mpeg"}, "unchanged"),
        ({"reader": "none/00000000", "state": "skipped"}, "upgraded"),
        ({"reader": "text/1?", "state": "failed"}, "retried"),
        ({"reader": "text/1!magic", "state": "skipped"}, "unchanged"),
        ({"reader": "text/1!arrived", "state": "skipped"}, "retried"),
        ({"reader": "text/0!magic", "state": "skipped"}, "upgraded"),
        ({"depends": {"figure.png": "7"}}, "depends"),
        ({"depends": {"gone.png": ""}}, "unchanged"),
        ({"depends": {"figure.png": "8", "gone.png": "1"}}, "depends"),
    ],
)
def test_reasons_to_read_the_same_bytes_again(changes: dict[str, object], expected: str) -> None:
    now = replace(VERSIONS, arrived=frozenset({"arrived"}))
    plan = make_plan([file("a", "1")], [record("a", "1", **changes)], now, {"figure.png": "8"})
    assert lists(plan) == {expected: 1}


def test_only_sources_with_pictures_follow_the_ocr_engine() -> None:
    with_engine = replace(VERSIONS, ocr="engine 1")
    records = [
        record("a", "1"),
        record("b", "2", media_type="image/png", reader="image/2+none"),
        record("c", "3", media_type="image/png", reader=f"image/2+{with_engine.ocr_stamp}"),
    ]
    plan = make_plan([file("a", "1"), file("b", "2"), file("c", "3")], records, with_engine)
    assert [one.found.id for one in plan.upgraded] == ["b"]


def test_a_file_out_of_reach_is_told_once() -> None:
    problem = Problem("failed", "It cannot be read: permission denied.", "")
    told = record("a", "", state="failed", reason=problem.reason, reader=VERSIONS.unread)
    assert lists(make_plan([file("a", "", problem=problem)], [told], VERSIONS)) == {"unchanged": 1}
    assert lists(make_plan([file("a", "", problem=problem)], [record("a", "1")], VERSIONS)) == {"blocked": 1}
    assert lists(make_plan([file("a", "1")], [told], VERSIONS)) == {"changed": 1}


@pytest.mark.parametrize(
    "stamp",
    [
        Stamp("pdf/1"),
        Stamp("pdf/1", "none"),
        Stamp("pdf/1", "12ab", again=True),
        Stamp("none/1", again=True),
        Stamp("word/1", needs="docx"),
        Stamp("word/1", "12ab", again=True, needs="docx"),
    ],
)
def test_stamps_round_trip(stamp: Stamp) -> None:
    assert Stamp.of(str(stamp)) == stamp
