"""Build a base: train on a sample, then one pass over all vectors in batches that also finds the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.protocols import VectorSource
from mmrag.index.ann.base import Base
from mmrag.index.ann.calibrate import calibrate
from mmrag.index.ann.coarse import quickened, trained_coarse
from mmrag.index.ann.codes import CodesInFile, CodesInMemory, CodesSink, Coding, empty_codes, faiss
from mmrag.index.ann.facts import Facts, Price
from mmrag.index.ann.kinds import SMALL, Parts, lists_for
from mmrag.index.ann.measure import Truth, askers, drawn, overlap, recall_of, sample_size
from mmrag.index.ann.sources import BATCH, Live, dense, narrowed

if TYPE_CHECKING:
    from mmrag.index.ann.options import FaissOptions

_POINTS_A_LIST = 45
_CLUSTER_ROUNDS = 10
_SAMPLE = 20_000
_PQ_POINTS = 16_384
"""In 25 rounds they gave a smaller error of the codes (.0610) than four times as many in 10 (.0619)."""
_LINKS, _BREADTH = 16, 80
_PRICED: dict[str, str] = {"sq8": "int8", "rabitq": "one bit a dimension"}
ENGINE_FILE, CODES_FILE, COARSE_FILE = "engine.faiss", "codes.faiss", "coarse.faiss"


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A base with what is known of it.

    `coarse` holds codes of the centroids, where there are so many that they pay.
    """

    base: Base
    facts: Facts
    coarse: Any = None

    def quick(self) -> Base | None:
        """Return the base for searches without a filter, where another than the base itself is quicker."""
        if self.coarse is None:
            return None
        engine, codes = split(self.base.engine, self.facts.parts)
        quick = quickened(engine, self.coarse)
        return None if quick is None else replace(self.base, engine=composed(quick, codes))


def build(vectors: VectorSource, options: FaissOptions, folder: Path | None = None) -> Built:
    """Build an index over at least one row.

    Args:
        vectors: What to index.
        options: How.
        folder: Where the codes that need not be in memory are streamed to, and mapped from.

    Raises:
        ConfigError: An item has many vectors.
    """
    started = process_time()
    rows = np.asarray(vectors.rows)
    dim = min(options.dim, vectors.dim) or vectors.dim
    parts = options.parts if len(rows) >= SMALL else Parts("flat", "f32")
    lists = 0
    if parts.structure == "ivf":
        lists = min(options.lists, len(rows)) or lists_for(len(rows))
    sample = narrowed(_sample(vectors, max(lists * _POINTS_A_LIST, _SAMPLE), options.seed), dim)
    engine = trained(parts, sample, lists, options.seed)
    sink = _sink(parts, sample, folder)
    is_measured = parts.codes != "f32" or parts.structure != "flat" or dim < vectors.dim
    asking = _asking(vectors, dim, options.seed, is_held=parts.structure == "hnsw") if is_measured else None
    held = np.zeros(len(rows), np.bool_)
    if asking is not None and parts.structure == "hnsw":
        held[asking.chosen] = True

    start, count, late = 0, 0, []
    for _, batch in vectors.batches(BATCH):
        full = dense(batch)
        kept = narrowed(full, dim)
        now = ~held[start : start + len(kept)]
        start += len(kept)
        if not now.all():
            late.append(kept[~now])
            kept, full = kept[now], full[now]
        if engine is not None:
            engine.add(kept)
        if sink is not None:
            sink.add(kept)
        if asking is not None:
            asking.add(np.arange(count, count + len(kept)), full, kept)
        count += len(kept)

    codes = None if sink is None else sink.close()
    base = Base(rows[~held], composed(engine, codes), lists_of(engine), np.empty(0, np.int64), ())
    facts = Facts(
        kind=options.kind,
        parts=parts,
        full_dim=vectors.dim,
        dim=dim,
        lists=lists,
        trained=len(rows),
        measured=len(rows),
        sample=0 if asking is None else len(asking.kept.queries),
        target=options.recall,
        points=(),
        prices=(),
        build_cpu_s=0.0,
        rising=not held.any(),
    )
    built = Built(base, facts, trained_coarse(engine, _pieces(dim, 2)))
    if asking is not None:
        built = _measured(built, asking)
    if late:
        engine.add(np.concatenate(late))
        built = replace(
            built,
            base=replace(base, rows=np.concatenate([rows[~held], rows[held]]), points=built.base.points),
        )
    seconds = round(process_time() - started, 3)
    return replace(built, facts=replace(built.facts, build_cpu_s=seconds))


