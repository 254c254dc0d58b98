"""Understand what a person typed: words, quoted phrases, and the few marks that mean something.

A question is plain words. Only these are more: `"a phrase"`; `title:word` or `title:"a phrase"` with the
name of a field; and `+` or `-` right before quotation marks or a field's name (must, must not). Marks that
ordinary questions hold stay words: `-20 C`, `C++`, `tar -xzf`, `--no-deps`, `note: see`, `key:value`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mmrag.core.fields import FIELDS

_QUOTES = '"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d'
_SIGN_AND_FIELD = rf"(?<![^\s(\[])(?P<sign>[+-])?(?:(?P<field>{'|'.join(FIELDS)}):)?"
_MARKED = re.compile(
    rf"(?:{_SIGN_AND_FIELD})?[{_QUOTES}](?P<phrase>[^{_QUOTES}]+)[{_QUOTES}]"
    rf"|(?<![^\s(\[])(?P<sign2>[+-])?(?P<field2>{'|'.join(FIELDS)}):(?P<word>[^\W_][^\s()\[\]{_QUOTES}]*)"
)
_WORD = re.compile(r"\w+(?:[-+'\u2019.]\w+)*")
_SHOWN = {"title": "title", "heading": "headings", "body": "text", "ocr": "words read out of a picture",
          "context": "lines around a picture", "name": "file name"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """A marked piece of a query, in one field or (None) in any."""

    text: str
    field: str | None
    kind: Literal["asked", "demanded", "excluded"]
    quoted: bool


@dataclass(frozen=True, slots=True)
class Understood:
    """A query in its parts: the words to look for in all fields, and the marked pieces."""

    words: str
    wishes: tuple[Wish, ...]


def understand(text: str) -> Understood:
    """Read a query; any text can be read."""
    wishes, words, end = [], [], 0
    for found in _MARKED.finditer(text):
        phrase, sign = found["phrase"], found["sign"] or found["sign2"]
        wish = Wish(
            phrase if phrase is not None else found["word"],
            found["field"] or found["field2"],
            "demanded" if sign == "+" else "excluded" if sign == "-" else "asked",
            phrase is not None,
        )
        wishes.append(wish)
        if _moved(wish):
            words.append(text[end : found.start()])
            end = found.end()
    return Understood(" ".join([*words, text[end:]]), tuple(wishes))


def plain(text: str) -> str:
    """Return the words that are asked for without their marks: what an embedder should read."""
    understood = understand(text)
    asked = [wish.text for wish in understood.wishes if wish.kind != "excluded" and _moved(wish)]
    return " ".join(" ".join([understood.words, *asked]).split())


def _moved(wish: Wish) -> bool:
    """Tell whether a piece is no longer among the words."""
    return wish.field is not None or wish.kind != "asked"


def describe(text: str) -> str:
    """Say in one sentence how a query was understood."""
    understood = understand(text)
    wishes, words = understood.wishes, _WORD.findall(understood.words)
    asked = [_shown(wish) for wish in wishes if wish.kind == "asked"]
    looked_for = [", ".join(words)] if words else []
    looked_for += asked
    said = []
    if looked_for:
        said.append("looks for " + " and ".join(looked_for))
    for kind, verb in (("demanded", "finds only what has"), ("excluded", "leaves out what has")):
        if pieces := [_shown(wish) for wish in wishes if wish.kind == kind]:
            said.append(f"{verb} " + " and ".join(pieces))
    if not any(wish.kind != "excluded" for wish in wishes) and not words:
        said.append("finds nothing, because no word is asked for")
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _shown(wish: Wish) -> str:
    words = wish.text.split()
    piece = f'the phrase "{wish.text}"' if wish.quoted and len(words) > 1 else wish.text
    return piece if wish.field is None else f"{piece} in the {_SHOWN[wish.field]}"
