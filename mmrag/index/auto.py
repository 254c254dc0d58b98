"""Choose the dense index by how much there is, how long its vectors are, and what may be used; say why."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Index, Rows, VectorSource
from mmrag.index.ann.kinds import KindName, Parts
from mmrag.index.ann.options import FaissOptions
from mmrag.index.ann.report import row_bytes
from mmrag.index.exact import ExactIndex, ExactOptions
from mmrag.index.files import damaged, read_header

_BYTES_A_MS = 20_000_000
"""What one query reads in a millisecond of exact search; a core streamed 27.5 GB/s at best."""

_EXACT_MS = 1.0
_FEWEST = 2_000
"""Below it lists are too short to train, whatever the length of the vectors."""

_SHORTEST = 32
_SQ8_RECALL = 0.97
"""int8 codes alone never reached .99 at 100k vectors of 384 dimensions, and .98 only by reading most."""

_Tier = tuple[KindName, Literal["f16", "sq8"]]
_PLENTY: tuple[_Tier, ...] = (("ivf-pq", "f16"), ("ivf-pq", "sq8"), ("ivf-rabitq", "sq8"))
_SCARCE: tuple[_Tier, ...] = (("ivf-pq", "sq8"), ("ivf-rabitq", "sq8"))


@dataclass(frozen=True, slots=True)
class Choice:
    """An index and the sentences that say why it is that one."""

    options: ExactOptions | FaissOptions
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AutoOptions:
    """Choose by count, dimensions, memory and the wanted recall.

    Args:
        recall: The share of the true best 10 that a search should find; 1 means exact search.
        memory_mb: What the index may take, in megabytes; 0 for no bound.
        device: Where to search, as for FAISS.
        seed: Fixes the samples and the start of the training.

    Raises:
        ConfigError: A value is not one of those.
    """

    recall: float = 0.95
    memory_mb: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recall != 1:
            self._faiss("ivf-pq")
        if self.memory_mb < 0:
            raise ConfigError(f"memory_mb is {self.memory_mb}.", fix="Leave memory_mb at 0 for no bound.")

    @property
    def identity(self) -> dict[str, str]:
        """What the files of an index depend on; what was chosen is written in the files."""
        return {
            "engine": "auto/1",
            "recall": str(self.recall),
            "memory_mb": str(self.memory_mb),
            "device": self.device,
            "seed": str(self.seed),
        }

    def choose(self, count: int, dim: int, *, has_faiss: bool | None = None) -> Choice:
        """Choose an index for so many vectors of that length.

        Args:
            count: The number of vectors.
            dim: Their length.
            has_faiss: Whether FAISS may be used; None looks whether it is installed.
        """
        exact_ms = count * dim * 4 / _BYTES_A_MS
        looks = f"exact search looks at all {count:,} rows of {dim} dimensions in about {exact_ms:.1f} ms"
        if self.recall == 1:
            return Choice(ExactOptions(), (f"A recall of 1 is wanted: {looks} a query.",))
        if exact_ms <= _EXACT_MS or count < _FEWEST:
            return Choice(ExactOptions(), (f"There are few vectors: {looks} a query, without an index.",))
        if not (find_spec("faiss") is not None if has_faiss is None else has_faiss):
            missing = (
                f"FAISS is not installed: {looks} a query, where an index takes less than 1 ms; "
                "run: pip install 'mmrag[cpu]'."
            )
            return Choice(ExactOptions(), (missing,))
        first = f"There are many vectors: {looks} a query, an index for a recall of {self.recall:g} in less."
        if dim < _SHORTEST or (dim % 2 and dim % 3):
            options, why = self._without_pq(count, dim)
        else:
            options, why = self._within_memory(count, dim)
        return Choice(options, (first, why))

    def keeps(self, count: int, dim: int) -> bool:
        """Return whether so many vectors are worth an index on disk; else they are searched exactly."""
        return isinstance(self.choose(count, dim).options, FaissOptions)

    def build(self, vectors: VectorSource) -> Index:
        """Build what is chosen for these vectors in memory."""
        return self.choose(len(vectors.rows), vectors.dim).options.build(vectors)

    def empty(self, dim: int) -> ExactIndex:
        """Return an index without rows."""
        return ExactOptions().empty(dim)

    def write(self, folder: Path, vectors: VectorSource) -> None:
        """Build on disk what is chosen for these vectors; ask `keeps` first.

        Raises:
            MissingExtra: FAISS is not installed.
        """
        self._kept(len(vectors.rows), vectors.dim).write(folder, vectors)

    def update(self, old: Path, folder: Path, added: VectorSource, removed: Rows) -> None:
        """Write the old index with some changes into a new folder, of the kind that it has.

        Raises:
            Damaged: The old index cannot be used.
        """
        self._written(old).update(old, folder, added, removed)

    def is_due(self, old: Path, count: int, added: int, removed: int) -> bool:
        """Tell whether so many changes are worth an update now; until then they are searched beside it."""
        return self._written(old).is_due(old, count, added, removed)

    def is_worn(self, old: Path, added: int, removed: int) -> bool:
        """Tell whether to build anew: the old index has aged, or another kind would be chosen by now."""
        written, header = self._written(old), read_header(old, "faiss")
        count = int(header["count"]) - int(header["dead"]) + added - removed
        wanted = self._kept(count, int(header["dim"]))
        return written.identity != wanted.identity or written.is_worn(old, added, removed)

    def load(self, folder: Path) -> Index:
        """Open an index on disk, memory-mapped.

        Raises:
            Damaged: A file is missing, torn, or of another kind, or FAISS is gone.
        """
        if find_spec("faiss") is None:
            raise damaged(folder, "faiss", "FAISS, which wrote it, is not installed any more")
        return self._written(folder).load(folder)

    def _faiss(self, kind: KindName, refine: Literal["auto", "f16", "sq8", "none"] = "auto") -> FaissOptions:
        return FaissOptions(kind, self.recall, refine=refine, device=self.device, seed=self.seed)

    def _kept(self, count: int, dim: int) -> FaissOptions:
        options = self.choose(count, dim, has_faiss=True).options
        # Few vectors: the writer asked for an index all the same.
        return options if isinstance(options, FaissOptions) else self._faiss("flat")

    def _written(self, folder: Path) -> FaissOptions:
        """Return the options that a folder was written with."""
        identity = read_header(folder, "faiss").get("identity")
        if isinstance(identity, dict):
            for kind, refine in (*_PLENTY, ("ivf-sq8", "none"), ("ivf-flat", "none"), ("flat", "none")):
                options = self._faiss(kind, refine)  # type: ignore[arg-type]
                if options.identity == identity:
                    return options
        raise damaged(folder, "faiss", "it was written with options that are never chosen")

    def _without_pq(self, count: int, dim: int) -> tuple[FaissOptions, str]:
        kind: KindName = "ivf-sq8" if self.recall <= _SQ8_RECALL else "ivf-flat"
        parts = Parts("ivf", "sq8" if kind == "ivf-sq8" else "f32")
        size = count * row_bytes(parts, dim)
        why = f"Vectors of {dim} dimensions are not worth cutting into pieces: {kind} takes {_mb(size)}."
        if self._is_above(size):
            why += f" That is more than the {self.memory_mb:,} MB it may take."
        return self._faiss(kind, "none"), why

    def _within_memory(self, count: int, dim: int) -> tuple[FaissOptions, str]:
        for kind, refine in _PLENTY:
            whole, _ = self._sizes(kind, refine, count, dim)
            if not self._is_above(whole):
                bound = f" of the {self.memory_mb:,} MB it may take" if self.memory_mb else ""
                why = f"The kind {kind} with {refine} codes to rescore takes {_mb(whole)}{bound}."
                return self._faiss(kind, refine), why
        for kind, refine in _SCARCE:
            whole, kept = self._sizes(kind, refine, count, dim)
            if not self._is_above(kept):
                break
        why = (
            f"The kind {kind} with {refine} codes to rescore keeps {_mb(kept)} in memory, where it may take "
            f"{self.memory_mb:,} MB, and reads the other {_mb(whole - kept)} from disk as they are needed."
        )
        return self._faiss(kind, refine), why

    def _sizes(self, kind: KindName, refine: Literal["f16", "sq8"], count: int, dim: int) -> tuple[int, int]:
        """Return the bytes of the whole, and of what is not mapped from a file."""
        parts = self._faiss(kind, refine).parts
        coarse = Parts(parts.structure, parts.codes, "none")
        return count * row_bytes(parts, dim), count * row_bytes(coarse, dim)

    def _is_above(self, size: int) -> bool:
        return self.memory_mb > 0 and size > self.memory_mb * 1_000_000


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"
