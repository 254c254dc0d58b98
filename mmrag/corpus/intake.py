"""Read one file into items, and say in one state how that went."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmrag.core.errors import Empty, MmragError, SourceError, Unsupported
from mmrag.core.protocols import Ocr, OcrLine, ReadContext, Reader, Splitter
from mmrag.core.reading import Blob, Reading
from mmrag.core.types import Item, Source
from mmrag.corpus.plan import Hashed, Stamp, Versions
from mmrag.corpus.scan import Found, unreadable
from mmrag.store import SourceRecord, State

UNKNOWN_TYPE = "application/octet-stream"
_AGAIN = "Run the sync again."


@dataclass(frozen=True, slots=True)
class Intake:
    """A source as it goes into the store."""

    record: SourceRecord
    items: tuple[Item, ...] = ()
    blobs: tuple[Blob, ...] = ()


class Intaker:
    """Reads files one after another with the same readers, splitter and OCR engine.

    Args:
        detect: Tells a file's media type, or raises a SourceError.
        sign: Returns what marks the present state of a file that a source depends on.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        splitter: Splitter,
        context: ReadContext,
        detect: Callable[[Path], str],
        sign: Callable[[str], str],
    ) -> None:
        self._readers = {
            media_type: reader for reader in readers for media_type in sorted(reader.media_types)
        }
        self._splitter = splitter
        self._detect = detect
        self._sign = sign
        self._ocr = _WatchedOcr(context.ocr) if context.ocr else None
        self._context = replace(context, ocr=self._ocr)
        self.versions = versions(readers, splitter, context.ocr)

    def read(self, file: Hashed) -> Intake:
        """Read and split a file; every failure of it becomes a state with a reason."""
        found = file.found
        media_type, stamp = UNKNOWN_TYPE, Stamp(self.versions.unread)
        try:
            media_type = self._detect(found.path)
            reader = self._readers.get(media_type)
            if reader is None:
                raise Unsupported(f"No reader takes {media_type}.", fix="List it in .mmragignore.")
            stamp = Stamp(identity_of(reader))
            source = Source(found.id, file.digest, found.size, media_type)
            calls = self._ocr.calls if self._ocr else 0
            reading = reader.read(found.path, source, self._context)
            items = unique(self._splitter.split(source, stamp.reader, reading))
            if (self._ocr and self._ocr.calls > calls) or _wants_ocr(reading, items):
                stamp = replace(stamp, ocr=self.versions.ocr_stamp)
            if not items and not reading.problems:
                raise Empty("It holds nothing to index.", fix="Nothing to do, or list it in .mmragignore.")
        except Exception as error:  # noqa: BLE001 - a reader's bug on one file must not end the run
            state, reason, fix, again = outcome(error, stamp.reader)
            stamp = replace(
                stamp, again=again, ocr=self.versions.ocr_stamp if self._missed(media_type) else ""
            )
            return Intake(record_of(file, media_type, stamp, state, reason, fix))
        return self._taken(file, media_type, stamp, reading, items)

    def _missed(self, media_type: str) -> bool:
        # A picture or scan that failed may well succeed with another engine.
        return media_type.startswith("image/") or media_type == "application/pdf"

    def _taken(
        self, file: Hashed, media_type: str, stamp: Stamp, reading: Reading, items: tuple[Item, ...]
    ) -> Intake:
        state: State = "indexed"
        problems = list(reading.problems)
        fix = ""
        if not _is_still(file.found):
            problems.append("It changed while it was read.")
            stamp, fix = replace(stamp, again=True), _AGAIN
        if problems:
            state = "partial" if items else "failed"
            if not items:
                fix = fix or "Mend that, or list the file in .mmragignore."
        record = record_of(file, media_type, stamp, state, " ".join(problems), fix)
        record = replace(
            record,
            splitter=self._splitter.identity,
            pages=reading.pages,
            depends={path: self._sign(path) for path in reading.depends},
            items=len(items),
            title=reading.title,
        )
        return Intake(record, items, reading.blobs if items else ())


def versions(readers: Sequence[Reader], splitter: Splitter, ocr: Ocr | None) -> Versions:
    """Return what would read and split sources now."""
    by_type = {media_type: identity_of(reader) for reader in readers for media_type in reader.media_types}
    return Versions(by_type, splitter.identity, ocr.identity if ocr else "")


def identity_of(reader: Reader) -> str:
    """Return a reader's name and version: 'pdf/1'."""
    return f"{reader.name}/{reader.version}"


def record_of(
    file: Hashed, media_type: str, stamp: Stamp, state: State, reason: str = "", fix: str = ""
) -> SourceRecord:
    """Return the record of a source without items."""
    found = file.found
    return SourceRecord(
        source=Source(found.id, file.digest, found.size, media_type),
        mtime_ns=found.mtime_ns,
        state=state,
        reason=reason,
        fix=fix,
        reader=str(stamp),
        splitter="",
        pages=(),
        depends={},
        items=0,
        title="",
    )


def outcome(error: Exception, reader: str) -> tuple[State, str, str, bool]:
    """Turn what reading a file raised into state, reason, fix and whether to try again."""
    if isinstance(error, Unsupported | Empty):
        # Empty files are no trouble: a Python tree is full of them.
        return "skipped", error.message, error.fix, False
    if isinstance(error, MmragError):
        # What is missing on this machine may be there at the next sync.
        return "failed", error.message, error.fix, not isinstance(error, SourceError)
    if isinstance(error, FileNotFoundError):
        return "failed", "It was deleted while it was read.", _AGAIN, True
    if isinstance(error, OSError) and error.errno is not None:
        problem = unreadable(error)
        return problem.state, problem.reason, problem.fix, True
    said = " ".join(str(error).split())[:200]
    reason = f"The reader {reader} broke: {type(error).__name__}{': ' if said else ''}{said}"
    return "failed", reason, "Report it with the file, or list the file in .mmragignore.", False


def unique(items: Sequence[Item]) -> tuple[Item, ...]:
    """Leave out items that repeat another one's id: same words at the same place."""
    return tuple({item.id: item for item in reversed(items)}.values())[::-1]


def signature(root: Path, path: str, digests: Mapping[str, str]) -> str:
    """Return what marks the state of a file: its digest, else size and time, '' when it is missing."""
    if path in digests:
        return digests[path]
    try:
        status = os.stat(root / path)
    except (OSError, ValueError):
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _wants_ocr(reading: Reading, items: Sequence[Item]) -> bool:
    return any(page.ocr or not page.text for page in reading.pages) or any(
        item.modality == "image" for item in items
    )


def _is_still(found: Found) -> bool:
    try:
        status = os.stat(found.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (found.size, found.mtime_ns)


class _WatchedOcr:
    """Counts what it passes on, to know which sources depend on the engine."""

    def __init__(self, ocr: Ocr) -> None:
        self._ocr = ocr
        self.identity = ocr.identity
        self.calls = 0

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        self.calls += 1
        return self._ocr.read(image)
