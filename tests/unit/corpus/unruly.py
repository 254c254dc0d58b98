"""Readers that misbehave as their file tells them to; worker processes import them from here."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mmrag.core.errors import SourceError
from mmrag.core.lazy import require
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.reading import About, Blob, Block, Format, Reading
from mmrag.core.types import Box, Part, Source, Span

SEEN: list[str] = []
"""What this process has read."""
KEPT: list[bytes] = []


class Panic(BaseException):
    """What libraries written in Rust raise: no Exception."""


class UnrulyReader:
    name = "unruly"
    version = 1
    formats = (Format("text/plain", "a text", (".txt",)),)
    about = (About("Text", "what it says"),)

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        SEEN.append(source.id)
        word, _, rest = path.read_text().partition(" ")
        if word == "depends":
            return Reading((), depends=(rest,), read_with=rest)
        if word == "blob":
            with (context.root / ".log").open("a") as log:
                log.write(f"{source.id}\n")
            return Reading((), blobs=(Blob("0" * 64, bytes(int(rest)), "image/png"),))
        if word == "lambda":
            return Reading((), metadata={"made": lambda: None})  # type: ignore[dict-item]
        said = _ACTS.get(word, _echo)(rest, path, context)
        return Reading((Block("paragraph", Span(0, len(said)), (Part("text", text=said),)),))


class OtherReader(UnrulyReader):
    version = 2


class MeanReader(UnrulyReader):
    """The same for files of a suffix that no real reader takes."""

    name = "mean"
    formats = (Format("text/x-mean", "a mean text", (".mean",)),)


@dataclass
class SlowOcr:
    """An engine that writes down each picture it is asked for."""

    log: str
    identity: str = "slow/1"

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        with open(self.log, "a") as log:
            log.write(f"{len(image)}\n")
        return (OcrLine(f"picture of {len(image)}", Box(0, 0, 1, 1), 1.0),)


def detect(path: Path) -> str:
    if path.name == "hang.txt":
        time.sleep(60)
    return "text/plain"


def fail_to_unpickle() -> object:
    raise RuntimeError("it does not load here")


class Unloadable(UnrulyReader):
    def __reduce__(self) -> object:
        return fail_to_unpickle, ()


def _echo(rest: str, path: Path, context: ReadContext) -> str:
    return rest


def _sleep(rest: str, path: Path, context: ReadContext) -> str:
    time.sleep(float(rest))
    return "slept"


def _meet(rest: str, path: Path, context: ReadContext) -> str:
    path.with_suffix(".here").touch()
    for _ in range(200):
        if len(list(path.parent.glob("*.here"))) >= int(rest):
            return "met"
        time.sleep(0.05)
    return "alone"


def _sleep_and_tell(rest: str, path: Path, context: ReadContext) -> str:
    for i in range(int(rest)):
        context.progress(i, int(rest))
        time.sleep(0.1)
    return "slept and told"


def _allocate(rest: str, path: Path, context: ReadContext) -> str:
    return str(len(bytearray(os.urandom(1) * int(rest))))


def _map(rest: str, path: Path, context: ReadContext) -> str:
    # Memory that no limit of the process counts: shared and touched.
    import mmap

    shared = mmap.mmap(-1, int(rest))
    for at in range(0, int(rest), 4096):
        shared[at] = 1
    time.sleep(30)
    return "mapped"


def _keep(rest: str, path: Path, context: ReadContext) -> str:
    KEPT.append(os.urandom(1) * int(rest))
    return str(os.getpid())


def _allocate_unless_alone(rest: str, path: Path, context: ReadContext) -> str:
    return _allocate(rest, path, context) if len(SEEN) > 1 else "alone"


def _abort(rest: str, path: Path, context: ReadContext) -> str:
    os.abort()


def _grow_and_abort(rest: str, path: Path, context: ReadContext) -> str:
    KEPT.append(os.urandom(1) * int(rest))
    time.sleep(0.5)
    os.abort()


def _abort_unless_alone(rest: str, path: Path, context: ReadContext) -> str:
    if len(SEEN) > 1:
        ctypes.string_at(0)
    return "alone"


def _exit(rest: str, path: Path, context: ReadContext) -> str:
    os._exit(int(rest))


def _sys_exit(rest: str, path: Path, context: ReadContext) -> str:
    sys.exit(rest)


def _panic(rest: str, path: Path, context: ReadContext) -> str:
    raise Panic("the borrow checker is sad")


def _print(rest: str, path: Path, context: ReadContext) -> str:
    print("x" * 100_000, flush=True)
    print("y" * 100_000, file=sys.stderr, flush=True)
    os.write(1, b"z" * 100_000)
    subprocess.run([sys.executable, "-c", "print('w' * 100_000); input()"], check=False, capture_output=False)
    return "printed"


def _recurse(rest: str, path: Path, context: ReadContext) -> str:
    return _recurse(rest, path, context)


def _pid(rest: str, path: Path, context: ReadContext) -> str:
    return str(os.getpid())


def _grandchild(rest: str, path: Path, context: ReadContext) -> str:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(rest).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)
    return ""


def _backtrack(rest: str, path: Path, context: ReadContext) -> str:
    # `re` holds the interpreter's lock: no other thread of the process runs.
    Path(rest).write_text(str(os.getpid()))
    return str(re.match(r"(a*)*b", "a" * 40))


def _ocr(rest: str, path: Path, context: ReadContext) -> str:
    assert context.ocr is not None
    said = [line.text for size in rest.split() for line in context.ocr.read(bytes(int(size)))]
    return ", ".join(said)


def _ocr_and_abort(rest: str, path: Path, context: ReadContext) -> str:
    _ocr(rest, path, context)
    os.abort()


def _note_and_sleep(rest: str, path: Path, context: ReadContext) -> str:
    with (context.root / ".log").open("a") as log:
        log.write("read\n")
    return _sleep(rest, path, context)


def _grow(rest: str, path: Path, context: ReadContext) -> str:
    with path.open("a") as file:
        file.write(" and more")
    return "grown"


def _vanish(rest: str, path: Path, context: ReadContext) -> str:
    path.unlink()
    return path.read_text()


class Sad(SourceError):
    """An error that only this package knows."""


def _foreign(rest: str, path: Path, context: ReadContext) -> str:
    raise Sad("It is sad.", fix="Cheer it up.")


class Word(str):
    """Text as some parsers give it."""


def _words(rest: str, path: Path, context: ReadContext) -> str:
    return Word("a word")


def _extra(rest: str, path: Path, context: ReadContext) -> str:
    require(rest, extra="magic", feature="Reading magic")
    return "magic"


_ACTS = {
    "sleep": _sleep,
    "meet": _meet,
    "tell": _sleep_and_tell,
    "allocate": _allocate,
    "map": _map,
    "keep": _keep,
    "allocate-unless-alone": _allocate_unless_alone,
    "abort": _abort,
    "grow-and-abort": _grow_and_abort,
    "abort-unless-alone": _abort_unless_alone,
    "exit": _exit,
    "sys-exit": _sys_exit,
    "panic": _panic,
    "print": _print,
    "recurse": _recurse,
    "pid": _pid,
    "grandchild": _grandchild,
    "backtrack": _backtrack,
    "ocr": _ocr,
    "ocr-and-abort": _ocr_and_abort,
    "note-and-sleep": _note_and_sleep,
    "grow": _grow,
    "vanish": _vanish,
    "extra": _extra,
    "foreign": _foreign,
    "words": _words,
}
