"""What searches run on: the published state of a store, followed as the store changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from mmrag.core.filters import parse
from mmrag.core.protocols import Answerer, Embedder, Rows, TextEmbedder
from mmrag.index.published import Opened, open_indexes
from mmrag.lanes import join_lanes
from mmrag.recipes import PipelineRecipe
from mmrag.search import HybridRetriever
from mmrag.store import Store

_FILTERS = 32
"""So many filters are remembered: people and programs ask many questions under one."""


@dataclass(frozen=True, slots=True)
class State:
    """One state of a store, opened for searching; `root` is its digest."""

    generation: int
    root: str
    indexes: Opened
    retriever: HybridRetriever
    answerer: Answerer
    _allowed: dict[str, Rows] = field(default_factory=dict, repr=False)

    @property
    def compares_pictures(self) -> bool:
        """Whether the pictures of a query can be found again."""
        return bool(self.indexes.pictures)

    def allowed(self, filter: str | None) -> Rows | None:
        """Return the rows that a filter lets through, sorted; None for no filter.

        Raises:
            BadFilter, UnknownField: It cannot be parsed.
        """
        if filter is None:
            return None
        if (known := self._allowed.get(filter)) is not None:
            return known
        rows = self.indexes.columns.rows(parse(filter))
        if len(self._allowed) >= _FILTERS:
            self._allowed.clear()
        self._allowed[filter] = rows
        return rows


class Current:
    """Opens a store's state for searching, and opens it anew when another generation is there.

    Threads share it: while one opens the new state, the others go on with the last one.
    """

    def __init__(self, folder: Path, store: Store, recipe: PipelineRecipe, embedder: Embedder) -> None:
        self._folder, self._store, self._recipe, self._embedder = folder, store, recipe, embedder
        self._state: State | None = None
        self._lock = threading.Lock()

    def state(self) -> State:
        """Return the state to search; call it inside a snapshot of the store."""
        with self._store.snapshot():
            generation = self._store.generation
            state = self._state
            if state is not None and state.generation == generation:
                return state
            if not self._lock.acquire(blocking=state is None):
                assert state is not None
                return state
            try:
                if self._state is None or self._state.generation != generation:
                    self._state = self._open(generation)
                return self._state
            finally:
                self._lock.release()

    def let_go(self) -> None:
        """Let go of the state, and with it of the files that it holds open."""
        with self._lock:
            self._state = None

    def _open(self, generation: int) -> State:
        recipe, store = self._recipe, self._store
        opened = open_indexes(store, recipe.index.indexes(self._folder), self._embedder.dim)
        joined = join_lanes(store, opened, self._embedder, recipe.search.fusion)
        retriever = HybridRetriever(joined.lanes, joined.fusion, store.items, depth=recipe.search.depth)
        answerer = recipe.answer.build(_of_sentences(self._embedder), opened.lexical)
        return State(generation, store.root, opened, retriever, answerer)


def _of_sentences(embedder: Embedder) -> TextEmbedder:
    """Return what compares sentences with a question: the embedder of the index, if it is made for that.

    A large model would take seconds for the sentences of ten pages, and the answerer's threshold was found
    with the embedded default: that one does it instead.
    """
    if isinstance(embedder, TextEmbedder):
        return embedder
    from mmrag.embed.minilm import MiniLMOptions

    return MiniLMOptions().build()
