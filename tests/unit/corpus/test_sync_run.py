"""Sync: every file ends in one state, and nothing is done twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mmrag.core.errors import Corrupt, Encrypted, MissingExtra, ModelError, Unsupported
from mmrag.core.identity import digest_bytes, item_id
from mmrag.core.lazy import require
from mmrag.core.protocols import Media, OcrLine, ReadContext, Reader
from mmrag.core.reading import About, Blob, Block, Format, PageCoverage, Reading
from mmrag.core.types import Box, Embeddings, Item, Page, Part, Source, Span
from mmrag.corpus.report import Progress, SyncReport
from mmrag.corpus.sync import is_complete, sync
from mmrag.store import Store
from mmrag.testing.fakes import FakeOcr, HashingEmbedder

SECOND = 1_000_000_000
BREAKS = {"!memory": MemoryError(), "!deep": RecursionError("maximum"), "!exit": SystemExit(2)}
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class LineReader:
    """Reads .txt files: a line is a paragraph; some first words stand for trouble."""

    name: str = "text"
    version: int = 1
    formats: tuple[Format, ...] = (Format("text/plain", "a text", (".txt",)),)
    about: tuple[About, ...] = ()
    paths: list[str] = field(default_factory=list)

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        self.paths.append(source.id)
        blocks, depends, problems, at = [], [], [], 0
        for line in path.read_text(encoding="utf-8").splitlines():
            word, _, rest = line.partition(" ")
            if word == "!locked":
                raise Encrypted("The file needs a password.", fix="Remove it.")
            if word == "!extra":
                raise MissingExtra("Reading it needs magic.", fix="Run: pip install 'mmrag[magic]'")
            if word == "!bug":
                raise RuntimeError(rest)
            if word == "!package":
                require(rest, extra="magic", feature="Reading it")
            if word == "!stop":
                raise KeyboardInterrupt
            if word in BREAKS:
                raise BREAKS[word]
            if word == "!with":
                return Reading((), depends=(rest,), read_with=rest)
            if word == "!vanish":
                path.unlink()
                path.read_text(encoding="utf-8")
            if word == "!grow":
                path.write_text(path.read_text(encoding="utf-8") + "!", encoding="utf-8")
            if word in ("!swap", "!touch"):
                status = path.stat()
                path.write_text(line.replace("one", "two"), encoding="utf-8")
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            if word == "!see":
                depends.append(rest)
            if word == "!partly":
                problems.append(rest)
            blocks.append(Block("paragraph", Span(at, at + len(line)), (Part("text", text=line),)))
            at += len(line) + 1
        return Reading(tuple(blocks), source.name, depends=tuple(depends), problems=tuple(problems))


@dataclass
class PictureReader:
    name: str = "image"
    version: int = 1
    formats: tuple[Format, ...] = (Format("image/png", "a picture", (".png",), b"\x89PNG"),)
    about: tuple[About, ...] = ()

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        data = path.read_bytes()
        lines = context.ocr.read(data) if context.ocr else ()
        words = tuple(Part("text", text=line.text, role="ocr") for line in lines)
        block = Block("figure", Page(1), (Part("image", media=source.digest), *words))
        blob = Blob(source.digest, data, "image/png")
        return Reading((block,), blobs=(blob,), pages=(PageCoverage(1, False, bool(words), 1),))


@dataclass
class BlockSplitter:
    identity: str = "blocks/1"

    def split(self, source: Source, reader: str, reading: Reading) -> list[Item]:
        return [
            Item(
                item_id(b.parts, b.locator, reader=reader, splitter=self.identity),
                source.id,
                b.locator,
                b.parts,
                {"title": reading.title},
            )
            for b in reading.blocks
        ]


@dataclass
class CountingEmbedder:
    """A hashing embedder that remembers its batches, and breaks at a word if told so."""

    batches: list[list[str]] = field(default_factory=list)
    breaks_at: str = ""
    inner: HashingEmbedder = field(default_factory=lambda: HashingEmbedder(16))
    languages: None = None
    dim: int = 16

    @property
    def identity(self) -> dict[str, str]:
        return dict(self.inner.identity)

    @property
    def modalities(self) -> frozenset[str]:
        return self.inner.modalities

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        assert all(item.modality == "text" for item in items)
        self.batches.append([item.text for item in items])
        if self.breaks_at and any(self.breaks_at in item.text for item in items):
            raise ModelError("The model broke.", fix="Mend it.")
        return self.inner.embed_items(items)

    embed_queries = None


class Corpus:
    """A folder, its store, and a clock that ticks one minute a sync unless told otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root / "docs"
        self.root.mkdir()
        self.reader = LineReader()
        self.picture_reader = PictureReader()
        self.splitter = BlockSplitter()
        self.embedder = CountingEmbedder()
        self.now = 1_700_000_000 * SECOND
        self.store = Store.create(root / "store", identity=self.embedder.identity)
        self.progress: list[Progress] = []
        self.commits: list[int] = []
        self.tick = 0

    def clock(self) -> int:
        self.now += self.tick
        return self.now

    def write(self, name: str, text: str | bytes, *, age_s: int = 3600) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        written = self.now - age_s * SECOND
        os.utime(path, ns=(written, written))
        return path

    def sync(self, **options: object) -> SyncReport:
        self.now += 60 * SECOND
        self.reader.paths.clear()
        self.embedder.batches.clear()
        return sync(
            self.root,
            self.store,
            self.embedder,  # type: ignore[arg-type]
            readers=[self.reader, self.picture_reader],
            splitter=self.splitter,
            detect=self.detect,
            workers=0,
            on_progress=self.progress.append,
            on_commit=self.commits.append,
            clock=self.clock,
            **options,  # type: ignore[arg-type]
        )

    def detect(self, path: Path) -> str:
        if path.suffix in (".txt", ".png"):
            return {".txt": "text/plain", ".png": "image/png"}[path.suffix]
        if path.suffix == ".pdf":
            raise Corrupt("It is no PDF.", fix="Rename it.")
        raise Unsupported(f"No reader takes {path.suffix}.", fix="Convert it.")

    def state(self, name: str) -> tuple[str, str]:
        record = self.store.source(name)  # type: ignore[arg-type]
        assert record is not None
        return record.state, record.reason

    def texts(self) -> list[str]:
        return sorted(item.text for item in self.store.items(self.store.rows()).values())


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    made = Corpus(tmp_path)
    yield made
    made.store.close()


