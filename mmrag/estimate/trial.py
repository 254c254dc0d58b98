"""Embed and write a part of the sample for real, to see what an item takes."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mmrag.core.fields import embedding_key
from mmrag.core.protocols import Embedder
from mmrag.core.types import Embeddings, Item, Query
from mmrag.corpus.embedding import Embedding
from mmrag.corpus.intake import Intake
from mmrag.embed.local import LocalEmbedder
from mmrag.estimate.amounts import ZERO, Amount, mean
from mmrag.estimate.sample import Stratum
from mmrag.index.published import publish
from mmrag.recipes import IndexRecipe
from mmrag.store import Store

_SINGLE = 0.3
"""The relative error of a pace that was measured once."""

_WARM, _PATIENCE = 3, 3.0
"""So many batches show a pace; to get them, so many times as long may be taken."""

_WRITTEN = 4000
"""Items that are written for trial."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast items of one modality are embedded.

    Args:
        seconds: What one takes.
        items: How many were embedded.
        failed: How many of them have no vector.
    """

    seconds: Amount = ZERO
    items: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What writing a sample of items took, beside their vectors.

    Units:
        bytes an item, blobs and search indexes included; seconds an item, and once.
    """

    bytes_an_item: float = 0.0
    seconds_an_item: float = 0.0
    seconds_once: float = 0.0


def is_picture(item: Item, embedder: Embedder) -> bool:
    """Whether the embedder sees a picture of this item, not its words."""
    modalities = {part.modality for part in item.parts}
    return "image" in modalities and modalities <= embedder.modalities


def load(embedder: Embedder) -> float:
    """Load the model; return the seconds that it took."""
    started = time.perf_counter()
    embedder.embed_queries([Query.of("a question")])
    return time.perf_counter() - started


def uses_gpu(embedder: Embedder) -> bool:
    """Whether a loaded embedder computes on a GPU of this machine."""
    torch = sys.modules.get("torch")
    return isinstance(embedder, LocalEmbedder) and torch is not None and torch.cuda.is_available()


def gpu_peak_bytes(embedder: Embedder) -> int | None:
    """Return the most GPU memory that was taken so far; None where there is no GPU."""
    return int(sys.modules["torch"].cuda.max_memory_reserved()) if uses_gpu(embedder) else None


class Trial:
    """Embeds and writes items of a sample.

    Args:
        embedder: What makes vectors.
        index: The recipe of the index.
        folder: The corpus.
        intakes: What was read, with the stratum of each file.
    """

    def __init__(
        self,
        embedder: Embedder,
        index: IndexRecipe,
        folder: Path,
        intakes: Sequence[tuple[Stratum, Intake]],
    ) -> None:
        self._embedder, self._index, self._folder, self._intakes = embedder, index, folder, intakes

    def pace(
        self, store: Store, weights: Mapping[Stratum, float], *, pictures: bool, seconds: float, seed: int
    ) -> Pace:
        """Embed items in growing batches as long as there is time.

        Args:
            store: Any store of the folder; nothing is written.
            weights: How many items of the corpus one of the sample stands for, by stratum.
            pictures: Items that the embedder sees as pictures, or all others.
            seconds: How long.
            seed: Fixes which items are drawn.
        """
        draw = random.Random(seed)
        found: dict[str, tuple[float, Item]] = {}
        for stratum, intake in self._intakes:
            for item in intake.items:
                if is_picture(item, self._embedder) == pictures:
                    # The largest keys are a sample by weight without repetition.
                    key = draw.random() ** (1 / max(weights.get(stratum, 1.0), 1e-9))
                    found.setdefault(embedding_key(item), (key, item))
        items = iter([item for _, item in sorted(found.values(), key=lambda pair: -pair[0])])
        if not found:
            return Pace()
        blobs = [blob for _, intake in self._intakes for blob in intake.blobs]
        embedding = Embedding(self._embedder, store, self._folder)
        measured: list[tuple[int, float]] = []
        failed, size, began = 0, 1, time.monotonic()
        while batch := list(islice(items, size)):
            started = time.perf_counter()
            failed += sum(one.vectors is None for one in embedding.embed(batch, blobs))
            measured.append((len(batch), time.perf_counter() - started))
            size = min(2 * size, embedding.batch_items)
            spent = time.monotonic() - began
            ahead = size * measured[-1][1] / len(batch)
            # The first calls are slower than all others: as long as there are no more, more time is taken.
            if spent + ahead > seconds * (1 if len(measured) >= _WARM else _PATIENCE):
                break
        done = sum(count for count, _ in measured)
        return Pace(_of_batches(measured, embedding.batch_items), done, failed)

    def write(self) -> Written:
        """Write some of the sample into a store of its own, and publish its search indexes."""
        chosen = list(self._few())
        if not chosen:
            return Written()
        half = chosen[: max(1, len(chosen) // 4)]
        with tempfile.TemporaryDirectory(prefix="mmrag-estimate-") as folder:
            path = Path(folder) / "store"
            with Store.create(path, identity=self._embedder.identity) as store:
                empty = _size(path)
                first, first_s = self._put(store, half)
                rest, rest_s = self._put(store, chosen[len(half) :])
            size, count = _size(path), first + rest
        beside = max(0, size - empty - count * self._embedder.dim * 4)
        slope = rest_s / rest if rest else first_s / first
        return Written(beside / count, slope, max(0.0, first_s - slope * first))

    def _few(self) -> Iterator[Intake]:
        count = 0
        for _, intake in self._intakes:
            if count and count + len(intake.items) > _WRITTEN:
                return
            count += len(intake.items)
            yield intake

    def _put(self, store: Store, intakes: Sequence[Intake]) -> tuple[int, float]:
        """Write sources with vectors that mean nothing; return how many items, and the seconds."""
        dim = self._embedder.dim
        drawn = np.random.default_rng(0)
        count, started = 0, time.perf_counter()
        with store.writer() as writer:
            for intake in intakes:
                keys = [embedding_key(item) for item in intake.items]
                missing = writer.missing(keys)
                vectors = drawn.standard_normal((len(missing), dim), np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                writer.add_vectors(missing, Embeddings.dense(vectors))
                writer.put(intake.record, intake.items, keys, intake.blobs)
                count += len(intake.items)
            writer.commit()
        publish(store, self._index.indexes(self._folder))
        return count, time.perf_counter() - started


def _of_batches(measured: Sequence[tuple[int, float]], full: int) -> Amount:
    """Return the seconds of one item in a full batch, from smaller ones.

    A call costs something whatever it embeds: a line through the sizes and times of the batches takes that
    apart from what each item costs. The first batch finds caches cold and is left out.

    Args:
        measured: Items and seconds of each batch.
        full: The items of a full one.
    """
    warm = measured[1:] or measured
    most = max(count for count, _ in warm)
    large = [(count, seconds) for count, seconds in warm if 2 * count >= most]
    plain = mean([s / n for n, s in large], [n for n, _ in large], otherwise=_SINGLE)
    if len({count for count, _ in warm}) < 2:
        return plain
    counts = np.array([count for count, _ in warm], float)
    slope, call = np.polyfit(counts, [seconds for _, seconds in warm], 1, w=counts**-0.5)
    if slope <= 0 or call <= 0:
        return plain
    value = float(slope + call / full)
    # What was seen without the line counts as an error of one.
    return Amount(value, max(plain.error, abs(plain.value - value) / 2))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
