"""Worker processes: one bad file fails alone, with its reason, and no process is left over."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import SourceId
from mmrag.corpus import workers as pool_module
from mmrag.corpus.plan import Hashed
from mmrag.corpus.read_file import Failure, Outcome, ReadTools, cost_by, quick_first
from mmrag.corpus.scan import Found
from mmrag.corpus.workers import (
    AtHand,
    PoolOptions,
    WorkerPool,
    memory_share,
    open_readers,
    usable_cores,
    usual_workers,
)

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")
MB = 1_000_000


class Memory:
    """What was read in pictures, without a store."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.asked: list[SourceId] = []

    def get(self, key: str, source: SourceId) -> bytes | None:
        self.asked.append(source)
        return self.kept.get(key)

    def put(self, key: str, value: bytes, source: SourceId) -> None:
        self.kept[key] = value


@pytest.fixture(scope="module")
def unruly() -> ModuleType:
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("unruly")  # type: ignore[misc]
    finally:
        sys.path.remove(folder)


class Bench:
    """A folder of unruly files, and what a pool makes of them."""

    def __init__(self, root: Path, readers: Sequence[Reader], detect: Callable[[Path], str]) -> None:
        self.root = root
        self.memory = Memory()
        self.tools = ReadTools(tuple(readers), detect, root, ReadLimits(max_idle_s=20))
        self.at_hand: list[AtHand] = []
        self.options = PoolOptions()

    def files(self, contents: dict[str, str]) -> list[Hashed]:
        made = []
        for name, text in contents.items():
            path = self.root / name
            path.write_text(text)
            status = path.stat()
            made.append(
                Hashed(Found(SourceId(name), path, status.st_size, status.st_mtime_ns), f"digest of {name}")
            )
        return made

    def read(self, contents: dict[str, str], workers: int = 1, **limits: float) -> dict[str, str]:
        """Return what each file said, or its state and reason."""
        outcomes = self.outcomes(contents, workers, **limits)
        return {name: told(outcome) for name, outcome in outcomes.items()}

    def outcomes(self, contents: dict[str, str], workers: int = 1, **limits: float) -> dict[str, Outcome]:
        bounded = replace(self.tools.limits, **limits)  # type: ignore[arg-type]
        tools = replace(self.tools, limits=bounded)
        with open_readers(tools, self.memory, workers, self.options) as read:  # type: ignore[arg-type]
            events = list(read(self.files(contents)))
        self.at_hand = [event for event in events if isinstance(event, AtHand)]
        return {event[0].found.id: event[1] for event in events if isinstance(event, tuple)}


def told(outcome: Outcome) -> str:
    result = outcome.result
    if isinstance(result, Failure):
        assert result.fix
        return f"{result.state}: {result.reason}"
    return " ".join(block.text for block in result.blocks)


@pytest.fixture
def bench(tmp_path: Path, unruly: ModuleType) -> Bench:
    return Bench(tmp_path, [unruly.UnrulyReader()], unruly.detect)


ONE_BY_ONE = PoolOptions(batch_bytes=1, worth_a_worker=1)
"""Give each file out alone, and start all workers for whatever there is."""


@pytest.fixture
def one_by_one(bench: Bench) -> None:
    bench.options = ONE_BY_ONE


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    before = threading.active_count()
    yield
    assert threading.active_count() == before
    assert children() == []