def test_first_sync_reads_all_and_second_does_nothing(corpus: Corpus) -> None:
    corpus.write("a.txt", "one\ntwo")
    corpus.write("sub/b.txt", "three")
    report = corpus.sync()
    assert (report.plan.counts["added"], report.items, report.embedded, report.reused) == (2, 3, 3, 0)
    assert report.states == {"indexed": 2, "partial": 0, "skipped": 0, "failed": 0}
    assert report.troubles == ()
    assert corpus.texts() == ["one", "three", "two"]
    again = corpus.sync()
    assert again.plan.is_empty
    assert again.plan.unchanged == 2
    assert (again.generation, again.items, again.read) == (report.generation, 3, 0)
    assert corpus.reader.paths == []


def test_record_says_how_a_source_was_read(corpus: Corpus) -> None:
    path = corpus.write("a.txt", "one")
    corpus.sync()
    record = corpus.store.sources()[0]
    assert record.source == Source(record.source.id, digest_bytes(b"one"), 3, "text/plain")
    assert (record.reader, record.splitter, record.title, record.items) == ("text/1", "blocks/1", "a.txt", 1)
    assert record.mtime_ns == path.stat().st_mtime_ns


def test_a_change_embeds_only_what_is_new(corpus: Corpus) -> None:
    corpus.write("a.txt", "one\ntwo")
    corpus.sync()
    rows = {item.text: row for row, item in corpus.store.items(corpus.store.rows()).items()}
    corpus.write("a.txt", "one\nthree", age_s=0)
    report = corpus.sync()
    assert report.plan.counts["changed"] == 1
    assert (report.read, report.embedded, report.reused) == (2, 1, 1)
    assert corpus.texts() == ["one", "three"]
    kept = {item.text: row for row, item in corpus.store.items(corpus.store.rows()).items()}
    assert kept["one"] == rows["one"]


