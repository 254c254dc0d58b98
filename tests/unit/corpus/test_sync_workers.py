"""Sync with worker processes: the same store as without them, and nothing lost on the way."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
from reportlab.pdfgen.canvas import Canvas

from mmrag.core.errors import ConfigError, ModelError
from mmrag.core.protocols import Embedder, Media
from mmrag.core.types import Embeddings, Item, SourceId
from mmrag.corpus.readers import load_readers
from mmrag.corpus.report import Progress, SyncReport
from mmrag.corpus.split import PassageOptions
from mmrag.corpus.sync import sync
from mmrag.store import Store
from mmrag.testing.fakes import HashingEmbedder

SECOND = 1_000_000_000


@dataclass
class Counting:
    """A hashing embedder that remembers what it embedded, and breaks at a word if told so."""

    texts: list[str] = field(default_factory=list)
    breaks_at: str = ""
    inner: HashingEmbedder = field(default_factory=lambda: HashingEmbedder(64))

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        if self.breaks_at and any(self.breaks_at in item.text for item in items):
            raise ModelError("The model broke.", fix="Mend it.")
        self.texts += [item.text for item in items]
        return self.inner.embed_items(items)


@pytest.fixture(scope="module")
def unruly() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("unruly")
    sys.path.remove(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    return root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store", identity=HashingEmbedder(64).identity) as made:
        yield made


def run(folder: Path, store: Store, embedder: object = None, **options: object) -> SyncReport:
    chosen: Embedder = embedder or HashingEmbedder(64)  # type: ignore[assignment]
    splitter = PassageOptions().build(chosen.count_tokens)
    options = {"readers": load_readers(), "workers": 2} | options
    return sync(folder, store, chosen, splitter=splitter, **options)  # type: ignore[arg-type]


def manual(path: Path, words: Sequence[str]) -> None:
    canvas = Canvas(str(path), invariant=True)
    for number, word in enumerate(words, 1):
        canvas.drawString(72, 700, f"Page {number} tells of the {word} and how it is kept dry.")
        canvas.showPage()
    canvas.save()


def content(store: Store) -> object:
    items = store.items(store.rows()).values()
    return store.sources(), sorted((item.source, item.id, item.text) for item in items), store.root


def test_workers_give_the_store_that_this_process_gives(folder: Path, store: Store, tmp_path: Path) -> None:
    for i in range(30):
        (folder / f"{i}.md").write_text(f"# Note {i}\n\nThe relay number {i} has two coils.\n")
    (folder / "page.html").write_text("<title>Prices</title><p>It costs ten.</p>")
    (folder / "wrong.pdf").write_text("<html></html>")
    (folder / "empty.txt").touch()
    manual(folder / "manual.pdf", ["pump", "valve"])
    progress: list[Progress] = []
    report = run(folder, store, on_progress=progress.append)
    assert {t.source: t.state for t in report.troubles} == {"empty.txt": "skipped", "wrong.pdf": "failed"}
    with Store.create(tmp_path / "other", identity=HashingEmbedder(64).identity) as other:
        run(folder, other, workers=0)
        assert content(store) == content(other)
    assert run(folder, store).plan.is_empty
    reading = [step for step in progress if step.stage == "read"]
    assert [step.done for step in reading] == sorted(step.done for step in reading)
    assert [step.bytes_done for step in reading] == sorted(step.bytes_done for step in reading)
    assert reading[-1].bytes_done == reading[-1].bytes_total > 0


def test_a_changed_page_of_a_pdf_embeds_the_items_of_that_page(folder: Path, store: Store) -> None:
    words = ["pump", "valve", "relay", "lens", "battery"]
    manual(folder / "manual.pdf", words)
    first = Counting()
    run(folder, store, first)
    assert len(first.texts) == 5
    manual(folder / "manual.pdf", [*words[:2], "fuse", *words[3:]])
    second = Counting()
    report = run(folder, store, second)
    assert (report.embedded, report.reused) == (1, 4)
    assert [("fuse" in text, "Page 3" in text) for text in second.texts] == [(True, True)]
    assert store.count() == 5


def test_a_moved_or_copied_file_embeds_nothing(folder: Path, store: Store) -> None:
    manual(folder / "manual.pdf", ["pump", "valve"])
    run(folder, store)
    (folder / "new").mkdir()
    (folder / "manual.pdf").rename(folder / "new" / "renamed.pdf")
    embedder = Counting()
    assert run(folder, store, embedder).plan.counts["moved"] == 1
    (folder / "copy.pdf").write_bytes((folder / "new" / "renamed.pdf").read_bytes())
    report = run(folder, store, embedder)
    assert (report.plan.counts["copied"], report.items, embedder.texts) == (1, 4, [])


def test_a_run_that_broke_goes_on_without_embedding_again(folder: Path, store: Store) -> None:
    for i in range(100):
        (folder / f"{i:03}.txt").write_text(f"Passage {i} of the report on relays.")
    first, second = Counting(breaks_at="Passage 99 "), Counting()
    with pytest.raises(ModelError):
        # A commit that is due would embed what is there, however few.
        run(folder, store, first, clock=lambda: 10**18)
    kept = store.count()
    assert kept == len(first.texts) == 64
    report = run(folder, store, second)
    assert (len(second.texts), report.items) == (36, 100)
    assert not set(first.texts) & set(second.texts)


def test_pages_that_were_read_outlive_a_crash_of_the_reader(
    folder: Path, store: Store, unruly: ModuleType, tmp_path: Path
) -> None:
    (folder / "scan.txt").write_text("ocr-and-abort 3 4 5")
    ocr = unruly.SlowOcr(str(tmp_path / "log"))
    options = {"readers": [unruly.UnrulyReader()], "ocr": ocr, "workers": 1}
    (trouble,) = run(folder, store, **options).troubles
    assert trouble.reason == "The reader unruly/1 crashed (SIGABRT)."
    (folder / "scan.txt").write_text("ocr 5 4 3")
    assert run(folder, store, **options).states["indexed"] == 1
    assert sorted((tmp_path / "log").read_text().split()) == ["3", "4", "5"]


def test_quick_files_can_be_found_while_a_slow_one_is_read(
    folder: Path, store: Store, unruly: ModuleType
) -> None:
    (folder / "fine.txt").write_text("say fine")
    (folder / "slow.txt").write_text("tell 8")
    seen: list[set[str]] = []
    ticks = itertools.count(step=SECOND)

    def look(_: int) -> None:
        seen.append({record.source.id for record in store.sources()})

    run(
        folder,
        store,
        readers=[unruly.UnrulyReader()],
        workers=1,
        on_commit=look,
        clock=lambda: 10**18 + next(ticks),
    )
    assert {"fine.txt"} in seen
    assert seen[-1] == {"fine.txt", "slow.txt"}


def test_a_reader_of_another_version_reads_its_own_media_again(
    folder: Path, store: Store, unruly: ModuleType
) -> None:
    (folder / "a.txt").write_text("say one")
    manual(folder / "b.pdf", ["pump"])
    pdf = [reader for reader in load_readers() if reader.name == "pdf"]
    run(folder, store, readers=[unruly.UnrulyReader(), *pdf])
    report = run(folder, store, readers=[unruly.OtherReader(), *pdf])
    assert [one.found.id for one in report.plan.upgraded] == ["a.txt"]
    assert report.embedded == 0


def test_a_missing_package_in_a_worker_is_a_named_skip(
    folder: Path, store: Store, unruly: ModuleType
) -> None:
    (folder / "a.txt").write_text("extra mmrag_no_such_package")
    options = {"readers": [unruly.UnrulyReader()]}
    (trouble,) = run(folder, store, **options).troubles
    assert (trouble.state, trouble.fix) == ("skipped", "Run: pip install 'mmrag[magic]'")
    again = run(folder, store, **options)
    assert (again.plan.is_empty, again.new_troubles) == (True, ())


def test_a_reader_that_cannot_travel_ends_the_run_before_anything_is_lost(
    folder: Path, store: Store, unruly: ModuleType
) -> None:
    (folder / "a.txt").write_text("say one")
    with pytest.raises(ConfigError, match="workers=0"):
        run(folder, store, readers=[unruly.Unloadable()])
    assert store.source(SourceId("a.txt")) is None
    assert run(folder, store, readers=[unruly.Unloadable()], workers=0).states["indexed"] == 1
