"""Where a corpus and its store are, checked before anything is opened."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from mmrag.core.errors import ConfigError

STORE_FOLDER = ".mmrag"


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of the documents and that of their store."""

    folder: Path
    store: Path

    @classmethod
    def of(cls, folder: str | Path, store: str | Path | None) -> Places:
        """Check what a user gave; the store is `<folder>/.mmrag` unless it is named.

        Raises:
            ConfigError: The folder does not exist, or the store would hold it.
        """
        root = path_of(folder, "folder")
        if not os.path.isdir(root):
            raise ConfigError(
                f"There is no folder {str(folder)!r}.", fix="Name a folder that holds your documents."
            )
        place = path_of(store, "store") if store is not None else root / STORE_FOLDER
        if is_inside(root, place):
            raise ConfigError(
                f"The store {str(place)!r} would hold the folder that it is made of.",
                fix="Choose another place with --store, or leave it out.",
            )
        return cls(root, place)

    @property
    def sync_command(self) -> str:
        """The command that brings the store up to date."""
        return shlex.join(["mmrag", "sync", str(self.folder), *self.store_option])

    @property
    def store_option(self) -> tuple[str, ...]:
        """What a command must be told of the store."""
        return () if self.store == self.folder / STORE_FOLDER else ("--store", str(self.store))


def path_of(value: object, what: str) -> Path:
    """Return a path that a user gave.

    Raises:
        ConfigError: It is no path at all.
    """
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ConfigError(f"{value!r} is not the path of a {what}.", fix="Give a path as text.")
    return Path(value)


def outside(corpus: Path, folder: object, what: str) -> Path:
    """Return a folder to write to, which a sync of the corpus will not read; hidden ones are ignored anyway.

    Raises:
        ConfigError: It lies in the corpus, or is no path at all.
    """
    target = path_of(folder, "folder")
    if is_inside(target, corpus):
        below = target.resolve().relative_to(corpus.resolve()).parts
        if not any(name.startswith(".") for name in below):
            raise ConfigError(
                f"{target} lies in {corpus}: the next sync would index the {what}.",
                fix="Name a folder outside of it.",
            )
    return target


def is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a path is a folder or lies in it, links followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False  # A loop of links, or a name that cannot be: opening it says so.
