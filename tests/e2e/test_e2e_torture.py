"""A folder that is out to get us: every file ends in one state with its reason, and the run goes on."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mmrag.core.protocols import Reader, ReadLimits
from mmrag.corpus import SyncReport, load_readers, sync
from mmrag.corpus.split import PassageOptions
from mmrag.store import Store, verify
from mmrag.testing.fakes import HashingEmbedder

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")
LIMITS = ReadLimits(
    max_idle_s=2,
    max_memory_bytes=1_000_000_000,
    max_output_bytes=20_000_000,
    max_text_bytes=1_000_000,
    max_unpacked_bytes=20_000_000,
    max_pages=10,
)


@pytest.fixture(scope="module")
def helpers() -> Iterator[tuple[ModuleType, ModuleType]]:
    here = Path(__file__).parent
    folders = [str(here), str(here.parent / "unit" / "corpus")]
    sys.path[:0] = folders
    yield importlib.import_module("torture"), importlib.import_module("unruly")
    for folder in folders:
        sys.path.remove(folder)


@pytest.fixture
def torture(helpers: tuple[ModuleType, ModuleType]) -> ModuleType:
    return helpers[0]


@pytest.fixture
def readers(helpers: tuple[ModuleType, ModuleType]) -> list[Reader]:
    return [*load_readers(), helpers[1].MeanReader()]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store", identity=HashingEmbedder(32).identity) as made:
        yield made


def run(
    root: Path, store: Store, readers: list[Reader], limits: ReadLimits = LIMITS, workers: int | None = 2
) -> SyncReport:
    embedder = HashingEmbedder(32)
    splitter = PassageOptions().build(embedder.count_tokens)
    return sync(root, store, embedder, readers=readers, splitter=splitter, limits=limits, workers=workers)


def lines(store: Store) -> list[tuple[str, str, str, str]]:
    return [(record.source.id, record.state, record.reason, record.fix) for record in store.sources()]


def peak_memory_while(work: object) -> int:
    """Return how many bytes this process and its workers held at most while `work` ran."""
    peak, done = 0, threading.Event()
    pages = os.sysconf("SC_PAGE_SIZE")

    def held(pid: str) -> int:
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * pages
        except (OSError, IndexError):
            return 0

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            children = []
            for task in Path("/proc/self/task").iterdir():
                with suppress(OSError):  # The thread has ended meanwhile.
                    children += (task / "children").read_text().split()
            peak = max(peak, held("self") + sum(map(held, children)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()  # type: ignore[operator]
    finally:
        done.set()
        thread.join()
    return peak


@posix
def test_every_file_of_a_torture_folder_has_its_line(
    torture: ModuleType, readers: list[Reader], store: Store, tmp_path: Path
) -> None:
    suffixes = {suffix for reader in readers for known in reader.formats for suffix in known.suffixes}
    cases = [*torture.PLAIN, *torture.MEAN]
    cases += torture.as_read(torture.office(LIMITS.max_unpacked_bytes), suffixes)
    cases += torture.LINUX if sys.platform == "linux" else ()
    root = tmp_path / "docs"
    torture.build(root, cases)
    for name, case in torture.odd_names():
        case.make(root / case.name)
        cases.append(replace(case, name=name))
    report = run(root, store, readers)
    assert torture.wrong_lines(cases, lines(store)) == []
    assert sum(report.states.values()) == len(cases)
    assert {trouble.source for trouble in report.troubles} == {c.name for c in cases if c.state != "indexed"}
    assert verify(store).problems == ()
    again = run(root, store, readers)
    # Gone is what deleted itself; what grew is read as it is now.
    assert again.plan.removed == ("goes.mean",)
    assert {trouble.source for trouble in again.new_troubles} <= {"grows.mean"}


@posix
def test_folders_that_no_path_leads_to_are_named(
    torture: ModuleType, readers: list[Reader], store: Store, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    torture.deep(root / "deep")
    (root / "fine.txt").write_text("fine")
    report = run(root, store, readers, workers=0)
    (trouble,) = report.troubles
    assert (trouble.state, trouble.reason) == ("failed", "It cannot be read: file name too long.")
    assert trouble.source.startswith("deep/ddd")
    assert report.states["indexed"] == 1


def test_many_files_are_read_and_found_unchanged(
    readers: list[Reader], store: Store, tmp_path: Path, slow: bool
) -> None:
    root, count = tmp_path / "docs", 100_000 if slow else 300
    for i in range(count):
        folder = root / f"{i // 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i % 1000:03}.txt").write_text(f"Note {i} on the pump.")
    assert run(root, store, readers, workers=None).states["indexed"] == count
    again = run(root, store, readers)
    assert (again.plan.is_empty, again.plan.unchanged) == (True, count)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_long_files_stay_within_memory(
    torture: ModuleType, readers: list[Reader], store: Store, tmp_path: Path, slow: bool
) -> None:
    pages, text = (5000, 2_000_000_000) if slow else (60, 250_000_000)
    root = tmp_path / "docs"
    torture.build(
        root,
        [torture.Case("manual.pdf", torture.pages(pages)), torture.Case("log.txt", torture.sparse(text))],
    )
    peak = peak_memory_while(lambda: run(root, store, readers, ReadLimits()))
    assert peak < 2_000_000_000
    found = {name: (state, reason) for name, state, reason, _ in lines(store)}
    assert found["manual.pdf"] == ("indexed", "")
    assert found["log.txt"][0] == "failed"
    assert store.count() >= pages


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.slow
def test_bombs_of_full_size_stay_within_memory(
    torture: ModuleType, readers: list[Reader], store: Store, tmp_path: Path
) -> None:
    suffixes = {suffix for reader in readers for known in reader.formats for suffix in known.suffixes}
    limits = ReadLimits()
    cases = torture.as_read(torture.office(limits.max_unpacked_bytes), suffixes)
    large = "The picture has .* pixels, more than the limit.*"
    cases.append(torture.Case("real.png", torture.png(30_000, 30_000, real=True), "failed", large, "Scale.*"))
    root = tmp_path / "docs"
    torture.build(root, cases)
    peak = peak_memory_while(lambda: run(root, store, readers, limits))
    assert torture.wrong_lines(cases, lines(store)) == []
    assert peak < 2_000_000_000
