"""Carry out a plan: read, embed what is missing, write, commit as it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from mmrag.core.errors import StoreError
from mmrag.core.fields import embedding_key, embedding_text
from mmrag.core.protocols import Embedder
from mmrag.core.types import Item, Part, Source
from mmrag.corpus.intake import UNKNOWN_TYPE, Intake, Intaker, record_of
from mmrag.corpus.plan import Hashed, Move, Plan, Stamp
from mmrag.corpus.report import Progress
from mmrag.store import SourceRecord, Writer

BATCH_ITEMS = 64
"""Passages gathered over several sources before the embedder runs: enough to sort by length, and
about a second's work on two cores."""
COMMIT_NS = 2_000_000_000


class Applier:
    """One run over a plan; `read` and `embedded` count its items."""

    def __init__(
        self,
        writer: Writer,
        embedder: Embedder,
        records: Sequence[SourceRecord],
        tell: Callable[[Progress], None],
        on_commit: Callable[[int], None],
        clock: Callable[[], int],
    ) -> None:
        self.read = 0
        self.embedded = 0
        self._writer = writer
        self._embedder = embedder
        self._records = {record.source.id: record for record in records}
        self._tell = tell
        self._on_commit = on_commit
        self._clock = clock
        self._committed_ns = clock()
        self._generation = writer.commit()
        self._waiting: list[Intake] = []

    def apply(self, plan: Plan, intaker: Intaker) -> None:
        """Do all that a plan asks for; the cheap parts first."""
        self._settle(plan, intaker)
        self._commit()
        todo = plan.to_read
        for done, file in enumerate(todo):
            self._tell(Progress("read", done, len(todo), file.found.id, self.read))
            intake = intaker.read(file)
            self.read += len(intake.items)
            self._waiting.append(intake)
            if sum(len(one.items) for one in self._waiting) >= BATCH_ITEMS or self._is_due():
                self._flush()
        self._flush()
        self._commit()
        self._tell(Progress("read", len(todo), len(todo), "", self.read))

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

    def _flush(self) -> None:
        """Embed what has no vectors yet, then write the waiting sources."""
        keys = [[embedding_key(item) for item in intake.items] for intake in self._waiting]
        first: dict[str, Item] = {}
        for intake, own in zip(self._waiting, keys, strict=True):
            for key, item in zip(own, intake.items, strict=True):
                first.setdefault(key, item)
        missing = self._writer.missing(list(first)) if first else []
        for start in range(0, len(missing), BATCH_ITEMS):
            batch = missing[start : start + BATCH_ITEMS]
            embeddings = self._embedder.embed_items([self._view(first[key]) for key in batch])
            self._writer.add_vectors(batch, embeddings)
            self.embedded += len(batch)
            self._tell(Progress("embed", start + len(batch), len(missing), "", self.read))
            self._commit_if_due()
        waiting, self._waiting = self._waiting, []
        for intake, own in zip(waiting, keys, strict=True):
            self._put(intake, own)
            self._commit_if_due()

    def _put(self, intake: Intake, keys: Sequence[str]) -> None:
        # A retry that ends as before writes nothing, so that the generation stays.
        if intake.items or intake.record != self._records.get(intake.record.source.id):
            self._writer.put(intake.record, intake.items, keys, intake.blobs)

    def _view(self, item: Item) -> Item:
        """Return an item as the embedder may take it: its words, where its media is too much."""
        if {part.modality for part in item.parts} <= self._embedder.modalities:
            return item
        return replace(item, parts=(Part("text", text=embedding_text(item)),), metadata={})

    def _commit_if_due(self) -> None:
        if self._is_due():
            self._commit()

    def _is_due(self) -> bool:
        return self._clock() - self._committed_ns >= COMMIT_NS

    def _commit(self) -> None:
        generation = self._writer.commit()
        self._committed_ns = self._clock()
        if generation != self._generation:
            self._generation = generation
            self._on_commit(generation)


def _moved(move: Move) -> SourceRecord:
    old, found = move.old, move.new.found
    source = Source(found.id, move.new.digest, found.size, old.source.media_type)
    # Until it is read again under its new name, the record says that this is still to be done.
    stamp = replace(Stamp.of(old.reader), again=True) if move.read else old.reader
    return replace(old, source=source, mtime_ns=found.mtime_ns, reader=str(stamp))
