"""Tell what kind of thing answers a question: a price, a length, a date, a number."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COUNT_TEXT = """
    zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty
    hundred thousand once twice half quarter third no none never
"""
_COUNT_WORDS = "|".join(_COUNT_TEXT.split())
_TIME = (
    r"\d\s*(?:s|sec|min|h|hrs?|d)\b|\b(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|"
    r"decades?|indefinitely|lifetime|forever|permanently)\b"
)
_LENGTH = r"\d\s*(?:mm|cm|dm|m|km|in|ft|\"|')(?!\w)|\b(?:\w*met(?:re|er)s?|inch(?:es)?|feet|foot|miles?)\b"
_DATE = (
    r"\b\d{4}\b|\b\d{1,2}[:.]\d{2}\b|\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|mon|tues?|wed|"
    r"thur?s?|fri|sat|sun|spring|summer|autumn|winter)\w*\b|\d\s*(?:am|pm)\b|\b(?:when|if|once|until|after|before|"
    r"during|as soon as|while|daily|weekly|monthly|yearly|annually|every|immediately)\b"
)
_QUANTITY = (
    r"how\s+(?:many|much|long|often|far|deep|high|wide|thick|heavy|hot|cold|warm|loud|fast|old|big|large|"
    r"tall)\b"
)
_ASKED = r"(?:what|which|how much)\b.{0,60}?\b"

_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "price",
        rf"{_ASKED}(?:prices?|costs?|fees?|surcharge|charges?)\b|"
        r"how (?:expensive|much) .*\b(?:cost|pay|charge)",
        r"[€$£]|\b(?:eur|usd|gbp|euros?|dollars?|pounds?|cents?|free|no charge|price)\b",
    ),
    (
        "weight",
        rf"how heavy|{_ASKED}(?:weighs?|weight|mass)\b|how much .*\bweigh",
        r"\d\s*(?:kg|g|mg|t|lbs?|oz)(?!\w)|\b(?:\w*grams?|tonnes?|tons?|pounds?)\b",
    ),
    ("loudness", r"how (?:loud|noisy|quiet)", r"\bdb\b"),
    (
        "temperature",
        rf"how (?:hot|cold|warm)|{_ASKED}temperatures?\b",
        r"°|\b(?:degrees?|celsius|fahrenheit)\b|\d\s*[ck]\b",
    ),
    ("share", rf"{_ASKED}(?:share|percent(?:age)?)\b", r"%|\b(?:per ?cent|half|third|quarter)\b"),
    ("pressure", rf"{_ASKED}pressure\b", r"\d\s*(?:bar|mbar|k?pa|hpa|psi)\b"),
    ("torque", rf"{_ASKED}torque\b", r"\d\s*(?:n\s?m|ncm|lb)"),
    ("voltage", rf"{_ASKED}voltage\b", r"\d\s*k?v\b|\bvolts?\b"),
    ("duration", r"(?:for )?how long\b", rf"{_TIME}|{_LENGTH}"),
    (
        "frequency",
        rf"how (?:often|frequently)|{_ASKED}intervals?\b",
        rf"{_TIME}|\b(?:every|each|per|once|twice|times|daily|weekly|monthly|yearly|annually|regularly)\b",
    ),
    (
        "length",
        rf"how (?:wide|high|deep|thick|tall|far)\b|{_ASKED}(?:width|height|depth|thickness|diameter|distance|"
        r"dimensions?)\b",
        _LENGTH,
    ),
    (
        "date",
        rf"when\b|{_ASKED}(?:dates?|day|year|week|month)\b|(?:at|by|until|since) (?:what|which) time",
        _DATE,
    ),
    (
        "number",
        # "What does code E07 mean" names its code and asks for words.
        rf"{_QUANTITY}\b|{_ASKED}(?:number|code|version|ratio|rate|speed|size|age|level|amount)\b(?!\s+\S*\d)",
        "",
    ),
)
_COMPILED = tuple(
    (kind, re.compile(rf"(?:^|[\s,.;:?!(])(?:{asks})", re.IGNORECASE), re.compile(answers, re.IGNORECASE))
    for kind, asks, answers in _KINDS
)
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_CAPTION = re.compile(r"^\W*(?:fig(?:ure|\.)|table|tab\.|abb(?:ildung|\.))\s*\d+", re.IGNORECASE)
_MODEL = re.compile(r"\b([A-Z]\w+) \d")
_COUNT = re.compile(rf"\b(?:{_COUNT_WORDS})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a question asks for: `kind` in words, the pattern of its units, its figures and models."""

    kind: str
    pattern: re.Pattern[str]
    known: frozenset[str]
    models: re.Pattern[str] | None = None

    def mismatch(self, text: str) -> float:
        """Return 0 for a text that may hold the answer, 1 for one that cannot, 0.5 when its unit is missing.

        The number of a caption, a figure that the question names itself, and the number of another
        model of a name in it (Larkwind 300 for Larkwind 150) are no answers to it.
        """
        bare = self.models.sub(" ", _CAPTION.sub(" ", text)) if self.models else _CAPTION.sub(" ", text)
        figures = set(_FIGURE.findall(bare)) - self.known
        counted = bool(figures) or _COUNT.search(text) is not None
        fits = self.pattern.pattern == "" or self.pattern.search(text) is not None
        if self.kind in ("date", "frequency") and fits:
            return 0.0
        if not counted:
            return 1.0
        return 0.0 if fits else 0.5


def expected(question: str) -> Expectation | None:
    """Return what a question asks for, None when no figure is asked for; English only."""
    for kind, asks, answers in _COMPILED:
        if asks.search(question):
            names = "|".join(map(re.escape, _MODEL.findall(question)))
            models = re.compile(rf"\b(?:{names})\s+\d+") if names else None
            return Expectation(kind, answers, frozenset(_FIGURE.findall(question)), models)
    return None
