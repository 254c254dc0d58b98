"""Token ids of a rendered input, its words shortened until the whole fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import InputTooLong, ModelError
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.mllm.render import Rendered, shorten


@dataclass(frozen=True, slots=True)
class Tokens:
    """An input's tokens, every picture's place repeated as often as it has tokens.

    Args:
        ids: The tokens.
        masked: How many leading tokens are an instruction that is not pooled.
        notes: What was cut.

    Shapes:
        ids [tokens]
    """

    ids: NDArray[np.int64]
    masked: int
    notes: tuple[str, ...]


class Tokenizer:
    """A model's tokenizer, safe for many threads.

    The wrapped object of `transformers` switches padding and truncation on and off when it is called; the one
    of `tokenizers` below is called directly, which changes nothing.

    Args:
        tokenizer: What `AutoTokenizer` made; padding and truncation are switched off for good.
        options: The recipe.
        image_id: The token of a picture; None for a model of words.
    """

    def __init__(self, tokenizer: Any, options: MllmOptions, image_id: int | None) -> None:
        self._fast = tokenizer.backend_tokenizer
        self._fast.no_padding()
        self._fast.no_truncation()
        self._options = options
        self._image_id = image_id
        self.specials = frozenset(token.content for token in self._fast.get_added_tokens_decoder().values())

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes, without any template."""
        found = self._fast.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in found]

    def encode(self, rendered: Rendered, visual: Sequence[int]) -> Tokens:
        """Return the tokens of an input; words that do not fit are cut from their end.

        Args:
            rendered: The input.
            visual: How many tokens each of its pictures takes.

        Raises:
            InputTooLong: It does not fit without any words, or the recipe cuts nothing.
            ModelError: The places of pictures are not as many as the pictures.
        """
        whole: int | None = None
        while True:
            encoding = self._encode(rendered.text)
            ids = np.array(encoding.ids, np.int64)
            places = ids == self._image_id
            if int(places.sum()) != len(visual):
                raise ModelError(
                    f"The input has {len(visual)} pictures and {int(places.sum())} places for them.",
                    fix="Correct image_token in the recipe: it must hold the model's own token once.",
                )
            words = _inside(encoding.offsets, rendered.text_span)
            whole = len(words) if whole is None else whole
            over = self._too_many(ids.size - len(visual) + sum(visual), len(words))
            if over <= 0:
                break
            rendered = self._cut(rendered, words, over, visual)
        counts = np.ones(ids.size, np.int64)
        counts[places] = visual
        masked = (
            0 if rendered.instruction_prefix is None else len(self._encode(rendered.instruction_prefix).ids)
        )
        notes = rendered.notes
        if len(words) < whole:
            notes += (f"cut to its first {len(words)} of {whole} tokens",)
        return Tokens(np.repeat(ids, counts), masked, notes)

    def _encode(self, text: str) -> Any:
        return self._fast.encode(text, add_special_tokens=self._options.add_special_tokens)

    def _too_many(self, tokens: int, words: int) -> int:
        most = self._options.max_text_tokens
        return max(tokens - self._options.max_tokens, words - most if most is not None else 0)

    def _cut(self, rendered: Rendered, words: Sequence[int], over: int, visual: Sequence[int]) -> Rendered:
        if self._options.longer == "error" or rendered.text_span is None or over > len(words):
            raise self._too_long(over, words, visual)
        start, end = rendered.text_span
        keep = words[-over - 1] - start if over < len(words) else 0
        # A character of several tokens ends where each of them ends: always take off at least one.
        return shorten(rendered, min(keep, end - start - 1))

    def _too_long(self, over: int, words: Sequence[int], visual: Sequence[int]) -> InputTooLong:
        if self._options.longer == "error" and len(words) >= over:
            return InputTooLong(
                f"The input is {over} tokens too long, and the recipe cuts nothing.",
                fix="Shorten it, or set longer: cut in the recipe.",
            )
        return InputTooLong(
            f"The input exceeds {self._options.max_tokens} tokens without its words: {sum(visual)} are of "
            "pictures.",
            fix="Give fewer pictures, or lower pixels.max in the recipe.",
        )


def _inside(offsets: Sequence[tuple[int, int]], span: tuple[int, int] | None) -> list[int]:
    """Return where each token of the caller's words ends.

    The first may start before them: a byte-level tokenizer takes a blank and the word after it together.
    """
    if span is None:
        return []
    return [end for _, end in offsets if span[0] < end <= span[1]]
