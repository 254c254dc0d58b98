"""Dense search with FAISS, flat or by inverted lists, behind the same protocol as exact search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np

from mmrag.core.errors import ConfigError, QueryError
from mmrag.core.lazy import require
from mmrag.core.protocols import Rows
from mmrag.core.types import Embeddings, Matches
from mmrag.index.files import damaged, read_header, write_header, write_synced
from mmrag.index.ranking import TIE, Ranked, best, check_k, matches

_KIND = "faiss"
_FILE = "vectors.faiss"
_SLACK = 16
_POINTS_A_LIST = 39
_TRAIN_POINTS_A_LIST = 64


@dataclass(frozen=True, slots=True)
class FaissOptions:
    """How FAISS searches.

    Args:
        kind: `flat` is exact; `ivf` looks only into the lists nearest to the query.
        lists: The number of inverted lists; 0 chooses about 4 times the root of the count, seen
            when the first rows arrive.
        probes: How many lists a query looks into; 0 chooses an eighth of them, at least 8. With an
            allow-set every list is looked into: only allowed rows are scored, so that stays cheap
            and exact.
        seed: Fixes the sample and the start of the training.
    """

    kind: Literal["flat", "ivf"] = "flat"
    lists: int = 0
    probes: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("flat", "ivf"):
            raise ConfigError(f"FAISS has no kind {self.kind!r} here.", fix="Choose flat or ivf.")
        if self.lists < 0 or self.probes < 0:
            raise ConfigError(
                "Lists and probes are counts from 0.", fix="Leave them out to have them chosen."
            )

    @property
    def identity(self) -> dict[str, str]:
        """What the files of an index depend on; probes are chosen when searching."""
        return {"engine": "faiss/1", "kind": self.kind, "lists": str(self.lists), "seed": str(self.seed)}

    def over(self, rows: Rows, embeddings: Embeddings) -> FaissIndex:
        """Build an index over embeddings.

        Raises:
            MissingExtra: FAISS is not installed.
        """
        index = self.build(embeddings.dim)
        index.add(rows, embeddings)
        return index

    def build(self, dim: int) -> FaissIndex:
        """Return an empty index.

        Raises:
            MissingExtra: FAISS is not installed.
        """
        return FaissIndex(dim, self)

    def load(self, folder: Path) -> FaissIndex:
        """Open a saved index.

        Raises:
            MissingExtra: FAISS is not installed.
            Damaged: A file is missing, torn, or of another kind.
        """
        return FaissIndex.load(folder, self)


class FaissIndex:
    """Inner-product search over one vector an item.

    An `ivf` index is trained on a sample of the first rows added, so add the bulk first.
    """

    def __init__(self, dim: int, options: FaissOptions) -> None:
        self.dim = dim
        self.options = options
        self._faiss = _faiss()
        self._index: Any = (
            self._faiss.IndexIDMap2(self._faiss.IndexFlatIP(dim)) if options.kind == "flat" else None
        )
        self._lock = Lock()

    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        """Add rows; a row that is already there is replaced.

        Raises:
            ConfigError: The embeddings own many vectors an item, or have another dim or number.
        """
        if not embeddings.is_dense or embeddings.dim != self.dim or len(rows) != len(embeddings):
            raise ConfigError(
                f"This index takes one vector of dim {self.dim} a row; {len(rows)} rows came with "
                f"{len(embeddings.vectors)} vectors of dim {embeddings.dim}.",
                fix="Use the exact index for embeddings of many vectors.",
            )
        if len(rows) == 0:
            return
        # The last of equal rows wins, as if they had come one by one.
        _, last = np.unique(rows[::-1], return_index=True)
        keep = np.sort(len(rows) - 1 - last)
        every = len(keep) == len(rows)
        vectors = np.ascontiguousarray(embeddings.vectors if every else embeddings.vectors[keep], np.float32)
        ids = np.ascontiguousarray(rows[keep], np.int64)
        with self._lock:
            if self._index is None:
                self._index = self._trained(vectors)
            self._index.remove_ids(self._faiss.IDSelectorBatch(ids))
            self._index.add_with_ids(vectors, ids)

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        with self._lock:
            if self._index is not None and len(rows):
                ids = np.ascontiguousarray(rows, np.int64)
                self._index.remove_ids(self._faiss.IDSelectorBatch(ids))

    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows a query, among `allow` only if it is given (sorted, unique).

        Raises:
            QueryError: k is below 1, or the queries have another dim or many vectors each.
        """
        check_k(k)
        if queries.dim != self.dim or not queries.is_dense:
            raise QueryError(
                f"The index takes one query vector of dim {self.dim}; these have dim {queries.dim}.",
                fix="Embed queries and items with the same embedder.",
            )
        count = len(self) if allow is None else min(len(allow), len(self))
        if count == 0 or len(queries) == 0:
            return matches([_NOTHING] * len(queries), k)
        vectors = np.ascontiguousarray(queries.vectors, np.float32)
        found: list[Ranked | None] = [None] * len(queries)
        todo, depth = np.arange(len(queries)), k + _SLACK
        while len(todo):
            depth = min(depth, count)
            scores, rows = self._index.search(vectors[todo], depth, params=self._parameters(allow))
            for i, row, score in zip(todo, rows, scores, strict=True):
                # Rows that tie with the k-th may stand beyond the depth: look deeper for these queries.
                if depth == count or row[-1] < 0 or score[-1] < score[k - 1] - TIE:
                    found[i] = best(row[row >= 0], score[row >= 0], k)
            todo, depth = np.array([i for i in todo if found[i] is None], np.int64), depth * 4
        return matches([one for one in found if one is not None], k)

    def rows(self) -> Rows:
        """Return the rows that it holds, sorted."""
        if self._index is None:
            return np.empty(0, np.int64)
        if self.options.kind == "flat":
            found = self._faiss.vector_to_array(self._index.id_map)
        else:
            lists = self._index.invlists
            sizes = [lists.list_size(i) for i in range(lists.nlist)]
            found = np.concatenate(
                [self._faiss.rev_swig_ptr(lists.get_ids(i), n).copy() for i, n in enumerate(sizes) if n]
                or [np.empty(0, np.int64)]
            )
        return np.sort(found).astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder and sync it to disk."""
        folder.mkdir(parents=True, exist_ok=True)
        files: tuple[str, ...] = ()
        if self._index is not None:
            files = (_FILE,)
            write_synced(folder / _FILE, lambda aside: self._faiss.write_index(self._index, str(aside)))
        facts = {"dim": self.dim, "count": len(self), "kind_of_index": self.options.kind}
        write_header(folder, _KIND, facts, files)

    @classmethod
    def load(cls, folder: Path, options: FaissOptions) -> FaissIndex:
        """Open a saved index.

        Raises:
            Damaged: A file is missing, torn, or of another kind.
        """
        header = read_header(folder, _KIND)
        if header.get("kind_of_index") != options.kind:
            raise damaged(
                folder, _KIND, f"it is {header.get('kind_of_index')} where {options.kind} is wanted"
            )
        index = cls(int(header["dim"]), options)
        if (folder / _FILE).exists():
            try:
                index._index = index._faiss.read_index(str(folder / _FILE))
            except RuntimeError as error:
                raise damaged(folder, _KIND, f"{_FILE} cannot be read") from error
        if len(index) != header["count"]:
            raise damaged(folder, _KIND, f"it holds {len(index)} rows where {header['count']} were written")
        return index

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    def _trained(self, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
        count = len(vectors)
        chosen = min(round(4 * count**0.5), count // _POINTS_A_LIST)
        lists = max(1, min(self.options.lists or chosen, count))
        index = self._faiss.IndexIVFFlat(
            self._faiss.IndexFlatIP(self.dim), self.dim, lists, self._faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed = self.options.seed + 1
        index.cp.min_points_per_centroid = 1
        sample = min(count, lists * _TRAIN_POINTS_A_LIST)
        chosen_rows = np.random.default_rng(self.options.seed).choice(count, sample, replace=False)
        index.train(vectors[np.sort(chosen_rows)])
        return index

    def _parameters(self, allow: Rows | None) -> Any:
        selector = (
            None if allow is None else self._faiss.IDSelectorBatch(np.ascontiguousarray(allow, np.int64))
        )
        if self.options.kind == "flat":
            return None if selector is None else self._faiss.SearchParameters(sel=selector)
        lists = int(self._index.nlist)
        probes = lists if allow is not None else min(self.options.probes or max(8, lists // 8), lists)
        return self._faiss.SearchParametersIVF(nprobe=probes, sel=selector)


_NOTHING: Ranked = (np.empty(0, np.int64), np.empty(0, np.float32))


def _faiss() -> Any:
    return require("faiss", extra="cpu", feature="The FAISS index")
