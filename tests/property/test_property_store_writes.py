"""Any run of changes leaves the store equal to a plain dictionary that went through the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store, verify

names = st.sampled_from(["a", "b", "x/a", "x/b", "y/a"]).map(SourceId)
contents = st.lists(st.integers(0, 12), max_size=5, unique=True)


class Writes(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store.create(self.folder, identity={})
        self.committed: dict[SourceId, list[int]] = {}
        self.pending: dict[SourceId, list[int]] = {}
        self.row_of: dict[int, tuple[str, int]] = {}
        self.seen: dict[int, set[int]] = {0: set()}
        self._open()

    def _open(self) -> None:
        self.writing = self.store.writer()
        self.writer = self.writing.__enter__()

    @rule(name=names, content=contents)
    def put(self, name: SourceId, content: list[int]) -> None:
        keys = [f"k{n}" for n in content]
        vectors = np.array([[n, 1] for n in content], dtype=np.float32).reshape(-1, 2)
        self.writer.add_vectors(keys, Embeddings.dense(vectors))
        items = [Item(ItemId(f"i{n}"), name, Span(n, n + 1), (Part("text", text=str(n)),)) for n in content]
        self.writer.put(_record(name), items, keys)
        self.pending[name] = content

    @rule(name=names)
    def remove(self, name: SourceId) -> None:
        self.writer.remove(name)
        self.pending.pop(name, None)

    @rule(old=names, new=names)
    def move(self, old: SourceId, new: SourceId) -> None:
        if old in self.pending:
            self.writer.move(old, _record(new))
            self.pending[new] = self.pending.pop(old)

    @rule()
    def commit(self) -> None:
        generation = self.writer.commit()
        self.committed = dict(self.pending)
        assert generation == self.store.generation
        self.seen[generation] = set(self.store.rows().tolist())

    @rule()
    def reopen_without_commit(self) -> None:
        self.writing.__exit__(None, None, None)
        self.pending = dict(self.committed)
        self._open()

    @invariant()
    def the_store_holds_what_was_committed(self) -> None:
        found: dict[str, list[int]] = {record.source.id: [] for record in self.store.sources()}
        rows = self.store.rows()
        items = self.store.items(rows)
        vectors = self.store.embeddings(rows)
        for i, row in enumerate(rows.tolist()):
            number = int(items[row].text)
            found[items[row].source].append(number)
            assert vectors[i].tolist() == [[number, 1]]
            # A row stands for one item under one file name for ever.
            stands_for = (items[row].source.rpartition("/")[2], number)
            assert self.row_of.setdefault(row, stands_for) == stands_for
        assert {k: sorted(v) for k, v in found.items()} == {k: sorted(v) for k, v in self.committed.items()}
        assert self.store.count() == len(rows)

    @invariant()
    def changes_lead_from_any_generation_to_now(self) -> None:
        now = set(self.store.rows().tolist())
        for generation, rows in self.seen.items():
            added, removed = (set(x.tolist()) for x in self.store.changes(generation))
            assert not added & rows
            assert removed <= rows
            assert (rows - removed) | added == now

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.writing.__exit__(None, None, None)
            report = verify(self.store)
            assert (report.problems, report.orphans) == ((), 0)
            self.store.close()
            shutil.rmtree(self.folder)


def _record(name: SourceId) -> SourceRecord:
    return SourceRecord(Source(name, "d", 1, "text/plain"), 0, "indexed")


TestWrites = Writes.TestCase
TestWrites.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
