"""Speed of syncing a folder: python tests/bench/bench_sync.py FOLDER [--recipe NAME] [--many 1000 50000].

Prints Markdown: what reading took by kind of medium, where the time went, and how long a second sync of
many small files takes. The shares come from py-spy (pip install py-spy), which sees C code as well: a
sample belongs to the innermost mmrag file or library on its stack; Python itself and its standard library
count as whoever called them, waiting counts as nobody. Figures are worth what the machine's quiet is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mmrag.corpus import SyncReport, load_readers, sync
from mmrag.recipes import load_pipeline
from mmrag.store import Store
from mmrag.testing.fakes import HashingEmbedder

NEUTRAL = (
    *("libpython", "libc.so", "libc-", "libm.so", "libm-", "libpthread", "libstdc++", "libgcc", "ld-"),
    *("[", "<", "process "),
)
"""What only does what its caller asks: C and C++ themselves, and the interpreter."""
SAMPLES_A_SECOND = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="no-ocr")
    parser.add_argument("--workers", type=int, help="as many as there are cores unless given")
    parser.add_argument("--many", type=int, nargs="*", default=[1000, 50_000])
    parser.add_argument("--only-sync", action="store_true", help="what py-spy looks at")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.only_sync:
            first_sync(args.folder, Path(scratch) / "store", args.recipe, args.workers)
            return
        report, found_s = first_sync(args.folder, Path(scratch) / "store", args.recipe, args.workers)
        show_reading(report)
        show_whole(report, found_s)
        show_shares(args.folder, args.recipe, args.workers, Path(scratch) / "stacks")
        for count in args.many:
            show_second(count, Path(scratch) / str(count))


def first_sync(folder: Path, store: Path, recipe: str, workers: int | None) -> tuple[SyncReport, float]:
    """Return the report, and after how many seconds the first item could be found."""
    index = load_pipeline(recipe).index
    embedder = index.embedder.build()
    started, found = time.perf_counter(), []
    with Store.create(store, identity=embedder.identity) as made:

        def on_commit(_: int) -> None:
            if not found and made.count():
                found.append(time.perf_counter() - started)

        report = sync(
            folder,
            made,
            embedder,
            readers=load_readers(),
            splitter=index.splitter.build(embedder.count_tokens),
            ocr=index.ocr.build() if index.ocr else None,
            workers=workers,
            on_commit=on_commit,
        )
    return report, found[0] if found else 0.0


def show_reading(report: SyncReport) -> None:
    print("| medium | files | pages | MB | s of reading | files/s | pages/s | MB/s |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|")
    for kind, speed in sorted(report.speeds.items()):
        seconds = max(speed.seconds, 1e-9)
        rates = [speed.files / seconds, speed.pages / seconds, speed.bytes / 1e6 / seconds]
        shown = " | ".join(f"{rate:.3g}" if rate else "-" for rate in rates)
        print(
            f"| {kind} | {speed.files} | {speed.pages or '-'} | {speed.bytes / 1e6:.3g} "
            f"| {speed.seconds:.3g} | {shown} |"
        )


def show_whole(report: SyncReport, found_s: float) -> None:
    files = sum(speed.files for speed in report.speeds.values())
    print("\n| first sync | |\n|:--|--:|")
    print(f"| files | {files} |\n| items | {report.items} |\n| seconds | {report.seconds:.3g} |")
    print(f"| files/s | {files / report.seconds:.3g} |\n| first item found after, s | {found_s:.2g} |")
    for name, seconds in report.spent.items():
        print(f"| {name}, s in the main process | {seconds:.3g} |")


def show_shares(folder: Path, recipe: str, workers: int | None, stacks: Path) -> None:
    program = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    if program is None:
        print("\nShares were not measured: pip install py-spy")
        return
    spy = [program, "record", "--native", "--subprocesses", "--rate", str(SAMPLES_A_SECOND)]
    own = [sys.executable, __file__, str(folder), "--recipe", recipe, "--only-sync"]
    own += ["--workers", str(workers)] if workers is not None else []
    subprocess.run(
        [*spy, "--format", "raw", "--output", str(stacks), "--", *own], check=True, capture_output=True
    )
    shares: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        shares[owner(stack.split(";"))] += int(count)
    known = {name: count for name, count in shares.items() if name}
    total = sum(known.values())
    mine = sum(count for name, count in known.items() if name.startswith("mmrag"))
    print(f"\n| share of {total / SAMPLES_A_SECOND:.0f} s of work | % |\n|:--|--:|")
    print(f"| **mmrag in all** | **{100 * mine / total:.1f}** |")
    for name, count in sorted(known.items(), key=lambda pair: -pair[1]):
        if 200 * count >= total:
            print(f"| {name} | {100 * count / total:.1f} |")


def owner(stack: list[str]) -> str:
    """Return who works in a stack: 'mmrag.corpus', 'onnxruntime', ...; '' for Python alone or waiting."""
    places = [frame.rpartition("(")[2].rstrip(")") for frame in stack]
    is_call = places[-1].startswith("libc")
    for place in reversed(places):
        path = place.rpartition(":")[0] or place
        name = path.split("/")[0]
        if path.startswith("mmrag/"):
            # Python calls the C library itself to wait for a lock, a pipe or the disk.
            return "" if is_call else ".".join(path.split("/")[:2]).removesuffix(".py")
        is_python = name.removesuffix(".py") in sys.stdlib_module_names or name.endswith((".c", ".h"))
        if is_python or ".cpython-" in name or os.path.basename(path).startswith(NEUTRAL):
            continue
        return name.partition(".")[0]
    return ""


def show_second(count: int, place: Path) -> None:
    root = place / "docs"
    for i in range(count):
        folder = root / f"{i // 100:04}"
        if not i % 100:
            folder.mkdir(parents=True)
        (folder / f"{i % 100:02}.txt").write_text(f"Note {i}: the pump of line {i % 97} was kept dry.\n")
    embedder = HashingEmbedder(64)
    splitter = load_pipeline("no-ocr").index.splitter.build(embedder.count_tokens)
    with Store.create(place / "store", identity=embedder.identity) as store:

        def go() -> float:
            started = time.perf_counter()
            sync(root, store, embedder, readers=load_readers(), splitter=splitter)
            return time.perf_counter() - started

        first = go()
        go()  # Files that are seconds old are hashed once more.
        print(f"\n{count} small files: first sync {first:.2f} s (without a model), then {best(go):.2f} s.")


def best(work: Callable[[], float]) -> float:
    return min(work() for _ in range(3))


if __name__ == "__main__":
    main()
