"""The files that every engine of a run reads: vectors, columns to filter by, queries and their true rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from dense.vectors import BLOCK, DIM, Drawn, true_rows

K = 10
TUNING, MEASURED, FILTERED = 1_000, 1_000, 200
"""How many queries tune an engine, how many others measure it, how many of those are filtered."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows whose `column` is below `bound`; both columns count in thousandths.

    `bucket` is drawn at random; `region` ranks the rows by their similarity to one point, so that a low
    bound allows the rows around that point, which most queries lie far from.
    """

    name: str
    column: str
    bound: int


FILTERS = (
    Filter("0.1 %", "bucket", 1),
    Filter("1 %", "bucket", 10),
    Filter("10 %", "bucket", 100),
    Filter("50 %", "bucket", 500),
    Filter("1 %, one region", "region", 10),
)


@dataclass(frozen=True, slots=True)
class Data:
    """The vectors (memory-mapped), columns, queries and true rows of a run."""

    vectors: NDArray[np.float32]
    columns: dict[str, NDArray[np.int32]]
    queries: NDArray[np.float32]
    true: NDArray[np.int64]

    @property
    def tuning(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The queries that an engine may be tuned with, and their true rows."""
        return self.queries[:TUNING], self.true[:TUNING]

    @property
    def measured(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The queries that it is measured with, and their true rows."""
        return self.queries[TUNING:], self.true[TUNING:]

    def allowed(self, chosen: Filter) -> NDArray[np.int64]:
        """Return the rows that a filter lets through, sorted."""
        return np.flatnonzero(self.columns[chosen.column] < chosen.bound)

    def true_allowed(self, chosen: Filter) -> NDArray[np.int64]:
        """Return the true rows of the first `FILTERED` measured queries under a filter."""
        rows = self.allowed(chosen)
        scores = self.measured[0][:FILTERED] @ np.asarray(self.vectors[rows]).T
        return rows[np.argsort(-scores, axis=1, kind="stable")[:, :K]]


def load(folder: Path) -> Data:
    """Open what `make` wrote."""
    columns = {name: np.load(folder / f"{name}.npy") for name in ("bucket", "region")}
    return Data(
        np.load(folder / "vectors.npy", mmap_mode="r"),
        columns,
        np.load(folder / "queries.npy"),
        np.load(folder / "true.npy"),
    )


def make(folder: Path, count: int) -> None:
    """Write the data of a run of `count` vectors, unless it is there."""
    if (folder / "true.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = Drawn(count)
    queries = source.queries(TUNING + MEASURED)
    vectors = open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(count, DIM))
    for rows, embeddings in source.batches(BLOCK):
        vectors[rows[0] : rows[-1] + 1] = embeddings.vectors
    vectors.flush()
    rng = np.random.default_rng(3)
    ranks = np.argsort(np.argsort(-(vectors @ Drawn(1, seed=2).queries(1)[0])))
    np.save(folder / "bucket.npy", rng.integers(0, 1000, count).astype(np.int32))
    np.save(folder / "region.npy", (ranks * 1000 // count).astype(np.int32))
    np.save(folder / "queries.npy", queries)
    np.save(folder / "true.npy", true_rows(source, queries, K))
