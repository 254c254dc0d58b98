"""A local model as an embedder of items and queries, whatever its family."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mmrag.core.protocols import Embedded, Media
from mmrag.core.types import Embeddings, Item, Modality, Query
from mmrag.embed.centre import Centres
from mmrag.embed.content import Content, Model
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.inputs import item_content, query_content
from mmrag.embed.outputs import QueryNotes, gather

if TYPE_CHECKING:
    from mmrag.embed.engine.stream import Engine

WINDOW_ITEMS = 512
"""How many items a sync gathers before it embeds: enough to sort by length and to open pictures ahead."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """What a family says of itself before its weights are loaded.

    Args:
        identity: What the vectors depend on.
        dim: The length of a vector.
        takes: What parts it takes.
        fuses: Whether words and a picture become one vector.
        pictures: What of an item with a picture is embedded.
        languages: ISO 639-1 codes; None for any.
        tasks: The names that a query's task may have.
        load: Loads it onto a device; called once for each.
        engine: How it is run.
    """

    identity: Mapping[str, str]
    dim: int
    takes: frozenset[Modality]
    fuses: bool
    load: Callable[[str], Model]
    pictures: Literal["image", "fused"] = "image"
    languages: frozenset[str] | None = None
    tasks: frozenset[str] = frozenset()
    engine: EngineOptions = field(default_factory=EngineOptions)


class LocalEmbedder:
    """Embeds items and queries with a model on this machine, loaded on first use.

    Threads may share it: model state that is not theirs alone, such as the adapter in use, is held by one at
    a time.

    Args:
        model: The family and its weights.
        centres: Means that are taken away from the vectors, by modality.
    """

    batch_items = WINDOW_ITEMS

    def __init__(self, model: LocalModel, centres: Centres | None = None) -> None:
        self._model = model
        self._centres = centres
        self._loading = threading.Lock()
        self._engine: Engine | None = None
        self._notes = QueryNotes()

    @property
    def identity(self) -> Mapping[str, str]:
        """What the vectors depend on."""
        if self._centres is None:
            return self._model.identity
        return {**self._model.identity, "centres": self._centres.digest}

    @property
    def modalities(self) -> frozenset[Modality]:
        """What parts it takes."""
        return self._model.takes

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages it knows; None for any."""
        return self._model.languages

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._model.dim

    @property
    def tasks(self) -> frozenset[str]:
        """The names that `Query.task` may have."""
        return self._model.tasks

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Embed items.

        Raises:
            SourceError: A picture of an item cannot be opened.
            UnsupportedModality: An item has parts that the model does not take.
        """
        return gather(self.embed_stream(items, media), len(items), self.dim)

    def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Generator[Embedded]:
        """Embed items as they come; yield one result an item, in order."""
        model = self._model
        fused = model.pictures == "fused" and model.fuses
        return self.embed_contents(item_content(item, media, model.takes, fused=fused) for item in items)

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Embed queries.

        Raises:
            UnsupportedModality: A query has parts that the model does not take.
            QueryError: There is no such task.
            SourceError: A picture of a query cannot be opened.
        """
        contents = [query_content(query, self._model.takes, self._model.tasks) for query in queries]
        return gather(
            self.embed_contents(contents),
            len(contents),
            self.dim,
            lambda position, notes: self._notes.keep(queries[position], notes),
        )

    def notes_on(self, query: Query) -> tuple[str, ...]:
        """Return what was said of a query that was embedded a moment ago, such as that words were cut."""
        return self._notes.of(query)

    def embed_contents(self, contents: Iterable[Content]) -> Generator[Embedded]:
        """Embed what is neither item nor query, such as the candidates of a benchmark; in order."""
        if self._centres is None:
            yield from self._running().stream(contents)
            return
        seen: deque[Modality] = deque()
        for one in self._running().stream(_noted(contents, seen)):
            modality = seen.popleft()
            vectors = one.vectors
            yield one if vectors is None else replace(one, vectors=self._centres.apply(vectors, modality))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes."""
        return self._running().models[0].count_tokens(texts)

    def _running(self) -> Engine:
        with self._loading:
            if self._engine is None:
                from mmrag.embed.engine.devices import choose_devices
                from mmrag.embed.engine.stream import Engine

                devices = choose_devices(self._model.engine)
                models = [self._model.load(device) for device in devices]
                self._engine = Engine(models, self._model.engine, devices)
            return self._engine


def _noted(contents: Iterable[Content], seen: deque[Modality]) -> Iterator[Content]:
    """Pass contents on, and note what each one's vector counts as: a picture, if there is one."""
    for content in contents:
        others = sorted(content.modalities - {"text"})
        seen.append(others[0] if others else "text")
        yield content
