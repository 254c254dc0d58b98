"""What embedders share, wherever their model runs: from items and queries to contents to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence

from mmrag.core.protocols import Embedded, Media
from mmrag.core.types import Embeddings, Item, Modality, Query
from mmrag.embed.content import Content
from mmrag.embed.inputs import item_content, query_content
from mmrag.embed.outputs import QueryNotes, gather


class ContentEmbedder(ABC):
    """An embedder that is told what it takes, and how contents become vectors."""

    def __init__(self) -> None:
        self._notes = QueryNotes()

    @property
    @abstractmethod
    def modalities(self) -> frozenset[Modality]:
        """What parts it takes."""

    @property
    @abstractmethod
    def tasks(self) -> frozenset[str]:
        """The names that `Query.task` may have."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """The length of a vector."""

    @property
    @abstractmethod
    def fuses_items(self) -> bool:
        """Whether a picture is embedded together with the words of its item."""

    @abstractmethod
    def embed_contents(self, contents: Iterable[Content]) -> Generator[Embedded]:
        """Embed what is neither item nor query, such as the candidates of a benchmark; in order."""

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Embed items.

        Raises:
            SourceError: A picture of an item cannot be opened.
            UnsupportedModality: An item has parts that the model does not take.
            ModelError: The model, or its server, cannot run or refuses an item.
        """
        return gather(self.embed_stream(items, media), len(items), self.dim)

    def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Generator[Embedded]:
        """Embed items as they come; yield one result an item, in order."""
        takes, fused = self.modalities, self.fuses_items
        return self.embed_contents(item_content(item, media, takes, fused=fused) for item in items)

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Embed queries.

        Raises:
            UnsupportedModality: A query has parts that the model does not take.
            QueryError: There is no such task.
            SourceError: A picture of a query cannot be opened.
            ModelError: The model, or its server, cannot run or refuses a query.
        """
        contents = [query_content(query, self.modalities, self.tasks) for query in queries]
        return gather(
            self.embed_contents(contents),
            len(contents),
            self.dim,
            lambda position, notes: self._notes.keep(queries[position], notes),
        )

    def notes_on(self, query: Query) -> tuple[str, ...]:
        """Return what was said of a query that was embedded a moment ago, such as that words were cut."""
        return self._notes.of(query)
