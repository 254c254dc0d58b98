"""Sync: what holds for every history of a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import Encrypted, Unsupported
from mmrag.core.identity import digest_bytes, item_id
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Format, Reading
from mmrag.core.types import Item, Page, Part, Source, SourceId, Span
from mmrag.corpus.plan import Hashed, Versions, make_plan
from mmrag.corpus.report import SyncReport
from mmrag.corpus.scan import Found, Problem
from mmrag.corpus.sync import sync
from mmrag.store import SourceRecord, Store
from mmrag.testing.fakes import HashingEmbedder

names = st.sampled_from(
    ["a.txt", "b.txt", "x/a.txt", "x/b.txt", "y/x/a.txt", "a.png", "x/p.png", "a.mp4", "x/a.odd"]
)
contents = st.lists(st.sampled_from(["one", "two", "three", "!see", "!locked"]), max_size=3).map("\n".join)
steps = st.one_of(
    st.tuples(st.just("write"), names, contents),
    st.tuples(st.just("move"), names, names),
    st.tuples(st.just("copy"), names, names),
    st.tuples(st.just("remove"), names, st.just("")),
    st.tuples(st.just("sync"), st.just(""), st.just("")),
)


@dataclass(frozen=True)
class Reader:
    """Text files by the line; pictures as one figure without words."""

    name: str = "any"
    version: int = 1
    formats: tuple[Format, ...] = (
        Format("text/plain", "a text", (".txt",)),
        Format("image/png", "a picture", (".png",)),
    )
    about: tuple[About, ...] = ()

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        text = path.read_text()
        if "!locked" in text:
            raise Encrypted("The file needs a password.", fix="Remove it.")
        if source.media_type == "image/png":
            return Reading((Block("figure", Page(1), (Part("image", media=digest_bytes(text.encode())),)),))
        # A link is relative to its file, and the words say whether it leads anywhere.
        seen = (Path(source.id).parent / "p.png").as_posix()
        link = f"!see {(context.root / seen).is_file()}"
        lines = text.replace("!see", link).split("\n") if text else []
        blocks = [
            Block("paragraph", Span(i, i + 1), (Part("text", text=line),)) for i, line in enumerate(lines)
        ]
        return Reading(tuple(blocks), title=source.name, depends=(seen,) if "!see" in text else ())


@dataclass(frozen=True)
class Splitter:
    identity: str = "blocks/1"

    def split(self, source: Source, reader: str, reading: Reading) -> list[Item]:
        return [
            Item(item_id(b.parts, b.locator, reader=reader, splitter="1"), source.id, b.locator, b.parts)
            for b in reading.blocks
        ]


def detect(path: Path) -> str:
    known = {".txt": "text/plain", ".png": "image/png", ".odd": "image/odd"}
    if path.suffix not in known:
        raise Unsupported("No reader takes it.", fix="Convert it.")
    return known[path.suffix]


def run(folder: Path, store: Store, now: int) -> SyncReport:
    return sync(
        folder,
        store,
        HashingEmbedder(8),
        readers=[Reader()],
        splitter=Splitter(),
        detect=detect,
        workers=0,
        clock=lambda: now,
    )


def change(folder: Path, step: tuple[str, str, str], now: int) -> None:
    kind, first, second = step
    path = folder / first
    if kind == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(second)
        os.utime(path, ns=(now, now))
    elif path.is_file() and kind == "remove":
        path.unlink()
    elif path.is_file() and kind in ("move", "copy") and first != second:
        target = folder / second
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "move":
            path.replace(target)
        else:
            target.write_bytes(path.read_bytes())
            os.utime(target, ns=(now, now))


def content(store: Store) -> tuple[list[SourceRecord], list[tuple[str, Item]]]:
    items = store.items(store.rows()).values()
    return store.sources(), sorted(
        ((item.source + item.id, item) for item in items), key=lambda pair: pair[0]
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=1, max_size=14), st.sampled_from([0, 1, 10_000_000_000]))
def test_any_history_ends_like_a_fresh_sync(history: Sequence[tuple[str, str, str]], pause_ns: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, now = Path(place) / "docs", 1_700_000_000_000_000_000
        folder.mkdir()
        identity = HashingEmbedder(8).identity
        with (
            Store.create(Path(place) / "kept", identity=identity) as kept,
            Store.create(Path(place) / "fresh", identity=identity) as fresh,
        ):
            for step in history:
                now += pause_ns
                if step[0] == "sync":
                    run(folder, kept, now)
                else:
                    change(folder, step, now)
            run(folder, kept, now)
            assert run(folder, kept, now + pause_ns).plan.is_empty
            run(folder, fresh, now)
            assert content(kept) == content(fresh)
            assert kept.root == fresh.root


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), contents.filter(lambda text: "!" not in text), min_size=1))
def test_moving_a_folder_keeps_rows_and_embeds_nothing(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "docs"
        for name, text in files.items():
            change(folder, ("write", f"old/{name}.txt", text), 1)
        with Store.create(Path(place) / "store", identity=HashingEmbedder(8).identity) as store:
            run(folder, store, 10**18)
            rows, ids = store.rows().tolist(), [item.id for item in store.items(store.rows()).values()]
            (folder / "old").rename(folder / "new")
            report = run(folder, store, 10**18)
            # An empty file has nothing that could move along.
            assert (report.plan.counts["moved"], report.embedded) == (
                len(list(filter(None, files.values()))),
                0,
            )
            assert store.rows().tolist() == rows
            assert [item.id for item in store.items(store.rows()).values()] == ids


digests = st.sampled_from(["1", "2", "3"])
problems = st.sampled_from([None, None, Problem("failed", "No.", "")])


def _hashed(name: str, digest: str, mtime: int, problem: Problem | None) -> Hashed:
    return Hashed(Found(SourceId(name), Path(name), 1, mtime, problem), "" if problem else digest)


folders = st.lists(
    st.builds(_hashed, names, digests, st.integers(0, 2), problems), unique_by=lambda file: file.found.id
)
record_lists = st.lists(
    st.builds(
        SourceRecord,
        st.builds(Source, names.map(SourceId), digests | st.just(""), st.just(1), st.just("text/plain")),
        st.integers(0, 2),
        st.sampled_from(["indexed", "partial", "skipped", "failed"]),
        reader=st.sampled_from(["any/1", "any/0", "any/1?", "any/1+none", "none/x"]),
        splitter=st.sampled_from(["blocks/1", ""]),
        depends=st.sampled_from([{}, {"p": "1"}, {"p": "2"}]),
    ),
    unique_by=lambda record: record.source.id,
)
VERSIONS = Versions({"text/plain": "any/1"}, "blocks/1")


@given(folders, record_lists, st.randoms(use_true_random=False))
def test_the_plan_is_free_of_order_and_covers_every_file_once(
    files: list[Hashed], records: list[SourceRecord], random: object
) -> None:
    plan = make_plan(files, records, VERSIONS, {"p": "1"})
    mixed_files, mixed_records = list(files), list(records)
    random.shuffle(mixed_files)  # type: ignore[attr-defined]
    random.shuffle(mixed_records)  # type: ignore[attr-defined]
    assert make_plan(mixed_files, mixed_records, VERSIONS, {"p": "1"}) == plan
    counts = plan.counts
    assert sum(counts.values()) - counts["removed"] == len(files)
    left = {record.source.id for record in records} - {file.found.id for file in files}
    assert left == set(plan.removed) | {move.old.source.id for move in plan.moved}
    assert len(left) == len(plan.removed) + len(plan.moved)