def measured_again(built: Built, options: FaissOptions) -> Built:
    """Calibrate anew, against the vectors as the finest codes give them."""
    if built.facts.parts.structure == "flat" and built.facts.parts.refine == "none":
        return built
    live = Live.of(built.base)
    chosen, queries = askers(live, sample_size(len(live.rows)), options.seed)
    truth = Truth(queries, live.positions[chosen])
    for start, (_, batch) in zip(range(0, len(live.rows), BATCH), live.batches(BATCH), strict=True):
        truth.add(live.positions[start : start + BATCH], batch.vectors)
    points = calibrate(built.quick() or built.base, queries, truth.positions(), truth.own, options.recall)
    facts = built.facts.with_points(points, len(live.rows), len(queries))
    return replace(built, base=replace(built.base, points=points), facts=facts)


def trained(parts: Parts, sample: NDArray[np.float32], lists: int, seed: int) -> Any:
    """Return an index without rows; None where the codes alone are the index."""
    if is_codes_alone(parts):
        return None
    lib, dim = faiss(), sample.shape[1]
    inner = lib.METRIC_INNER_PRODUCT
    if parts.structure == "hnsw":
        graph = lib.IndexHNSWFlat(dim, _LINKS, inner)
        graph.hnsw.efConstruction = _BREADTH
        return graph
    if parts.structure == "flat":
        engine = empty_codes("sq8", dim, sample) if parts.codes == "sq8" else lib.IndexRaBitQ(dim, inner)
    else:
        engine = _inverted(parts, dim, lists)
        engine.cp.niter, engine.cp.seed, engine.cp.min_points_per_centroid = _CLUSTER_ROUNDS, seed + 1, 1
        engine.cp.max_points_per_centroid = max(_POINTS_A_LIST, -(-_SAMPLE // lists))
    engine.train(sample)
    return engine


def is_codes_alone(parts: Parts) -> bool:
    """Tell whether plain codes, one row after the other, are the whole index."""
    return parts.structure == "flat" and parts.codes in ("f32", "sq8") and parts.refine == "none"


def composed(engine: Any, codes: Any) -> Any:
    """Return what is searched: the engine, its codes, or the engine rescored by the codes."""
    if engine is None or codes is None:
        return codes if engine is None else engine
    return faiss().IndexRefine(engine, codes)


def split(engine: Any, parts: Parts) -> tuple[Any, Any]:
    """Undo `composed`: return the engine and the codes, None for what is not there."""
    lib = faiss()
    if parts.refine != "none":
        return lib.downcast_index(engine.base_index), lib.downcast_index(engine.refine_index)
    return (None, engine) if is_codes_alone(parts) else (engine, None)


def lists_of(engine: Any) -> NDArray[np.int32] | None:
    """Return which inverted list holds each position."""
    lib = faiss()
    if not isinstance(engine, lib.IndexIVF):
        return None
    lists = np.empty(engine.ntotal, np.int32)
    for number in range(engine.nlist):
        if size := engine.invlists.list_size(number):
            lists[lib.rev_swig_ptr(engine.invlists.get_ids(number), size)] = number
    return lists


def _inverted(parts: Parts, dim: int, lists: int) -> Any:
    lib = faiss()
    inner, coarse = lib.METRIC_INNER_PRODUCT, lib.IndexFlatIP(dim)
    if parts.codes == "f32":
        made = lib.IndexIVFFlat(coarse, dim, lists, inner)
    elif parts.codes == "sq8":
        made = lib.IndexIVFScalarQuantizer(coarse, dim, lists, lib.ScalarQuantizer.QT_8bit, inner)
    elif parts.codes == "rabitq":
        made = lib.IndexIVFRaBitQFastScan(coarse, dim, lists, inner)
    elif parts.codes == "pq8":
        made = lib.IndexIVFPQ(coarse, dim, lists, _pieces(dim, 8), 8, inner)
    else:
        made = lib.IndexIVFPQFastScan(coarse, dim, lists, _pieces(dim, 2), 4, inner)
        made.by_residual = True
        made.pq.cp.max_points_per_centroid = _PQ_POINTS // 16
    if hasattr(made, "pq"):
        made.pq.cp.min_points_per_centroid = 1
        made.pq.cp.seed = 1234
    return made


def _pieces(dim: int, width: int) -> int:
    """Return into how many pieces of about `width` dimensions a vector is cut: a divisor of its length."""
    pieces: int = next(dim // each for each in (*range(width, dim), dim) if dim % each == 0)
    return pieces


def _sink(parts: Parts, sample: NDArray[np.float32], folder: Path | None) -> CodesSink | None:
    if parts.refine != "none":
        coding: Coding = parts.refine
    elif is_codes_alone(parts):
        coding = "sq8" if parts.codes == "sq8" else "f32"
    else:
        return None
    start = empty_codes(coding, sample.shape[1], sample)
    return CodesInMemory(start) if folder is None else CodesInFile(start, folder / CODES_FILE)


@dataclass(frozen=True, slots=True, eq=False)
class _Asking:
    """The truth by the dimensions that are kept, and by all of them where some are cut.

    A graph has paths from an item to its neighbours: asked with its own items it found .976 where new
    queries found .894 (20,000 vectors). The items that ask a graph are added after they asked.
    """

    chosen: NDArray[np.int64]
    kept: Truth
    full: Truth

    def add(self, positions: NDArray[np.int64], full: NDArray[np.float32], kept: NDArray[np.float32]) -> None:
        self.kept.add(positions, kept)
        if self.full is not self.kept:
            self.full.add(positions, np.ascontiguousarray(full, np.float32))


def _asking(vectors: VectorSource, dim: int, seed: int, *, is_held: bool) -> _Asking:
    count = len(vectors.rows)
    size = sample_size(count)
    # At least half of a small graph stands when it is asked.
    chosen, full = askers(vectors, min(size, count // 2) if is_held else size, seed + 1)
    own = np.full(len(chosen), -1) if is_held else chosen
    kept = Truth(narrowed(full, dim), own)
    return _Asking(chosen, kept, kept if dim == vectors.dim else Truth(full, own, depth=10))


def _measured(built: Built, asking: _Asking) -> Built:
    kept, full = asking.kept.positions(), asking.full.positions()
    facts, prices = built.facts, []
    if facts.dim < facts.full_dim:
        saving = f"the first {facts.dim} of {facts.full_dim} dimensions"
        prices.append(Price(saving, 10, overlap(kept[:, :10], full[:, :10])))
    base = built.base
    if facts.parts != Parts("flat", "f32"):
        asked = built.quick() or base
        points = calibrate(asked, asking.kept.queries, kept, asking.kept.own, facts.target)
        base, facts = replace(base, points=points), replace(facts, points=points)
    if facts.parts.structure == "flat" and facts.parts.codes in _PRICED:
        saving = _PRICED[facts.parts.codes]
        if facts.parts.refine != "none":
            saving += f", rescored by {facts.parts.refine}"
        prices.append(Price(saving, 10, recall_of(base, asking.kept, full, 10)))
    return replace(built, base=base, facts=replace(facts, prices=tuple(prices)))


def _sample(vectors: VectorSource, size: int, seed: int) -> NDArray[np.float32]:
    rows = np.asarray(vectors.rows)
    return dense(vectors.take(rows[drawn(len(rows), size, seed)]))
