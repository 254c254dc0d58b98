"""Write an index's files so that a reader sees a whole one or none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import Damaged

HEADER = "index.json"
REBUILD = "Delete the folder and build the index again; `mmrag sync` does that for a store."


def prepare(folder: Path) -> None:
    """Make a folder that an index is written into; one that is there holds none from now on.

    With an older header files of two saves, of which the later was broken off, would pass for one index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEADER).unlink(missing_ok=True)
    sync_folder(folder)


def write_synced(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, force it to disk, then rename it over `path`."""
    aside = path.with_name(path.name + ".new")
    write(aside)
    with aside.open("rb+") as file:
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write each array as the `.npy` file of its name, and sync it to disk."""
    for name, array in arrays.items():
        write_synced(folder / name, partial(_save_npy, array))


def sync_folder(folder: Path) -> None:
    """Force a folder's names to disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_header(folder: Path, kind: str, facts: Mapping[str, object], files: tuple[str, ...]) -> None:
    """Write what the folder holds, with the size of each file: the last step of a save."""
    sizes = {name: (folder / name).stat().st_size for name in files}
    text = json.dumps({"kind": kind, "version": 1, **facts, "files": sizes}, indent=1)
    write_synced(folder / HEADER, lambda aside: aside.write_text(text, encoding="utf-8"))


def read_header(folder: Path, kind: str) -> dict[str, Any]:
    """Return the facts of a saved index whose files are all there in full size.

    Raises:
        Damaged: A file is missing, torn, or another kind of index.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        found, version, sizes = header["kind"], header["version"], dict(header["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, kind, f"{HEADER} is missing or cannot be read ({error})") from error
    if (found, version) != (kind, 1):
        raise damaged(folder, kind, f"it holds {found} format {version}")
    for name, size in sizes.items():
        try:
            actual = (folder / name).stat().st_size
        except OSError as error:
            raise damaged(folder, kind, f"{name} is missing") from error
        if actual != size:
            raise damaged(folder, kind, f"{name} has {actual} bytes where {size} were written")
    return {name: value for name, value in header.items() if name not in ("kind", "version", "files")}


def damaged(folder: Path, kind: str, what: str) -> Damaged:
    """Make the error for a folder that does not hold a whole index."""
    return Damaged(f"This {kind} index cannot be used: {what}.", fix=REBUILD, where=str(folder))


def _save_npy(array: NDArray[Any], path: Path) -> None:
    # np.save adds .npy to a path that ends otherwise, but not to an open file.
    with path.open("wb") as file:
        np.save(file, array)
