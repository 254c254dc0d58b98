"""The dense index on FAISS: an immutable base, newer rows beside it, and what is not to be shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, QueryError
from mmrag.core.protocols import Rows, VectorSource
from mmrag.core.types import Embeddings, Matches
from mmrag.index.ann import devices, files, fold
from mmrag.index.ann.allow import FEW_DEAD, KEPT_FILTERS, Recent
from mmrag.index.ann.base import Base
from mmrag.index.ann.build import Built, build
from mmrag.index.ann.report import IndexReport, memory_of, reasons
from mmrag.index.ann.search import search
from mmrag.index.ann.sources import narrowed
from mmrag.index.ann.tail import Change, Tail
from mmrag.index.ranking import check_k

if TYPE_CHECKING:
    from mmrag.index.ann.options import FaissOptions


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """All that a search looks at, at one moment.

    `places` finds a base row's position: rows in rising order with their positions, None where they are
    the positions themselves. `quick` is the base for searches without a filter, where another is quicker.
    """

    built: Built | None
    quick: Base | None
    tail: Tail
    places: tuple[Rows, NDArray[np.int64]] | None
    gpu: devices.GpuCopy | None
    note: str
    filters: Recent[NDArray[np.int64]] = field(default_factory=lambda: Recent(KEPT_FILTERS))

    def allowed(self, allow: Rows) -> NDArray[np.int64]:
        """Return the positions of allowed rows; for a read-only array they are found once.

        The search keeps what it works out for them in turn, by the array that is returned.
        """

        def find() -> NDArray[np.int64]:
            found = self.positions(allow)
            found.setflags(write=False)
            return found

        return self.filters.get(allow, find)

    def positions(self, rows: Rows) -> NDArray[np.int64]:
        """Return the positions in the base of those rows that it has, sorted."""
        if self.built is None or len(rows) == 0:
            return np.empty(0, np.int64)
        known, order = (self.built.base.rows, None) if self.places is None else self.places
        # The last of equal rows: a row that came again stands behind its dead self.
        found = np.searchsorted(known, rows, side="right") - 1
        found = found[(found >= 0) & (known[found] == rows)]
        return found if order is None else np.sort(order[found])

    def live(self) -> int:
        return 0 if self.built is None else len(self.built.base) - len(self.built.base.dead)


class FaissIndex:
    """Inner-product search over one vector an item.

    Changes take effect together at the next search. They are searched exactly until `merge()` folds them
    into the base. Searching, changing and merging from several threads is safe; a search sees all of the
    changes before it, or none of a change.
    """

    def __init__(self, dim: int, options: FaissOptions) -> None:
        devices.choose(devices.faiss_build(), options.parts, options.device)
        self.dim = dim
        self.options = options
        self._kept = min(options.dim, dim) or dim
        self._folder: Path | None = None
        self._changes: list[Change] = []
        self._journal: list[Change] | None = None
        self._lock, self._merging = Lock(), Lock()
        self._state = self._state_of(None, Tail.empty(self._kept))

    @classmethod
    def over(cls, vectors: VectorSource, options: FaissOptions) -> FaissIndex:
        """Build an index in memory."""
        index = cls(vectors.dim, options)
        if len(vectors.rows):
            index._state = index._state_of(build(vectors, options), index._state.tail)
        return index

    @classmethod
    def opened(cls, folder: Path, dim: int, built: Built | None, options: FaissOptions) -> FaissIndex:
        """Search what was opened from a folder."""
        index = cls(dim, options)
        index._folder = folder
        index._state = index._state_of(built, index._state.tail)
        return index

    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        """Add rows; a row that is already there is replaced. Read-only vectors are shared, others copied.

        Raises:
            ConfigError: The embeddings own many vectors an item, have another dim or number, or hold NaN.
        """
        if not embeddings.is_dense or embeddings.dim != self.dim or len(rows) != len(embeddings):
            raise ConfigError(
                f"This index takes one vector of dim {self.dim} a row; {len(rows)} rows came with "
                f"{len(embeddings.vectors)} vectors of dim {embeddings.dim}.",
                fix="Use the exact index for embeddings of many vectors.",
            )
        if len(rows) == 0:
            return
        if not np.isfinite(embeddings.vectors).all():
            raise ConfigError("An embedding holds NaN or infinity.", fix="Check the embedder that made it.")
        vectors = narrowed(embeddings.vectors, self._kept)
        if vectors is embeddings.vectors and vectors.flags.writeable:
            vectors = vectors.copy()
        self._change((np.array(rows, np.int64), vectors))

    def remove(self, rows: Rows) -> None:
        """Remove rows; unknown rows are ignored."""
        if len(rows):
            self._change((np.array(rows, np.int64), None))

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
        vectors = narrowed(queries.vectors, self._kept)
        state = self._settled()
        if len(vectors) == 0 or state.live() == 0:
            return state.tail.exact.search(Embeddings.dense(vectors), k, allow=allow)
        old = self._search_base(state, vectors, k, allow)
        if len(state.tail) == 0:
            return old
        return _joined(old, state.tail.exact.search(Embeddings.dense(vectors), k, allow=allow), k)

    def merge(self) -> None:
        """Fold newer rows into the base, and clear out removed ones where they are many.

        Searches go on meanwhile; changes that arrive meanwhile are kept, and searched as before.
        """
        with self._merging:
            state = self._settled(is_merging=True)
            try:
                folded = fold.folded(state.built, state.tail, self.options)
                fresh = self._state_of(folded, Tail.empty(self._kept))
            except BaseException:
                self._journal = None
                raise
            with self._lock:
                later, self._journal = [*(self._journal or ()), *self._changes], None
                # A search without the lock that sees no changes must see the state that has them.
                self._state = self._applied(fresh, later) if later else fresh
                self._changes = []

    def save(self, folder: str | Path) -> None:
        """Merge, then write the index into an empty folder and sync it to disk."""
        self.merge()
        state = self._settled()
        built = state.built
        if len(state.tail):
            built = fold.folded(state.built, state.tail, self.options)
        files.save(Path(folder), built, self.dim, self.options)

    def rows(self) -> Rows:
        """Return the rows that it holds, sorted."""
        state = self._settled()
        if state.built is None:
            return state.tail.rows
        base = state.built.base
        return np.sort(np.concatenate([np.delete(base.rows, base.dead), state.tail.rows]))

    def report(self) -> IndexReport:
        """Tell what the index holds, what was measured, and what it takes."""
        state = self._settled()
        built = state.built
        facts = None if built is None else built.facts
        is_mapped = self._folder is not None and built is not None
        memory = memory_of(
            None if built is None else built.base, None if facts is None else facts.parts, is_mapped=is_mapped
        )
        notes = reasons(built, len(state.tail), self.options.probes)
        return IndexReport(
            kind=self.options.kind,
            rows=state.live() + len(state.tail),
            fresh=len(state.tail),
            removed=0 if built is None else len(built.base.dead),
            target=self.options.recall,
            points=() if facts is None else facts.points,
            sample=0 if facts is None else facts.sample,
            disk_bytes=_size(self._folder) if is_mapped else 0,
            memory_bytes=memory + state.tail.vectors.nbytes + state.tail.rows.nbytes,
            prices=() if facts is None else facts.prices,
            device="cpu" if state.gpu is None else "cuda",
            build_cpu_s=0.0 if facts is None else facts.build_cpu_s,
            notes=(*notes, state.note) if state.note else notes,
        )

    def __len__(self) -> int:
        state = self._settled()
        return state.live() + len(state.tail)

    def _search_base(
        self, state: _State, vectors: NDArray[np.float32], k: int, allow: Rows | None
    ) -> Matches:
        assert state.built is not None
        base = state.built.base
        if state.gpu is not None and allow is None and state.gpu.takes(k, len(base.dead)):
            positions, scores = state.gpu.search(base, vectors, k)
        elif state.quick is not None and allow is None and len(base.dead) <= FEW_DEAD * len(base):
            positions, scores = search(state.quick, vectors, k, None)
        else:
            allowed = None if allow is None else state.allowed(allow)
            positions, scores = search(base, vectors, k, allowed)
        # Position -1 would be the last row.
        rows = np.where(positions < 0, -1, base.rows[positions])
        found = Matches(rows, scores)
        return found if state.places is None else _joined(found, Matches(rows[:, :0], scores[:, :0]), k)

    def _change(self, change: Change) -> None:
        with self._lock:
            self._changes.append(change)

    def _settled(self, *, is_merging: bool = False) -> _State:
        if self._changes or is_merging:
            with self._lock:
                if self._changes:
                    self._state = self._applied(self._state, self._changes)
                    if self._journal is not None:
                        self._journal += self._changes
                    self._changes = []
                if is_merging:
                    self._journal = []
                return self._state
        return self._state

    def _applied(self, state: _State, changes: list[Change]) -> _State:
        tail = state.tail.changed(changes)
        if state.built is None:
            return replace(state, tail=tail)
        base = state.built.base
        gone = state.positions(np.unique(np.concatenate([rows for rows, _ in changes])))
        dead = base.dead if len(gone) == 0 else np.union1d(base.dead, gone)
        quick = None if state.quick is None else replace(state.quick, dead=dead)
        built = replace(state.built, base=replace(base, dead=dead))
        return replace(state, tail=tail, built=built, quick=quick)

    def _state_of(self, built: Built | None, tail: Tail) -> _State:
        if built is None:
            return _State(None, None, tail, None, None, "")
        base, facts = built.base, built.facts
        places = None
        if not facts.rising:
            order = np.argsort(base.rows, kind="stable")
            places = (base.rows[order], order)
        if self.options.probes:
            points = tuple(replace(point, probes=self.options.probes) for point in base.points)
            base = replace(base, points=points)
        choice = devices.choose(devices.faiss_build(), facts.parts, self.options.device)
        gpu = None
        if choice.device == "cuda":
            gpu = devices.GpuCopy(base, facts.parts, self.options.spread)
        built = replace(built, base=base)
        return _State(built, built.quick(), tail, places, gpu, choice.note)


def _joined(one: Matches, other: Matches, k: int) -> Matches:
    """Return the best of two lists that have no row in common; equal scores in the order of rows."""
    rows, scores = np.hstack([one.rows, other.rows]), np.hstack([one.scores, other.scores])
    # No row has the score of a missing one, so that those stay last.
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return Matches(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))


def _size(folder: Path | None) -> int:
    return 0 if folder is None else sum(file.stat().st_size for file in folder.iterdir())
