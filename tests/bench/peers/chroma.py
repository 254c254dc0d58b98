"""Chroma: the vector database of most tutorials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings
from dense.data import Data, Filter
from numpy.typing import NDArray

from peers.engine import Engine, Found, Knob, padded


class Chroma(Engine):
    """HNSW with M 16 and efConstruction 200, as hnswlib is built; ef is tuned."""

    settings = "HNSW, M 16, efConstruction 200"
    knobs = tuple({"ef": ef} for ef in (10, 20, 30, 40, 60, 80, 120, 200))
    _where: Mapping[str, object] | None = None
    _ef = 0

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        client = _client(folder)
        hnsw = {"space": "ip", "ef_construction": 200, "max_neighbors": 16, "num_threads": 1}
        items = client.create_collection("items", configuration={"hnsw": hnsw}, embedding_function=None)
        step = min(5_000, client.get_max_batch_size())
        for start in range(0, len(data.vectors), step):
            rows = range(start, min(start + step, len(data.vectors)))
            items.add(
                ids=[str(row) for row in rows],
                embeddings=data.vectors[start : rows.stop],
                metadatas=[{name: int(column[row]) for name, column in data.columns.items()} for row in rows],
            )
        return {}

    def open(self, folder: Path) -> None:
        self._folder = folder
        self._items = _client(folder).get_collection("items", embedding_function=None)

    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        if self._ef != knob["ef"]:
            self._ef = knob["ef"]
            self._items.modify(configuration={"hnsw": {"ef_search": self._ef}})
            # An index that is open keeps the ef that it was opened with.
            SharedSystemClient.clear_system_cache()
            self.open(self._folder)
        found = self._items.query(query_embeddings=queries, n_results=k, where=self._where, include=[])
        return padded([[int(row) for row in rows] for rows in found["ids"]], k)

    def allow(self, data: Data, chosen: Filter) -> None:
        self._where = {chosen.column: {"$lt": chosen.bound}}

    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        return self.search(query, k, knob)


def _client(folder: Path) -> chromadb.ClientAPI:
    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
