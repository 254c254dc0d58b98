"""Embed a corpus of any size, taking from a cache what an earlier run has made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mmrag.core.fields import embedding_key
from mmrag.core.protocols import Embedded, Embedder, Media, StreamEmbedder
from mmrag.core.types import Item
from mmrag.embed.engine.cache import EmbeddingCache

_LOOKED_UP = 256
_WAITING = 4096
"""So many results wait at most for one that is being made."""

_KEPT = 64
"""So many new vectors are lost at most when the process is killed."""


def encode(
    embedder: Embedder,
    items: Iterable[Item],
    media: Media | None = None,
    cache: EmbeddingCache | None = None,
) -> Iterator[Embedded]:
    """Embed items; yield one result an item, in order.

    Items with the words and pictures of one that is in the cache are not embedded again: a run that was
    stopped goes on where it was. Errors are not kept: such items are tried again. Nor are notes: the run that
    cuts an item's words tells it, and no later one.

    Args:
        embedder: Makes one vector an item.
        items: Read a few windows ahead.
        media: Opens their pictures.
        cache: Of the same identity; None to keep nothing.

    Raises:
        SourceError: A picture cannot be opened, and the embedder lets no item fail alone.
        OutOfSpace: The cache's disk is full.
    """
    if cache is None:
        yield from _embedded(embedder, items, media)
        return
    source = iter(items)
    position = 0
    while True:
        run = _Run(cache, source)
        for one in run.results(_embedded(embedder, run.missing(), media)):
            yield Embedded(position, one.vectors, one.error, one.notes)
            position += 1
        if run.ended:
            return


class _Run:
    """A stretch of items that are looked up and, where they are missing, embedded, as one stream.

    It ends when too many results wait for one that is missing: else a missing item before a million
    known ones would let all of them be read before it is done.
    """

    def __init__(self, cache: EmbeddingCache, source: Iterator[Item]) -> None:
        self.ended = False
        self._cache = cache
        self._source = source
        self._waiting: deque[tuple[str, NDArray[np.float32] | None]] = deque()

    def missing(self) -> Iterator[Item]:
        """Yield the items that the cache lacks, and note for each item what is known."""
        while len(self._waiting) < _WAITING:
            items = list(islice(self._source, _LOOKED_UP))
            if not items:
                self.ended = True
                return
            keys = [embedding_key(item) for item in items]
            for item, key, vector in zip(items, keys, self._cache.get(keys), strict=True):
                self._waiting.append((key, vector))
                if vector is None:
                    yield item

    def results(self, made: Iterator[Embedded]) -> Iterator[Embedded]:
        """Yield what is known and what is made, in order; keep what is made."""
        fresh: list[tuple[str, NDArray[np.float32]]] = []
        try:
            for one in made:
                yield from self._known()
                key, _ = self._waiting.popleft()
                if one.vectors is not None:
                    fresh.append((key, one.vectors[0]))
                    if len(fresh) >= _KEPT:
                        self._keep(fresh)
                yield one
            yield from self._known()
        finally:
            self._keep(fresh)

    def _known(self) -> Iterator[Embedded]:
        while self._waiting and (vector := self._waiting[0][1]) is not None:
            self._waiting.popleft()
            yield Embedded(0, vector[None])

    def _keep(self, fresh: list[tuple[str, NDArray[np.float32]]]) -> None:
        if fresh:
            self._cache.put([key for key, _ in fresh], np.stack([vector for _, vector in fresh]))
            fresh.clear()


def _embedded(embedder: Embedder, items: Iterable[Item], media: Media | None) -> Iterator[Embedded]:
    if isinstance(embedder, StreamEmbedder):
        yield from embedder.embed_stream(items, media)
        return
    source = iter(items)
    position = 0
    while window := list(islice(source, _LOOKED_UP)):
        for vectors in embedder.embed_items(window, media):
            yield Embedded(position, vectors)
            position += 1
