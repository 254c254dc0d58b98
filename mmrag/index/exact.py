"""Exact search with numpy: the oracle of every other index, and the default for small corpora."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, QueryError
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings, Matches
from mmrag.index.files import damaged, read_header, write_header, write_synced
from mmrag.index.maxsim import maxsim
from mmrag.index.ranking import best, check_k, matches

_KIND = "exact"
_SCORE_BYTES = 64 << 20
_GATHER_VECTORS = 16_384
_SCAN_SHARE = 0.25
"""From this share of allowed rows on, scoring all rows beats copying the allowed ones together."""


@dataclass(frozen=True, slots=True)
class ExactOptions:
    """Exact search has nothing to choose, and keeps no files: opening it over stored vectors is free."""

    def build(self, dim: int) -> ExactIndex:
        """Return an empty index."""
        return ExactIndex(dim)

    def load(self, folder: Path) -> ExactIndex:
        """Open a saved index, memory-mapped."""
        return ExactIndex.load(folder)


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshot:
    """Rows in rising order with their embeddings; never changed, so that readers need no lock."""

    rows: Rows
    embeddings: Embeddings
    dense: bool


class ExactIndex:
    """Scores every row: inner product for dense embeddings, MaxSim where items own many vectors.

    Changes are gathered and take effect together at the next search, which then costs one copy
    of the vectors. Searching from several threads is safe.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        empty = Embeddings.dense(np.empty((0, dim), np.float32))
        self._snapshot = _Snapshot(np.empty(0, np.int64), empty, dense=True)
        self._changes: list[tuple[Rows, Embeddings | None]] = []
        self._lock = Lock()

    @classmethod
    def over(cls, rows: Rows, embeddings: Embeddings) -> ExactIndex:
        """Search embeddings where they lie, without a copy; `rows` rise strictly.

        Raises:
            ConfigError: As many rows as embeddings are needed, in rising order.
        """
        index = cls(embeddings.dim)
        _check_pairs(rows, embeddings, index.dim)
        if (np.diff(rows) <= 0).any():
            raise ConfigError(
                "The rows to search do not rise strictly.", fix="Sort them first, or use add()."
            )
        index._snapshot = _Snapshot(rows, embeddings, embeddings.is_dense)
        return index

    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        """Add rows; a row that is already there is replaced. Read-only vectors are shared, others copied.

        Raises:
            ConfigError: The numbers of rows and embeddings differ, or a vector has another dim or NaN.
        """
        _check_pairs(rows, embeddings, self.dim)
        if embeddings.vectors.flags.writeable:
            if not np.isfinite(embeddings.vectors).all():
                raise ConfigError(
                    "An embedding holds NaN or infinity.", fix="Check the embedder that made it."
                )
            embeddings = Embeddings(embeddings.vectors.copy(), embeddings.offsets.copy())
        with self._lock:
            self._changes.append((np.array(rows, np.int64), embeddings))

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        with self._lock:
            self._changes.append((np.array(rows, np.int64), None))

    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query, among `allow` only if it is given (sorted, unique).

        Raises:
            QueryError: k is below 1, or the queries have another dim.
        """
        check_k(k)
        if queries.dim != self.dim:
            raise QueryError(
                f"The queries have {queries.dim} dimensions and the index {self.dim}.",
                fix="Embed queries and items with the same embedder.",
            )
        snapshot = self._settled()
        places = None if allow is None else _places(snapshot.rows, allow)
        rows = snapshot.rows if places is None else snapshot.rows[places]
        found = []
        for block in _blocks(queries, rows=len(rows)):
            for scores in _scores(block, snapshot, places):
                # Only MaxSim over an item without vectors gives -inf: no match.
                real = slice(None) if snapshot.dense else scores > -np.inf
                found.append(best(rows[real], scores[real], k))
        return matches(found, k)

    def rows(self) -> Rows:
        """Return the rows that it holds, sorted."""
        return self._settled().rows

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder and sync it to disk."""
        snapshot = self._settled()
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            "rows.npy": snapshot.rows,
            "vectors.npy": snapshot.embeddings.vectors,
            "offsets.npy": snapshot.embeddings.offsets,
        }
        for name, array in arrays.items():
            write_synced(folder / name, lambda aside, array=array: _write_npy(aside, array))  # type: ignore[misc]
        write_header(folder, _KIND, {"dim": self.dim, "count": len(snapshot.rows)}, tuple(arrays))

    @classmethod
    def load(cls, folder: Path) -> ExactIndex:
        """Open a saved index, memory-mapped.

        Raises:
            Damaged: A file is missing, torn, or not of this kind.
        """
        header = read_header(folder, _KIND)
        try:
            rows, vectors, offsets = (
                np.load(folder / f"{name}.npy", mmap_mode="r" if header["count"] else None)
                for name in ("rows", "vectors", "offsets")
            )
            index = cls(int(header["dim"]))
            embeddings = Embeddings(vectors, offsets)
            _check_pairs(rows, embeddings, index.dim)
        except (OSError, ValueError, KeyError) as error:
            raise damaged(folder, _KIND, str(error)) from error
        index._snapshot = _Snapshot(rows, embeddings, embeddings.is_dense)
        return index

    def __len__(self) -> int:
        return len(self._settled().rows)

    def _settled(self) -> _Snapshot:
        if self._changes:
            with self._lock:
                if self._changes:
                    self._snapshot = _apply(self._snapshot, self._changes)
                    self._changes = []
        return self._snapshot


