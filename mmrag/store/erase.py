"""The part of `forget` that any writer can finish: no file keeps what the catalog dropped."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mmrag.store import catalog
from mmrag.store.compact import segments_with_dead
from mmrag.store.derived import Shelf
from mmrag.store.lock import holders
from mmrag.store.tidy import pack_vectors, shorten_log, sweep, transaction
from mmrag.store.vectors import lease_path

_NOTE = "forgetting"
_PAUSE_S = 0.05
# Where SQLite keeps its readers' locks in the -shm file: 120 is the first lock, 123 that of the first
# reader, 128 one that every connection holds (sqlite.org/walformat.html, section 2.3).
_READERS = range(123, 128)


def note_forgetting(db: sqlite3.Connection) -> None:
    """Note, in the transaction that drops the rows, that their traces are to be erased."""
    catalog.set_meta(db, _NOTE, "rows")
    catalog.set_meta(db, "horizon", str(catalog.generation(db)))


def finish_forgetting(
    db: sqlite3.Connection,
    path: Path,
    rebuild: str,
    publish: Callable[[], object] | None = None,
    *,
    patience_s: float = 0.0,
) -> tuple[str, ...]:
    """Erase what was dropped from all files, if there is a note that this is to be done.

    Derived indexes that knew it are withdrawn, vectors without an item packed away, the catalog is
    written anew without free pages.

    Args:
        db: The catalog, of the one writer.
        path: The store.
        rebuild: The command that makes the store anew, for error messages.
        publish: Builds the derived indexes again; without it, the next publish does.
        patience_s: How long readers are waited for.

    Returns:
        What a reader still holds, as sentences; then the note stays, and the next writer tries again.
    """
    stage = catalog.get_meta(db, _NOTE)
    if stage is None:
        return ()
    shelf = Shelf(path / "derived")
    if stage == "rows":
        if not shelf.withdraw(before=catalog.horizon(db), wait_s=max(patience_s, 1.0)):
            return (f"A derived index is being built by {_named(path / 'derived' / 'building')}.",)
        db.execute("PRAGMA secure_delete = ON")
        with transaction(db):
            db.execute("DELETE FROM removed WHERE generation <= ?", (catalog.horizon(db),))
        pack_vectors(db, path, rebuild, segments_with_dead(db))
        if publish is not None:
            publish()
        db.execute("VACUUM")
        catalog.set_meta(db, _NOTE, "files")
    until = time.monotonic() + patience_s
    while True:
        swept = sweep(db, path, all=True)
        short = shorten_log(db, wait_s=max(0.0, until - time.monotonic()))
        if swept and short:
            db.execute("DELETE FROM meta WHERE key = ?", (_NOTE,))
            shorten_log(db)
            return ()
        if time.monotonic() >= until:
            return tuple(_held(path, shelf, log=not short))
        time.sleep(_PAUSE_S)


def _held(path: Path, shelf: Shelf, *, log: bool) -> Iterator[str]:
    if log:
        who = _named(path / "catalog.db-shm", _READERS)
        yield f"An older state of the catalog, in catalog.db-wal, is being read by {who}."
    lease = lease_path(path / "vectors")
    if readers := holders(lease):
        yield f"Vectors that were packed away are being read by {_all(readers)}."
    for stray in shelf.strays():
        yield f"The old index {stray.relative_to(path).as_posix()} is open in {_named(stray / 'in-use')}."


def _named(path: Path, places: range | None = None) -> str:
    return _all(holders(path, places)) if holders(path, places) else "another process"


def _all(processes: list[int]) -> str:
    return " and ".join(f"process {process}" for process in processes)