def children() -> list[int]:
    if sys.platform != "linux":
        return []
    found = []
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # The thread has ended meanwhile.
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until(true: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_files_are_read_in_another_process_and_all_come_back(bench: Bench) -> None:
    contents = {f"{i:02}.txt": f"say number {i}" for i in range(20)} | {"who.txt": "pid"}
    outcomes = bench.outcomes(contents, workers=2)
    said = {name: told(outcome) for name, outcome in outcomes.items()}
    assert int(said.pop("who.txt")) not in (os.getpid(), 0)
    assert said == {f"{i:02}.txt": f"number {i}" for i in range(20)}
    one = outcomes["00.txt"]
    assert (one.media_type, one.reader, one.changed, one.used_ocr) == (
        "text/plain",
        "unruly/1",
        False,
        False,
    )
    assert one.seconds > 0


@posix
def test_each_way_to_break_is_a_failure_with_its_own_reason(bench: Bench) -> None:
    said = bench.read(
        {
            "abort.txt": "abort",
            "exit.txt": "exit 3",
            "fine.txt": "say fine",
            "lambda.txt": "lambda",
            "large.txt": "blob 3000000",
            "panic.txt": "panic",
            "print.txt": "print",
            "recurse.txt": "recurse",
            "sys.txt": "sys-exit 1",
        },
        max_output_bytes=2_000_000,
    )
    lost = said.pop("lambda.txt")
    assert lost.startswith("failed: The reader unruly/1 gave what cannot be handed on: ")
    assert said == {
        "abort.txt": "failed: The reader unruly/1 crashed (SIGABRT).",
        "exit.txt": "failed: The reader unruly/1 crashed (exit code 3).",
        "fine.txt": "fine",
        "large.txt": "failed: The reader unruly/1 gave 3 MB, more than the limit of 2 MB.",
        "panic.txt": "failed: The reader unruly/1 broke: Panic: the borrow checker is sad",
        "print.txt": "printed",
        "recurse.txt": "failed: The reader unruly/1 gave up: the file is nested too deeply.",
        "sys.txt": "failed: The reader unruly/1 broke: SystemExit: 1",
    }


def test_a_silent_reader_is_stopped_and_one_that_tells_is_not(bench: Bench) -> None:
    said = bench.read(
        {"a.txt": "sleep 60", "b.txt": "tell 8", "c.txt": "say fine"}, workers=2, max_idle_s=0.4
    )
    assert said == {
        "a.txt": "failed: The reader unruly/1 gave no sign of life for 0.4 s and was stopped.",
        "b.txt": "slept and told",
        "c.txt": "fine",
    }


def test_a_hang_before_a_reader_is_chosen_is_stopped_too(bench: Bench) -> None:
    said = bench.read({"hang.txt": "x"}, max_idle_s=0.5)
    assert said == {"hang.txt": "failed: Recognizing it gave no sign of life for 0.5 s and was stopped."}


@needs_proc
@pytest.mark.parametrize("act", ["allocate", "map"])
def test_a_reader_that_takes_too_much_memory_fails_alone(bench: Bench, act: str) -> None:
    said = bench.read({"a.txt": f"{act} {700 * MB}", "b.txt": "say fine"}, max_memory_bytes=400 * MB)
    assert said == {
        "a.txt": "failed: The reader unruly/1 needed more memory than the limit of 400 MB.",
        "b.txt": "fine",
    }


@needs_proc
def test_a_reader_that_aborts_near_the_bound_needed_more_memory(bench: Bench) -> None:
    said = bench.read({"a.txt": f"grow-and-abort {340 * MB}"}, max_memory_bytes=400 * MB)
    assert said == {"a.txt": "failed: The reader unruly/1 needed more memory than the limit of 400 MB."}


@needs_proc
@pytest.mark.parametrize("act", ["abort-unless-alone", f"allocate-unless-alone {700 * MB}"])
def test_a_file_that_ends_a_used_worker_gets_a_fresh_one(bench: Bench, act: str) -> None:
    said = bench.read({"a.txt": "say first", "b.txt": act}, max_memory_bytes=400 * MB)
    assert said == {"a.txt": "first", "b.txt": "alone"}


def test_a_hang_gets_no_second_chance(bench: Bench) -> None:
    said = bench.read({"a.txt": "say first", "b.txt": "note-and-sleep 60"}, max_idle_s=0.5)
    assert "no sign of life" in said["b.txt"]
    assert (bench.root / ".log").read_text() == "read\n"


@needs_proc
@pytest.mark.usefixtures("one_by_one")
def test_a_worker_that_has_grown_is_replaced(bench: Bench) -> None:
    said = bench.read(
        {"a.txt": "pid", "b.txt": f"keep {250 * MB}", "c.txt": "pid"}, max_memory_bytes=500 * MB
    )
    assert said["a.txt"] == said["b.txt"] != said["c.txt"]


def test_a_worker_is_replaced_after_some_files(bench: Bench) -> None:
    bench.options = replace(ONE_BY_ONE, max_files=2)
    said = bench.read({f"{i}.txt": "pid" for i in range(5)})
    assert [len({said[f"{i}.txt"] for i in pair}) for pair in ((0, 1), (2, 3), (1, 2, 3, 4))] == [1, 1, 3]


def test_workers_are_started_for_what_is_worth_it(bench: Bench) -> None:
    with open_readers(bench.tools, bench.memory, 4) as read:  # type: ignore[arg-type]
        assert list(read([])) == []
        assert children() == []
    assert len(set(bench.read({f"{i}.txt": "pid" for i in range(5)}, workers=4).values())) == 1
    bench.options = PoolOptions(worth_a_worker=1)
    assert len(set(bench.read({f"{i}.txt": "pid" for i in range(2)}, workers=4).values())) <= 2


@pytest.mark.usefixtures("one_by_one")
def test_files_are_read_side_by_side(bench: Bench) -> None:
    assert set(bench.read({f"{i}.txt": "meet 3" for i in range(3)}, workers=3).values()) == {"met"}


def test_quick_files_come_first_and_all_are_read(bench: Bench) -> None:
    sizes = {"a.txt": 500_000, "b.txt": 10, "c.txt": 2 * MB, "d.txt": 20}
    files = bench.files({name: "say " + "x" * size for name, size in sizes.items()})
    order = [file.found.id for file in quick_first(files, cost_by(bench.tools.readers))]
    assert order == ["b.txt", "d.txt", "a.txt", "c.txt"]
    pool = WorkerPool(bench.tools, bench.memory, 2, ONE_BY_ONE)  # type: ignore[arg-type]
    with pool:
        assert {event[0].found.id for event in pool.read(files) if isinstance(event, tuple)} == set(sizes)


def test_what_is_at_hand_names_the_file_and_its_page(bench: Bench) -> None:
    bench.read({"a.txt": "tell 8"})
    steps = [event for event in bench.at_hand if event.pages]
    assert {(event.source, event.pages) for event in steps} == {("a.txt", 8)}
    pages = [event.page for event in steps]
    assert pages == sorted(pages)
    assert pages[-1] > 2
    assert 0 < steps[-1].read_bytes <= 6


def test_reading_waits_when_nobody_takes_the_results(bench: Bench) -> None:
    options = PoolOptions(room_bytes=1)
    with open_readers(bench.tools, bench.memory, 1, options) as read:  # type: ignore[arg-type]
        events = read(bench.files({f"{i}.txt": "blob 1000000" for i in range(9)}))
        while isinstance(next(events), AtHand):
            pass
        time.sleep(0.2)
        # One was taken; the next stays in the pipe, as bytes, until the taker is done with it.
        assert len((bench.root / ".log").read_text().split()) <= 2
        assert len([event for event in events if isinstance(event, tuple)]) == 8


def test_waiting_for_the_taker_is_not_silence(bench: Bench) -> None:
    bench.tools = replace(bench.tools, limits=ReadLimits(max_idle_s=0.3))
    outcomes = []
    options = PoolOptions(room_bytes=1)
    with open_readers(bench.tools, bench.memory, 1, options) as read:  # type: ignore[arg-type]
        for event in read(bench.files({f"{i}.txt": "blob 1000000" for i in range(4)})):
            if isinstance(event, tuple):
                outcomes.append(event[1])
                time.sleep(0.6 if len(outcomes) == 1 else 0)
    assert all(isinstance(outcome.result, Reading) for outcome in outcomes)


def test_what_was_read_in_a_picture_is_kept_at_once_and_asked_for_again(
    bench: Bench, unruly: ModuleType
) -> None:
    log = bench.root / "log"
    bench.tools = replace(bench.tools, ocr=unruly.SlowOcr(str(log)))
    outcomes = bench.outcomes({"a.txt": "ocr 3 4 3", "b.txt": "ocr-and-abort 5", "c.txt": "say nothing"})
    assert told(outcomes["a.txt"]) == "picture of 3, picture of 4, picture of 3"
    assert (outcomes["a.txt"].used_ocr, outcomes["c.txt"].used_ocr) == (True, False)
    assert sorted(log.read_text().split()) == ["3", "4", "5"]
    assert len(bench.memory.kept) == 3
    bench.read({"d.txt": "ocr 5 4 3"})
    assert sorted(log.read_text().split()) == ["3", "4", "5"]
    assert set(bench.memory.asked) == {"a.txt", "b.txt", "d.txt"}


def test_a_broken_memory_ends_the_run(bench: Bench, unruly: ModuleType) -> None:
    bench.tools = replace(bench.tools, ocr=unruly.SlowOcr(str(bench.root / "log")))
    bench.memory.get = lambda key, source: 1 / 0  # type: ignore[assignment, method-assign]
    with pytest.raises(ZeroDivisionError):
        bench.read({"a.txt": "ocr 3"})


def test_what_cannot_be_handed_to_a_worker_is_an_error_with_a_way_out(
    bench: Bench, unruly: ModuleType
) -> None:
    class Local(unruly.UnrulyReader):  # type: ignore[name-defined, misc]
        pass

    for readers, words in (((Local(),), "Local"), ((unruly.Unloadable(),), "does not load here")):
        bench.tools = replace(bench.tools, readers=readers)
        with pytest.raises(ConfigError, match=words) as caught:
            bench.read({"a.txt": "say fine"})
        assert "workers=0" in caught.value.fix
        assert bench.read({"a.txt": "say fine"}, workers=0) == {"a.txt": "fine"}


def test_a_system_without_room_for_a_process_is_an_error_with_a_way_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(bench.root / "nowhere"))
    with pytest.raises(ConfigError, match="did not start") as caught:
        bench.read({"a.txt": "say fine"})
    assert "workers=0" in caught.value.fix


