"""Read a question: the words that carry it, its parts, and what the evidence must name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmrag.core.language import detect_language
from mmrag.core.language_words import WORDS

_STOP_TEXT = """
    a about all also am an and any are aren't as at be been being but by can can't cannot could did
    didn't do does doesn't doing don't each either else ever for from get gets getting give given go
    goes got had has have having he her here hers him his how how's i i'd i'm i've if in into is
    isn't it it's its itself just let like long look make many may me might mine more most much must
    my need needed needs no nor not of off often on only or other our ours out over own please
    quite rather really say says shall she should show so some still such tell than that that's the
    their theirs them then there there's these they this those through to too up upon us use used
    very want was wasn't we were what what's when where where's whether which while who who's whom
    whose why will with won't would you you're your yours
"""
_STOP_WORDS = frozenset(_STOP_TEXT.split())
"""Words that ask rather than name: they say nothing about where an answer stands. "long", "use" and "need"
are here as they come with "how long", "do I use" and "do I need"."""

_UNNAMED_TEXT = """
    monday tuesday wednesday thursday friday saturday sunday january february march april may june
    july august september october november december ok faq i english dr mr mrs ms prof st
"""
_NAMES_NOTHING = frozenset(_UNNAMED_TEXT.split())
"""Capitalised words that evidence often writes in another form ("Mon-Fri", "2026-03-01")."""

_NUMBER_TEXT = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = dict(enumerate(_NUMBER_TEXT.split()))
_CURRENCIES = {"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥"}
_WORD = re.compile(r"[^\W_]+(?:(?:['’.-]|(?<=\d),(?=\d))[^\W_]+)*")  # noqa: RUF001
_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{2,}?)[\"”“»]|`([^`]{2,}?)`|(?<!\w)['‘]([^'‘’]{2,}?)['’](?!\w)")  # noqa: RUF001
_NUMBER = re.compile(r"(?<![\w.,])(?<!\w-)\d+(?:[.,]\d+)*(?!\w)")
_YES_OR_NO = re.compile(
    r"\s*(?:is|are|was|were|do|does|did|can|could|may|must|should|has|have|had|will|would)\b", re.IGNORECASE
)
_MODEL = re.compile(r"\b([A-Z][^\W\d_]{2,}) (\d+)(?![.,]?\d|\w)")
_NEGATION = re.compile(
    r"\b(?:not|no|none|never|neither|nor|cannot|without|except|excluding|unless|lacks?|un(?:supported|able|available))\b"
    r"|n['’]t\b",  # noqa: RUF001
    re.IGNORECASE,
)
_ASKS_DENIED = re.compile(
    r"\W*(?!(?:why|if)\b)\w(?:(?!\b(?:if|when|because|that|why)\b).)*?"
    r"(?:\b(?:(?-i:not|NOT)|cannot|never|without|except|excluding)\b|n['’]t\b)",  # noqa: RUF001
    re.IGNORECASE | re.DOTALL,
)
_TITLE = re.compile(r"\b(?:dr|mr|mrs|ms|prof|st)\.$", re.IGNORECASE)
_RUN = re.compile(r"[^\W\d_]+|\d+")
_SECOND_QUESTION = re.compile(
    r"\s*(?:[?;]\s+(?:and\s+)?|,?\s+and\s+)(?=(?:how|what|when|where|which|who|whom|whose|why|is|are|does|do|can|"
    r"should|must|may|will)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Demand:
    """A number, quoted string, code or name of a question that its evidence must hold.

    `rival` finds other members of the same family: Larkwind 300 or E05 where 150 or E07 is asked for.
    `words` find a name and its number apart, which will do where no rival stands: "Breitkopf 1754"
    may be a publisher and a year.
    """

    text: str
    pattern: re.Pattern[str]
    rival: re.Pattern[str] | None = None
    words: tuple[re.Pattern[str], ...] = ()

    def rivalled_by(self, text: str) -> bool:
        """Whether a folded text names another of its family instead."""
        return self.rival is not None and self.rival.search(text) is not None and not self.met_by(text)

    def met_by(self, evidence: str) -> bool:
        """Whether a text (case-folded by `fold`) holds it."""
        if self.pattern.search(evidence) is not None:
            return True
        if not self.words or (self.rival is not None and self.rival.search(evidence) is not None):
            return False
        return all(word.search(evidence) is not None for word in self.words)


def content_words(text: str) -> list[str]:
    """Return the words of a text that name something, in order; question and stop words are left out."""
    stop_words = _stop_words(text)
    words = (match.group().replace("’", "'") for match in _WORD.finditer(text))  # noqa: RUF001
    return [word for word in words if word.casefold() not in stop_words]


def denies(text: str) -> bool:
    """Whether an English text says what is not, or is left out."""
    return _NEGATION.search(text) is not None


def asks_denied(question: str) -> bool:
    """Whether an English question asks what is not so.

    'Why does X not start?' and 'What helps if X does not start?' ask for something that is.
    """
    return _ASKS_DENIED.match(question) is not None and detect_language(question) in (None, "en")


def is_yes_or_no(text: str) -> bool:
    """Whether a question can be answered by a sentence that only repeats it: 'Is the lid blue?'."""
    return _YES_OR_NO.match(text) is not None


def questions_in(text: str) -> list[str]:
    """Split 'How long is X and what does Y cost?' into its questions; one question stays whole."""
    parts = [part.strip() for part in _SECOND_QUESTION.split(text)]
    parts = [part for part in parts if content_words(part)]
    return parts if len(parts) > 1 else [text]


def demands_of(text: str) -> list[Demand]:
    """Return what must stand in the evidence before a question can be answered from it.

    These are quoted strings, numbers, names with a number (Larkwind 150), codes (letters and
    digits: AX-200) and capitalised words inside a sentence (Hamburg, USB). Capitals say nothing in
    German or in a title, so there the last do not count. Inflections match: "Hamburg's" finds
    "Hamburg".
    """
    found: dict[str, re.Pattern[str]] = {}
    rivals: dict[str, re.Pattern[str]] = {}
    apart: dict[str, tuple[re.Pattern[str], ...]] = {}
    rest = text
    for match in _QUOTED.finditer(text):
        quoted = next(group for group in match.groups() if group)
        if words := _WORD.findall(fold(quoted)):
            found[quoted] = re.compile(r"(?<!\w)" + r"[\W_]+".join(map(re.escape, words)) + r"(?!\w)")
        rest = rest.replace(match.group(), " , ")
    for match in _MODEL.finditer(rest):
        if match.group(1).casefold() not in _STOP_WORDS | _NAMES_NOTHING:
            found[match.group()] = _model(match.group(1), match.group(2))
            apart[match.group()] = (_name(match.group(1)), _number(match.group(2)))
            rivals[match.group()] = re.compile(rf"(?<!\w){re.escape(match.group(1).casefold())}[\s-]+\d")
    modelled = " ".join(found)
    for match in _NUMBER.finditer(rest):
        if not re.search(rf"\b{re.escape(match.group())}\b", modelled):
            found[match.group()] = _number(match.group())
    capitals_count = _capitals_count(rest)
    for match in _WORD.finditer(rest):
        word = re.sub(r"['’]s$", "", match.group())  # noqa: RUF001
        if word.casefold() in _STOP_WORDS or word.casefold() in _NAMES_NOTHING or len(word) < 2:
            continue
        if re.search(r"\d", word) and re.search(r"[^\W\d_]", word):
            found[word] = _code(word)
            rivals[word] = _family(word)
        elif capitals_count and word[0].isupper() and not _opens_sentence(rest, match.start()):
            found[word] = _name(word)
    return [Demand(text, pattern, rivals.get(text), apart.get(text, ())) for text, pattern in found.items()]


def fold(text: str) -> str:
    """Return a text for `Demand.met_by`: case folded, thousands joined."""
    return re.sub(r"(?<=\d)[,\u202f\u00a0'](?=\d{3}(?!\d))", "", text.casefold())


def missing_demands(demands: Sequence[Demand], evidence: str) -> list[str]:
    """Return the demands that a text does not meet, as the question spells them."""
    folded = fold(evidence)
    return [demand.text for demand in demands if not demand.met_by(folded)]


def _stop_words(text: str) -> frozenset[str]:
    """Return English stop words, or the frequent words of the language that the text is surely in."""
    language = detect_language(text)
    if language is None or language == "en":
        return _STOP_WORDS
    return frozenset(WORDS.get(language, "").split())


def _capitals_count(text: str) -> bool:
    """Whether a capital inside a sentence marks a name: not in a title, in capitals, or in German."""
    language = detect_language(text)
    if language == "de":
        return False
    words = [match for match in _WORD.finditer(text) if match.group()[0].isalpha()]
    inner = [match.group() for match in words if not _opens_sentence(text, match.start())]
    if any(word[0].isupper() and word.casefold() in _STOP_WORDS - {"i", "i'm", "i've"} for word in inner):
        return False
    small = [
        match.group().casefold() for match in words if match.group() not in inner or match.group().islower()
    ]
    english = sum(word in _STOP_WORDS for word in small)
    return language is not None or 2 * english >= len(small)


def _opens_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \t\n\"'“‘«(")  # noqa: RUF001
    return not before or (before[-1] in ".?!:" and not _TITLE.search(before))


def _number(number: str) -> re.Pattern[str]:
    plain = fold(number)
    options = [r"[.,]".join(re.escape(piece) for piece in re.split(r"[.,]", plain))]
    if plain.isdigit() and int(plain) in _NUMBER_WORDS:
        options.append(_NUMBER_WORDS[int(plain)])
    return re.compile(rf"(?<!\d)(?<!\d[.,])(?:{'|'.join(options)})(?![.,]?\d)")


def _model(name: str, number: str) -> re.Pattern[str]:
    """Match a name with its number, also in a list: "Larkwind 150 and 300" names a Larkwind 300."""
    others = r"(?:\d+\s*(?:,|/|&|and|or|und|oder)\s*)*"
    return re.compile(rf"(?<!\w){re.escape(name.casefold())}[\s-]+{others}{number}(?![.,]?\d)")


def _code(word: str) -> re.Pattern[str]:
    runs = map(re.escape, _RUN.findall(word.casefold()))
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,2}".join(runs) + r"(?:['’]?s)?(?![^\W_])")  # noqa: RUF001


def _family(word: str) -> re.Pattern[str]:
    """Match codes that differ from a code in its last digits only."""
    runs = [re.escape(run) for run in _RUN.findall(word.casefold())]
    last = max(i for i, run in enumerate(runs) if run[0].isdigit())
    runs[last] = r"\d+"
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,2}".join(runs) + r"(?![^\W_])")


def _name(word: str) -> re.Pattern[str]:
    """Match a name with other endings; a short name or an acronym may only gain a plural s."""
    plain = word.casefold()
    if sign := _CURRENCIES.get(plain):
        return re.compile(rf"{re.escape(sign)}|(?<!\w){plain}(?!\w)")
    if len(plain) < 5 or word.isupper():
        runs = map(re.escape, re.findall(r"[^\W_]+", plain))
        return re.compile(r"(?<![^\W_])" + r"[\W_]{0,2}".join(runs) + r"(?:['’]?s)?(?![^\W_])")  # noqa: RUF001
    stem = plain[:-1] if plain[-1] in "sey" else plain
    runs = map(re.escape, re.findall(r"[^\W_]+", stem))
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,2}".join(runs) + r"[^\W\d_]{0,4}(?![^\W_])")
