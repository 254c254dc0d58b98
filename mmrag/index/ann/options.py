"""Options of the dense index on FAISS, and the ways to make one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Rows, VectorSource
from mmrag.core.types import Embeddings
from mmrag.index.ann.files import is_due, is_worn, open_index, update, write
from mmrag.index.ann.index import FaissIndex
from mmrag.index.ann.kinds import KINDS, KindName, Parts
from mmrag.index.vectors import GivenVectors

_CODES = "2"
"""Raise it when files written so far can not be read any more, or would be built in another way."""


@dataclass(frozen=True, slots=True)
class FaissOptions:
    """How FAISS searches.

    Args:
        kind: What the index is put together from. `flat` is exact; `flat-sq8` and `flat-binary` scan
            int8 and one-bit codes; `ivf-*` look into the lists nearest to the query; `hnsw` walks a graph.
        recall: The share of the true best 10 that a search should find. It is measured when the index is
            built, and decides how far a search looks.
        lists: The number of inverted lists; 0 chooses about four times the root of the count.
        probes: How many lists a query reads, or `efSearch` of a graph; 0 takes what was measured.
        refine: By which codes candidates are scored again; `auto` takes f16 for 1 and 4 bits a dimension,
            and none for finer codes.
        dim: How many of the first dimensions are kept, for embeddings trained that way (Matryoshka); items
            and queries are renormalised. 0 keeps all.
        device: Where to search; `auto` takes a GPU where there is one and the kind can be moved to it.
        spread: What several GPUs hold: each a part of the rows, or each all of them.
        seed: Fixes the samples and the start of the training.

    Raises:
        ConfigError: A value is not one of those.
    """

    kind: KindName = "ivf-pq"
    recall: float = 0.95
    lists: int = 0
    probes: int = 0
    refine: Literal["auto", "f16", "sq8", "none"] = "auto"
    dim: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    spread: Literal["shard", "replicate"] = "shard"
    seed: int = 0

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "kind": tuple(KINDS),
            "refine": ("auto", "f16", "sq8", "none"),
            "device": ("auto", "cpu", "cuda"),
            "spread": ("shard", "replicate"),
        }
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(
                    f"The dense index has no {name} {value!r}.", fix=f"Choose one of {', '.join(allowed)}."
                )
        if not 0.5 <= self.recall < 1:
            raise ConfigError(
                f"A recall of {self.recall} cannot be aimed at.",
                fix="Choose one from 0.5 to below 1, or kind: flat for an exact search.",
            )
        for name in ("lists", "probes", "dim", "seed"):
            if (number := getattr(self, name)) < 0:
                raise ConfigError(f"{name} is {number}.", fix=f"Leave {name} at 0 to have it chosen.")
        if self.refine in ("f16", "sq8") and KINDS[self.kind].codes == "f32":
            raise ConfigError(
                f"The kind {self.kind} keeps whole vectors: there is nothing to refine.",
                fix="Leave refine out, or choose ivf-pq.",
            )
        if self.lists and KINDS[self.kind].structure != "ivf":
            raise ConfigError(f"The kind {self.kind} has no lists.", fix="Leave lists out, or choose ivf-pq.")

    @property
    def identity(self) -> dict[str, str]:
        """What the files of an index depend on; probes and devices are chosen when searching."""
        return {
            "engine": f"faiss/{_CODES}",
            "kind": self.kind,
            "codes": self.parts.codes,
            "refine": self.parts.refine,
            "recall": str(self.recall),
            "lists": str(self.lists),
            "dim": str(self.dim),
            "seed": str(self.seed),
        }

    @property
    def parts(self) -> Parts:
        """What the index is put together from."""
        found = KINDS[self.kind]
        # No GPU searches 4-bit codes.
        codes = "pq8" if found.codes == "pq4" and self.device == "cuda" else found.codes
        refine = found.refine if self.refine == "auto" else self.refine
        return Parts(found.structure, codes, refine)

    def over(self, rows: Rows, embeddings: Embeddings) -> FaissIndex:
        """Build an index in memory over embeddings whose rows rise.

        Raises:
            MissingExtra: FAISS is not installed.
        """
        return self.build(GivenVectors(rows, embeddings))

    def build(self, vectors: VectorSource) -> FaissIndex:
        """Build an index in memory.

        Raises:
            MissingExtra: FAISS is not installed.
        """
        return FaissIndex.over(vectors, self)

    def empty(self, dim: int) -> FaissIndex:
        """Return an index without rows; what is added is searched exactly until `merge()`.

        Raises:
            MissingExtra: FAISS is not installed.
        """
        return FaissIndex(dim, self)

    def keeps(self, count: int, dim: int) -> bool:
        """Return whether so many vectors are worth an index: whoever names a kind gets it."""
        return count > 0

    def write(self, folder: str | Path, vectors: VectorSource) -> None:
        """Build an index on disk; memory holds a sample, a batch, and the coarse codes."""
        write(Path(folder), vectors, self)

    def update(self, old: Path, folder: Path, added: VectorSource, removed: Rows) -> None:
        """Write the old index with some changes into a new folder, without training again.

        Raises:
            Damaged: The old index cannot be used.
        """
        update(old, folder, added, removed, self)

    def is_due(self, old: Path, count: int, added: int, removed: int) -> bool:
        """Tell whether so many changes are worth an update now; until then they are searched beside it."""
        return is_due(old, count, added, removed)

    def is_worn(self, old: Path, added: int, removed: int) -> bool:
        """Tell whether so many changes leave an index that should be written anew, not updated."""
        return is_worn(old, added, removed)

    def load(self, folder: str | Path) -> FaissIndex:
        """Open an index on disk, memory-mapped.

        Raises:
            MissingExtra: FAISS is not installed.
            Damaged: A file is missing or torn.
            IdentityMismatch: It was built with other options.
        """
        folder = Path(folder)
        return FaissIndex.opened(folder, *open_index(folder, self), self)
