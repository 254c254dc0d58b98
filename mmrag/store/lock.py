"""Locks that the operating system drops when their holder dies."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mmrag.core.errors import Locked
from mmrag.store.disk import permission_checked, space_checked

if sys.platform == "win32":
    import msvcrt

    # Locked bytes cannot be read on Windows: lock one far behind the holder's name.
    _FAR = 1 << 30

    def _flock(handle: int, *, shared: bool, wait: bool) -> bool:
        if shared:
            return True  # msvcrt has no shared locks; open files cannot be deleted there anyway.
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _flock(handle: int, *, shared: bool, wait: bool) -> bool:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(handle, mode if wait else mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class FileLock:
    """A lock on a file, held until `release` or until the object is gone.

    A shared lock on a disk that cannot be written is no lock: nobody changes anything there.
    """

    def __init__(self, path: Path, *, shared: bool, wait: bool) -> None:
        self._handle = _open(path, shared=shared)
        self.release = weakref.finalize(self, _close, self._handle)
        self.held = self._handle is None or _flock(self._handle, shared=shared, wait=wait)
        if not self.held:
            self.release()

    def is_of(self, path: Path) -> bool:
        """Whether the file that is locked is still the one at its path."""
        assert self._handle is not None
        try:
            return os.path.samestat(os.fstat(self._handle), os.stat(path))
        except FileNotFoundError:
            return False

    def write(self, text: str) -> None:
        """Replace the file's content."""
        assert self._handle is not None
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, text.encode())


def _open(path: Path, *, shared: bool) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if not shared or error.errno not in (errno.EACCES, errno.EROFS):
            raise
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def writer_lock(path: Path, *, now: Callable[[], datetime] = _now) -> Iterator[bool]:
    """Hold the lock of the one writer, named in the file for others to read.

    Yields whether the writer before died or failed, and may have left files behind.

    Raises:
        Locked: A living writer holds it; the message says which. A dead one's lock is free.
        StoreError: The folder cannot be written.
    """
    with permission_checked(path.parent):
        lock = _lock(path)
    if not lock.held:
        raise Locked(
            f"The store {path.parent} is being written by {_holder(path)}.",
            fix="Wait until that writer is done, or stop it, and run the command again.",
        )
    try:
        untidy = path.stat().st_size > 0
        started = now().isoformat(timespec="seconds")
        with space_checked(path.parent):
            lock.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}))
        yield untidy
        lock.write("")
    finally:
        lock.release()


def _lock(path: Path) -> FileLock:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, shared=False, wait=False)
        # Between the opening and the lock, a store that was built beside may have taken this one's place.
        if not lock.held or lock.is_of(path):
            return lock
        lock.release()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']} since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        # It took the lock a moment ago and has not written its name yet.
        return "another process"


def holders(path: Path, places: range | None = None) -> list[int]:
    """Return the processes that hold a lock on a file, as far as the system tells (Linux does).

    Args:
        path: The file.
        places: Only locks that begin at these bytes.
    """
    try:
        inode, table = path.stat().st_ino, Path("/proc/locks").read_text()
    except OSError:
        return []
    found = set()
    for line in table.splitlines():
        fields = line.split()
        # "1: POSIX  ADVISORY  READ 4242 fe:01:131090 123 123"; one that waits has "->" behind the number.
        if len(fields) != 8 or fields[5].rpartition(":")[2] != str(inode) or int(fields[4]) <= 0:
            continue
        if places is None or int(fields[6]) in places:
            found.add(int(fields[4]))
    return sorted(found)
