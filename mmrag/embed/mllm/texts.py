"""Keep what people wrote from acting as a model's own tokens, and end instructions as a model expects."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache


def protect(text: str, specials: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Return the text with every special token in it spelled apart, and which ones those were.

    A blank goes in after the first character: `<|image_pad|>` becomes `< |image_pad|>`. A token of one
    character becomes a blank. The text then holds no special token, nor does any stretch of it.
    """
    found: dict[str, None] = {}
    pattern = _pattern(frozenset(specials))
    if pattern is None:
        return text, ()

    def apart(hit: re.Match[str]) -> str:
        token = hit.group()
        found[token] = None
        return f"{token[0]} {token[1:]}" if len(token) > 1 else " "

    # Again until nothing is found: a blank put in may complete a token that has one.
    changed = 1
    while changed:
        text, changed = pattern.subn(apart, text)
    return text, tuple(found)


def end_sentence(instruction: str) -> str:
    """Return the instruction without outer blanks, and with a full stop unless it ends with punctuation."""
    instruction = instruction.strip()
    if not instruction or unicodedata.category(instruction[-1]).startswith("P"):
        return instruction
    return instruction + "."


@lru_cache(maxsize=32)
def _pattern(specials: frozenset[str]) -> re.Pattern[str] | None:
    # The longest first: of two tokens with a common start, the tokenizer sees the longer one.
    tokens = sorted({token for token in specials if token.strip()}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens))) if tokens else None