def test_removed_files_leave_the_store(corpus: Corpus) -> None:
    corpus.write("a.txt", "one").unlink()
    corpus.write("b.txt", "two")
    corpus.sync()
    (corpus.root / "b.txt").unlink()
    report = corpus.sync()
    assert report.plan.removed == ("b.txt",)
    assert (corpus.store.sources(), report.items) == ([], 0)


def test_a_moved_file_keeps_items_and_is_not_read(corpus: Corpus) -> None:
    path = corpus.write("a/x.txt", "one")
    corpus.sync()
    before = corpus.store.items(corpus.store.rows())
    (corpus.root / "b").mkdir()
    path.rename(corpus.root / "b" / "x.txt")
    report = corpus.sync()
    after = corpus.store.items(corpus.store.rows())
    assert (report.plan.counts["moved"], corpus.reader.paths, report.embedded) == (1, [], 0)
    assert [item.id for item in after.values()] == [item.id for item in before.values()]
    assert list(after) == list(before)
    assert {item.source for item in after.values()} == {"b/x.txt"}
    assert corpus.sync().plan.is_empty


def test_a_renamed_file_is_read_but_not_embedded(corpus: Corpus) -> None:
    corpus.write("x.txt", "one").rename(corpus.root / "y.txt")
    corpus.sync()
    (corpus.root / "y.txt").rename(corpus.root / "z.txt")
    report = corpus.sync()
    assert (report.plan.counts["moved"], corpus.reader.paths, report.read) == (1, ["z.txt"], 1)
    assert [record.title for record in corpus.store.sources()] == ["z.txt"]
    assert corpus.sync().plan.is_empty


def test_copies_share_vectors(corpus: Corpus) -> None:
    corpus.write("a.txt", "one")
    corpus.write("sub/a.txt", "one")
    assert corpus.sync().embedded == 1
    corpus.write("third/a.txt", "one")
    report = corpus.sync()
    assert (report.plan.counts["copied"], report.embedded, report.items) == (1, 0, 3)


def test_upgrades_and_dependencies_are_read_again(corpus: Corpus) -> None:
    corpus.write("a.txt", "!see fig.png")
    corpus.write("b.txt", "!see .hidden.png")
    corpus.write("fig.png", PNG)
    corpus.sync()
    corpus.reader.version = 2
    assert corpus.sync().plan.counts["upgraded"] == 2
    assert [record.reader for record in corpus.store.sources()][:2] == ["text/2", "text/2"]
    corpus.splitter.identity = "blocks/2"
    assert corpus.sync().plan.counts["upgraded"] == 3
    corpus.write("fig.png", PNG + b"2")
    report = corpus.sync()
    assert [one.found.id for one in report.plan.depends] == ["a.txt"]
    corpus.write(".hidden.png", PNG)
    assert [one.found.id for one in corpus.sync().plan.depends] == ["b.txt"]
    assert corpus.sync().plan.is_empty