def test_a_worker_that_cannot_start_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.root / "numpy.py").write_text("raise ImportError('no numpy here')")
    monkeypatch.setenv("PYTHONPATH", str(bench.root))
    monkeypatch.setattr("mmrag.corpus.worker_process._PACKAGES", str(bench.root / "nowhere"))
    with pytest.raises(ConfigError, match="did not start") as caught:
        bench.read({"a.txt": "say fine"})
    assert "workers=0" in caught.value.fix


def test_a_folder_of_python_files_where_the_user_is_is_not_imported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(here)
    assert bench.read({"a.txt": "say fine"}) == {"a.txt": "fine"}


def test_a_negative_number_of_workers_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="-1"):
        bench.read({}, workers=-1)
    assert usable_cores() >= 1


@needs_proc
def test_an_exception_of_the_taker_ends_all_processes(bench: Bench) -> None:
    files = bench.files({"a.txt": "sleep 60", "b.txt": "sleep 60", "c.txt": "say fine"})

    def stop() -> None:
        with open_readers(bench.tools, bench.memory, 2, ONE_BY_ONE) as read:  # type: ignore[arg-type]
            for event in read(files):
                if isinstance(event, AtHand):
                    assert len(children()) == 2
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert children() == []


@needs_proc
def test_a_stopped_reader_takes_the_programs_it_started_with_it(bench: Bench, tmp_path: Path) -> None:
    bench.read({"a.txt": f"grandchild {tmp_path / 'pids'}"}, max_idle_s=1.0)
    for pid in (tmp_path / "pids").read_text().split():
        wait_until(lambda pid=pid: not is_alive(int(pid)))  # type: ignore[misc]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import unruly
