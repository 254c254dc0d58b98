"""The arrays of an Okapi index: postings by term with their scores, in memory or mapped from files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import Rows

LANES = 64
"""The length of an accumulator is a multiple of this: its best are found in so many slices at once."""

Allocate = Callable[[str, tuple[int, ...], Any], NDArray[Any]]
"""Makes an empty array of a name, shape and type: in memory, or in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class OkapiArrays:
    """An inverted index. Position i stands for row `rows[i]`; terms are numbered in the order of their bytes.

    Shapes:
        rows, lengths (texts,); letters (bytes of all terms,); ends, idf, tops, dense_of (terms,);
        hashes, hashed (terms,): the terms' hashes, sorted, and whose they are; starts (terms + 1,);
        docs, counts, scores (postings,): sorted by term, then in the order in which texts were added;
        dense (terms that many texts hold, texts rounded up to `LANES`)
    """

    rows: Rows
    lengths: NDArray[np.int32]
    letters: NDArray[np.uint8]
    ends: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    hashed: NDArray[np.int32]
    starts: NDArray[np.int64]
    docs: NDArray[np.int32]
    counts: NDArray[np.unsignedinteger[Any]]
    scores: NDArray[np.float32]
    idf: NDArray[np.float64]
    tops: NDArray[np.float32]
    dense_of: NDArray[np.int32]
    dense: NDArray[np.float32]

    def term(self, number: int) -> bytes:
        """Return a term as UTF-8."""
        start = int(self.ends[number - 1]) if number else 0
        return self.letters[start : int(self.ends[number])].tobytes()

    def find(self, terms: Sequence[str]) -> list[int]:
        """Return the numbers of terms, -1 for those that no text holds."""
        wanted = [term.encode() for term in terms]
        if not len(self.hashes):
            return [-1] * len(wanted)
        codes = np.array([hash_of(term) for term in wanted], np.uint64)
        found = []
        for term, code, place in zip(
            wanted, codes, np.searchsorted(self.hashes, codes).tolist(), strict=True
        ):
            while place < len(self.hashes) and self.hashes[place] == code:
                if self.term(number := int(self.hashed[place])) == term:
                    found.append(number)
                    break
                place += 1
            else:
                found.append(-1)
        return found

    def beginning(self, prefix: str) -> range:
        """Return the numbers of all terms that begin so."""
        start = prefix.encode()
        return range(self._before(start), self._before(start + b"\xff"))

    def _before(self, term: bytes) -> int:
        low, high = 0, len(self.ends)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.term(middle) < term else (low, middle)
        return low


def in_memory(_name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Make an array in memory."""
    return np.zeros(shape, dtype)


def in_files(folder: Path, suffix: str) -> Allocate:
    """Make arrays that are mapped from files of a folder."""

    def allocate(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        path = folder / f"{name}{suffix}"
        if 0 in shape:
            made = np.zeros(shape, dtype)
            np.save(path, made)
            return made
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)

    return allocate


def file_names(suffix: str) -> tuple[str, ...]:
    """Return the names of the files of an index."""
    return tuple(f"{field.name}{suffix}" for field in fields(OkapiArrays))


def load(folder: Path, suffix: str) -> OkapiArrays:
    """Map the arrays of a folder.

    Raises:
        ValueError: A file is no array of numbers.
        OSError: A file is missing.
    """
    loaded = {
        field.name: np.asarray(np.load(folder / f"{field.name}{suffix}", mmap_mode="r"))
        for field in fields(OkapiArrays)
    }
    return OkapiArrays(**loaded)


def nothing() -> OkapiArrays:
    """Return the arrays of an index without texts."""
    types: dict[str, Any] = {
        "rows": np.int64, "lengths": np.int32, "letters": np.uint8, "ends": np.int64, "hashes": np.uint64,
        "hashed": np.int32, "docs": np.int32, "counts": np.uint8, "scores": np.float32, "idf": np.float64,
        "tops": np.float32, "dense_of": np.int32,
    }  # fmt: skip
    arrays: dict[str, Any] = {name: np.zeros(0, dtype) for name, dtype in types.items()}
    return OkapiArrays(starts=np.zeros(1, np.int64), dense=np.zeros((0, 0), np.float32), **arrays)


def hash_of(term: bytes) -> int:
    """Return the number by which a term is found."""
    return int.from_bytes(hashlib.blake2b(term, digest_size=8).digest(), "little")
