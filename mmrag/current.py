"""What searches run on: the published state of a store, followed as the store changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from mmrag.core.protocols import Answerer, Embedder
from mmrag.index.published import open_dense, open_lexical
from mmrag.recipes import PipelineRecipe
from mmrag.search import DenseLane, HybridRetriever, LexicalLane, main_languages
from mmrag.store import Store


@dataclass(frozen=True, slots=True)
class State:
    """One state of a store, opened for searching; `root` is its digest."""

    generation: int
    root: str
    retriever: HybridRetriever
    answerer: Answerer


class Current:
    """Opens a store's state for searching, and opens it anew when another generation is there.

    Threads share it: while one opens the new state, the others go on with the last one.
    """

    def __init__(self, store: Store, recipe: PipelineRecipe, embedder: Embedder) -> None:
        self._store, self._recipe, self._embedder = store, recipe, embedder
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
        index, search = self._recipe.index, self._recipe.search
        lexical = open_lexical(self._store, index.lexical)
        dense = open_dense(self._store, index.dense, self._embedder.dim)
        spoken = main_languages(self._store.languages())
        lanes = (LexicalLane(lexical), DenseLane(self._embedder, dense, corpus_languages=spoken))
        retriever = HybridRetriever(lanes, search.fusion, self._store.items, depth=search.depth)
        return State(
            generation, self._store.root, retriever, self._recipe.answer.build(self._embedder, lexical)
        )
