"""The digests that a store's root is made of, and those that prove what the root leaves out."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmrag.core.identity import digest_json


def seal(data: bytes) -> bytes:
    """Return the BLAKE2b-128 of `data`."""
    return hashlib.blake2b(data, digest_size=16).digest()


def vector_seal(vectors: NDArray[np.float32]) -> bytes:
    """Return the digest of one key's vectors: their float32 bytes, little-endian, one after the other."""
    return seal(np.ascontiguousarray(vectors, dtype="<f4").tobytes())


def values_seal(values: Sequence[object]) -> bytes:
    """Return the digest of a row's values: text, numbers and None."""
    return seal(json.dumps(list(values), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def source_root(items: Iterable[tuple[str, str, bytes, bytes]]) -> str:
    """Return the digest of a source's items, in any order: id, vector key, vector seal and body of each."""
    return digest_json(sorted([id, key, vectors.hex(), seal(body).hex()] for id, key, vectors, body in items))


def store_root(db: sqlite3.Connection) -> str:
    """Return the digest of all sources with their items and vectors; neither times nor order enter it."""
    state = hashlib.blake2b(digest_size=32)
    for values in db.execute("SELECT id, digest, media_type, state, root FROM sources ORDER BY id"):
        state.update(json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return state.hexdigest()
