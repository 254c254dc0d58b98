"""Check every quote of a draft against the item that it claims to stand in."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from mmrag.answer.locate import locate
from mmrag.core.protocols import Draft
from mmrag.core.types import Citation, Hit

_ALIKE = str.maketrans(
    dict.fromkeys("‘’‚‛′`", "'")  # noqa: RUF001
    | dict.fromkeys("“”„‟″«»", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")  # noqa: RUF001
)
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"


def verify(draft: Draft, hits: Sequence[Hit]) -> tuple[tuple[Citation, ...], int]:
    """Return a citation for each quote that stands in its item, and how many do not.

    A quote must be whole words of the item, word for word; only white space, hyphens at a line's
    end, and the shapes of quotation marks and dashes may differ. The citation holds the item's own
    wording. A quote that stands there twice is cited where it stands first; one that is cited
    already is counted once.
    """
    citations: list[Citation] = []
    dropped = 0
    seen: set[tuple[str, int, int]] = set()
    for quote in draft.quotes:
        if not 0 <= quote.hit < len(hits):
            dropped += 1
            continue
        item = hits[quote.hit].item
        place = find_quote(quote.text, item.text)
        if place is None:
            dropped += 1
            continue
        start, end = place
        if (item.id, start, end) in seen:
            continue
        seen.add((item.id, start, end))
        support = min(max(quote.support, 0.0), 1.0)
        citations.append(Citation(item, locate(item, start, end), item.text[start:end], support, start, end))
    return tuple(citations), dropped


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Return where a quote stands in a text as (start, end), or None."""
    quote = quote.strip()
    if not quote:
        return None
    found = _find_words(quote, text)
    if found is not None:
        return found, found + len(quote)
    wanted, _ = _normalise(quote)
    if not wanted:
        return None
    plain, places = _normalise(text)
    at = _find_words(wanted, plain)
    if at is None:
        return None
    return places[at], places[at + len(wanted) - 1] + 1


def _find_words(quote: str, text: str) -> int | None:
    """Return the first place where the quote begins and ends between words."""
    at = text.find(quote)
    while at >= 0:
        end = at + len(quote)
        opens = at == 0 or not (_is_word(text[at - 1]) and _is_word(quote[0]))
        closes = end == len(text) or not (_is_word(quote[-1]) and _is_word(text[end]))
        if opens and closes:
            return at
        at = text.find(quote, at + 1)
    return None


def _is_word(char: str) -> bool:
    """Whether a letter next to this character is the same word; CJK has no spaces to tell by."""
    if unicodedata.combining(char):
        return True
    return char.isalnum() and not "\u2e80" <= char <= "\u9fff" and not "\uac00" <= char <= "\ud7af"


def _normalise(text: str) -> tuple[str, list[int]]:
    """Return a text in one spelling, and for each of its characters the place in `text`.

    Compatibility forms are resolved (a ligature becomes letters), white space becomes one space.
    A hyphen between letters goes, with the line's end after it: nobody can tell which of "two-year"
    and "war-ranty" a line's end broke.
    """
    chars: list[str] = []
    places: list[int] = []
    i = 0
    while i < len(text):
        char = text[i]
        if char.isspace():
            i = _after_space(text, i)
            if chars and i < len(text):
                chars.append(" ")
                places.append(i - 1)
            continue
        if char.translate(_ALIKE) == "-" and (after := _joins_letters(text, i)):
            i = after
            continue
        if char not in _INVISIBLE:
            for piece in unicodedata.normalize("NFKD", char.translate(_ALIKE)).translate(_ALIKE):
                chars.append(piece)
                places.append(i)
        i += 1
    return "".join(chars), places


def _after_space(text: str, i: int) -> int:
    while i < len(text) and text[i].isspace():
        i += 1
    return i


def _joins_letters(text: str, i: int) -> int:
    """Return where the word goes on after a hyphen between letters, else 0."""
    after = _after_space(text, i + 1)
    at_line_end = "\n" in text[i + 1 : after]
    if i == 0 or after == len(text) or (after > i + 1 and not at_line_end):
        return 0
    return after if text[i - 1].isalpha() and text[after].isalpha() else 0
