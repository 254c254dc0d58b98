"""Files that are whole or absent after a crash, and disk errors in our own words."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmrag.core.errors import OutOfSpace, StoreError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_LITTLE_BYTES = 1 << 20
"""With less, a failure is one of space: SQLite gives some of those another name."""


def fsync_path(path: Path) -> None:
    """Push a file, or the names in a folder, to the disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # Windows has no handle for a folder; its renames are journalled.
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Push a folder with all that is in it to the disk."""
    for path in folder.rglob("*"):
        fsync_path(path)
    fsync_path(folder)


def write_whole(path: Path, data: bytes, *, aside: Path) -> None:
    """Write a file so that a crash leaves the old one or the new one; `aside` is on the same disk."""
    aside.mkdir(parents=True, exist_ok=True)
    draft = aside / secrets.token_hex(8)
    try:
        draft.write_bytes(data)
        fsync_path(draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


@contextmanager
def space_checked(folder: Path) -> Iterator[None]:
    """Turn 'no space left' into OutOfSpace."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise out_of_space(folder) from error
        raise


@contextmanager
def permission_checked(folder: Path) -> Iterator[None]:
    """Turn what the disk says of a folder that cannot be made or written into a StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise out_of_space(folder) from error
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"The store {folder} cannot be written ({error.strerror}).",
        fix="Get permission to write there, or choose another place with --store.",
    )


def out_of_space(folder: Path) -> OutOfSpace:
    """Return the error of a full disk."""
    return OutOfSpace(
        f"The disk of {folder} is full; what was committed before is safe.",
        fix="Free some space and run the command again.",
    )


def disk_failed(folder: Path, error: Exception) -> StoreError:
    """Return the error of a disk that refuses for a reason which SQLite does not tell."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = _LITTLE_BYTES
    if free < _LITTLE_BYTES:
        return out_of_space(folder)
    return StoreError(
        f"The disk of {folder} refused ({error}); what was committed before is safe.",
        fix="Check its free space, your quota and its health, and run the command again.",
    )
