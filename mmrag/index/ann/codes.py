"""Codes that lie one after the other, row by row: kept in memory, or streamed into a file to be mapped."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mmrag.core.lazy import require
from mmrag.index.files import sync_folder

Coding = Literal["f32", "f16", "sq8"]


def faiss() -> Any:
    """Return the module.

    Raises:
        MissingExtra: FAISS is not installed.
    """
    return require("faiss", extra="cpu", feature="The FAISS index")


def empty_codes(coding: Coding, dim: int, sample: NDArray[np.float32]) -> Any:
    """Return an index without rows; int8 codes take their range of each dimension from the sample."""
    lib = faiss()
    if coding == "f32":
        return lib.IndexFlatIP(dim)
    kinds = {"f16": lib.ScalarQuantizer.QT_fp16, "sq8": lib.ScalarQuantizer.QT_8bit}
    made = lib.IndexScalarQuantizer(dim, kinds[coding], lib.METRIC_INNER_PRODUCT)
    made.train(sample)
    return made


class CodesSink(Protocol):
    """Takes the rows of an index batch by batch."""

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append rows."""
        ...

    def close(self) -> Any:
        """Return the FAISS index over all that was appended."""
        ...


class CodesInMemory:
    """Appends to an index in memory."""

    def __init__(self, start: Any) -> None:
        self._index = start

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append rows."""
        self._index.add(vectors)

    def close(self) -> Any:
        """Return the index."""
        return self._index


class CodesInFile:
    """Appends to a file that FAISS maps: its own format, written without holding the codes.

    A FAISS index of plain codes is written as a header, the codes' length, and the codes. The header of an
    empty one, with the number of rows and the length set at the end, followed by the codes is the same file.

    Args:
        start: An index of that coding, trained and without rows.
        path: The file to make.
        old: A file of the same coding whose codes come first.
    """

    def __init__(self, start: Any, path: Path, old: Path | None = None) -> None:
        self._start, self._path = start, path
        self._aside = path.with_name(path.name + ".new")
        self._head = faiss().serialize_index(start).tobytes()
        with self._aside.open("wb") as file:
            file.write(self._head)
            if old is not None:
                with old.open("rb") as source:
                    source.seek(len(self._head))
                    shutil.copyfileobj(source, file, 1 << 20)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append rows."""
        with self._aside.open("ab") as file:
            file.write(self._start.sa_encode(vectors).data)

    def close(self) -> Any:
        """Force the file to disk under its name and return the index, mapped."""
        length = self._aside.stat().st_size - len(self._head)
        count, rest = divmod(length, self._start.sa_code_size())
        if rest:
            raise OSError(f"{self._aside} holds {length} bytes of codes, no whole number of rows.")
        # A flat index gives the length in floats.
        units = length // 4 if isinstance(self._start, faiss().IndexFlat) else length
        with self._aside.open("rb+") as file:
            for place, value in ((8, count), (len(self._head) - 8, units)):
                file.seek(place)
                file.write(struct.pack("<q", value))
            file.flush()
            os.fsync(file.fileno())
        self._aside.replace(self._path)
        sync_folder(self._path.parent)
        return mapped(self._path)


def mapped(path: Path) -> Any:
    """Open a FAISS index by mapping its file: what is never looked at is never read."""
    lib = faiss()
    return lib.read_index(str(path), lib.IO_FLAG_MMAP_IFC)


def in_memory(path: Path) -> Any:
    """Read a FAISS index, so that rows can be added to it."""
    return faiss().read_index(str(path))


def emptied(index: Any) -> Any:
    """Return an index of the same coding and training, without rows."""
    lib = faiss()
    if isinstance(index, lib.IndexFlat):
        return lib.IndexFlatIP(index.d)
    made = lib.IndexScalarQuantizer(index.d, index.sq.qtype, lib.METRIC_INNER_PRODUCT)
    made.sq.trained = index.sq.trained
    made.is_trained = True
    return made


def owned(index: Any) -> Any:
    """Return a copy in memory that rows can be added to; a mapped index takes none."""
    lib = faiss()
    return lib.deserialize_index(lib.serialize_index(index))
