"""Perceptual hashes of a store's pictures: finds the same picture again, resized or re-encoded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, SourceError
from mmrag.core.filters import parse
from mmrag.core.media import page_of_media
from mmrag.core.protocols import Media, ReadLimits, Rows
from mmrag.core.types import Item, Matches, Part
from mmrag.index.files import damaged, read_header, sync_folder, write_arrays, write_header
from mmrag.index.ranking import best, check_k, matches
from mmrag.media.items import ItemPictures
from mmrag.media.likeness import BITS, LIKENESS, NEAR_BITS, WORDS, Hashes, query_hashes, stored_hashes
from mmrag.store import Derived, Store

_KIND = "pictures"
_FILES = ("rows.npy", "hashes.npy")
_BATCH_ROWS = 500
_BLOCK = 65_536
"""Hashes compared at a time: they and what is counted of them stay in a core's cache."""
_MAX_PIXELS = ReadLimits().max_pixels
_PICTURES = parse('modality == "image"')


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """Options of the index of perceptual hashes.

    Args:
        near_bits: In how many of 256 bits two pictures of the same thing may differ, 0 to 64.
    """

    near_bits: int = NEAR_BITS

    def __post_init__(self) -> None:
        if not 0 <= self.near_bits <= BITS // 4:
            raise ConfigError(
                f"near_bits is {self.near_bits}.", fix="Give 0 to 64; beyond, unlike pictures are the same."
            )

    @property
    def identity(self) -> dict[str, str]:
        """What the files depend on."""
        return {"pictures": LIKENESS}

    def write(self, folder: Path, store: Store, *, corpus: Path | None = None) -> None:
        """Hash all pictures of a store into an empty folder.

        Args:
            folder: Where to write.
            store: Holds the pictures that stand in documents.
            corpus: The folder of the sources: a picture that is a file of its own is read there.
        """
        _save(folder, *_hashed(store, store.rows(_PICTURES), corpus))

    def update(
        self,
        old: Path,
        folder: Path,
        store: Store,
        added: Rows,
        removed: Rows,
        *,
        corpus: Path | None = None,
    ) -> None:
        """Write what an old folder holds, with the rows added and removed since, into an empty one."""
        rows, hashes = _load(old)
        kept = ~np.isin(rows, np.union1d(added, removed))
        more, fresh = _hashed(store, np.intersect1d(added, store.rows(_PICTURES)), corpus)
        _save(folder, np.concatenate([rows[kept], more]), np.concatenate([hashes[:, kept], fresh], axis=1))

    def load(self, folder: Path) -> PictureIndex:
        """Open a folder, memory-mapped.

        Raises:
            Damaged: A file is torn, missing or foreign.
        """
        return PictureIndex(*_load(folder), near_bits=self.near_bits)

    def open(self, store: Store, published: Derived | None, *, corpus: Path | None = None) -> PictureIndex:
        """Open what is published, or nothing; pictures newer than it are hashed by the first search."""
        if published is None:
            index, added = PictureIndex(near_bits=self.near_bits), store.rows(_PICTURES)
        else:
            index = self.load(published.path)
            new, removed = store.changes(published.generation)
            index.remove(removed)
            added = np.intersect1d(new, store.rows(_PICTURES))
        if len(added):
            index.add_later(added, lambda: _hashed(store, added, corpus))
        return index