from mmrag.core.protocols import ReadLimits
from mmrag.corpus.plan import Hashed
from mmrag.corpus.read_file import ReadTools
from mmrag.corpus.scan import Found
from mmrag.corpus.workers import open_readers
path = Path(sys.argv[2])
tools = ReadTools((unruly.UnrulyReader(),), unruly.detect, path.parent, ReadLimits())
with open_readers(tools, None, 1) as read:
    for event in read([Hashed(Found("a.txt", path, 1, 1), "")]):
        pass
"""


@needs_proc
@pytest.mark.parametrize(
    ("act", "how"),
    [("backtrack", signal.SIGKILL), ("backtrack", signal.SIGINT), ("grandchild", signal.SIGINT)],
)
def test_a_killed_sync_leaves_no_processes(tmp_path: Path, act: str, how: signal.Signals) -> None:
    pids, script = tmp_path / "pids", tmp_path / "a.txt"
    script.write_text(f"{act} {pids}")
    root = str(Path(pool_module.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(script)],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: pids.exists() and pids.read_text() != "")
        os.kill(process.pid, how)
        assert process.wait(15) != 0
    finally:
        process.kill()
        process.wait()
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not is_alive(int(pid)))  # type: ignore[misc]


def test_an_error_of_another_package_comes_back_as_words(bench: Bench) -> None:
    said = bench.read({"a.txt": "foreign", "b.txt": "words"})
    assert said == {"a.txt": "failed: It is sad.", "b.txt": "a word"}


def test_blocks_have_a_bound_of_their_own(bench: Bench) -> None:
    said = bench.read({"a.txt": "say " + "x" * 200_000, "b.txt": "blob 200000"}, max_blocks_bytes=100_000)
    assert said == {
        "a.txt": "failed: The reader unruly/1 gave 200 kB, more than the limit of 100 kB.",
        "b.txt": "",
    }


@pytest.mark.parametrize(
    ("memory", "workers", "bytes_each"),
    [(0, 8, 3000 * MB), (4000 * MB, 2, 1333 * MB), (4000 * MB, 1, 2000 * MB), (2000 * MB, 1, 1000 * MB)],
)
def test_workers_together_fit_into_the_machine(memory: int, workers: int, bytes_each: int) -> None:
    assert memory_share(3000 * MB, workers, memory) // MB * MB == bytes_each
    assert memory_share(400 * MB, workers, memory) == 400 * MB


def test_a_small_machine_has_fewer_workers() -> None:
    sizes = (0, 1000 * MB, 4000 * MB, 64_000 * MB)
    assert [usual_workers(16, memory) for memory in sizes] == [8, 1, 2, 8]
    assert usual_workers(2, 64_000 * MB) == 2


@needs_proc
def test_a_worker_is_bounded_by_its_share_of_the_machine(bench: Bench) -> None:
    bench.options = PoolOptions(memory_bytes=1500 * MB)
    said = bench.read({"a.txt": f"allocate {1100 * MB}"})
    assert said == {"a.txt": "failed: The reader unruly/1 needed more memory than the limit of 1 GB."}


def test_tools_are_pickled_without_their_state(bench: Bench) -> None:
    again = pickle.loads(pickle.dumps(bench.tools))
    assert again.root == bench.root
    assert isinstance(bench.outcomes({"a.txt": "say x"})["a.txt"].result, Reading)
