from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store

IDENTITY = {"name": "fake", "dim": "4"}


class Fakes:
    """Sources, items and vectors that can be told apart."""

    identity = IDENTITY

    def record(self, id: str = "a.txt", **changes: object) -> SourceRecord:
        source = Source(SourceId(id), digest_bytes(ascii(id).encode()), 100, "text/plain")
        return replace(SourceRecord(source, 10**18, "indexed", reader="text/1", splitter="s"), **changes)

    def item(self, id: str, text: str, metadata: dict | None = None, number: int = 0) -> Item:
        return Item(
            ItemId(digest_bytes(text.encode())[:32]),
            SourceId(id),
            Span(number, number + len(text)),
            (Part("text", text=text),),
            metadata or {},
        )

    def vectors(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings.dense(np.array([self.vector(t) for t in texts], dtype=np.float32).reshape(-1, 4))

    def vector(self, text: str) -> list[float]:
        return [b / 255 for b in digest_bytes(text.encode()).encode()[:4]]

    def put(self, writer, id: str, *texts: str, blobs: Sequence[Blob] = (), **changes: object) -> None:
        writer.add_vectors(texts, self.vectors(texts))
        items = [self.item(id, text, number=i) for i, text in enumerate(texts)]
        writer.put(self.record(id, **changes), items, texts, blobs)

    def blob(self, data: bytes) -> Blob:
        return Blob(digest_bytes(data), data, "image/png")

    def texts(self, store: Store) -> dict[str, list[str]]:
        """The texts of every source, read the long way."""
        return {
            record.source.id: sorted(i.text for i in store.items(store.rows_of(record.source.id)).values())
            for record in store.sources()
        }


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / ".mmrag", identity=IDENTITY) as store:
        yield store