def test_every_trouble_has_one_state_with_reason_and_fix(corpus: Corpus) -> None:
    corpus.write("bug.txt", "!bug the tape\nis torn")
    corpus.write("empty.txt", "")
    corpus.write("extra.txt", "!extra")
    corpus.write("film.mp4", "x")
    corpus.write("fine.txt", "fine")
    corpus.write("locked.txt", "!locked")
    corpus.write("partly.txt", "!partly Page 2 was left out.\nbody")
    corpus.write("wrong.pdf", "x")
    report = corpus.sync()
    assert report.states == {"indexed": 1, "partial": 1, "skipped": 3, "failed": 3}
    assert {t.source: (t.state, t.reason) for t in report.troubles} == {
        "bug.txt": ("failed", "The reader text/1 broke: RuntimeError: the tape"),
        "empty.txt": ("skipped", "It holds nothing to index."),
        "extra.txt": ("skipped", "Reading it needs magic."),
        "film.mp4": ("skipped", "No reader takes .mp4."),
        "locked.txt": ("failed", "The file needs a password."),
        "partly.txt": ("partial", "Page 2 was left out."),
        "wrong.pdf": ("failed", "It is no PDF."),
    }
    assert all(t.fix for t in report.troubles if t.state != "partial")
    assert corpus.texts() == ["!partly Page 2 was left out.", "body", "fine"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("!memory", "The reader text/1 needed more memory than there is."),
        ("!deep", "The reader text/1 gave up: the file is nested too deeply."),
        ("!exit", "The reader text/1 broke: SystemExit: 2"),
    ],
)
def test_what_is_no_error_of_a_file_is_one_all_the_same(corpus: Corpus, content: str, reason: str) -> None:
    corpus.write("a.txt", content)
    assert [(t.state, t.reason, bool(t.fix)) for t in corpus.sync().troubles] == [("failed", reason, True)]
    assert corpus.sync().plan.is_empty


def test_a_source_that_is_read_with_another_follows_it(corpus: Corpus) -> None:
    corpus.write("talk.txt", "!with film.txt")
    corpus.write("film.txt", "film")
    corpus.sync()
    assert corpus.state("talk.txt") == ("skipped", "It is read with film.txt.")
    assert corpus.sync().plan.is_empty
    corpus.write("film.txt", "another film")
    assert [one.found.id for one in corpus.sync().plan.depends] == ["talk.txt"]
    (corpus.root / "film.txt").unlink()
    assert [one.found.id for one in corpus.sync().plan.depends] == ["talk.txt"]


