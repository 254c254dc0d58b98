"""How words are written before a model reads them, where several families share the rule."""

from __future__ import annotations

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
