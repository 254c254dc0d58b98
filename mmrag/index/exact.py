"""Exact search with numpy: the oracle of every other index, and the default for small corpora."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, QueryError
from mmrag.core.protocols import Rows, VectorSource
from mmrag.core.types import Embeddings, Matches
from mmrag.index.chunks import BLOCK_VECTORS, Chunk, Places, Vectors, copied, joined
from mmrag.index.files import damaged, prepare, read_header, write_header, write_synced
from mmrag.index.maxsim import maxsim
from mmrag.index.ranking import check_k, matches
from mmrag.index.running import RunningBest
from mmrag.index.vectors import check_finite
from mmrag.store.stream import StoredVectors

_KIND = "exact"
_BLOCK_SCORES = 8 << 20
"""Products of 1,000 queries with 8,192 vectors at once run at the speed of larger ones."""
_BLOCK_QUERIES = 1024
_KEPT = 4 << 20
"""Candidates that the queries of a block keep together, 20 bytes each."""
_SMALL_ROWS = 16_384
"""Additions of fewer rows are copied into one chunk."""


@dataclass(frozen=True, slots=True)
class ExactOptions:
    """Exact search has nothing to choose, and keeps no files: opening it over stored vectors is free."""

    def build(self, vectors: VectorSource) -> ExactIndex:
        """Search vectors where they lie; those of a source that copies its batches are kept in memory."""
        if isinstance(vectors, StoredVectors):
            stretches = vectors.stretches()
            lying = [Chunk.within(s.rows, s.vectors, s.firsts, s.counts) for s in stretches]
            return ExactIndex._of(vectors.dim, lying)
        return ExactIndex._of(vectors.dim, [Chunk.of(*batch) for batch in vectors.batches(BLOCK_VECTORS)])

    def empty(self, dim: int) -> ExactIndex:
        """Return an empty index."""
        return ExactIndex(dim)

    def load(self, folder: str | Path) -> ExactIndex:
        """Open a saved index, memory-mapped."""
        return ExactIndex.load(Path(folder))


class ExactIndex:
    """Scores every row: inner product for dense embeddings, MaxSim where items own many vectors.

    Changes are gathered and take effect together at the next search, which then copies what was
    added, not what was there. Searching from several threads is safe.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._chunks: tuple[Chunk, ...] = ()
        self._changes: list[tuple[Rows, Embeddings | None]] = []
        self._lock = Lock()

    @classmethod
    def over(cls, rows: Rows, embeddings: Embeddings) -> ExactIndex:
        """Search embeddings where they lie, without a copy; `rows` rise strictly.

        Raises:
            ConfigError: As many rows as embeddings are needed, in rising order, without NaN.
        """
        _check_pairs(rows, embeddings, embeddings.dim)
        check_finite(embeddings)
        if (np.diff(rows) <= 0).any():
            raise ConfigError(
                "The rows to search do not rise strictly.", fix="Sort them first, or use add()."
            )
        return cls._of(embeddings.dim, [Chunk.of(rows, embeddings)])

    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        """Add rows; a row that is already there is replaced. Read-only vectors are shared, others copied.

        Raises:
            ConfigError: The numbers of rows and embeddings differ, or a vector has another dim or NaN.
        """
        _check_pairs(rows, embeddings, self.dim)
        check_finite(embeddings)
        if embeddings.vectors.flags.writeable:
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
        chunks = self._settled()
        size = sum(len(chunk.rows) for chunk in chunks)
        blocks = list(_blocks(queries, min(k, max(size, 1))))
        found = [RunningBest(len(block), k) for block in blocks]
        for chunk in chunks:
            places = None if allow is None else chunk.places(allow)
            if places is not None and len(places) == len(chunk.rows):
                places = None
            if queries.is_dense and chunk.is_dense:
                _score_dense(chunk, places, blocks, found)
            else:
                for rows, items in chunk.gathered(places):
                    for block, best in zip(blocks, found, strict=True):
                        best.take(rows, maxsim(block, items))
        return matches([ranked for best in found for ranked in best.ranked()], k)

    def rows(self) -> Rows:
        """Return the rows that it holds, sorted."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *(c.rows for c in self._settled())]))

    def save(self, folder: str | Path) -> None:
        """Write the index into a folder and sync it to disk; an older one there is gone from the start."""
        chunks = self._settled()
        folder = Path(folder)
        prepare(folder)
        rows = np.concatenate([np.empty(0, np.int64), *(chunk.rows for chunk in chunks)])
        order = np.argsort(rows)
        counts = np.concatenate([np.empty(0, np.int64), *(chunk.lengths() for chunk in chunks)])[order]
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)

        def vectors() -> Iterator[Vectors]:
            for start in range(0, len(order), BLOCK_VECTORS):
                yield copied(chunks, order[start : start + BLOCK_VECTORS], self.dim).vectors

        files: dict[str, Callable[[Path], object]] = {
            "rows.npy": lambda aside: _write_npy(aside, rows.shape, np.int64, [rows[order]]),
            "vectors.npy": lambda aside: _write_npy(
                aside, (int(offsets[-1]), self.dim), np.float32, vectors()
            ),
            "offsets.npy": lambda aside: _write_npy(aside, offsets.shape, np.int64, [offsets]),
        }
        for name, write in files.items():
            write_synced(folder / name, write)
        write_header(folder, _KIND, {"dim": self.dim, "count": len(rows)}, tuple(files))

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
            dim = int(header["dim"])
            embeddings = Embeddings(vectors, offsets)
            _check_pairs(rows, embeddings, dim)
        except (OSError, ValueError, KeyError) as error:
            raise damaged(folder, _KIND, str(error)) from error
        return cls._of(dim, [Chunk.of(rows, embeddings)])

    def __len__(self) -> int:
        return sum(len(chunk.rows) for chunk in self._settled())

    @classmethod
    def _of(cls, dim: int, chunks: Sequence[Chunk]) -> ExactIndex:
        index = cls(dim)
        index._chunks = tuple(replace(chunk, lent=True) for chunk in chunks if len(chunk.rows))
        return index

    def _settled(self) -> tuple[Chunk, ...]:
        if self._changes:
            with self._lock:
                if self._changes:
                    self._chunks = _apply(self._chunks, self._changes, self.dim)
                    self._changes = []
        return self._chunks


def _check_pairs(rows: Rows, embeddings: Embeddings, dim: int) -> None:
    if len(rows) != len(embeddings) or embeddings.dim != dim:
        raise ConfigError(
            f"{len(rows)} rows of an index of dim {dim} were given {len(embeddings)} embeddings "
            f"of dim {embeddings.dim}.",
            fix="Give one embedding a row, made by the embedder that the index was built for.",
        )


def _apply(
    chunks: Sequence[Chunk], changes: Sequence[tuple[Rows, Embeddings | None]], dim: int
) -> tuple[Chunk, ...]:
    """Replay changes in their order: of all that happened to a row, the last counts."""
    every = np.concatenate([rows for rows, _ in changes])
    order = np.argsort(every, kind="stable")
    last = order[np.append(every[order][1:] != every[order][:-1], True)[: len(order)]]
    kept = [chunk.without(every[last]) for chunk in chunks]
    start = 0
    for rows, embeddings in changes:
        alive = np.sort(last[(last >= start) & (last < start + len(rows))]) - start
        start += len(rows)
        if embeddings is not None and len(alive):
            kept.append(_fresh(rows, embeddings, alive))
    small = [chunk for chunk in kept if not chunk.lent and len(chunk.rows) < _SMALL_ROWS]
    large = [chunk for chunk in kept if chunk.lent or len(chunk.rows) >= _SMALL_ROWS]
    if len(small) > 1:
        small = [joined(small, dim)]
    return tuple(chunk for chunk in (*large, *small) if len(chunk.rows))


def _fresh(rows: Rows, embeddings: Embeddings, alive: Places) -> Chunk:
    order = alive[np.argsort(rows[alive])]
    if len(order) == len(rows) and (np.diff(order) == 1).all():
        return Chunk.of(rows, embeddings)
    counts = np.diff(embeddings.offsets)[order]
    return Chunk.within(rows[order], embeddings.vectors, embeddings.offsets[:-1][order], counts)


def _blocks(queries: Embeddings, k: int) -> Iterator[Embeddings]:
    """Cut the queries so that what one block keeps, and its products with a block of items, stay small."""
    vectors_a_query = max(1, int(np.diff(queries.offsets).max(initial=1)))
    step = max(1, min(_BLOCK_QUERIES // vectors_a_query, _KEPT // k))
    for start in range(0, len(queries), step):
        offsets = queries.offsets[start : start + step + 1]
        yield Embeddings(queries.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])


def _score_dense(
    chunk: Chunk, places: Places | None, queries: Sequence[Embeddings], found: Sequence[RunningBest]
) -> None:
    """Show each vector to all blocks of queries while it is in the cache."""
    if not queries:
        return
    widest = max(len(block) for block in queries)
    for rows, vectors, columns in _dense_blocks(chunk, places, widest):
        for block, best in zip(queries, found, strict=True):
            scores = block.vectors @ vectors.T
            best.take(rows, scores if columns is None else scores[:, columns])


def _dense_blocks(
    chunk: Chunk, places: Places | None, queries: int
) -> Iterator[tuple[Rows, Vectors, Places | None]]:
    """Yield rows with a matrix to multiply, and which of its products are theirs (None for all, in order)."""
    size = max(BLOCK_VECTORS // 2, _BLOCK_SCORES // queries)
    rows = chunk.rows if places is None else chunk.rows[places]
    if chunk.firsts is None and places is None:
        for start in range(0, len(rows), size):
            yield rows[start : start + size], chunk.vectors[start : start + size], None
        return
    targets = chunk.targets(places)
    if not len(targets):
        return
    if (np.diff(targets) < 0).any():
        order = np.argsort(targets, kind="stable")
        rows, targets = rows[order], targets[order]
    low, high = int(targets[0]), int(targets[-1]) + 1
    if not _worth_scanning(len(targets), high - low, queries):
        for start in range(0, len(rows), BLOCK_VECTORS):
            some = slice(start, start + BLOCK_VECTORS)
            yield rows[some], chunk.vectors.take(targets[some], axis=0), None
        return
    for start in range(low, high, size):
        end = min(start + size, high)
        first, last = np.searchsorted(targets, (start, end))
        columns = targets[first:last] - start
        whole = len(columns) == end - start and (np.diff(columns) == 1).all()
        yield rows[first:last], chunk.vectors[start:end], None if whole else columns


def _worth_scanning(wanted: int, span: int, queries: int) -> bool:
    # In units of reading one vector once (0.1 us at 384 floats): copying one together with others takes
    # 2.5, its product with a query a twelfth where there are so many that memory does not limit it.
    products = max(1.0, queries / 12)
    return span * products <= wanted * (2.5 + products)


def _write_npy(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    blocks: Iterator[NDArray[np.generic]] | Sequence[NDArray[np.generic]],
) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            _write_block(file, block)


def _write_block(file: BinaryIO, block: NDArray[np.generic]) -> None:
    file.write(np.ascontiguousarray(block).data)