def test_a_missing_package_is_named_once_and_looked_for_without_reading(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    corpus.write("a.txt", "!package mmrag_magic\nbody")
    report = corpus.sync()
    (trouble,) = report.troubles
    assert (trouble.state, trouble.fix) == ("skipped", "Run: pip install 'mmrag[magic]'")
    assert "'mmrag_magic', which is not installed" in trouble.reason
    assert corpus.sync().plan.is_empty
    (tmp_path / "mmrag_magic.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert [one.found.id for one in corpus.sync().plan.retried] == ["a.txt"]
    assert corpus.state("a.txt") == ("indexed", "")


def test_new_troubles_are_told_apart_from_known_ones(corpus: Corpus) -> None:
    corpus.write("a.txt", "!locked")
    corpus.write("b.txt", "!partly Page 2 was left out.")
    assert [t.source for t in corpus.sync().new_troubles] == ["a.txt", "b.txt"]
    corpus.write("c.txt", "!locked too")
    corpus.write("b.txt", "!partly Page 3 was left out.")
    (corpus.root / "a.txt").rename(corpus.root / "moved.txt")
    report = corpus.sync()
    assert [t.source for t in report.troubles] == ["b.txt", "c.txt", "moved.txt"]
    assert [t.source for t in report.new_troubles] == ["b.txt", "c.txt"]
    again = corpus.sync()
    assert (len(again.troubles), again.new_troubles) == (3, ())


def test_a_report_says_what_reading_took_by_kind(corpus: Corpus) -> None:
    corpus.write("a.txt", "one")
    corpus.write("b.txt", "three")
    corpus.write("c.png", PNG)
    report = corpus.sync()
    speeds = {kind: (one.files, one.pages, one.bytes) for kind, one in report.speeds.items()}
    assert speeds == {"text": (2, 0, 8), "image": (1, 1, len(PNG))}
    assert all(one.seconds > 0 for one in report.speeds.values())
    assert set(report.spent) == {"split", "embed", "write"}
    assert corpus.sync().speeds == {}


def test_only_what_may_work_now_is_tried_again(corpus: Corpus) -> None:
    corpus.write("extra.txt", "!extra")
    corpus.write("locked.txt", "!locked")
    first = corpus.sync()
    second = corpus.sync()
    assert [one.found.id for one in second.plan.retried] == ["extra.txt"]
    assert second.generation == first.generation


def test_a_failed_file_that_is_mended_becomes_indexed_and_back(corpus: Corpus) -> None:
    corpus.write("a.txt", "one")
    corpus.sync()
    corpus.write("a.txt", "!locked", age_s=5)
    corpus.sync()
    assert (corpus.state("a.txt")[0], corpus.texts()) == ("failed", [])
    corpus.write("a.txt", "one", age_s=4)
    corpus.sync()
    assert (corpus.state("a.txt")[0], corpus.texts()) == ("indexed", ["one"])


def test_a_file_that_vanishes_or_changes_while_read(corpus: Corpus) -> None:
    corpus.write("gone.txt", "!vanish")
    corpus.write("grows.txt", "!grow")
    corpus.sync()
    assert corpus.state("gone.txt") == ("failed", "It was deleted while it was read.")
    assert corpus.state("grows.txt") == ("partial", "It changed while it was read.")
    corpus.write("grows.txt", "settled")
    report = corpus.sync()
    assert report.plan.removed == ("gone.txt",)
    assert corpus.state("grows.txt") == ("indexed", "")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX times")
def test_a_file_replaced_with_its_time_while_read_is_read_again(corpus: Corpus) -> None:
    corpus.write("same.txt", "!swap one")
    corpus.write("touched.txt", "!touch")
    corpus.sync()
    assert corpus.state("same.txt") == ("partial", "It changed while it was read.")
    assert corpus.state("touched.txt") == ("indexed", "")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_file_without_permission_fails_until_it_can_be_read(corpus: Corpus) -> None:
    path = corpus.write("a.txt", "one")
    path.chmod(0)
    try:
        if os.access(path, os.R_OK):
            pytest.skip("root may read everything")
        corpus.sync()
        assert corpus.state("a.txt") == ("failed", "It cannot be read: permission denied.")
        assert corpus.sync().plan.is_empty
    finally:
        path.chmod(0o644)
    corpus.sync()
    assert corpus.state("a.txt") == ("indexed", "")


def test_touched_files_are_hashed_not_read(corpus: Corpus) -> None:
    path = corpus.write("a.txt", "one")
    corpus.sync()
    os.utime(path, ns=(5, 5))
    report = corpus.sync()
    assert (report.plan.counts["touched"], corpus.reader.paths) == (1, [])
    assert corpus.store.sources()[0].mtime_ns == 5
    assert corpus.sync().plan.is_empty


def test_a_change_within_the_same_tick_is_seen(corpus: Corpus) -> None:
    corpus.write("a.txt", "one", age_s=-60)  # The sync starts in the second of the write.
    corpus.sync()
    before = (corpus.root / "a.txt").stat()
    corpus.write("a.txt", "two")
    os.utime(corpus.root / "a.txt", ns=(before.st_mtime_ns, before.st_mtime_ns))
    report = corpus.sync()
    assert report.plan.counts["changed"] == 1
    assert corpus.texts() == ["two"]


def test_a_file_in_the_place_of_one_of_the_same_size_and_time_is_seen(corpus: Corpus) -> None:
    path = corpus.write("a.txt", "one")
    corpus.sync()
    before = path.stat()
    other = corpus.write("b", "two")
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.replace(path)
    # The clock of these tests is in the past: the status of a real file is always later than the look.
    assert [one.found.id for one in corpus.sync().plan.changed] == ["a.txt"]
    assert corpus.texts() == ["two"]


def test_batches_gather_passages_of_several_sources(corpus: Corpus) -> None:
    for i in range(200):
        corpus.write(f"{i:03}.txt", f"passage {i}")
    report = corpus.sync()
    assert [len(batch) for batch in corpus.embedder.batches] == [64, 64, 64, 8]
    assert report.embedded == 200


def test_a_long_source_is_embedded_in_pieces(corpus: Corpus) -> None:
    corpus.write("a.txt", "\n".join(f"passage {i}" for i in range(150)))
    corpus.sync()
    assert [len(batch) for batch in corpus.embedder.batches] == [64, 64, 22]


def test_a_source_is_written_before_a_long_one_behind_it_is_embedded(corpus: Corpus) -> None:
    corpus.write("a.txt", "short")
    corpus.write("b.txt", "\n".join(f"passage {i}" for i in range(150)))
    corpus.embedder.breaks_at = "passage 149"
    with pytest.raises(ModelError):
        corpus.sync()
    assert corpus.texts() == ["short"]


def test_small_sources_are_found_while_a_large_one_before_them_is_embedded(corpus: Corpus) -> None:
    corpus.write("a.txt", "\n".join(f"passage {i}" for i in range(1000)))
    for name in ("b.txt", "c.txt"):
        corpus.write(name, f"short {name}")
    corpus.embedder.breaks_at = "passage 999"
    with pytest.raises(ModelError):
        corpus.sync()
    assert corpus.texts() == ["short b.txt", "short c.txt"]


def test_what_waits_for_vectors_is_bounded(corpus: Corpus) -> None:
    for name in "abcde":
        corpus.write(f"{name}.txt", "\n".join(f"{name} {i}" for i in range(1000)))
    corpus.embedder.breaks_at = "e 0"
    with pytest.raises(ModelError):
        corpus.sync()
    assert len(corpus.texts()) >= 2000


def test_work_is_committed_every_two_seconds(corpus: Corpus) -> None:
    for i in range(10):
        corpus.write(f"{i}.txt", f"passage {i}")
    seen: list[int] = []
    corpus.tick = SECOND
    corpus.commits = Observed(lambda: seen.append(corpus.store.count()))
    corpus.sync()
    assert len(set(seen)) > 3
    assert seen == sorted(seen)


class Observed(list[int]):
    def __init__(self, observe: object) -> None:
        super().__init__()
        self._observe = observe

    def append(self, value: int) -> None:
        super().append(value)
        self._observe()  # type: ignore[operator]


def test_a_stopped_sync_keeps_what_is_complete_and_goes_on_later(corpus: Corpus) -> None:
    for i in range(70):
        corpus.write(f"a{i:02}.txt", f"passage {i}")
    corpus.write("b.txt", "!stop")
    corpus.write("c.txt", "last")
    with pytest.raises(KeyboardInterrupt):
        corpus.sync()
    assert corpus.store.count() == 64
    corpus.write("b.txt", "mended")
    report = corpus.sync()
    assert (report.items, report.embedded) == (72, 8)


def test_a_stopped_sync_is_complete_when_what_was_left_is_gone(corpus: Corpus) -> None:
    path = corpus.write("b.txt", "!stop")
    with pytest.raises(KeyboardInterrupt):
        corpus.sync()
    path.unlink()
    assert corpus.sync(dry_run=True).plan.is_empty
    assert not is_complete(corpus.store)
    with corpus.store.writer():
        assert corpus.sync().plan.is_empty
    assert not is_complete(corpus.store)
    corpus.sync()
    assert is_complete(corpus.store)


def test_a_broken_embedder_ends_the_run_and_keeps_what_is_complete(corpus: Corpus) -> None:
    for i in range(70):
        corpus.write(f"a{i:02}.txt", f"passage {i}")
    corpus.embedder.breaks_at = "passage 69"
    with pytest.raises(ModelError):
        corpus.sync()
    assert corpus.store.count() == 64


def test_dry_run_only_plans(corpus: Corpus) -> None:
    corpus.write("a.txt", "one")
    untouched = {path: path.read_bytes() for path in corpus.store.path.rglob("*") if path.is_file()}
    report = corpus.sync(dry_run=True)
    assert {path: path.read_bytes() for path in corpus.store.path.rglob("*") if path.is_file()} == untouched
    assert report.dry_run
    assert (report.plan.counts["added"], report.items, report.generation) == (1, 0, 0)
    assert corpus.store.sources() == []
    assert corpus.reader.paths == []


def test_pictures_are_embedded_by_their_words(corpus: Corpus) -> None:
    corpus.write("relay_wiring-2.png", PNG + b"1")
    corpus.write("silent.png", PNG + b"2")
    line = OcrLine("COIL", Box(0, 0, 1, 1), 1.0)
    ocr = FakeOcr({digest_bytes(PNG + b"1"): (line,)})
    report = corpus.sync(ocr=ocr)
    assert corpus.embedder.batches == [["relay wiring 2\nCOIL", "silent"]]
    assert report.states["indexed"] == 2
    assert corpus.store.blob(digest_bytes(PNG + b"1")) == PNG + b"1"
    items = corpus.store.items(corpus.store.rows()).values()
    assert sorted(item.modality for item in items) == ["image", "image"]


def test_a_renamed_picture_is_embedded_anew(corpus: Corpus) -> None:
    corpus.write("a.png", PNG)
    corpus.sync()
    (corpus.root / "a.png").rename(corpus.root / "b.png")
    assert corpus.sync().embedded == 1
    assert corpus.embedder.batches == [["b"]]


def test_a_new_ocr_engine_reads_pictures_again_and_texts_not(corpus: Corpus) -> None:
    corpus.write("a.txt", "one")
    corpus.write("b.png", PNG)
    corpus.sync()
    report = corpus.sync(ocr=FakeOcr())
    assert [one.found.id for one in report.plan.upgraded] == ["b.png"]
    assert corpus.sync(ocr=FakeOcr()).plan.is_empty


def test_ocr_results_outlive_their_source(corpus: Corpus) -> None:
    calls: list[int] = []

    class Counting:
        identity = "counting/1"

        def read(self, image: bytes) -> tuple[OcrLine, ...]:
            calls.append(len(image))
            return ()

    path = corpus.write("a.png", PNG)
    corpus.sync(ocr=Counting())
    path.unlink()
    corpus.sync(ocr=Counting())
    corpus.write("b.png", PNG)
    corpus.sync(ocr=Counting())
    assert calls == [len(PNG)]


def test_a_picture_moved_by_folder_only_is_not_embedded(corpus: Corpus) -> None:
    path = corpus.write("a.png", PNG)
    corpus.sync()
    (corpus.root / "sub").mkdir()
    path.rename(corpus.root / "sub" / "a.png")
    report = corpus.sync()
    assert (report.plan.counts["moved"], report.embedded) == (1, 0)


def test_progress_names_stages_and_never_runs_backwards(corpus: Corpus) -> None:
    for i in range(70):
        corpus.write(f"{i:02}.txt", f"passage {i}")
    corpus.sync()
    stages = list(dict.fromkeys(step.stage for step in corpus.progress))
    assert stages == ["scan", "hash", "read", "embed"]
    reading = [step.done for step in corpus.progress if step.stage == "read"]
    assert reading == sorted(reading)
    assert reading[-1] == 70
    sizes = [(step.bytes_done, step.bytes_total) for step in corpus.progress if step.stage == "read"]
    assert sizes == sorted(sizes)
    assert sizes[-1][0] == sizes[-1][1] == sum(path.stat().st_size for path in corpus.root.iterdir())
    assert all(step.done <= step.total for step in corpus.progress)


def test_new_readers_take_what_was_skipped(corpus: Corpus) -> None:
    corpus.write("a.mp4", "x")
    corpus.sync()
    assert corpus.sync().plan.is_empty
    new: Reader = LineReader(name="film", formats=(Format("video/mp4", "a film", (".mp4",)),))
    report = sync(
        corpus.root,
        corpus.store,
        corpus.embedder,  # type: ignore[arg-type]
        readers=[corpus.reader, corpus.picture_reader, new],
        splitter=corpus.splitter,
        detect=lambda path: "video/mp4",
        workers=0,
        clock=corpus.clock,
    )
    assert report.plan.counts["upgraded"] == 1
    assert corpus.state("a.mp4")[0] == "indexed"
