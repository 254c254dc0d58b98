"""Look at a folder and its index: what a sync would read, and with what."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmrag.core.errors import MissingExtra, StoreError
from mmrag.core.protocols import Captioner, Embedder, Ocr, Splitter
from mmrag.core.types import Item
from mmrag.corpus import load_readers
from mmrag.corpus.captions import Captions
from mmrag.corpus.intake import Intaker, signature, versions
from mmrag.corpus.ocr import OcrMemory
from mmrag.corpus.plan import Hashed, Versions, make_plan
from mmrag.corpus.scan import Found, scan
from mmrag.corpus.workers import usable_cores
from mmrag.estimate.sample import Desk
from mmrag.places import Places
from mmrag.recipes import IndexRecipe
from mmrag.store import SourceRecord, Store

_UNREAD = "?"
"""Begins the digest of a file that no record is of."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is in a folder, and what of it a sync would read.

    Args:
        todo: The files to read.
        files: How many files there are, with `bytes` in all.
        unchanged: How many are indexed as they are.
        blocked: How many cannot be opened.
        notes: What limits the look.
    """

    todo: tuple[Found, ...]
    files: int
    bytes: int
    unchanged: int
    blocked: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a sync reads and splits with; `notes` say what of the recipe is not here."""

    splitter: Splitter
    ocr: Ocr | None
    captioner: Captioner | None
    versions: Versions
    notes: tuple[str, ...]

    @classmethod
    def of(cls, index: IndexRecipe, embedder: Embedder) -> Tools:
        """Build what a recipe names."""
        ocr: Ocr | None = None
        notes: tuple[str, ...] = ()
        if index.ocr is not None:
            try:
                ocr = index.ocr.build()
            except MissingExtra as error:
                notes = (f"Scans and pictures are not read: {error.message} {error.fix}",)
        splitter = index.splitter.build(embedder.count_tokens)
        captioner = index.captioner.build() if index.captioner is not None else None
        now = versions(load_readers(), splitter, ocr, captioner)
        return cls(splitter, ocr, captioner, now, notes)

    def desk(self, folder: Path, memory: OcrMemory, sees: Callable[[Item], bool]) -> Desk:
        """Return what reads files of a folder."""
        captions = Captions(self.captioner, memory, folder) if self.captioner is not None else None
        # What a source depends on is not followed: nothing of this is kept.
        intaker = Intaker(self.splitter, self.versions, lambda _: "", captions)
        return Desk(folder, load_readers(), self.ocr, memory, intaker, sees)


def look_at(places: Places, tools: Tools, embedder: Embedder) -> Look:
    """Compare a folder with its index by size and time alone; no file is read."""
    found = scan(places.folder, exclude=(places.store,))
    good = [file for file in found if file.problem is None]
    size = sum(file.size for file in good)
    blocked = len(found) - len(good)
    records, notes = _records(places, embedder)
    if not records:
        return Look(tuple(good), len(found), size, 0, blocked, notes)
    known = {record.source.id: record for record in records}
    files = [Hashed(file, _digest(file, known.get(file.id))) for file in found]
    digests: dict[str, str] = {file.found.id: file.digest for file in files}
    used = {path for record in records for path in record.depends}
    signs = {path: signature(places.folder, path, digests) for path in used}
    plan = make_plan(files, records, tools.versions, signs)
    todo = tuple(file.found for file in plan.to_read)
    return Look(todo, len(found), size, len(good) - len(todo), blocked, notes)


def _records(places: Places, embedder: Embedder) -> tuple[list[SourceRecord], tuple[str, ...]]:
    if not Store.exists(places.store):
        return [], ()
    try:
        with Store.open(places.store, identity=embedder.identity) as store:
            return list(store.sources()), ()
    except StoreError as error:
        return [], (f"All files are counted as new. {error.message}",)


def _digest(file: Found, record: SourceRecord | None) -> str:
    if file.problem is not None:
        return ""
    same = record is not None and (record.source.size, record.mtime_ns) == (file.size, file.mtime_ns)
    return record.source.digest if record is not None and same else f"{_UNREAD}{file.id}"


def busy_notes() -> tuple[str, ...]:
    """Say when other work takes the cores, which every measured time then contains."""
    if not hasattr(os, "getloadavg"):
        return ()
    load, cores = os.getloadavg()[0], usable_cores()
    if load <= cores:
        return ()
    return (
        f"This machine is busy (load {load:.0f} on {cores} cores): times are of a machine as busy as now.",
    )
