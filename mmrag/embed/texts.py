"""How words are written before a model reads them, where several families share the rule."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import Literal

Normalization = Literal["none", "uniir"]


def normalize_uniir(text: str) -> str:
    """Write a text as M-BEIR texts are written: a sentence with a capital and a full stop.

    Carriage returns, outer blanks and then outer double quotes go; the first character becomes upper case; a
    full stop follows unless the last character is one of `.?!`. An empty text stays empty.

    Source: Wei et al., UniIR, ECCV 2024; LamRA uses it too.
    """
    # Blanks inside the quotes stay: the published models were trained on exactly this.
    text = text.replace("\r", "").strip().strip('"')
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")


def normalize(text: str, rule: Normalization) -> str:
    """Return the text as the rule writes it."""
    return normalize_uniir(text) if rule == "uniir" else text


def add_instruction(instruction: str, text: str, rule: Normalization = "none") -> str:
    """Return the instruction and the text joined by a blank, each and both as the rule writes them.

    Under `uniir` the instruction becomes a sentence of its own first, and the whole one after: "Find it" and
    "a cat" give "Find it. a cat.". Where one of the two is empty, the other stands alone.
    """
    return normalize(" ".join(part for part in (normalize(instruction, rule), text) if part), rule)


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
