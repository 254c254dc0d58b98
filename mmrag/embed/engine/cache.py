"""Keep vectors by the digest of what they were made of, so that a run over a large corpus can be stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import Damaged, IdentityMismatch
from mmrag.core.identity import differences
from mmrag.store.disk import fsync_path, space_checked, write_whole

_FORMAT = 1
_ASIDE = ".new"
_KEY = np.dtype([("key", "<u8", (2,)), ("checksum", "<u4")])
"""A record of a .keys file: half of the key's digest, and the CRC-32 of its vector."""

_SHARDS = "[0-9]" * 8 + "-*.keys"

_MERGE = 65_536
"""So many new keys are looked up in a dict before they are sorted among the others."""

_SYNC_BYTES = 1 << 28
"""So much may be lost when the machine loses power; when only the process ends, nothing is."""


class EmbeddingCache:
    """Vectors in append-only files under a folder; several processes may share it.

    Each process writes a shard of its own: `NAME.vectors` holds float32 rows, `NAME.keys` a record for each,
    written after its row. A torn tail is not seen, and a row that does not match its checksum is missing. A
    process sees what the folder held when it opened it, and what it has put in itself. A key takes 20 bytes
    of memory, a vector none. One thread at a time may use it.

    Args:
        folder: Where; it is made.
        identity: What the vectors depend on: `Embedder.identity`.
        dim: The length of a vector.

    Raises:
        IdentityMismatch: The folder holds vectors of another embedder.
        Damaged: The folder holds something else.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str], dim: int) -> None:
        self._folder = folder
        self._dim = dim
        self._check(identity)
        self._shards: list[_Shard] = []
        self._recent: dict[bytes, tuple[int, int]] = {}
        self._writing: _Writing | None = None
        heads = []
        for path in sorted(folder.glob(_SHARDS)):
            self._shards.append(_Shard(path, dim))
            heads.append(self._shards[-1].keys()["key"][:, 0])
        self._table = _Table.empty().joined(
            np.concatenate([*heads, np.empty(0, np.uint64)]),
            np.repeat(np.arange(len(heads)), [len(part) for part in heads]),
            np.concatenate([*(np.arange(len(part)) for part in heads), np.empty(0, np.int64)]),
        )

    def __len__(self) -> int:
        return len(self._table.heads) + len(self._recent)

    def get(self, keys: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """Return the vector of each key, [dim], or None where there is none."""
        digests = [_digest(key) for key in keys]
        found: list[NDArray[np.float32] | None] = [self._recently(digest) for digest in digests]
        missing = [i for i, vector in enumerate(found) if vector is None]
        wanted = np.frombuffer(b"".join(digests[i] for i in missing), "<u8").reshape(-1, 2)
        for i, shard, row in zip(missing, *self._table.find(wanted[:, 0]), strict=True):
            if shard >= 0:
                found[i] = self._shards[shard].read(int(row), digests[i])
        return found

    def put(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors; a key that is already there gets the new one.

        Shapes:
            vectors float32 [len(keys), dim]

        Raises:
            OutOfSpace: The disk is full; what was put before is kept.
        """
        if vectors.shape != (len(keys), self._dim):
            raise ValueError(
                f"{len(keys)} keys need [{len(keys)}, {self._dim}] numbers, not {vectors.shape}."
            )
        if not len(keys):
            return
        rows = np.ascontiguousarray(vectors, "<f4")
        digests = [_digest(key) for key in keys]
        with space_checked(self._folder):
            if self._writing is None:
                self._writing = _Writing.begin(self._folder)
                self._shards.append(_Shard(self._writing.keys_path, self._dim))
            try:
                first = self._writing.append(digests, rows)
            except BaseException:
                # Rows and keys of this shard may no longer be level: another one is begun.
                self._writing.close()
                self._writing = None
                raise
        shard = len(self._shards) - 1
        self._recent.update((digest, (shard, first + i)) for i, digest in enumerate(digests))
        if len(self._recent) >= _MERGE:
            self._merge()

    def close(self) -> None:
        """Push everything to the disk."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, identity: Mapping[str, str]) -> None:
        path = self._folder / "cache.json"
        wanted = {"format": _FORMAT, "dim": self._dim, "identity": dict(identity)}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            parts = (stored["format"], stored["dim"], stored["identity"])
        except FileNotFoundError:
            names = {found.name for found in self._folder.iterdir()} if self._folder.is_dir() else set()
            if path.name in names:
                # Another process has made the cache since.
                self._check(identity)
                return
            if names - {_ASIDE}:
                raise _foreign(self._folder) from None
            with space_checked(self._folder):
                write_whole(path, json.dumps(wanted, indent=1).encode(), aside=self._folder / _ASIDE)
            return
        except (ValueError, KeyError, TypeError) as error:
            raise _foreign(self._folder) from error
        if parts == (_FORMAT, self._dim, dict(identity)):
            return
        before = {"format": str(parts[0]), "dim": str(parts[1]), **parts[2]}
        after = {"format": str(_FORMAT), "dim": str(self._dim), **identity}
        raise IdentityMismatch(
            f"The cache {self._folder} is another embedder's: {'; '.join(differences(before, after))}.",
            fix="Give another folder, or delete this one.",
        )

    def _recently(self, digest: bytes) -> NDArray[np.float32] | None:
        place = self._recent.get(digest)
        return None if place is None else self._shards[place[0]].read(place[1], digest)

    def _merge(self) -> None:
        heads = np.frombuffer(b"".join(self._recent), "<u8").reshape(-1, 2)[:, 0]
        shards, rows = np.array(list(self._recent.values()), np.int64).T
        self._table = self._table.joined(heads, shards, rows)
        self._recent.clear()


@dataclass(frozen=True, slots=True)
class _Table:
    """Where the vectors stand, by the first half of their keys, which rise; the shard compares the rest."""

    heads: NDArray[np.uint64]
    shards: NDArray[np.int32]
    rows: NDArray[np.int64]

    @staticmethod
    def empty() -> _Table:
        return _Table(np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.int64))

    def joined(self, heads: NDArray[np.uint64], shards: NDArray[np.int64], rows: NDArray[np.int64]) -> _Table:
        """Add keys, the newest last; those that are already there get the new place."""
        all_shards = np.concatenate([shards[::-1].astype(np.int32), self.shards])
        all_rows = np.concatenate([rows[::-1], self.rows])
        unique, first = np.unique(np.concatenate([heads[::-1], self.heads]), return_index=True)
        return _Table(unique, all_shards[first], all_rows[first])

    def find(self, heads: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return shard and row of each key; shard -1 where there is none."""
        if not len(self.heads):
            return np.full(len(heads), -1, np.int32), np.zeros(len(heads), np.int64)
        at = np.searchsorted(self.heads, heads).clip(max=len(self.heads) - 1)
        return np.where(self.heads[at] == heads, self.shards[at], -1).astype(np.int32), self.rows[at]


