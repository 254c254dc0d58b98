"""A loaded dual encoder that the engine drives: from an input to its unit vector."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.memory import memory_errors
from mmrag.core.weights import read_config
from mmrag.embed.content import Content, Prepared
from mmrag.embed.dual.build import full_dim
from mmrag.embed.dual.options import DualOptions
from mmrag.embed.dual.senses import Arrays, Sense, load_sense
from mmrag.embed.dual.tokens import Tokens, load_tokens
from mmrag.embed.dual.towers import Towers, load_towers
from mmrag.embed.dual.vectors import add_features, shorten
from mmrag.embed.dual.words import write_words


@dataclass(frozen=True, slots=True)
class _Row:
    """One input: ids of its words, arrays of its picture or sound, or both."""

    words: NDArray[np.int64] | None
    other: Arrays | None


class DualModel:
    """A dual encoder on one device.

    Args:
        options: The recipe.
        towers: The loaded weights.
        tokens: The tokenizer of the words.
        sense: What makes pictures or sounds into arrays; None for a model of words alone.
        dim: The length of a vector.
    """

    def __init__(
        self, options: DualOptions, towers: Towers, tokens: Tokens, sense: Sense | None, dim: int
    ) -> None:
        self.dim = dim
        self._options = options
        self._towers = towers
        self._tokens = tokens
        self._sense = sense
        self._lock = threading.Lock()

    def prepare(self, content: Content) -> Prepared:
        """Open the picture or sound, write the words, make tokens and pixels.

        Raises:
            SourceError: A picture or sound cannot be opened.
            UnsupportedModality: The recipe does not take these parts, or not together.
            InputTooLong: The recipe says that nothing is cut.
        """
        text, notes = write_words(content, self._options, self._tokens.specials)
        words: NDArray[np.int64] | None = None
        other: Arrays | None = None
        for part in content.parts:
            if not isinstance(part, str) and self._sense is not None:
                other, said = self._sense(part)
                notes = (*notes, *said)
        # An encoder that looks at a picture reads at least its own marks, and sees at least a blank picture.
        if text is not None or self._towers.fused is not None:
            words, said = self._tokens.encode(text or "")
            notes = (*notes, *said)
        if other is None:
            other = self._towers.blank
        length = 0 if words is None else self._tokens.limit if self._tokens.fixed else len(words)
        return Prepared(length, self._towers.positions if other else 0, _Row(words, other), notes)

    def run(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch: the words of all rows in one pass, their pictures or sounds in another.

        Raises:
            OutOfMemory: The device has too little memory for this batch.
        """
        with self._lock, memory_errors(len(batch), "input", fix="Lower engine.batch_items in the recipe."):
            return shorten(self._features([prepared.data for prepared in batch]), self.dim)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes."""
        return self._tokens.count(texts)

    def _features(self, rows: Sequence[_Row]) -> NDArray[np.float32]:
        read = [i for i, row in enumerate(rows) if row.words is not None]
        seen = [i for i, row in enumerate(rows) if row.other is not None]
        words = self._tokens.collate([ids for row in rows if (ids := row.words) is not None]) if read else {}
        others = _stack([arrays for row in rows if (arrays := row.other) is not None])
        towers = self._towers
        if towers.fused is not None:
            return towers.embed_fused(words, others)
        found = []
        if read:
            found.append((read, towers.embed_words(words), self._options.text_weight))
        if seen:
            found.append((seen, towers.embed_others(others), self._options.image_weight))
        return add_features(len(rows), found)


def load_model(folder: Path, options: DualOptions, device: str) -> DualModel:
    """Load a dual encoder onto a device.

    Raises:
        ModelError: Weights that its vectors depend on are missing.
        ConfigError: The recipe wants longer texts than the model reads.
    """
    config = read_config(folder)
    tokens = load_tokens(folder, options, config)
    towers = load_towers(folder, options, config, device)
    dim = options.dim or full_dim(config, options)
    return DualModel(options, towers, tokens, load_sense(folder, options), dim)


def _stack(rows: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
