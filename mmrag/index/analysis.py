"""Turn text into the terms that lexical search keeps: stemmed words, n-grams where words have no spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import tantivy

FixedStemmer = Literal[
    "none", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hungarian",
    "italian", "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish",
]  # fmt: skip
"""The languages whose word endings can be cut; none folds case and accents only."""

Stemmer = FixedStemmer | Literal["auto"]
"""auto: each text in its own language."""

Forms = tuple[str, ...]
"""The different terms that a word is in the languages of an index, the commonest language first."""

_CUT = "words+ngrams/1"
_MAX_WORD_BYTES = 100
_STEMMERS: dict[str, FixedStemmer] = {
    "ar": "arabic", "da": "danish", "nl": "dutch", "en": "english", "fi": "finnish", "fr": "french",
    "de": "german", "el": "greek", "hu": "hungarian", "it": "italian", "no": "norwegian", "nb": "norwegian",
    "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "es": "spanish",
    "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
_ENGLISH_WORDS_AMONG = frozenset(["zh", "ja", "ko", "th", "lo", "my", "km"])
"""Where a text in one of these languages has Latin words, they are mostly English ones."""
_IDEOGRAPHIC = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Han, kana and Hangul: two characters are about a word."""
_SOUTH_EAST_ASIAN = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eda\u0edc-\u0edf\u1000-\u109f\u1780-\u17dd"
"""Thai, Lao, Burmese and Khmer: alphabets, where a word is longer."""
_RUNS = re.compile(f"([{_IDEOGRAPHIC}]+)|([{_SOUTH_EAST_ASIAN}]+)")
_PARTIAL = re.compile(f"[{_IDEOGRAPHIC}]|[{_SOUTH_EAST_ASIAN}]{{1,2}}")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200c\u200d\u2060\ufeff")) | {0x200B: " "}


class Analyzer:
    """Cuts text into terms, the same way whatever stands around a word.

    Words are case-folded, freed of accents and stemmed. Runs of a script without spaces become
    overlapping n-grams (2 characters of Han, kana and Hangul, 3 of Thai, Lao, Burmese and Khmer);
    the end of a run is also kept as shorter pieces, so that a query shorter than an n-gram finds
    its text as the beginning of some gram.
    """

    def __init__(self, stemmer: FixedStemmer = "english") -> None:
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        for step in (
            tantivy.Filter.remove_long(_MAX_WORD_BYTES),
            tantivy.Filter.lowercase(),
            tantivy.Filter.ascii_fold(),
        ):
            builder = builder.filter(step)
        if stemmer != "none":
            builder = builder.filter(tantivy.Filter.stemmer(stemmer))
        self.words = builder.build()
        self.identity = f"{_CUT} stemmer={stemmer}"

    def terms(self, text: str) -> list[str]:
        """Return the terms to ask for, in order."""
        text = normalise(text)
        if text.isascii() or not _RUNS.search(text):
            return self.words.analyze(text)
        return [term for term, _ in self._cut(text, tails=False)]

    def kept(self, text: str) -> list[str]:
        """Return the terms under which a text is kept: those to ask for, and the tails of its runs."""
        text = normalise(text)
        if text.isascii() or not _RUNS.search(text):
            return self.words.analyze(text)
        return [term for term, _ in self._cut(text, tails=True)]

    def field_value(self, text: str, *, cut: bool) -> str | tantivy.PreTokenizedString:
        """Return what to put into a field of a document.

        Args:
            text: The words.
            cut: Whether to cut them here. Text for the field's own analyser, which must be this one, is added
                in half the time; runs of a script without spaces are cut in any case.
        """
        text = normalise(text)
        if text.isascii() or not _RUNS.search(text):
            return self.words.pre_tokenize(text) if cut else text
        tokens = [tantivy.Token(term, place, 0, 0) for term, place in self._cut(text, tails=True)]
        return tantivy.PreTokenizedString("", tokens)

    def _cut(self, text: str, *, tails: bool) -> Iterator[tuple[str, int]]:
        """Yield terms with their positions; tails share the position of the last whole gram."""
        place, end = 0, 0
        for run in _RUNS.finditer(text):
            for word in self.words.analyze(text[end : run.start()]):
                yield word, place
                place += 1
            end = run.end()
            chars, size = run.group(), 2 if run.group(1) else 3
            grams = max(1, len(chars) - size + 1)
            for i in range(grams):
                yield chars[i : i + size], place
                place += 1
            if tails:
                for i in range(grams, len(chars)):
                    yield chars[i:], place - 1
        for word in self.words.analyze(text[end:]):
            yield word, place
            place += 1


class Language:
    """Cuts texts in the languages that they are in, and queries in all languages of an index.

    Args:
        stemmer: One for all texts, or auto: that of each text's language. Texts in an unknown language are
            taken for English, those in one without a stemmer keep their endings.
    """

    def __init__(self, stemmer: Stemmer) -> None:
        self._fixed = None if stemmer == "auto" else stemmer
        self._made: dict[FixedStemmer, Analyzer] = {}
        self.usual = self.analyzer("english" if stemmer == "auto" else stemmer)
        self.identity = f"{_CUT} stemmer={stemmer}"
        self.spoken: tuple[Analyzer, ...] = (self.usual,)

    def of(self, language: str) -> FixedStemmer:
        """Return the stemmer of an ISO 639-1 code."""
        if self._fixed:
            return self._fixed
        code = language.lower().replace("_", "-").split("-")[0]
        if len(code) != 2 or code in _ENGLISH_WORDS_AMONG:
            return "english"
        return _STEMMERS.get(code, "none")

    def analyzer(self, stemmer: FixedStemmer) -> Analyzer:
        """Return the analyser with a stemmer."""
        if stemmer not in self._made:
            self._made[stemmer] = Analyzer(stemmer)
        return self._made[stemmer]

    def speak(self, stemmers: Sequence[str]) -> None:
        """Set by name which stemmers the texts of the index have, the commonest first."""
        known = [stemmer for name in stemmers for stemmer in get_args(FixedStemmer) if stemmer == name]
        self.spoken = tuple(map(self.analyzer, known)) or (self.usual,)

    def wordings(self, text: str) -> list[list[str]]:
        """Return the terms of a text in each language of the index."""
        return [analyzer.terms(text) for analyzer in self.spoken]

    def forms(self, text: str) -> list[Forms]:
        """Return the forms of each word of a text."""
        if len(self.spoken) == 1:
            return [(term,) for term in self.spoken[0].terms(text)]
        return [tuple(dict.fromkeys(terms)) for terms in zip(*self.wordings(text), strict=True)]


def is_partial(term: str) -> bool:
    """Return whether a term is shorter than its script's n-grams: it stands for all that begin so."""
    return not term.isascii() and _PARTIAL.fullmatch(term) is not None


def normalise(text: str) -> str:
    """Write a text in one form: NFKC, without soft hyphens, joiners and half characters."""
    if text.isascii():
        return text
    text = text.encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