class _Shard:
    """One pair of files, as a reader sees it; its rows are read where they stand."""

    def __init__(self, keys_path: Path, dim: int) -> None:
        self._keys_path = keys_path
        self._vectors_path = keys_path.with_suffix(".vectors")
        self._row_bytes = 4 * dim
        self._files: tuple[BinaryIO, BinaryIO] | None = None

    def keys(self) -> NDArray[np.void]:
        """Return the records whose vectors are there."""
        try:
            whole = self._keys_path.stat().st_size // _KEY.itemsize
            rows = self._vectors_path.stat().st_size // self._row_bytes
        except FileNotFoundError:
            return np.empty(0, _KEY)
        return np.fromfile(self._keys_path, _KEY, min(whole, rows))

    def read(self, row: int, digest: bytes) -> NDArray[np.float32] | None:
        """Return a row if it is that of the key and whole."""
        if self._files is None:
            self._files = (self._keys_path.open("rb"), self._vectors_path.open("rb"))
        keys, vectors = self._files
        keys.seek(row * _KEY.itemsize)
        record = keys.read(_KEY.itemsize)
        vectors.seek(row * self._row_bytes)
        data = vectors.read(self._row_bytes)
        if record != digest + zlib.crc32(data).to_bytes(4, "little"):
            return None
        return np.frombuffer(data, "<f4").astype(np.float32)

    def __del__(self) -> None:
        for file in self._files or ():
            file.close()


@dataclass(slots=True)
class _Writing:
    """The shard that this process appends to."""

    keys_path: Path
    keys: BinaryIO
    vectors: BinaryIO
    rows: int = 0
    unsynced: int = 0

    @staticmethod
    def begin(folder: Path) -> _Writing:
        # Names rise by age, so that a newer vector of a key replaces an older one when the folder is opened.
        number = max((int(path.stem[:8]) for path in folder.glob(_SHARDS)), default=0) + 1
        path = folder / f"{number:08d}-{secrets.token_hex(4)}.keys"
        vectors = path.with_suffix(".vectors").open("xb", buffering=0)
        return _Writing(path, path.open("xb", buffering=0), vectors)

    def append(self, digests: Sequence[bytes], rows: NDArray[np.float32]) -> int:
        """Write rows, then their keys; return the number of the first."""
        _write_all(self.vectors, rows.tobytes())
        records = [
            digest + zlib.crc32(row.tobytes()).to_bytes(4, "little")
            for digest, row in zip(digests, rows, strict=True)
        ]
        self.unsynced += rows.nbytes
        if self.unsynced >= _SYNC_BYTES:
            os.fsync(self.vectors.fileno())
            self.unsynced = 0
        _write_all(self.keys, b"".join(records))
        first = self.rows
        self.rows += len(rows)
        return first

    def close(self) -> None:
        for file in (self.vectors, self.keys):
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())
            file.close()
        fsync_path(self.keys_path.parent)


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _foreign(folder: Path) -> Damaged:
    return Damaged(f"{folder} is no cache of vectors.", fix="Give an empty or new folder.")
