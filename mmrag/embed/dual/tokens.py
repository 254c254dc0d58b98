"""Words as tokens of a tower: cut to its length without losing its marks, and padded as it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.checkpoint import check_tokenizer, loading
from mmrag.core.errors import ConfigError, InputTooLong, ModelError
from mmrag.core.lazy import require
from mmrag.embed.dual.options import DualOptions

_POSITIONS = {"clip": 77, "siglip2": 64, "clap": 514, "blip": 512}
"""The positions of a text tower whose config leaves them out: the defaults of the config classes."""

_ROBERTA_OFFSET = 2
"""RoBERTa counts positions from the padding id plus one: two of them are never used."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tower's tokenizer.

    Args:
        tokenizer: The checkpoint's own.
        limit: The longest input.
        marks: What the tokenizer puts before and behind.
        fixed: Whether every input is padded to `limit`, as SigLIP was trained.
        error: Whether a longer text is refused.
    """

    tokenizer: Any
    limit: int
    marks: tuple[tuple[int, ...], tuple[int, ...]]
    fixed: bool = False
    error: bool = False

    @property
    def specials(self) -> tuple[str, ...]:
        """The tokens that no user may write."""
        return tuple(str(token) for token in self.tokenizer.all_special_tokens)

    def encode(self, text: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Return the ids of a text with its marks, and a note where the text was cut.

        Raises:
            InputTooLong: It is too long, and the recipe says that nothing is cut.
        """
        body = self._body(text)
        before, after = self.marks
        room = self.limit - len(before) - len(after)
        notes: tuple[str, ...] = ()
        if len(body) > room:
            said = f"The text takes {len(body)} tokens, and the model reads {room}"
            if self.error:
                raise InputTooLong(f"{said}.", fix="Shorten it, or give the recipe: longer: cut")
            notes = (f"{said}: the rest was cut.",)
        return np.array([*before, *body[:room], *after], np.int64), notes

    def collate(self, rows: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """Pad rows to one length.

        Shapes:
            -> input_ids and, for a model that wants it, attention_mask, both [len(rows), length]
        """
        length = self.limit if self.fixed else max(len(row) for row in rows)
        ids = np.full((len(rows), length), self.tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            at = length - len(row) if self.tokenizer.padding_side == "left" else 0
            ids[i, at : at + len(row)] = row
            mask[i, at : at + len(row)] = 1
        # SigLIP's tower sees its padding, and its tokenizer says so: it returns no mask.
        wants_mask = "attention_mask" in self.tokenizer.model_input_names
        return {"input_ids": ids, "attention_mask": mask} if wants_mask else {"input_ids": ids}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes, without marks."""
        return [len(self._body(text)) for text in texts]

    def _body(self, text: str) -> list[int]:
        # Neither truncation nor padding is asked of the tokenizer: both are state that threads share.
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found


def load_tokens(folder: Path, options: DualOptions, config: Mapping[str, Any]) -> Tokens:
    """Load the tokenizer of a checkpoint.

    Raises:
        ConfigError: The recipe wants longer texts than the tower has positions for.
        ModelError: There is no tokenizer, or it is of no known kind.
    """
    transformers = require("transformers", extra="local", feature="A dual encoder")
    check_tokenizer(folder)
    with loading(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    longest = _longest(options, config)
    if options.max_text_tokens is not None and options.max_text_tokens > longest:
        raise ConfigError(
            f"The model reads {longest} tokens, fewer than {options.max_text_tokens}.",
            fix=f"Give {longest} or less.",
            where="max_text_tokens",
        )
    limit = options.max_text_tokens or longest
    fixed, error = options.architecture == "siglip2", options.longer == "error"
    return Tokens(tokenizer, limit, _marks(tokenizer), fixed, error)


def _longest(options: DualOptions, config: Mapping[str, Any]) -> int:
    default = _POSITIONS[options.architecture]
    positions = int((config.get("text_config") or {}).get("max_position_embeddings", default))
    return positions - _ROBERTA_OFFSET if options.architecture == "clap" else positions


def _marks(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find what the tokenizer puts around a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for at in range(len(whole) - len(bare) + 1):
        if whole[at : at + len(bare)] == bare:
            return tuple(whole[:at]), tuple(whole[at + len(bare) :])
    raise ModelError(
        "The tokenizer writes a text otherwise when it marks its ends.",
        fix="Use another checkpoint, and report this one: no text can be cut for it.",
    )
