"""A local model as an embedder of items and queries, whatever its family."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mmrag.core.protocols import Embedded
from mmrag.core.types import Modality
from mmrag.embed.centre import Centres
from mmrag.embed.content import Content, Model
from mmrag.embed.embedder import ContentEmbedder
from mmrag.embed.engine.options import EngineOptions

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


class LocalEmbedder(ContentEmbedder):
    """Embeds items and queries with a model on this machine, loaded on first use.

    Threads may share it: model state that is not theirs alone, such as the adapter in use, is held by one at
    a time.

    Args:
        model: The family and its weights.
        centres: Means that are taken away from the vectors, by modality.
    """

    batch_items = WINDOW_ITEMS

    def __init__(self, model: LocalModel, centres: Centres | None = None) -> None:
        super().__init__()
        self._model = model
        self._centres = centres
        self._loading = threading.Lock()
        self._engine: Engine | None = None

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

    @property
    def fuses_items(self) -> bool:
        """Whether a picture is embedded together with the words of its item."""
        return self._model.pictures == "fused" and self._model.fuses

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
