"""Read a sample of a folder's files with the real readers: some of each kind and size, within a time."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mmrag.core.identity import digest_file
from mmrag.core.media import kind_of
from mmrag.core.protocols import Ocr, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Item
from mmrag.corpus.intake import Intake, Intaker
from mmrag.corpus.ocr import OcrMemory
from mmrag.corpus.plan import Hashed
from mmrag.corpus.read_file import ReadTools, cost_by
from mmrag.corpus.readers import Detector
from mmrag.corpus.scan import Found
from mmrag.corpus.workers import (
    AtHand,
    PoolOptions,
    machine_memory,
    open_readers,
    usable_cores,
    usual_workers,
)

_FIRST, _GROWTH = 2, 4
"""Files of each part in the first round, and how many times as many in each further one."""

_START_S = 0.6
"""What starting worker processes takes before the first file is read."""

_PATIENCE = 3.0
"""A kind of which nothing is known yet may take so many times as long."""

KEPT_ITEMS = 20_000
KEPT_BYTES = 300_000_000
"""What of the sample is kept in memory, to embed and to write some of it."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Files that are alike: of one kind, and of sizes within a factor of eight."""

    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading one sampled file gave.

    Args:
        items: How many items; none for a file that cannot be read.
        pictures: How many of them the embedder sees as pictures.
        is_warm: Whether its times are without that of loading the OCR engine, or what the splitter needs.

    Units:
        seconds in the process that read, and in this one, which splits.
    """

    stratum: Stratum
    bytes: int
    pages: int
    items: int
    pictures: int
    read_s: float
    split_s: float
    is_warm: bool


@dataclass(slots=True)
class Sample:
    """What was read of a folder.

    Args:
        strata: All files that are to be read, by what is alike.
        seen: The sampled ones.
        intakes: What became of some of them, with their strata.
        hash_s_a_byte: What digests take.
        seconds: What it took.
        unfinished: Files that were chosen and still read when the time was up.
    """

    strata: Mapping[Stratum, Sequence[Found]]
    seen: list[Seen] = field(default_factory=list)
    intakes: list[tuple[Stratum, Intake]] = field(default_factory=list)
    hash_s_a_byte: float = 0.0
    seconds: float = 0.0
    unfinished: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """What reads and splits files, as a sync has it; `sees` tells items that are embedded as pictures."""

    folder: Path
    readers: tuple[Reader, ...]
    ocr: Ocr | None
    memory: OcrMemory
    intaker: Intaker
    sees: Callable[[Item], bool]

    @property
    def tools(self) -> ReadTools:
        """The same, for the processes that read."""
        return ReadTools(self.readers, Detector(self.readers), self.folder, ReadLimits(), self.ocr)


def strata_of(files: Sequence[Found], readers: Sequence[Reader]) -> dict[Stratum, list[Found]]:
    """Group files by kind, as their suffix tells it, and by size."""
    kinds = {
        suffix: kind_of(known.media_type)
        for reader in readers
        for known in reader.formats
        for suffix in known.suffixes
    }
    found: defaultdict[Stratum, list[Found]] = defaultdict(list)
    for file in files:
        suffix = file.path.suffix.lower()
        found[Stratum(kinds.get(suffix, "other"), (file.size.bit_length() + 2) // 3)].append(file)
    return dict(found)


def workers_for(files: Sequence[Found], readers: Sequence[Reader]) -> int:
    """Return how many processes a sync of all files will read with, if nothing else is said."""
    most = usual_workers(usable_cores(), machine_memory())
    cost = sum(map(cost_by(readers), (Hashed(file, "") for file in files)))
    return max(1, min(most, len(files), 1 + cost // PoolOptions().worth_a_worker))


def read_sample(
    strata: Mapping[Stratum, Sequence[Found]], desk: Desk, *, seconds: float, seed: int
) -> Sample:
    """Read files of every stratum, in rounds that grow as long as there is time.

    Args:
        strata: All files.
        desk: What reads.
        seconds: How long; a file that is read when they are over is left, unless it is the first of its kind.
        seed: Fixes which files are drawn.
    """
    draw = random.Random(seed)
    left = {stratum: draw.sample(list(files), len(files)) for stratum, files in strata.items()}
    sample, clock = Sample(strata), _Clock(seconds)
    started, each = time.monotonic(), _FIRST
    while any(left.values()):
        chosen = _choose(left, each, sample, clock.left)
        if not chosen:
            break
        _read_round(chosen, desk, sample, clock)
        each *= _GROWTH
        if clock.left <= _START_S:
            break
    sample.seconds = time.monotonic() - started
    return sample


def _choose(
    left: dict[Stratum, list[Found]], each: int, sample: Sample, seconds: float
) -> dict[Stratum, list[Found]]:
    """Take the next files of every stratum: as many as the time suffices for, as far as it is known."""
    cost = {stratum: _mean_s(stratum, sample.seen) for stratum in left}
    workers = usual_workers(usable_cores(), machine_memory())
    wanted = sum(min(each, len(files)) * (cost[stratum] or 0.0) for stratum, files in left.items()) / workers
    fit = min(1.0, max(0.0, seconds - _START_S) / wanted) if wanted else 1.0
    chosen = {}
    for stratum, files in left.items():
        # Another file of what is dear is not begun when it would not come to its end.
        count = min(len(files), int(each * fit) if cost[stratum] is not None else each)
        if count:
            chosen[stratum], left[stratum] = files[:count], files[count:]
    return chosen


def _mean_s(stratum: Stratum, seen: Sequence[Seen]) -> float | None:
    found = [one.read_s + one.split_s for one in seen if one.stratum == stratum]
    return sum(found) / len(found) if found else None


@dataclass(slots=True)
class _Clock:
    """The time for reading, which begins with the first file: starting processes does not count."""

    seconds: float
    started: float | None = None

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.started if self.started is not None else 0.0)

    def is_over(self, *, knows_all: bool) -> bool:
        return self.left <= (0.0 if knows_all else self.seconds * (1 - _PATIENCE))


def _read_round(chosen: Mapping[Stratum, Sequence[Found]], desk: Desk, sample: Sample, clock: _Clock) -> None:
    strata = {file.id: stratum for stratum, files in chosen.items() for file in files}
    hashed = _hashed([file for files in chosen.values() for file in files], sample)
    if not hashed:
        return
    done, cold = 0, usual_workers(usable_cores(), machine_memory())
    with open_readers(desk.tools, desk.memory, None) as read:
        for event in read(hashed):
            if not isinstance(event, AtHand):
                file, outcome = event
                done += 1
                clock.started = clock.started or time.monotonic() - outcome.seconds
                started = time.perf_counter()
                intake = desk.intaker.take(file, outcome)
                split_s = time.perf_counter() - started
                stratum, result = strata[file.found.id], outcome.result
                seen = Seen(
                    stratum=stratum,
                    bytes=file.found.size,
                    pages=len(result.pages) if isinstance(result, Reading) else 0,
                    items=len(intake.items),
                    pictures=sum(map(desk.sees, intake.items)),
                    read_s=outcome.seconds,
                    split_s=split_s,
                    is_warm=bool(sample.seen) and (not outcome.used_ocr or cold <= 0),
                )
                # The first picture of each process also waits for the engine to be loaded.
                cold -= outcome.used_ocr
                sample.seen.append(seen)
                _keep(intake, stratum, sample)
            if clock.is_over(knows_all=_knows_all(sample)):
                break
    sample.unfinished += len(hashed) - done


def _knows_all(sample: Sample) -> bool:
    """Whether one file of every kind has been read."""
    return {stratum.kind for stratum in sample.strata} <= {one.stratum.kind for one in sample.seen}


def _hashed(files: Sequence[Found], sample: Sample) -> list[Hashed]:
    started, size, found = time.perf_counter(), 0, []
    for file in files:
        with suppress(OSError):
            found.append(Hashed(file, digest_file(file.path)))
            size += file.size
    if size:
        sample.hash_s_a_byte = (time.perf_counter() - started) / size
    return found


def _keep(intake: Intake, stratum: Stratum, sample: Sample) -> None:
    items = sum(len(kept.items) for _, kept in sample.intakes)
    weight = sum(len(blob.data) for _, kept in sample.intakes for blob in kept.blobs)
    weight += sum(len(blob.data) for blob in intake.blobs)
    if intake.items and items + len(intake.items) <= KEPT_ITEMS and weight <= KEPT_BYTES:
        sample.intakes.append((stratum, intake))
