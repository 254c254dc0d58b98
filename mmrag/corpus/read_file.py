"""Read one file with the reader that takes it; whatever goes wrong becomes a state with its reason."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmrag.core.errors import Empty, MissingExtra, MmragError, SourceError, Unsupported
from mmrag.core.identity import digest_file
from mmrag.core.protocols import Ocr, OcrLine, ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Source
from mmrag.corpus.ocr import CachedOcr
from mmrag.corpus.plan import Hashed
from mmrag.corpus.readers import formats_of
from mmrag.corpus.scan import unreadable
from mmrag.store import State

UNKNOWN_TYPE = "application/octet-stream"
IGNORE_FIX = "Report it with the file, or list the file in .mmragignore."
_AGAIN = "Run the sync again."


@dataclass(frozen=True, slots=True)
class ReadTools:
    """What reading takes beside the file; a worker process gets it pickled.

    Args:
        detect: Tells a file's media type, or raises a SourceError.
        root: The corpus folder.
    """

    readers: tuple[Reader, ...]
    detect: Callable[[Path], str]
    root: Path
    limits: ReadLimits
    ocr: Ocr | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file could not be read.

    Args:
        again: The next sync tries once more.
        needs: The package that is missing: a sync that finds it tries once more.
        out_of_memory: A process that has read nothing else yet may manage.
    """

    state: State
    reason: str
    fix: str
    again: bool = False
    needs: str = ""
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How reading one file went.

    Args:
        reader: "pdf/1"; '' when no reader was found.
        used_ocr: The engine was asked.
        changed: The file was written to meanwhile.

    Units:
        seconds of wall time in the process that read.
    """

    media_type: str
    reader: str
    result: Reading | Failure
    used_ocr: bool = False
    changed: bool = False
    seconds: float = 0.0


class Listener(Protocol):
    """Whom reading a file talks to: what it asks for, and how far it is."""

    def chosen(self, media_type: str, reader: str) -> None:
        """Hear what the file is, and who reads it."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Hear how many pages of how many are done."""
        ...

    def cached(self, key: str) -> bytes | None:
        """Return what an earlier reading kept under `key`."""
        ...

    def keep(self, key: str, value: bytes) -> None:
        """Keep a result that was dear to get."""
        ...


class FileReader:
    """Reads files one after another with the same tools."""

    def __init__(self, tools: ReadTools) -> None:
        self._tools = tools
        self._readers = {kind: reader for kind, (reader, _) in formats_of(tools.readers).items()}

    def read(self, file: Hashed, listener: Listener) -> Outcome:
        """Read a file; nothing but a KeyboardInterrupt comes out as an exception."""
        started = time.perf_counter()
        tools, found = self._tools, file.found
        media_type, name = UNKNOWN_TYPE, ""
        ocr = _WatchedOcr(CachedOcr(tools.ocr, listener.cached, listener.keep)) if tools.ocr else None
        result: Reading | Failure
        try:
            media_type = tools.detect(found.path)
            reader = self._readers.get(media_type)
            if reader is None:
                raise Unsupported(f"No reader takes {media_type}.", fix="List it in .mmragignore.")
            name = identity_of(reader)
            listener.chosen(media_type, name)
            source = Source(found.id, file.digest, found.size, media_type)
            context = ReadContext(tools.root, ocr, tools.limits, listener.progress)
            result = reader.read(found.path, source, context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a library's sys.exit or panic must not end the run
            result = failure_of(error, f"The reader {name}" if name else "Recognizing it")
        used = ocr is not None and ocr.calls > 0
        changed = isinstance(result, Reading) and not _is_still(file)
        return Outcome(media_type, name, result, used, changed, time.perf_counter() - started)


def identity_of(reader: Reader) -> str:
    """Return a reader's name and version: 'pdf/1'."""
    return f"{reader.name}/{reader.version}"


def failure_of(error: BaseException, who: str) -> Failure:
    """Turn what reading a file raised into a state; `who` begins the sentence on a bug."""
    if isinstance(error, Unsupported | Empty):
        # Empty files are no trouble: a Python tree is full of them.
        return Failure("skipped", error.message, error.fix)
    if isinstance(error, MissingExtra):
        cause = error.__cause__
        needs = (cause.name or "").partition(".")[0] if isinstance(cause, ModuleNotFoundError) else ""
        return Failure("skipped", error.message, error.fix, again=not needs, needs=needs)
    if isinstance(error, MmragError):
        # What is missing on this machine may be there at the next sync.
        return Failure("failed", error.message, error.fix, again=not isinstance(error, SourceError))
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return out_of_memory(who)
    if isinstance(error, RecursionError):
        reason = f"{who} gave up: the file is nested too deeply."
        return Failure("failed", reason, "Simplify the file, or list it in .mmragignore.")
    if isinstance(error, FileNotFoundError):
        return Failure("failed", "It was deleted while it was read.", _AGAIN, again=True)
    if isinstance(error, OSError) and error.errno is not None:
        problem = unreadable(error)
        return Failure(problem.state, problem.reason, problem.fix, again=True)
    said = " ".join(str(error).split())[:200]
    reason = f"{who} broke: {type(error).__name__}{': ' if said else ''}{said}"
    return Failure("failed", reason, IGNORE_FIX)


def out_of_memory(who: str, limit_bytes: int = 0) -> Failure:
    """Return the failure of a file that takes more memory than there is, or than its limit."""
    than = f"the limit of {in_words(limit_bytes)}" if limit_bytes else "there is"
    reason = f"{who} needed more memory than {than}."
    return Failure("failed", reason, "Split the file, or list it in .mmragignore.", out_of_memory=True)


def in_words(size_bytes: int) -> str:
    """Return '3 GB', '512 MB' or '20 kB'."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g} {name}"
    return f"{size_bytes} bytes"


def cost_by(readers: Sequence[Reader]) -> Callable[[Hashed], int]:
    """Return what estimates how long a file takes to read, as bytes of plain text that take as long.

    Measured on one core: prose 4 to 6 MB/s, logs and HTML 9, texts of a word a line 1; PDF
    0.4 MB/s, pictures by OCR about a second for 50 kB.
    """
    formats = [known for reader in readers for known in reader.formats]
    plain = {suffix for known in formats if not known.magic for suffix in known.suffixes}
    pictures = {s for known in formats if known.media_type.startswith("image/") for s in known.suffixes}

    def cost(file: Hashed) -> int:
        suffix = file.found.path.suffix.lower()
        weight = 1 if suffix in plain else 100 if suffix in pictures else 16
        return file.found.size * weight + 4096

    return cost


def quick_first(files: Sequence[Hashed], cost: Callable[[Hashed], int]) -> list[Hashed]:
    """Sort files so that quick ones come first; near ones, and all below 64 kB, keep their order."""
    return sorted(files, key=lambda file: (cost(file) >> 16).bit_length())


def _is_still(file: Hashed) -> bool:
    found = file.found
    try:
        status = os.stat(found.path)
        if (status.st_size, status.st_mtime_ns) != (found.size, found.mtime_ns):
            return False
        # What was put in its place with its time (cp -p) has another status time; so has a file whose
        # rights were changed or that a backup touched, which its digest tells apart.
        return found.status_ns in (0, status.st_ctime_ns) or digest_file(found.path) == file.digest
    except OSError:
        return False


class _WatchedOcr:
    """Counts what it passes on, to know which sources depend on the engine."""

    def __init__(self, ocr: Ocr) -> None:
        self._ocr = ocr
        self.identity = ocr.identity
        self.calls = 0

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        self.calls += 1
        return self._ocr.read(image)
