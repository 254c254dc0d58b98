"""Puts a store that was built beside another one in its place, so that a kill at any moment can be mended."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.core.errors import Locked, StoreError
from mmrag.store.disk import fsync_path, permission_checked
from mmrag.store.lock import FileLock, holders, writer_lock
from mmrag.store.vectors import gate_path, lease_path

if TYPE_CHECKING:
    from mmrag.store.store import Store

FileKey = tuple[int, int]
"""A disk and a file's number on it: what stays when a file gets another name."""

_CATALOG = "catalog.db"
_PAUSE_S = 0.005
_PATIENCE_S = 30.0
_GATE_S = 0.3

# The store P, the one that is built beside it N, and the one that gives way O: renames take P to O, then N
# to P; then O is removed. All that while P's writer lock is held, which goes with P to O: who finds an O
# whose lock is free knows that its swap was killed. There is an O only after N is whole, so that a swap is
# finished rather than undone.


def building_path(path: Path) -> Path:
    """Return where the store that is to replace `path` is built: hidden, so that no sync reads it."""
    return _beside(path, "next")


def retired_path(path: Path) -> Path:
    """Return where a store stands while another one takes its place."""
    return _beside(path, "old")


def file_key(path: Path) -> FileKey | None:
    """Return which file this is, None if there is none."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def is_swapping(path: Path) -> bool:
    """Whether a store is giving way to another one, or was when its swap was killed."""
    return os.path.lexists(retired_path(path))


def refuse_unmovable(path: Path) -> None:
    """Refuse a store that no rename can replace: said before hours go into building another one.

    Raises:
        StoreError: It is the root of a disk.
    """
    if os.path.ismount(os.path.realpath(path)):
        raise StoreError(
            f"The store {path} is the root of a disk: no other one can be put in its place.",
            fix="Choose a folder on that disk with --store, or run mmrag sync with --rebuild.",
        )


def carry_over(old: Store, new: Store) -> int:
    """Copy what was dear to get for sources (text read in pictures, captions); return how many results.

    Raises:
        Locked: Another writer is at work on `new`.
    """
    count = 0
    with old.snapshot(), old.connection() as source, new.exclusive() as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            found = source.execute("SELECT kind, key, value, owned, seal FROM cache WHERE owned")
            while rows := found.fetchmany(500):
                count += db.executemany("INSERT OR IGNORE INTO cache VALUES (?, ?, ?, ?, ?)", rows).rowcount
            uses = source.execute("SELECT source, kind, key FROM cache_uses")
            while rows := uses.fetchmany(500):
                db.executemany("INSERT OR IGNORE INTO cache_uses VALUES (?, ?, ?)", rows)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return count


def give_up(path: Path) -> None:
    """Remove what was begun to be built beside a store, unless a process is at work on it."""
    new = building_path(path)
    if new.is_dir():
        with suppress(Locked), writer_lock(new / "lock"):
            _remove(new)


def swap_in(
    path: Path,
    expected: FileKey | None,
    *,
    patience_s: float = _PATIENCE_S,
    on_step: Callable[[str], None] = lambda step: None,
) -> None:
    """Put the store built beside `path` in its place, and remove the one that was there.

    This process has closed both. Searches that are under way end first; who has the old store open is told
    so at the next read. A kill at any moment leaves what `finish_swap` makes whole.

    Args:
        path: The store.
        expected: The catalog that stands there, as `Store.file` told.
        patience_s: How long searches of other processes are waited for.
        on_step: Hears the name of each step that is done: for tests.

    Raises:
        Locked: Another process writes or reads one of the two; both stay as they are.
        StoreError: Another store stands there meanwhile, or the disk refuses.
    """
    place, new, old = Path(os.path.realpath(path)), building_path(path), retired_path(path)
    finish_swap(path)
    with permission_checked(path), writer_lock(place / "lock"), writer_lock(new / "lock"):
        if file_key(place / _CATALOG) != expected:
            raise StoreError(f"The store {path} was replaced meanwhile.", fix="Run the command again.")
        with _unread(place, patience_s):
            on_step("locked")
            place.rename(old)
            fsync_path(place.parent)
            on_step("aside")
            try:
                new.rename(place)
            except OSError:
                old.rename(place)
                raise
            fsync_path(place.parent)
            on_step("in place")
        _remove(old, on_step)


def finish_swap(path: Path, *, patience_s: float = _PATIENCE_S) -> None:
    """Finish the swap of a process that was killed; wait for one that is at work until its store is there.

    Raises:
        Locked: A swap takes too long.
        StoreError: The disk refuses.
    """
    if not is_swapping(path):
        return
    place, old = Path(os.path.realpath(path)), retired_path(path)
    until = time.monotonic() + patience_s
    while os.path.lexists(old):
        with _claimed(old) as is_dead:
            if is_dead:
                with permission_checked(path):
                    _finish(place, building_path(path), old)
                return
        if (place / _CATALOG).exists():
            return  # Who put it there removes the old one.
        if time.monotonic() >= until:
            raise Locked(
                f"The store {path} is being replaced by another process.", fix="Run the command again."
            )
        time.sleep(_PAUSE_S)


def _beside(path: Path, end: str) -> Path:
    # Beside what a link leads to: a rename moves no file to another disk.
    place = Path(os.path.realpath(path))
    return place.with_name(f".{place.name.lstrip('.')}.{end}")


@contextmanager
def _claimed(old: Path) -> Iterator[bool]:
    """Take the lock of a store that gave way, if its swap is dead; it is held inside the block."""
    try:
        lock = FileLock(old / "lock", shared=False, wait=False)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        yield lock.held and lock.is_of(old / "lock")
    finally:
        lock.release()


def _finish(place: Path, new: Path, old: Path) -> None:
    if not place.exists():
        # Without the new one, whoever removed it wants the old one.
        back = new if (new / _CATALOG).exists() else old
        if not (back / _CATALOG).exists():
            return
        back.rename(place)
        fsync_path(place.parent)
    if (place / _CATALOG).exists():
        _remove(old)


@contextmanager
def _unread(place: Path, patience_s: float) -> Iterator[None]:
    """Keep searches and builders of indexes out while files change their names: they open them by name."""
    (place / "derived").mkdir(exist_ok=True)
    until = time.monotonic() + patience_s
    building = _alone(place / "derived" / "building", until)
    try:
        reading = _in_turn(place / "vectors", until)
        try:
            yield
        finally:
            reading.release()
    finally:
        building.release()


def _in_turn(vectors: Path, until: float) -> FileLock:
    """Lock readers out, also where there is never a moment without one: new ones are kept at the gate."""
    while True:
        gate = FileLock(gate_path(vectors), shared=False, wait=True)
        try:
            return _alone(lease_path(vectors), min(until, time.monotonic() + _GATE_S))
        except Locked:
            if time.monotonic() >= until:
                raise
        finally:
            gate_path(vectors).unlink(missing_ok=True)
            gate.release()
        # One reads for long: the others are let in meanwhile.
        time.sleep(_GATE_S)


def _alone(path: Path, until: float) -> FileLock:
    while not (lock := FileLock(path, shared=False, wait=False)).held:
        if time.monotonic() >= until:
            who = " and ".join(f"process {one}" for one in holders(path)) or "another process"
            raise Locked(
                f"The store {path.parent} is being read by {who}.",
                fix="Run the command again when it has ended; what was built is kept.",
            )
        time.sleep(_PAUSE_S)
    return lock


def _remove(old: Path, on_step: Callable[[str], None] = lambda step: None) -> None:
    # The catalog first, so that a half removed store is none; the lock last, so that nobody else begins.
    # What a reader on Windows holds open stays for the next time.
    if not old.exists():
        return
    with suppress(OSError):
        (old / _CATALOG).unlink(missing_ok=True)
    on_step("half removed")
    for entry in sorted(old.iterdir(), key=lambda entry: entry.name == "lock"):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink(missing_ok=True)
    with suppress(OSError):
        old.rmdir()
    on_step("removed")
