"""Derived indexes: built aside, published by one rename, removed when nobody uses them."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mmrag.core.errors import Damaged
from mmrag.core.identity import digest_file, digest_json
from mmrag.store.disk import fsync_tree, space_checked, write_whole
from mmrag.store.lock import FileLock
from mmrag.store.records import Derived

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PAUSE_S = 0.05

# derived/<name>/current holds the name of the folder beside it that is published. Each such folder
# has stamp.json, the index's own files in files/, and in-use, which readers lock as long as they
# hold a Derived. derived/building is locked by builders: nothing is swept while one is at work.
# Of stamp.json, `seal` is the digest of the rest.


class Shelf:
    """The derived indexes below a folder, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Derived | None:
        """Return the published index, None if there is none or its files are torn."""
        home = self._home(name)
        while token := _current(home):
            hold = _hold(home / token)
            # Between the two looks a newer one may have been published and this one swept.
            if _current(home) == token:
                return _load(home / token, hold) if hold else None
        return None

    def publish(
        self, name: str, stamp: Mapping[str, str], generation: int, build: Callable[[Path], None]
    ) -> Derived:
        """Let `build` fill an empty folder, and make it the index of that name.

        Raises:
            OutOfSpace.
            Damaged: Something else stands in the place of a folder.
        """
        home = self._home(name)
        folder = home / secrets.token_hex(8)
        for place in (self._folder, home):
            if place.exists() and not place.is_dir():
                raise Damaged(
                    f"{place} is not a folder.", fix="Delete it; the next sync builds the indexes again."
                )
        with space_checked(self._folder):
            home.mkdir(parents=True, exist_ok=True)
            building = FileLock(self._folder / "building", shared=True, wait=True)
            try:
                derived = _build(folder, dict(stamp), generation, build)
                write_whole(home / "current", folder.name.encode(), aside=home)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                building.release()
            self.sweep()
        return derived

    def sweep(self) -> None:
        """Remove what is neither published nor in use."""
        if not self._folder.is_dir():
            return
        building = FileLock(self._folder / "building", shared=False, wait=False)
        if not building.held:
            return
        try:
            for path in self.strays():
                if not path.is_dir():
                    path.unlink(missing_ok=True)
                elif not (path / "in-use").exists():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    lock = FileLock(path / "in-use", shared=False, wait=False)
                    lock.release()
                    if lock.held:
                        shutil.rmtree(path, ignore_errors=True)
        finally:
            building.release()

    def withdraw(self, *, before: int, wait_s: float) -> bool:
        """Unpublish the indexes that cover an earlier generation.

        Returns:
            Whether it was done: nothing is, while others build.
        """
        if not self._folder.is_dir():
            return True
        until = time.monotonic() + wait_s
        while not (building := FileLock(self._folder / "building", shared=False, wait=False)).held:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_S)
        try:
            for home in self._homes():
                note = _note(home / (_current(home) or ""))
                if note is None or note["generation"] < before:
                    (home / "current").unlink(missing_ok=True)
        finally:
            building.release()
        return True

    def damage(self, name: str) -> str | None:
        """Read all of a published index; say what is wrong with it, None if nothing is."""
        home = self._home(name)
        folder = home / (_current(home) or "")
        note = _note(folder)
        if note is None:
            return "its stamp is missing or not what was written"
        found = {path.relative_to(folder / "files").as_posix(): path for path in _files(folder / "files")}
        for file in sorted(found.keys() | note["files"].keys()):
            if file not in note["files"]:
                return f"{file} is not of it"
            if file not in found:
                return f"{file} is missing"
            if digest_file(found[file]) != note["files"][file][1]:
                return f"{file} is not what was written"
        return None

    def strays(self) -> Iterator[Path]:
        """List what is not published."""
        for home in self._homes():
            keep = {"current", _current(home)}
            yield from [path for path in home.iterdir() if path.name not in keep]

    def names(self) -> list[str]:
        """List the names under which something was published."""
        return sorted(home.name for home in self._homes() if (home / "current").exists())

    def _homes(self) -> list[Path]:
        return [path for path in self._folder.glob("*") if path.is_dir()]

    def _home(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a derived index")
        return self._folder / name


def _current(home: Path) -> str | None:
    try:
        return (home / "current").read_text()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def _hold(folder: Path) -> FileLock | None:
    try:
        hold = FileLock(folder / "in-use", shared=True, wait=False)
    except FileNotFoundError:
        return None
    return hold if hold.held else None


def _build(folder: Path, stamp: dict[str, str], generation: int, build: Callable[[Path], None]) -> Derived:
    files = folder / "files"
    files.mkdir(parents=True)
    build(files)
    sizes = {name: [size, digest_file(files / name)] for name, size in _sizes(files).items()}
    note = {"stamp": stamp, "generation": generation, "files": sizes}
    (folder / "stamp.json").write_bytes(msgspec.json.encode({**note, "seal": digest_json(note)}))
    hold = FileLock(folder / "in-use", shared=True, wait=True)
    fsync_tree(folder)
    return Derived(files, stamp, generation, hold)


def _load(folder: Path, hold: FileLock) -> Derived | None:
    note = _note(folder)
    # Names and sizes betray a torn index at the price of a few stats.
    if note is None or {name: size for name, (size, _) in note["files"].items()} != _sizes(folder / "files"):
        return None
    return Derived(folder / "files", note["stamp"], note["generation"], hold)


def _note(folder: Path) -> dict[str, Any] | None:
    """Return what stamp.json says; None for one that is torn, or of format 1, which has no seal."""
    try:
        note = msgspec.json.decode((folder / "stamp.json").read_bytes(), type=dict[str, Any])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None
    return note if note.pop("seal", "") == digest_json(note) else None


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _sizes(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
