"""Embed the items of a sync: each as the embedder may take it, a bad one alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmrag.core.errors import ModelError, SourceError
from mmrag.core.fields import embedding_text
from mmrag.core.protocols import Embedded, Embedder, StreamEmbedder
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, Part
from mmrag.media.items import ItemPictures
from mmrag.store import Store

BATCH_ITEMS = 64
"""Passages gathered over several sources before the embedder runs: enough to sort by length, and
about a second's work of the embedded default on two cores. Larger models say their own number."""

_WORDED = "The picture cannot be opened; the words in and around it stand for it."


class Embedding:
    """An embedder with what it needs to see the pictures of items that are not in the store yet.

    Args:
        embedder: Makes the vectors.
        store: Keeps the pictures of documents.
        corpus: The folder that is synced.
    """

    def __init__(self, embedder: Embedder, store: Store, corpus: Path) -> None:
        self.batch_items: int = getattr(embedder, "batch_items", BATCH_ITEMS)
        self._embedder = embedder
        self._pending: dict[str, bytes] = {}
        self._media = ItemPictures(store, corpus, lambda digest: self._pending.get(digest))

    def embed(self, items: Sequence[Item], blobs: Iterable[Blob]) -> Iterator[Embedded]:
        """Yield a result an item, in order; `blobs` are pictures of theirs that no store has yet."""
        self._pending = {blob.digest: blob.data for blob in blobs}
        try:
            yield from self._results([self._view(item) for item in items])
        finally:
            self._pending = {}

    def _results(self, items: Sequence[Item]) -> Iterator[Embedded]:
        if not isinstance(self._embedder, StreamEmbedder):
            embeddings = self._embedder.embed_items(items, self._media)
            yield from (Embedded(i, vectors) for i, vectors in enumerate(embeddings))
            return
        for one in self._embedder.embed_stream(items, self._media):
            if isinstance(one.error, SourceError) and items[one.position].text.strip():
                one = self._by_words(items[one.position], one)
            if one.vectors is None or np.isfinite(one.vectors).all():
                yield one
                continue
            said = "The model gave numbers that are not finite."
            yield Embedded(one.position, error=ModelError(said, fix="Use `dtype: float32`."))

    def _by_words(self, item: Item, failed: Embedded) -> Embedded:
        """Embed an item whose picture cannot be opened, such as a drawing, by the words in and around it."""
        assert isinstance(self._embedder, StreamEmbedder)
        (again,) = self._embedder.embed_stream([_worded(item)])
        return replace(again, position=failed.position, notes=(*failed.notes, _WORDED, *again.notes))

    def _view(self, item: Item) -> Item:
        """Return an item as the embedder may take it: its words, where its media is too much."""
        if {part.modality for part in item.parts} <= self._embedder.modalities:
            return item
        return _worded(item)


def _worded(item: Item) -> Item:
    return replace(item, parts=(Part("text", text=embedding_text(item)),), metadata={})


def joined(results: Sequence[Embedded]) -> Embeddings:
    """Return the vectors of results, one item after the other."""
    vectors = [one.vectors for one in results if one.vectors is not None]
    if not vectors:
        return Embeddings.dense(np.empty((0, 0), np.float32))
    offsets = np.cumsum([0, *map(len, vectors)], dtype=np.int64)
    return Embeddings(np.concatenate(vectors).astype(np.float32, copy=False), offsets)