class PictureIndex:
    """Finds the rows whose pictures look like a given one; a row may have many hashes.

    Args:
        rows: The row of each hash.
        hashes: By column, uint64 [4, n].
        near_bits: Pictures that differ in more bits are not matches.
    """

    def __init__(
        self, rows: Rows | None = None, hashes: Hashes | None = None, *, near_bits: int = NEAR_BITS
    ) -> None:
        self._rows = np.empty(0, np.int64) if rows is None else rows
        self._hashes = np.empty((WORDS, 0), np.uint64) if hashes is None else hashes
        self._near_bits = near_bits
        self._gone = np.empty(0, np.int64)
        self._later: Callable[[], tuple[Rows, Hashes]] | None = None
        self._waiting = np.empty(0, np.int64)
        self._count: int | None = None
        self._lock = threading.Lock()

    def add(self, rows: Rows, hashes: Hashes) -> None:
        """Add hashes; a row that is already there is replaced.

        Shapes:
            rows int64 [n], a row once for each of its hashes; hashes uint64 [4, n]
        """
        with self._lock:
            self._add(rows, hashes)

    def add_later(self, rows: Rows, hash_them: Callable[[], tuple[Rows, Hashes]]) -> None:
        """Add rows whose pictures are hashed when the first search needs them."""
        self._waiting, self._later, self._count = rows, hash_them, None

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        with self._lock:
            self._gone, self._count = np.union1d(self._gone, rows), None

    def search(self, pictures: Sequence[bytes], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k rows whose pictures are most like each encoded picture, the same row once.

        Scores are 1 - bits / 256, where the hashes differ in so many bits.

        Raises:
            TooLarge, Corrupt: A picture cannot be opened.
        """
        return self.search_hashes(
            [query_hashes(picture, max_pixels=_MAX_PIXELS) for picture in pictures], k, allow=allow
        )

    def search_hashes(self, asked: Sequence[Hashes], k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k rows nearest to each set of hashes, uint64 [any, 4]."""
        check_k(k)
        rows, hashes, gone = self._caught_up()
        found = []
        for one in asked:
            at, bits = _near(hashes, one, self._near_bits)
            near = rows[at]
            shown = ~np.isin(near, gone)
            if allow is not None:
                shown &= np.isin(near, allow)
            # Sorted by row, then bits: the first of each row is its best.
            order = np.lexsort((bits[shown], near[shown]))
            unique, first = np.unique(near[shown][order], return_index=True)
            scores = (1 - bits[shown][order][first] / BITS).astype(np.float32)
            found.append(best(unique, scores, k))
        return matches(found, k)

    def __len__(self) -> int:
        if self._count is None:
            rows = np.sort(np.concatenate([self._rows, self._waiting]), kind="stable")
            shown = rows if not len(self._gone) else rows[~np.isin(rows, self._gone)]
            # `np.unique` takes seconds for a million rows, whether sorted or not.
            self._count = int(np.count_nonzero(np.diff(shown, prepend=-1)))
        return self._count

    def _add(self, rows: Rows, hashes: Hashes) -> None:
        kept = ~np.isin(self._rows, np.union1d(rows, self._gone))
        self._rows = np.concatenate([self._rows[kept], rows])
        self._hashes = np.concatenate([self._hashes[:, kept], hashes], axis=1)
        self._gone, self._count = np.empty(0, np.int64), None

    def _caught_up(self) -> tuple[Rows, Hashes, Rows]:
        with self._lock:
            if self._later is not None:
                self._waiting = np.setdiff1d(self._waiting, self._gone)
                rows, hashes = self._later()
                still = np.isin(rows, self._waiting)
                self._later, self._waiting = None, np.empty(0, np.int64)
                self._add(rows[still], hashes[:, still])
            return self._rows, self._hashes, self._gone


def _near(hashes: Hashes, asked: Hashes, near_bits: int) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
    """Return the places of the hashes within so many bits of one of those asked for, and in how many."""
    places, counts = [], []
    half = WORDS // 2
    for start in range(0, hashes.shape[1], _BLOCK):
        block = hashes[:, start : start + _BLOCK]
        for one in asked:
            bits = np.bitwise_count(block[0] ^ one[0])
            for word in range(1, half):
                bits += np.bitwise_count(block[word] ^ one[word])
            # Of two unlike pictures, half the words already differ in too many bits, nearly always.
            at = np.flatnonzero(bits <= near_bits)
            total = bits[at].astype(np.uint16)
            for word in range(half, WORDS):
                total += np.bitwise_count(block[word, at] ^ one[word])
            within = total <= near_bits
            places.append(at[within] + start)
            counts.append(total[within])
    if not places:
        return np.empty(0, np.intp), np.empty(0, np.uint16)
    return np.concatenate(places), np.concatenate(counts)


def _hashed(store: Store, rows: Rows, corpus: Path | None) -> tuple[Rows, Hashes]:
    """Hash the pictures of rows; one that is gone or cannot be opened has none."""
    media = ItemPictures(store, corpus)
    known: dict[str, Hashes | None] = {}
    found_rows: list[int] = []
    found: list[Hashes] = []
    for row, item in _items(store, rows):
        for part in item.parts:
            # Pages are found by their words and by embedders that see: rendering all of them again is dear.
            if part.modality != "image" or part.media is None or page_of_media(part.media) is not None:
                continue
            if part.media not in known:
                known[part.media] = _hash(media, item, part)
            if (hashes := known[part.media]) is not None:
                found_rows += [row] * len(hashes)
                found.append(hashes)
    stacked = np.concatenate(found).T if found else np.empty((WORDS, 0), np.uint64)
    return np.array(found_rows, np.int64), stacked


def _items(store: Store, rows: Rows) -> Iterator[tuple[int, Item]]:
    for start in range(0, len(rows), _BATCH_ROWS):
        yield from sorted(store.items(rows[start : start + _BATCH_ROWS]).items())


def _hash(media: Media, item: Item, part: Part) -> Hashes | None:
    try:
        return stored_hashes(media(item, part), max_pixels=_MAX_PIXELS, name=part.media or "")
    except SourceError:
        # A reader keeps pictures as the document holds them: some are broken, and `sync` has said so.
        return None


def _save(folder: Path, rows: Rows, hashes: Hashes) -> None:
    write_arrays(folder, {"rows.npy": rows, "hashes.npy": np.ascontiguousarray(hashes)})
    write_header(folder, _KIND, {"hashes": len(rows)}, _FILES)
    sync_folder(folder)


def _load(folder: Path) -> tuple[Rows, Hashes]:
    count = read_header(folder, _KIND).get("hashes")
    try:
        # As plain arrays: slicing a `memmap` makes another one each time.
        rows, hashes = (np.load(folder / name, mmap_mode="r").view(np.ndarray) for name in _FILES)
    except (OSError, ValueError) as error:
        raise damaged(folder, _KIND, f"a file cannot be read ({error})") from error
    if (rows.shape, rows.dtype) != ((count,), np.int64) or (hashes.shape, hashes.dtype) != (
        (WORDS, count),
        np.uint64,
    ):
        raise damaged(folder, _KIND, f"its files do not hold {count} hashes")
    return rows, hashes
