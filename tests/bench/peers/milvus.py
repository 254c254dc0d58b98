"""milvus-lite: Milvus for one machine, asked through pymilvus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from dense.data import Data, Filter
from dense.vectors import DIM
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient

from peers.engine import Engine, Found, Knob, padded


class MilvusLite(Engine):
    """HNSW with M 16 and efConstruction 200, as hnswlib is built; ef is tuned."""

    settings = "HNSW, M 16, efConstruction 200"
    knobs = tuple({"ef": ef} for ef in (10, 20, 30, 40, 60, 80, 120, 200))
    _filter = ""

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        client = MilvusClient(str(folder / "milvus.db"))
        schema = client.create_schema(auto_id=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        for name in data.columns:
            schema.add_field(name, DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        index = client.prepare_index_params()
        index.add_index(
            "vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 200}
        )
        client.create_collection("items", schema=schema, index_params=index)
        for start in range(0, len(data.vectors), 2_000):
            client.insert(
                "items",
                [
                    {"row": row, "vector": data.vectors[row]}
                    | {name: int(column[row]) for name, column in data.columns.items()}
                    for row in range(start, min(start + 2_000, len(data.vectors)))
                ],
            )
        client.flush("items")
        client.load_collection("items")
        client.close()
        return {}

    def open(self, folder: Path) -> None:
        self._client = MilvusClient(str(folder / "milvus.db"))
        self._client.load_collection("items")

    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        found = self._client.search(
            "items", data=list(queries), limit=k, filter=self._filter, search_params={"params": dict(knob)}
        )
        return padded([[hit["row"] for hit in hits] for hits in found], k)

    def allow(self, data: Data, chosen: Filter) -> None:
        self._filter = f"{chosen.column} < {chosen.bound}"

    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        return self.search(query, k, knob)
