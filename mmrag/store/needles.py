"""Finds thousands of byte strings in files, in one pass: what `forget` proves itself with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 16
"""Longer strings are searched by windows of this many bytes: a page of a file may hold a part of one."""
SHORTEST = 5
"""Shorter strings occur by chance: one of 4 bytes in each 4 GB of noise, and names in any text."""
CHUNK = 4 << 20

_Words = NDArray[np.uint64]
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_WIDTHS = (16, 8, 5)
_LEAST_DISTINCT = 4
"""A window of fewer different bytes (blanks, zeros, a ruled line) says nothing."""


class Needles:
    """Byte strings to search for, each with a label that says whose it is.

    Args:
        stride: Of a longer string, a window is taken every so many bytes.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.short = 0
        self._labels: list[str] = []
        self._windows: list[NDArray[np.uint8]] = []
        self._owners: list[NDArray[np.int32]] = []
        self._exact: dict[bytes, str] = {}

    def add(self, data: bytes, label: str) -> None:
        """Search for every piece of `data` that is as long as `reach`, or for all of it if it is shorter."""
        if len(data) < WINDOW:
            self.add_whole(data, label)
            return
        view = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), WINDOW)
        places = np.append(np.arange(0, len(view), self.stride), len(view) - 1)
        windows = view[places]
        kinds = (np.diff(np.sort(windows, axis=1), axis=1) != 0).sum(axis=1) + 1
        windows = windows[kinds >= _LEAST_DISTINCT]
        self._windows.append(windows)
        self._owners.append(np.full(len(windows), len(self._labels), np.int32))
        self._labels.append(label)

    def add_whole(self, data: bytes, label: str) -> None:
        """Search for `data` as it is."""
        if len(data) < SHORTEST:
            self.short += bool(data)
        else:
            self._exact.setdefault(data, label)

    @property
    def reach(self) -> int:
        """A run of so many bytes holds a whole window."""
        return self.stride + WINDOW - 1

    def ready(self) -> Haystack:
        """Return what searches for all that was added."""
        windows = np.concatenate([np.empty((0, WINDOW), np.uint8), *self._windows])
        owners = np.concatenate([np.empty(0, np.int32), *self._owners])
        words = np.ascontiguousarray(windows).view("<u8").reshape(-1, 2)
        _, first = np.unique(_mix(words[:, 0], words[:, 1]), return_index=True)
        labels = [self._labels[owner] for owner in owners[first].tolist()]
        return Haystack([row.tobytes() for row in windows[first]], labels, self._exact)


class Haystack:
    """A search for fixed byte strings; `find` tells which of them a piece of data holds."""

    def __init__(self, windows: Sequence[bytes], labels: Sequence[str], exact: dict[bytes, str]) -> None:
        self._labels = dict(zip(windows, labels, strict=True)) | exact
        self._searches: list[_Search] = []
        by_width: dict[int, list[bytes]] = {width: [] for width in _WIDTHS}
        by_width[WINDOW] += windows
        for needle in exact:
            by_width[next(width for width in _WIDTHS if width <= len(needle))].append(needle)
        self._searches = [_Search(width, needles) for width, needles in by_width.items() if needles]

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, needle: bytes) -> str:
        """Return whose a needle is."""
        return self._labels[needle]

    def only(self, needles: Iterable[bytes]) -> Haystack:
        """Return a search for some of the needles."""
        return Haystack([], [], {needle: self._labels[needle] for needle in needles})

    def find(self, data: bytes) -> dict[bytes, int]:
        """Return each needle that `data` holds, with its first place."""
        padded = np.frombuffer(data + bytes(2 * WINDOW), np.uint8)
        found: dict[bytes, int] = {}
        for search in self._searches:
            for needle, place in search.find(padded, data):
                found[needle] = min(place, found.get(needle, place))
        return found

    def find_in(self, pieces: Iterable[bytes]) -> set[bytes]:
        """Return the needles that pieces hold, each by itself; small ones are joined for speed."""
        found: set[bytes] = set()
        for joined in _joined(pieces):
            found.update(self.find(joined))
        return found

    def find_in_file(self, path: Path) -> tuple[int, dict[bytes, int]]:
        """Return a file's size, and each needle that it holds with its first place."""
        found: dict[bytes, int] = {}
        longest = max(map(len, self._labels), default=0)
        start, tail = 0, b""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                data = tail + chunk
                for needle, place in self.find(data).items():
                    found.setdefault(needle, start - len(tail) + place)
                start += len(chunk)
                tail = data[max(0, len(data) - longest + 1) :]
        return start, found


class _Search:
    """Looks at every place of some data for strings that share a width of their first bytes."""

    def __init__(self, width: int, needles: Sequence[bytes]) -> None:
        self._width = width
        self._by_key: dict[bytes, list[bytes]] = {}
        for needle in needles:
            self._by_key.setdefault(needle[:width], []).append(needle)
        keys = b"".join(key.ljust(WINDOW, b"\0") for key in self._by_key)
        words = np.frombuffer(keys, "<u8").reshape(-1, 2)
        hashes = self._mixed(words[:, 0], words[:, 1])
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        # A needle that is its key is found where its key is: the first place says all.
        self._is_key = np.array([own == [key] for key, own in self._by_key.items()], np.bool_)[order]
        # One place in 32 is taken: few words pass, and a small table stays in the processor's cache.
        bits = len(self._hashes).bit_length() + 5
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.bool_)
        self._table[self._hashes >> self._shift] = True

    def find(self, padded: NDArray[np.uint8], data: bytes) -> Iterator[tuple[bytes, int]]:
        for shift in range(8):
            count = (len(padded) - shift) // 8
            words = padded[shift : shift + 8 * count].view("<u8")
            hashes = self._mixed(words[:-1], words[1:])
            near = np.flatnonzero(self._table[hashes >> self._shift])
            slots = np.minimum(np.searchsorted(self._hashes, hashes[near]), len(self._hashes) - 1)
            met = self._hashes[slots] == hashes[near]
            near, slots = near[met], slots[met]
            is_key = self._is_key[slots]
            _, first = np.unique(slots[is_key], return_index=True)
            for place in (np.append(near[is_key][first], near[~is_key]) * 8 + shift).tolist():
                for needle in self._by_key.get(data[place : place + self._width], ()):
                    if data.startswith(needle, place):
                        yield needle, place

    def _mixed(self, first: _Words, second: _Words) -> _Words:
        if self._width == WINDOW:
            return _mix(first, second)
        mask = np.uint64((1 << 8 * self._width) - 1)
        return _mix(first & mask, np.zeros_like(first))


def _mix(first: NDArray[Any], second: NDArray[Any]) -> _Words:
    mixed = np.asarray(first * _MIX[0] + second * _MIX[1], np.uint64)
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX[0]
    return mixed


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting, size = [], 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield _SEAM.join(waiting)
            waiting, size = [], 0
    if waiting:
        yield _SEAM.join(waiting)


_SEAM = b"\xff\x00\xff"
"""Between two pieces; no text holds it, so that no text is found across two."""
