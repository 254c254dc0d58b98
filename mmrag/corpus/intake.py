"""Turn how reading a file went into what the store keeps: a record with one state, and items."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmrag.core.errors import Empty, MmragError, SourceError
from mmrag.core.protocols import Captioner, Ocr, Reader, Splitter
from mmrag.core.reading import Blob, Reading
from mmrag.core.types import Item, Source
from mmrag.corpus.captions import Captions
from mmrag.corpus.plan import Hashed, Stamp, Versions
from mmrag.corpus.read_file import Failure, Outcome, failure_of, identity_of
from mmrag.corpus.readers import formats_of
from mmrag.store import SourceRecord, State


@dataclass(frozen=True, slots=True)
class Intake:
    """A source as it goes into the store."""

    record: SourceRecord
    items: tuple[Item, ...] = ()
    blobs: tuple[Blob, ...] = ()


class Intaker:
    """Splits what was read, and says in one state how it went.

    Args:
        sign: Returns what marks the present state of a file that a source depends on.
        captions: Describes pictures; None leaves them as they are.
    """

    def __init__(
        self,
        splitter: Splitter,
        versions: Versions,
        sign: Callable[[str], str],
        captions: Captions | None = None,
    ) -> None:
        self._splitter = splitter
        self._sign = sign
        self._captions = captions
        self.versions = versions

    def take(self, file: Hashed, outcome: Outcome) -> Intake:
        """Split what a file gave; every failure of it becomes a state with a reason.

        Raises:
            ModelError: What describes pictures or counts tokens cannot run.
        """
        result = outcome.result
        if isinstance(result, Failure):
            return self._failed(file, outcome, result)
        if result.read_with:
            return self._read_with(file, outcome, result)
        source = Source(file.found.id, file.digest, file.found.size, outcome.media_type)
        if self._captions is not None:
            result = self._captions.add(source, result)
        try:
            items = unique(self._splitter.split(source, outcome.reader, result))
            if not items and not result.problems:
                raise Empty("It holds nothing to index.", fix="Nothing to do, or list it in .mmragignore.")
        except Exception as error:
            # A bug that one file shows must not end the run.
            if isinstance(error, MmragError) and not isinstance(error, SourceError):
                # What counts tokens cannot run: no file is to blame, and none may lose its items for it.
                raise
            return self._failed(file, outcome, failure_of(error, f"The splitter {self._splitter.identity}"))
        return self._read(file, outcome, result, items)

    def _failed(self, file: Hashed, outcome: Outcome, failure: Failure) -> Intake:
        # A picture or scan that failed may well succeed with another engine.
        missed = outcome.media_type.startswith("image/") or outcome.media_type == "application/pdf"
        stamp = Stamp(
            outcome.reader or self.versions.unread,
            ocr=self.versions.ocr_stamp if missed else "",
            needs=failure.needs,
            again=failure.again,
        )
        said = failure.state, failure.reason, failure.fix
        return Intake(record_of(file, outcome.media_type, stamp, *said))

    def _read_with(self, file: Hashed, outcome: Outcome, reading: Reading) -> Intake:
        other = reading.read_with
        record = record_of(
            file,
            outcome.media_type,
            Stamp(outcome.reader),
            "skipped",
            f"It is read with {other}.",
            "Nothing to do.",
        )
        return Intake(replace(record, depends=self._signed((*reading.depends, other))))

    def _read(self, file: Hashed, outcome: Outcome, reading: Reading, items: tuple[Item, ...]) -> Intake:
        shown = outcome.used_ocr or _wants_ocr(reading, items)
        stamp = Stamp(outcome.reader, self.versions.ocr_stamp if shown else "", again=outcome.changed)
        problems = list(reading.problems)
        state: State = "indexed"
        fix = ""
        if outcome.changed:
            problems.append("It changed while it was read.")
            fix = "Run the sync again."
        if problems:
            state = "partial" if items else "failed"
            if not items:
                fix = fix or "Mend that, or list the file in .mmragignore."
        record = record_of(file, outcome.media_type, stamp, state, " ".join(problems), fix)
        record = replace(
            record,
            splitter=self._splitter.identity,
            pages=reading.pages,
            depends=self._signed(reading.depends),
            items=len(items),
            title=reading.title,
        )
        return Intake(record, items, reading.blobs if items else ())

    def _signed(self, paths: Sequence[str]) -> dict[str, str]:
        return {path: self._sign(path) for path in paths}


def versions(
    readers: Sequence[Reader], splitter: Splitter, ocr: Ocr | None, captioner: Captioner | None = None
) -> Versions:
    """Return what would read and split sources now."""
    by_type = {media_type: identity_of(reader) for media_type, (reader, _) in formats_of(readers).items()}
    seen = [engine.identity for engine in (ocr, captioner) if engine is not None]
    return Versions(by_type, splitter.identity, " ".join(seen))


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
