"""Find the files of a corpus, in one order, without reading them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmrag.core.errors import ConfigError
from mmrag.core.types import SourceId
from mmrag.corpus.ignore import IgnoreRules


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a source cannot become items, and what helps."""

    state: Literal["skipped", "failed"]
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Found:
    """A file as the scan saw it; with a problem, it is only recorded.

    `status_ns` is when the file came to this place, was written or had its rights changed (st_ctime),
    which no program can set back; on Windows it is when the file was made.
    """

    id: SourceId
    path: Path
    size: int
    mtime_ns: int
    problem: Problem | None = None
    status_ns: int = 0


def scan(root: Path, *, ignore: Sequence[str] = (), exclude: Sequence[Path] = ()) -> list[Found]:
    """Return the files under `root` that no rule leaves out, sorted by id.

    A link is followed if what it points to is not in the corpus already, and once only. One that leads
    to a folder around the corpus is refused: it would bring in what lies beside it.

    Args:
        root: The corpus folder.
        ignore: gitignore patterns on top of the defaults and `.mmragignore`.
        exclude: Files and folders that are never part of a corpus: the store itself.

    Raises:
        ConfigError: `root` is no folder that can be listed, goes away, or a pattern is wrong.
    """
    start = _look_at(root)
    walk = _Walk(_keys(exclude), _keys(root.resolve().parents))
    walk.folder(root, "", IgnoreRules.at_root(root, ignore), start)
    walk.links()
    if _key(_look_at(root)) != _key(start):
        # An unmounted disk leaves an empty folder: everything would count as removed.
        raise ConfigError(f"The folder {root} was replaced while it was listed.", fix="Run it again.")
    return sorted(walk.found, key=lambda found: found.id)


_Key = tuple[int, int]
_LINK_FIX = "Remove the link, or list it in .mmragignore."


def _look_at(root: Path) -> os.stat_result:
    try:
        os.scandir(root).close()
        return os.stat(root)
    except OSError as error:
        raise ConfigError(
            f"The folder {root} cannot be read: {_words(error)}.", fix="Give the path of a folder."
        ) from error


class _Walk:
    """One walk; links wait until every real file and folder is known."""

    def __init__(self, excluded: set[_Key], around: set[_Key]) -> None:
        self.found: list[Found] = []
        self._excluded = excluded
        self._around = around
        self._seen: set[_Key] = set()
        self._ids: set[str] = set()
        self._links: list[tuple[str, Path, IgnoreRules]] = []

    def folder(self, path: Path, prefix: str, rules: IgnoreRules, status: os.stat_result) -> None:
        waiting = [(path, prefix, rules, status)]
        while waiting:
            path, prefix, rules, status = waiting.pop()
            if _key(status) in self._seen:
                continue
            self._seen.add(_key(status))
            try:
                with os.scandir(path) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue  # Deleted or replaced since the folder above was listed.
            except OSError as error:
                self._blocked(prefix.rstrip("/"), path, error)
                continue
            if prefix:
                rules = rules.inside(path, prefix)
            for entry in entries:
                source_id = prefix + entry.name
                try:
                    link = entry.is_symlink()
                    folder = entry.is_dir(follow_symlinks=False)
                    if rules.ignores(_printable(source_id), folder=folder):
                        continue
                    if not _is_text(entry.name):
                        self._skip(source_id, "Its name is not valid UTF-8.", "Rename it.")
                    elif link:
                        self._links.append((source_id, Path(entry.path), rules))
                    elif folder:
                        below = entry.stat(follow_symlinks=False)
                        if _key(below) not in self._excluded:
                            waiting.append((Path(entry.path), source_id + "/", rules, below))
                    else:
                        self._file(source_id, Path(entry.path), entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # Deleted since the folder was listed.
                except OSError as error:
                    self._blocked(source_id, Path(entry.path), error)

    def links(self) -> None:
        while self._links:
            self._links.sort(key=lambda link: link[0], reverse=True)
            source_id, path, rules = self._links.pop()
            try:
                status = os.stat(path)
            except FileNotFoundError:
                self._skip(source_id, "The link points to nothing.", _LINK_FIX)
                continue
            except OSError as error:
                # A link to itself is ELOOP.
                self._skip(source_id, f"The link cannot be followed: {_words(error)}.", _LINK_FIX)
                continue
            if _key(status) in self._around:
                self._skip(source_id, "The link leads to a folder around the corpus.", _LINK_FIX)
            elif stat.S_ISDIR(status.st_mode):
                if _key(status) not in self._excluded and not rules.ignores(source_id, folder=True):
                    self.folder(path, source_id + "/", rules, status)
            elif _key(status) not in self._seen:
                self._file(source_id, path, status)

    def _file(self, source_id: str, path: Path, status: os.stat_result) -> None:
        if _key(status) in self._excluded:
            return
        self._seen.add(_key(status))
        if not stat.S_ISREG(status.st_mode):
            self._skip(source_id, "It is not a regular file.", "List it in .mmragignore.")
            return
        self._add(
            Found(
                SourceId(source_id),
                path,
                status.st_size,
                status.st_mtime_ns,
                status_ns=status.st_ctime_ns,
            )
        )

    def _skip(self, source_id: str, reason: str, fix: str) -> None:
        self._add(Found(SourceId(source_id), Path(), 0, 0, Problem("skipped", reason, fix)))

    def _blocked(self, source_id: str, path: Path, error: OSError) -> None:
        self._add(Found(SourceId(source_id), path, 0, 0, unreadable(error)))

    def _add(self, found: Found) -> None:
        printable = _printable(found.id)
        while printable in self._ids:
            printable += "'"
        self._ids.add(printable)
        if printable != found.id:
            found = Found(SourceId(printable), Path(), 0, 0, found.problem)
        self.found.append(found)


def unreadable(error: OSError) -> Problem:
    """Return the problem of a file or folder that the operating system refuses to give."""
    return Problem("failed", f"It cannot be read: {_words(error)}.", "Make it readable, or ignore it.")


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _keys(paths: Iterable[Path]) -> set[_Key]:
    keys = set()
    for path in paths:
        with suppress(OSError):
            keys.add(_key(os.stat(path)))
    return keys


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _printable(name: str) -> str:
    # Undecodable bytes arrive as lone surrogates, which no database or terminal takes.
    return (
        name
        if _is_text(name)
        else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    )
