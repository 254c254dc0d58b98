"""Vectors in append-only Arrow files, one batch a file, read through memory maps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import Damaged, IdentityMismatch, StoreError
from mmrag.core.identity import digest_file
from mmrag.core.types import Embeddings
from mmrag.store.disk import fsync_path, space_checked
from mmrag.store.lock import FileLock
from mmrag.store.seals import vector_seal

Vectors = NDArray[np.float32]
SEGMENT_BYTES = 64_000_000
"""Vectors wait in memory up to this size; then they become a segment before the commit."""


@dataclass(frozen=True, slots=True, eq=False)
class Placements:
    """Where the vectors of some items lie: segment, first vector there, how many.

    Shapes:
        each integers [n_items]
    """

    segments: NDArray[np.integer]
    firsts: NDArray[np.int64]
    counts: NDArray[np.integer]

    def take(self, which: slice | NDArray[np.int64]) -> Placements:
        """Return those of some items."""
        return Placements(self.segments[which], self.firsts[which], self.counts[which])


class SegmentReader:
    """Maps the segments of a folder, each once."""

    def __init__(self, folder: Path, rebuild: str) -> None:
        self._folder, self._rebuild = folder, rebuild
        self._maps: dict[int, Vectors] = {}

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep writers from removing segments between a look into the catalog and the map."""
        try:
            gate = gate_path(self._folder)
            if gate.exists():  # A swap waits for its turn.
                FileLock(gate, shared=True, wait=True).release()
            lock = FileLock(lease_path(self._folder), shared=True, wait=True)
        except FileNotFoundError:  # There is no such store: nobody changes it.
            lock = None
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def gather(self, at: Placements, dim: int) -> Embeddings:
        """Return vectors in the order of `at`: a view of one map if they lie in one run, else a copy.

        Raises:
            Damaged: A file is torn or missing.
        """
        return gather(at, dim, self._piece)

    def maps(self, at: Placements) -> Mapping[int, Vectors]:
        """Map every segment that `at` names; the arrays stay valid when the files are gone.

        Raises:
            Damaged: A file is torn or missing.
        """
        found = {}
        for number in np.unique(at.segments).tolist():
            mine = at.segments == number
            self._piece(number, 0, int((at.firsts[mine] + at.counts[mine]).max()))
            found[number] = self._maps[number]
        return found

    def run(self, number: int, first: int, count: int) -> Vectors:
        """Return vectors that lie one after the other in a segment.

        Raises:
            Damaged: The file is torn or missing.
        """
        return self._piece(number, first, first + count)

    def _piece(self, number: int, start: int, end: int) -> Vectors:
        vectors = self._maps.get(number)
        if vectors is None:
            for old in [n for n in list(self._maps) if not segment_path(self._folder, n).exists()]:
                self._maps.pop(old, None)
            vectors = self._maps[number] = self._map(number)
        if end > len(vectors):
            raise self._torn(number, f"it holds {len(vectors)} vectors, the catalog knows {end}")
        return vectors[start:end]

    def _map(self, number: int) -> Vectors:
        import pyarrow as pa

        try:
            with pa.memory_map(str(segment_path(self._folder, number))) as source:
                column = pa.ipc.open_file(source).get_batch(0).column(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise self._torn(number, str(error)) from error
        # Not flatten(): that imports pyarrow.compute, another 0.15 s.
        flat: Vectors = column.values.to_numpy(zero_copy_only=True)
        return flat.reshape(-1, column.type.list_size)

    def _torn(self, number: int, why: str) -> Damaged:
        return Damaged(
            f"{segment_path(self._folder, number)} cannot be read ({why}).", fix=f"Run: {self._rebuild}"
        )

    def close(self) -> None:
        """Forget the maps; arrays that were handed out stay valid."""
        self._maps.clear()


class SegmentWriter:
    """Collects vectors and writes them as segments, before the transaction that names them commits."""

    def __init__(self, db: sqlite3.Connection, folder: Path, rebuild: str) -> None:
        self._db, self._folder, self._rebuild = db, folder, rebuild
        self._waiting: list[Vectors] = []
        self._number, self._vectors, self._bytes = 0, 0, 0

    def add(self, keys: Iterable[str], embeddings: Embeddings) -> None:
        """Add vectors under new keys, in the current transaction."""
        vectors = np.ascontiguousarray(embeddings.vectors, dtype=np.float32)
        self._check(vectors)
        self._start(embeddings.dim)
        starts, counts = embeddings.offsets[:-1] + self._vectors, np.diff(embeddings.offsets)
        self._db.executemany(
            "INSERT INTO vectors (key, segment, first, count, seal) VALUES (?, ?, ?, ?, ?)",
            [
                (key, self._number, start, count, vector_seal(own))
                for key, start, count, own in zip(
                    keys,
                    starts.tolist(),
                    counts.tolist(),
                    Embeddings(vectors, embeddings.offsets),
                    strict=True,
                )
            ],
        )
        self._take(vectors)

    def move(self, numbers: Iterable[int], embeddings: Embeddings) -> None:
        """Add vectors that the catalog knows, and point it to their new place."""
        self._start(embeddings.dim)
        starts = (embeddings.offsets[:-1] + self._vectors).tolist()
        self._db.executemany(
            "UPDATE vectors SET segment = ?, first = ? WHERE number = ?",
            [(self._number, first, number) for first, number in zip(starts, numbers, strict=True)],
        )
        self._take(embeddings.vectors)

    def flush(self) -> None:
        """Write what waits as a segment and push it to the disk."""
        if not self._number:
            return
        import pyarrow as pa

        path = segment_path(self._folder, self._number)
        vectors = np.concatenate(self._waiting)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        batch = pa.record_batch([column], names=["vector"])
        with space_checked(self._folder):
            self._folder.mkdir(exist_ok=True)
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as file:
                file.write_batch(batch)
            fsync_path(path)
            fsync_path(self._folder)
        self._db.execute(
            "UPDATE segments SET vectors = ?, size = ?, digest = ? WHERE number = ?",
            (len(vectors), path.stat().st_size, digest_file(path), self._number),
        )
        self.forget()

    def forget(self) -> None:
        """Drop what waits: its transaction was rolled back or is done."""
        self._waiting = []
        self._number, self._vectors, self._bytes = 0, 0, 0

    def _start(self, dim: int) -> None:
        if not self._number:
            added = self._db.execute("INSERT INTO segments VALUES (NULL, ?, 0, 0, '')", (dim,))
            self._number = int(added.lastrowid or 0)

    def _take(self, vectors: Vectors) -> None:
        self._waiting.append(vectors)
        self._vectors += len(vectors)
        self._bytes += vectors.nbytes
        if self._bytes >= SEGMENT_BYTES:
            self.flush()

    def _check(self, vectors: Vectors) -> None:
        known = self._db.execute("SELECT dim FROM segments LIMIT 1").fetchone()
        if known and known[0] != vectors.shape[1]:
            raise IdentityMismatch(
                f"The vectors have {vectors.shape[1]} dimensions, those of the store {known[0]}.",
                fix=f"Run: {self._rebuild}",
            )
        if not np.isfinite(vectors).all():
            raise StoreError(
                "The embedder gave vectors that hold NaN or infinity.",
                fix="Report it to the embedder's authors; another embedder works.",
            )


def gather(at: Placements, dim: int, piece: Callable[[int, int, int], Vectors]) -> Embeddings:
    """Return vectors in the order of `at`: a view of one segment if they lie in one run, else a copy.

    Args:
        at: Where they lie.
        dim: Their length.
        piece: Returns the vectors of a segment from one number to another.
    """
    offsets = np.zeros(len(at.counts) + 1, dtype=np.int64)
    np.cumsum(at.counts, out=offsets[1:])
    total = int(offsets[-1])
    if total == 0:
        return Embeddings(np.empty((0, dim), dtype=np.float32), offsets)
    one_segment = bool((at.segments == at.segments[0]).all())
    if one_segment and bool((at.firsts == at.firsts[0] + offsets[:-1]).all()):
        first = int(at.firsts[0])
        return Embeddings(piece(int(at.segments[0]), first, first + total), offsets)
    vectors = np.empty((total, dim), dtype=np.float32)
    places = np.repeat(at.firsts - offsets[:-1], at.counts) + np.arange(total)
    owners = np.repeat(at.segments, at.counts)
    for number in np.unique(owners).tolist():
        mine = np.flatnonzero(owners == number)
        low, high = int(places[mine].min()), int(places[mine].max()) + 1
        vectors[mine] = piece(number, low, high)[places[mine] - low]
    return Embeddings(vectors, offsets)


def pick(embeddings: Embeddings, places: Sequence[int]) -> Embeddings:
    """Return the embeddings of some items, in the order of `places`."""
    if list(places) == list(range(len(embeddings))):
        return embeddings
    counts = np.diff(embeddings.offsets)[places]
    vectors = [np.empty((0, embeddings.dim), dtype=np.float32), *(embeddings[i] for i in places)]
    return Embeddings(np.concatenate(vectors), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def remove_segments(folder: Path, keep: Iterable[int]) -> bool:
    """Remove the files that the catalog does not name; tell whether nobody was about to read them."""
    known = {segment_path(folder, number) for number in keep}
    if not (strays := set(folder.glob("*")) - known):
        return True
    lock = FileLock(lease_path(folder), shared=False, wait=False)
    if not lock.held:
        return False  # The next writer does it.
    for path in strays:
        with suppress(PermissionError):  # Windows keeps files that are mapped.
            path.unlink()
    lock.release()
    return True


def lease_path(folder: Path) -> Path:
    """Return the file that readers lock while they go from the catalog to the vectors."""
    return folder.with_name("reading")


def gate_path(folder: Path) -> Path:
    """Return the file that is there, locked, while readers should let a swap go first."""
    return folder.with_name(".gate")


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of a segment."""
    return folder / f"{number:08d}.arrow"
