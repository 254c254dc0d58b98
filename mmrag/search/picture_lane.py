"""The lane of near-duplicate pictures, and how the picture of a query is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mmrag.core.errors import QueryError, SourceError
from mmrag.core.protocols import Rows
from mmrag.core.types import Matches, Modality, Query

NAME = "pictures"


class PictureFinder(Protocol):
    """Finds the rows whose pictures show the same as an encoded one, however they are encoded."""

    def search(self, pictures: Sequence[bytes], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k rows most like each picture; rows that are not like it are not matches."""
        ...

    def __len__(self) -> int: ...


class PictureLane:
    """Finds the pictures of a query again: the same ones, also resized, re-encoded or cut a little.

    It needs no embedder, and takes no part in a query without a picture.
    """

    def __init__(self, index: PictureFinder, *, name: str = NAME) -> None:
        self.name = name
        self._index = index

    @property
    def modalities(self) -> frozenset[Modality]:
        """Pictures only."""
        return frozenset({"image"})

    def why_not_usable(self, query: Query) -> str | None:
        """Return that a query has no picture, or the index none to compare it with."""
        if "image" not in query.modalities:
            return "The query has no picture."
        return None if len(self._index) else "The index holds no picture to compare with."

    def limits(self, query: Query) -> str | None:
        """Return that only the pictures of a query are looked at."""
        others = query.modalities - self.modalities
        return f"Pictures only were compared, not the {' and '.join(sorted(others))}." if others else None

    def search(self, query: Query, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k rows whose pictures are most like one of the query's.

        Raises:
            QueryError: A picture cannot be opened.
        """
        paths = [Path(part.media or "") for part in query.parts if part.modality == "image"]
        pictures = [read_picture(path) for path in paths]
        found = []
        for path, picture in zip(paths, pictures, strict=True):
            try:
                found.append(self._index.search([picture], k, allow=allow))
            except SourceError as error:
                raise unopened(path, error) from error
        return found[0] if len(found) == 1 else _best_of(found, k)

    def __len__(self) -> int:
        return len(self._index)


def read_picture(path: Path) -> bytes:
    """Return the bytes of a query's picture.

    Raises:
        QueryError: It is not a file, or cannot be read.
    """
    refuse_pipe(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unopened(path, error) from error


def refuse_pipe(path: Path) -> None:
    """Refuse what would be waited for, or read, without end: a pipe or device.

    Raises:
        QueryError: It is there, and is not a file.
    """
    if "\0" in str(path) or (os.path.exists(path) and not path.is_file()):
        raise QueryError("The picture is not a file.", fix="Check the path.", where=str(path))


def unopened(path: Path | str, error: OSError | SourceError) -> QueryError:
    """Make the error for a query's picture that cannot be read or decoded."""
    reason = error.message if isinstance(error, SourceError) else f"{error.strerror}."
    return QueryError(
        f"The picture cannot be opened: {reason}",
        fix="Give the path of a PNG, JPEG, WebP, TIFF, GIF or BMP file.",
        where=str(path),
    )


def _best_of(found: Sequence[Matches], k: int) -> Matches:
    rows = np.concatenate([one.rows[0] for one in found])
    scores = np.concatenate([one.scores[0] for one in found])
    order = np.lexsort((rows, -scores))
    # Of a row found for several pictures, the first place is the best.
    _, first = np.unique(rows[order], return_index=True)
    order = order[np.sort(first)][:k]
    best = Matches(rows[order][None], scores[order][None])
    there = best.rows[0] >= 0
    width = k - int(there.sum())
    return Matches(
        np.pad(best.rows[:, there], ((0, 0), (0, width)), constant_values=-1),
        np.pad(best.scores[:, there], ((0, 0), (0, width)), constant_values=-np.inf),
    )
