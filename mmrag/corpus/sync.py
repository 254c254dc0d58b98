"""Bring a store up to date with a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from mmrag.core.errors import Locked
from mmrag.core.protocols import Captioner, Embedder, Ocr, Reader, ReadLimits, Splitter
from mmrag.corpus.apply import Applier
from mmrag.corpus.captions import Captions
from mmrag.corpus.embedding import Embedding
from mmrag.corpus.hashing import hash_files
from mmrag.corpus.intake import Intaker, signature, versions
from mmrag.corpus.ocr import OcrMemory
from mmrag.corpus.plan import Hashed, Plan, Stamp, Versions, make_plan
from mmrag.corpus.read_file import ReadTools
from mmrag.corpus.readers import Detector
from mmrag.corpus.report import Progress, SyncReport, new_troubles, states_of, troubles_of
from mmrag.corpus.scan import scan
from mmrag.corpus.workers import open_readers
from mmrag.store import SourceRecord, Store, Writer

_CACHE, _LOOKED, _UNFINISHED = "sync", "looked", "unfinished"


def sync(
    folder: Path,
    store: Store,
    embedder: Embedder,
    *,
    readers: Sequence[Reader],
    splitter: Splitter,
    ocr: Ocr | None = None,
    captioner: Captioner | None = None,
    ignore: Sequence[str] = (),
    limits: ReadLimits | None = None,
    detect: Callable[[Path], str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_commit: Callable[[int], None] | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> SyncReport:
    """Read what is new or changed in a folder, forget what is gone, embed only what is missing.

    Work is committed every two seconds and stays when the run is stopped. A file that cannot be
    read becomes a failed or skipped source with its reason; it never ends the run. Files are read in
    worker processes within `limits`: one that hangs, crashes or takes too much memory fails alone.

    Args:
        folder: The root of the corpus.
        store: What to bring up to date.
        embedder: Must be the one that the store was made for.
        readers: For each media type, the last one that takes it is used.
        splitter: Cuts what readers saw into items.
        ocr: Reads pictures and scans; None leaves their words out.
        captioner: Describes pictures in words, which are then searched like their captions.
        ignore: gitignore patterns on top of the defaults and `.mmragignore`.
        limits: Bounds for readers.
        detect: Tells a file's media type, or raises a SourceError; by the readers' formats unless given.
        on_progress: Called often; must be quick.
        on_commit: Called with each new generation: its content can be searched.
        dry_run: Only plan.
        workers: How many processes read; as many as there are cores, at most 8, unless given. 0 reads in
            this process, where no bounds on time and memory hold: for tests and debuggers.
        clock: Nanoseconds since 1970.

    Raises:
        ConfigError: The folder cannot be listed, an ignore pattern is wrong, or a reader cannot be pickled.
        Locked: Another writer holds the store, and there is something to do.
        ModelError: The embedder cannot run.
    """
    started = clock()
    tell = on_progress or _silent
    found = scan(folder, ignore=ignore, exclude=(store.path,))
    tell(Progress("scan", len(found), len(found)))
    now = versions(readers, splitter, ocr, captioner)
    looked = store.cached(_CACHE, _LOOKED)
    before = store.sources()
    files, racy = hash_files(
        found,
        {record.source.id: record for record in before},
        int(looked) if looked else None,
        lambda done: tell(Progress("hash", done, len(found))),
    )
    plan = _plan(folder, files, before, now)
    if dry_run or plan.is_empty:
        # What a stopped run had left to do may be gone from the folder.
        if (racy or not is_complete(store)) and not dry_run:
            # Whoever holds the lock writes the time of a look of their own.
            with suppress(Locked), store.writer() as writer:
                writer.cache(_CACHE, _UNFINISHED, b"")
                _keep_look(writer, started)
        return _report(store, before, plan, clock() - started, dry_run=dry_run)
    with store.writer() as writer:
        # Another sync may have ended between the plan and the lock.
        records = store.sources()
        plan = _plan(folder, files, records, now)
        digests: dict[str, str] = {file.found.id: file.digest for file in files}
        memory = OcrMemory(store)
        captions = Captions(captioner, memory, folder) if captioner is not None else None
        intaker = Intaker(splitter, now, lambda path: signature(folder, path, digests), captions)
        embedding = Embedding(embedder, store, folder)
        applier = Applier(writer, embedding, records, memory, tell, on_commit or _silent, clock)
        tools = ReadTools(tuple(readers), detect or Detector(readers), folder, limits or ReadLimits(), ocr)
        writer.cache(_CACHE, _UNFINISHED, b"1")
        with applier.keeping_what_is_done(), open_readers(tools, memory, workers) as read:
            applier.apply(plan, intaker, read)
        writer.cache(_CACHE, _UNFINISHED, b"")
        _keep_look(writer, started)
    after = store.sources()
    report = _report(store, after, plan, clock() - started)
    return replace(
        report,
        new_troubles=new_troubles(records, after, plan),
        read=applier.read,
        embedded=applier.embedded,
        lost=applier.lost,
        speeds=applier.speeds,
        spent=dict(applier.spent),
        notes=tuple(f"{n} item{'s' * (n > 1)}: {told}" for told, n in applier.notes.most_common()),
    )


def is_complete(store: Store) -> bool:
    """Whether the last sync came to its end, or found nothing left to do."""
    return not store.cached(_CACHE, _UNFINISHED)


def _plan(folder: Path, files: Sequence[Hashed], records: Sequence[SourceRecord], now: Versions) -> Plan:
    digests: dict[str, str] = {file.found.id: file.digest for file in files}
    used = {path for record in records for path in record.depends}
    needed = {Stamp.of(record.reader).needs for record in records if record.state == "skipped"} - {""}
    now = replace(now, arrived=frozenset(filter(_is_installed, needed)))
    return make_plan(files, records, now, {path: signature(folder, path, digests) for path in used})


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _keep_look(writer: Writer, started_ns: int) -> None:
    writer.cache(_CACHE, _LOOKED, str(started_ns).encode())
    writer.commit()


def _report(
    store: Store, records: Sequence[SourceRecord], plan: Plan, took_ns: int, *, dry_run: bool = False
) -> SyncReport:
    return SyncReport(
        plan=plan,
        states=states_of(records),
        troubles=troubles_of(records),
        items=store.count(),
        seconds=took_ns / 1e9,
        generation=store.generation,
        dry_run=dry_run,
    )


def _silent(_: object) -> None:
    return None
