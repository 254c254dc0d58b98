"""LanceDB: the embedded vector database on columnar files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from dense.data import Data, Filter
from dense.vectors import DIM
from lancedb.index import BTree, IvfPq
from numpy.typing import NDArray

from peers.engine import Engine, Found, Knob, padded


class LanceDb(Engine):
    """IVF_PQ with its defaults; the lists probed and the rows scored again are tuned."""

    settings = "IVF_PQ, defaults, B-tree on the columns"
    knobs = tuple(
        {"nprobes": probes, "refine_factor": refine} for refine in (5, 10, 20, 40) for probes in (10, 20, 40)
    )
    _where: str

    def build(self, folder: Path, data: Data) -> Mapping[str, object]:
        columns = [(name, pa.int32()) for name in data.columns]
        schema = pa.schema([("row", pa.int64()), *columns, ("vector", pa.list_(pa.float32(), DIM))])
        table = lancedb.connect(folder).create_table("items", _batches(data, schema), schema=schema)
        table.create_index("vector", config=IvfPq(distance_type="dot"))
        for name in data.columns:
            table.create_index(name, config=BTree())
        return {}

    def open(self, folder: Path) -> None:
        self._table = lancedb.connect(folder).open_table("items")

    def search(self, queries: NDArray[np.float32], k: int, knob: Knob) -> Found:
        found = self._query(queries if len(queries) > 1 else queries[0], k, knob).to_arrow()
        rows = found["row"].to_numpy()
        if len(queries) == 1:
            return padded([rows], k)
        order = found["query_index"].to_numpy()
        return padded([rows[order == i] for i in range(len(queries))], k)

    def allow(self, data: Data, chosen: Filter) -> None:
        self._where = f"{chosen.column} < {chosen.bound}"

    def search_allowed(self, query: NDArray[np.float32], k: int, knob: Knob) -> Found:
        found = self._query(query[0], k, knob).where(self._where, prefilter=True).to_arrow()
        return padded([found["row"].to_numpy()], k)

    def _query(
        self, vectors: NDArray[np.float32], k: int, knob: Knob
    ) -> lancedb.query.LanceVectorQueryBuilder:
        query = self._table.search(list(vectors) if vectors.ndim > 1 else vectors).distance_type("dot")
        query = query.nprobes(knob["nprobes"]).refine_factor(knob["refine_factor"])
        return query.limit(k).select(["row", "_distance"])


def _batches(data: Data, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(data.vectors), 10_000):
        vectors = data.vectors[start : start + 10_000]
        columns = [pa.array(np.arange(start, start + len(vectors)))]
        columns += [pa.array(column[start : start + len(vectors)]) for column in data.columns.values()]
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
