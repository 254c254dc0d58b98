"""Carry out a plan: embed what is missing of what is read, write, commit as it goes."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice

from mmrag.core.errors import InputTooLong, MmragError, ModelError, StoreError
from mmrag.core.fields import embedding_key
from mmrag.core.media import kind_of
from mmrag.core.protocols import Embedded
from mmrag.core.reading import Reading
from mmrag.core.types import Item, Source
from mmrag.corpus.embedding import Embedding, joined
from mmrag.corpus.intake import Intake, Intaker, record_of
from mmrag.corpus.ocr import OcrMemory
from mmrag.corpus.plan import Hashed, Move, Plan, Stamp
from mmrag.corpus.read_file import UNKNOWN_TYPE, Outcome
from mmrag.corpus.report import Progress, Speed
from mmrag.corpus.workers import AtHand, ReadFiles
from mmrag.store import SourceRecord, Writer

MAX_WAITING = 2048
"""Passages that may wait while more files are taken: the passages of a long book or two, 4 MB of text."""
COMMIT_NS = 2_000_000_000
WRITTEN_ITEMS = 64
"""So many vectors are written at a time."""


@dataclass(slots=True)
class _Waiting:
    """A source that waits for vectors, with the items that may lack them by their keys."""

    intake: Intake
    keys: list[str]
    left: dict[str, Item]


class Applier:
    """One run over a plan; `read`, `embedded` and `lost` count its items.

    Args:
        writer: Where everything goes.
        embedding: Embeds what has no vectors yet.
        records: What the store held before.
        memory: Hands over what was read in pictures, with each commit.
        tell: Hears how far the run is.
        on_commit: Hears each new generation.
        clock: Nanoseconds since 1970.

    `notes` counts what embedders said of single items, such as words that were cut.
    """

    def __init__(
        self,
        writer: Writer,
        embedding: Embedding,
        records: Sequence[SourceRecord],
        memory: OcrMemory,
        tell: Callable[[Progress], None],
        on_commit: Callable[[int], None],
        clock: Callable[[], int],
    ) -> None:
        self.read = 0
        self.embedded = 0
        self.lost = 0
        self.speeds: dict[str, Speed] = {}
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.notes: Counter[str] = Counter()
        self._writer = writer
        self._embedding = embedding
        self._failed: dict[str, MmragError] = {}
        self._records = {record.source.id: record for record in records}
        self._memory = memory
        self._tell = tell
        self._on_commit = on_commit
        self._clock = clock
        self._committed_ns = clock()
        self._generation = writer.commit()
        self._waiting: list[_Waiting] = []
        self._progress = Progress("read", 0, 0)
        self._bytes_done = 0

    def apply(self, plan: Plan, intaker: Intaker, read: ReadFiles) -> None:
        """Do all that a plan asks for; the cheap parts first."""
        self._settle(plan, intaker)
        self._commit()
        todo = plan.to_read
        size = sum(file.found.size for file in todo)
        self._progress = Progress("read", 0, len(todo), bytes_total=size)
        for event in read(todo):
            if isinstance(event, AtHand):
                self._show(event)
            else:
                self._take(*event, intaker)
            # A large reading must not stay until the next one is there.
            del event
            # One batch, then the next file is taken: a small one need not wait for a large one.
            if self._left() >= self._embedding.batch_items or self._is_due():
                self._embed_batch()
            while self._left() >= MAX_WAITING:
                self._embed_batch()
        while self._waiting:
            self._embed_batch()
        self._commit()
        self._tell(Progress("read", len(todo), len(todo), "", self.read, size, size))

    @contextmanager
    def keeping_what_is_done(self) -> Iterator[None]:
        """Commit the sources that are complete when the run is stopped or breaks."""
        try:
            yield
        except BaseException:
            # Each change of the writer is whole or absent; a full disk keeps the last commit.
            with suppress(StoreError):
                self._commit()
            raise

    def _settle(self, plan: Plan, intaker: Intaker) -> None:
        for source_id in plan.removed:
            self._writer.remove(source_id)
        for move in plan.moved:
            self._writer.move(move.old.source.id, _moved(move))
        for file in plan.touched:
            record = self._records[file.found.id]
            size = replace(record.source, size=file.found.size)
            self._writer.update(replace(record, source=size, mtime_ns=file.found.mtime_ns))
        for found in plan.blocked:
            if found.problem:
                stamp = Stamp(intaker.versions.unread)
                problem = found.problem
                record = record_of(
                    Hashed(found, ""), UNKNOWN_TYPE, stamp, problem.state, problem.reason, problem.fix
                )
                self._writer.put(record, [], [])

    def _show(self, at_hand: AtHand) -> None:
        done = self._progress
        # A file that is read a second time begins anew; the bar does not run backwards.
        read_bytes = max(done.bytes_done, self._bytes_done + at_hand.read_bytes)
        self._progress = replace(
            done, source=at_hand.source, page=at_hand.page, pages=at_hand.pages, bytes_done=read_bytes
        )
        self._tell(self._progress)

    def _take(self, file: Hashed, outcome: Outcome, intaker: Intaker) -> None:
        self._bytes_done += file.found.size
        done = self._progress
        read_bytes = max(done.bytes_done, self._bytes_done)
        self._count(file, outcome)
        with self._timing("split"):
            intake = intaker.take(file, outcome)
        self.read += len(intake.items)
        self._progress = replace(done, done=done.done + 1, items=self.read, bytes_done=read_bytes)
        keys = [embedding_key(item) for item in intake.items]
        first: dict[str, Item] = {}
        for key, item in zip(keys, intake.items, strict=True):
            first.setdefault(key, item)
        missing = self._writer.missing(keys) if keys else ()
        left = {key: first[key] for key in missing if key not in self._failed}
        self._waiting.append(_Waiting(intake, keys, left))
        if not left:
            self._put_complete()

    def _count(self, file: Hashed, outcome: Outcome) -> None:
        kind = kind_of(outcome.media_type)
        so_far = self.speeds.get(kind, Speed())
        pages = len(outcome.result.pages) if isinstance(outcome.result, Reading) else 0
        self.speeds[kind] = Speed(
            so_far.files + 1,
            so_far.pages + pages,
            so_far.bytes + file.found.size,
            so_far.seconds + outcome.seconds,
        )

    def _left(self) -> int:
        return sum(len(one.left) for one in self._waiting)

    def _embed_batch(self) -> None:
        """Embed one batch, of the sources first that lack the fewest vectors, and write what is complete."""
        batch: dict[str, Item] = {}
        for one in sorted(self._waiting, key=lambda one: len(one.left)):
            for key, item in one.left.items():
                if len(batch) == self._embedding.batch_items:
                    break
                batch.setdefault(key, item)
        if batch:
            blobs = [blob for one in self._waiting for blob in one.intake.blobs]
            results = zip(batch, self._embedding.embed(list(batch.values()), blobs), strict=True)
            while some := self._next_results(results):
                # Written before all are done: a slow model must not lose minutes when it is stopped.
                self._write_vectors(some)
                self._put_complete()
                self._commit_if_due()
        self._commit_if_due()

    def _next_results(self, results: Iterator[tuple[str, Embedded]]) -> list[tuple[str, Embedded]]:
        with self._timing("embed"):
            return list(islice(results, WRITTEN_ITEMS))

    def _write_vectors(self, results: Sequence[tuple[str, Embedded]]) -> None:
        good = [(key, one) for key, one in results if one.vectors is not None]
        with self._timing("write"):
            self._writer.add_vectors([key for key, _ in good], joined([one for _, one in good]))
        for key, one in results:
            self.notes.update(one.notes)
            if one.error is not None:
                self._failed[key] = one.error
            for waiting in self._waiting:
                waiting.left.pop(key, None)
        self.embedded += len(good)
        total = self.embedded + self._left()
        self._tell(replace(self._progress, stage="embed", done=self.embedded, total=total))

    def _put_complete(self) -> None:
        # Rows follow the order in which sources become complete, which differs from run to run: of items
        # with exactly the same score, another one may be first after a rebuild.
        complete = [one for one in self._waiting if not one.left]
        self._waiting = [one for one in self._waiting if one.left]
        for one in complete:
            intake, keys = self._without_failed(one)
            # A retry that ends as before writes nothing, so that the generation stays.
            if intake.items or intake.record != self._records.get(intake.record.source.id):
                with self._timing("write"):
                    self._writer.put(intake.record, intake.items, keys, intake.blobs)
            self._commit_if_due()

    def _without_failed(self, one: _Waiting) -> tuple[Intake, list[str]]:
        """Return a source without the items that no vector could be made of, and their state in words."""
        lost = [self._failed[key] for key in one.keys if key in self._failed]
        if not lost:
            return one.intake, one.keys
        kept = [i for i, key in enumerate(one.keys) if key not in self._failed]
        record = one.intake.record
        if any(isinstance(error, ModelError) and not isinstance(error, InputTooLong) for error in lost):
            # What the model or its server failed at may succeed at the next sync.
            record = replace(record, reader=str(replace(Stamp.of(record.reader), again=True)))
        self.lost += len(lost)
        told = f"{len(lost)} of {len(one.keys)} items could not be embedded: {lost[0].message}"
        record = replace(
            record,
            state="partial" if kept else "failed",
            reason=" ".join(filter(None, [record.reason, told])),
            fix=record.fix or lost[0].fix,
            items=len(kept),
        )
        items = tuple(one.intake.items[i] for i in kept)
        intake = Intake(record, items, one.intake.blobs if items else ())
        return intake, [one.keys[i] for i in kept]

    def _commit_if_due(self) -> None:
        if self._is_due():
            self._commit()

    def _is_due(self) -> bool:
        return self._clock() - self._committed_ns >= COMMIT_NS

    def _commit(self) -> None:
        with self._timing("write"):
            self._memory.write(self._writer)
            generation = self._writer.commit()
        self._committed_ns = self._clock()
        if generation != self._generation:
            self._generation = generation
            self._on_commit(generation)

    @contextmanager
    def _timing(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] += time.perf_counter() - started


def _moved(move: Move) -> SourceRecord:
    old, found = move.old, move.new.found
    source = Source(found.id, move.new.digest, found.size, old.source.media_type)
    # Until it is read again under its new name, the record says that this is still to be done.
    stamp = replace(Stamp.of(old.reader), again=True) if move.read else old.reader
    return replace(old, source=source, mtime_ns=found.mtime_ns, reader=str(stamp))
