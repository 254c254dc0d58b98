"""Digests and the ids made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from mmrag.core.types import ItemId, Locator, Part

_CHUNK_BYTES = 1 << 20


def digest_bytes(data: bytes) -> str:
    """Return the hex BLAKE2b-256 of `data`."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def digest_file(path: Path) -> str:
    """Return the hex BLAKE2b-256 of a file's bytes, read in pieces."""
    state = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()


def digest_json(value: object) -> str:
    """Return the digest of a JSON value in one canonical spelling."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def item_id(parts: Iterable[Part], locator: Locator, *, reader: str, splitter: str) -> ItemId:
    """Return the id of an item: it depends on content and place, never on the file's path."""
    content = [[p.modality, p.text, p.media, p.role] for p in parts]
    where = [type(locator).__name__, asdict(locator)]
    return ItemId(digest_json([content, where, reader, splitter])[:32])


def differences(stored: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Name each key in which two identities differ, as 'key: stored -> wanted'; 'none' is as good as no key.

    Of embedders of different kinds only what both have is named: all else differs as a matter of course.
    """
    keys = sorted(stored.keys() | wanted.keys())
    if stored.get("embedder") != wanted.get("embedder"):
        keys = [key for key in ("embedder", "dim") if key in keys]
    return [
        f"{key}: {stored.get(key, 'none')} -> {wanted.get(key, 'none')}"
        for key in keys
        if stored.get(key, "none") != wanted.get(key, "none")
    ]