def _check_pairs(rows: Rows, embeddings: Embeddings, dim: int) -> None:
    if len(rows) != len(embeddings) or embeddings.dim != dim:
        raise ConfigError(
            f"{len(rows)} rows of an index of dim {dim} were given {len(embeddings)} embeddings "
            f"of dim {embeddings.dim}.",
            fix="Give one embedding a row, made by the embedder that the index was built for.",
        )


def _apply(snapshot: _Snapshot, changes: list[tuple[Rows, Embeddings | None]]) -> _Snapshot:
    """Replay changes in their order: of all that happened to a row, the last counts."""
    first_rows, first = changes[0]
    if (
        first is not None
        and len(changes) == 1
        and len(snapshot.rows) == 0
        and (np.diff(first_rows) > 0).all()
    ):
        return _Snapshot(first_rows, first, first.is_dense)
    chunks = [snapshot.embeddings] + [embeddings for _, embeddings in changes if embeddings is not None]
    rows, origins, start = [snapshot.rows], [np.arange(len(snapshot.rows))], len(snapshot.rows)
    for changed, embeddings in changes:
        rows.append(changed)
        if embeddings is None:
            origins.append(np.full(len(changed), -1))
        else:
            origins.append(np.arange(start, start + len(changed)))
            start += len(changed)
    every, origin = np.concatenate(rows), np.concatenate(origins)
    order = np.argsort(every, kind="stable")
    every, origin = every[order], origin[order]
    last = np.append(every[1:] != every[:-1], True)[: len(every)]
    alive = last & (origin >= 0)
    joined = _gather(chunks, origin[alive])
    return _Snapshot(every[alive], joined, joined.is_dense)


def _gather(chunks: list[Embeddings], origin: NDArray[np.int64]) -> Embeddings:
    lengths = np.concatenate([np.diff(chunk.offsets) for chunk in chunks])[origin]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    vectors = np.empty((int(offsets[-1]), chunks[0].dim), np.float32)
    start = 0
    for chunk in chunks:
        mine = np.flatnonzero((origin >= start) & (origin < start + len(chunk)))
        vectors[_spans(offsets, mine)] = chunk.vectors[_spans(chunk.offsets, origin[mine] - start)]
        start += len(chunk)
    return Embeddings(vectors, offsets)


def _spans(offsets: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the vector numbers of some items, in order."""
    starts, lengths = offsets[which], offsets[which + 1] - offsets[which]
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    spans: NDArray[np.int64] = np.arange(int(lengths.sum()), dtype=np.int64) + shift
    return spans


def _places(rows: Rows, allow: Rows) -> NDArray[np.int64] | None:
    """Return where the allowed rows stand, None when that is everywhere."""
    if len(rows) == 0 or len(allow) == 0:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(rows, allow), len(rows) - 1)
    places = places[rows[places] == allow]
    return None if len(places) == len(rows) else places


def _blocks(queries: Embeddings, *, rows: int) -> Iterator[Embeddings]:
    """Cut the queries so that one block's scores stay within `_SCORE_BYTES`."""
    vectors_a_query = max(1, int(np.diff(queries.offsets).max(initial=1)))
    step = max(1, _SCORE_BYTES // (4 * max(rows, 1) * vectors_a_query))
    for start in range(0, len(queries), step):
        offsets = queries.offsets[start : start + step + 1]
        yield Embeddings(queries.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])


def _scores(
    queries: Embeddings, snapshot: _Snapshot, places: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    items, dense = snapshot.embeddings, snapshot.dense and queries.is_dense
    if places is None:
        return _score(queries, items, dense=dense)
    if len(places) and places[-1] - places[0] == len(places) - 1:
        return _score(queries, _run(items, int(places[0]), int(places[-1]) + 1), dense=dense)
    if len(places) > _SCAN_SHARE * len(items):
        every: NDArray[np.float32] = _score(queries, items, dense=dense)[:, places]
        return every
    scores = np.empty((len(queries), len(places)), np.float32)
    for start in range(0, len(places), _GATHER_VECTORS):
        some = places[start : start + _GATHER_VECTORS]
        gathered = Embeddings.dense(items.vectors[some]) if snapshot.dense else _gather([items], some)
        scores[:, start : start + len(some)] = _score(queries, gathered, dense=dense)
    return scores


def _run(items: Embeddings, start: int, end: int) -> Embeddings:
    offsets = items.offsets[start : end + 1]
    return Embeddings(items.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])


def _score(queries: Embeddings, items: Embeddings, *, dense: bool) -> NDArray[np.float32]:
    if dense:
        return queries.vectors @ items.vectors.T
    cuts = np.searchsorted(items.offsets, np.arange(0, len(items.vectors), _GATHER_VECTORS), side="right") - 1
    edges = np.unique(np.append(cuts, [0, len(items)]))
    pieces = [maxsim(queries, _run(items, int(a), int(b))) for a, b in pairwise(edges)]
    return np.concatenate([np.empty((len(queries), 0), np.float32), *pieces], axis=1)


def _write_npy(path: Path, array: NDArray[np.generic]) -> None:
    with path.open("wb") as file:
        np.save(file, array)
