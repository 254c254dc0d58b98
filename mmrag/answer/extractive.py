"""Answer with the evidence's own sentences, and refuse when they do not answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmrag.answer.question import asks_denied, demands_of, denies, fold, questions_in
from mmrag.answer.scoring import (
    Candidate,
    ScoreOptions,
    content_terms,
    context_terms,
    reads,
    score_units,
    words_of,
)
from mmrag.core.errors import ConfigError
from mmrag.core.fields import HEADING, TITLE
from mmrag.core.language import detect_language
from mmrag.core.protocols import Draft, Quote, TextEmbedder, TextIndex
from mmrag.core.types import Hit, Item, Page, Query

_NEAR_DUPLICATE = 0.8
"""Share of equal words (of the shorter unit) from which two units say the same."""

_PAIR = re.compile(r"([^\W\d_]{3,})\s+and\s+(?:the\s+|its\s+|their\s+)?([^\W\d_]{3,})")


@dataclass(frozen=True, slots=True)
class ExtractiveOptions(ScoreOptions):
    """How sentences are chosen and when to refuse.

    Args:
        threshold: Refuse below this score. 0.37 was found on the tune half of examples/questions.jsonl
            by `mmrag.evaluate.calibrate_questions`: it keeps 95 % of the answerable questions and
            refuses 99 % of questions about other subjects, but only half of those that ask for a
            detail which the documents leave out.
        weak_band: Call the answer partial when its score is less than this above the threshold:
            there, below 0.50, 14 of 32 answers were right.
        max_sentences: Most sentences of an answer, 1 to 3.
        max_hits: Sentences are taken from this many of the best hits.
        margin: A further sentence is added if it scores at most this much below the best.
        blind_coverage: In a language that the embedder does not know, a sentence must hold at least
            this share of the question's words, weighed by idf.
        check_names: Refuse when a number, quoted string, code or name of the question is nowhere
            in the evidence.

    The other parameters are those of `ScoreOptions`.

    Raises:
        ConfigError: A value is out of range.
    """

    threshold: float = 0.37
    weak_band: float = 0.13
    max_sentences: int = 2
    max_hits: int = 8
    margin: float = 0.04
    blind_coverage: float = 0.5
    check_names: bool = True

    def __post_init__(self) -> None:
        ScoreOptions.__post_init__(self)
        if not 1 <= self.max_sentences <= 3:
            raise ConfigError(
                f"max_sentences is {self.max_sentences}.", fix="Give 1, 2 or 3.", where="max_sentences"
            )
        if self.max_hits < 1:
            raise ConfigError(f"max_hits is {self.max_hits}.", fix="Give 1 or more.", where="max_hits")

    def without_refusal(self) -> ExtractiveOptions:
        """Return options that answer whatever is asked: calibration needs every question's score."""
        return replace(self, threshold=-1.0, check_names=False, blind_coverage=0.0)

    def build(self, embedder: TextEmbedder, lexicon: TextIndex) -> Extractive:
        """Join the options with the models that they need."""
        return Extractive(self, embedder, lexicon)


@dataclass(frozen=True, slots=True)
class Extractive:
    """An `Answerer` without a language model.

    A draft is partial when the best score lies in the weak band, when a question asks for a figure
    and no quote has one, when it says "not" and no quote does, when one of two questions ("how long
    ... and what does ...") finds no answer, or when the answer speaks of one half of a pair ("the
    weight and the colour") only.
    """

    options: ExtractiveOptions
    embedder: TextEmbedder
    lexicon: TextIndex

    def compose(self, query: Query, hits: Sequence[Hit]) -> Draft:
        """Answer with the best sentences of the hits, or return a draft that says why not."""
        if not query.text.strip():
            return _refuse("The question has no words; the extractive answerer reads words only.")
        if not hits:
            return _refuse("Nothing was found.")
        if absent := self._absent(query.text, hits):
            names = ", ".join(repr(name) for name in absent)
            verb = "is" if len(absent) == 1 else "are"
            return _refuse(f"{names} {verb} nowhere in the evidence.", hits[0].item)
        questions = questions_in(query.text)
        chosen: list[Candidate] = []
        notes: list[str] = []
        for question in questions:
            ranked = self.rank(question, hits)
            if not reads(self.embedder, detect_language(question)):
                # Without the embedder only shared words speak for a unit.
                ranked = [one for one in ranked if one.coverage >= self.options.blind_coverage]
            if not ranked or ranked[0].score < self.options.threshold:
                notes.append(self._too_weak(question if len(questions) > 1 else "", ranked, hits))
                continue
            picked = self._pick(ranked)
            if ranked[0].score < self.options.threshold + self.options.weak_band or all(
                candidate.mismatch == 1.0 for candidate in picked
            ):
                notes.append("The match is weak: check the quotes.")
            if asks_denied(question) and not any(denies(candidate.unit.text) for candidate in picked):
                notes.append("The question says not, the quotes do not: check them.")
            chosen += picked
        if not chosen:
            return Draft("", (), complete=False, notes=tuple(notes[:1]))
        chosen = _in_reading_order(_distinct(chosen))
        if len(questions) == 1 and (half := self._uncovered(query.text, chosen, hits)):
            notes.append(f"The quotes do not speak of {half!r}.")
        quotes = tuple(_quote(candidate, hits) for candidate in chosen)
        text = " ".join(_closed(candidate.unit.text) for candidate in chosen)
        return Draft(text, quotes, complete=not notes, notes=tuple(dict.fromkeys(notes)))

    def rank(self, question: str, hits: Sequence[Hit]) -> list[Candidate]:
        """Score the units of the best hits against one question, best first."""
        best = hits[: self.options.max_hits]
        return score_units(question, best, self.embedder, self.lexicon, self.options)

    def _absent(self, question: str, hits: Sequence[Hit]) -> list[str]:
        if not self.options.check_names:
            return []
        evidence = [fold(words_of(hit)) for hit in hits]
        return [d.text for d in demands_of(question) if not any(map(d.met_by, evidence))]

    def _pick(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        floor = max(self.options.threshold, ranked[0].score - self.options.margin)
        good = [candidate for candidate in ranked if candidate.score >= floor]
        return _distinct(good)[: self.options.max_sentences]

    def _too_weak(self, question: str, ranked: Sequence[Candidate], hits: Sequence[Hit]) -> str:
        subject = repr(question) if question else "the question"
        if not ranked:
            return f"Nothing found holds a sentence that answers {subject}. {_nearest(hits[0].item)}"
        best = ranked[0]
        return (
            f"No sentence found answers {subject} well enough (best score {best.score:.3f}, "
            f"needed {self.options.threshold:.3f}). {_nearest(hits[best.hit].item, best.unit.text)}"
        )

    def _uncovered(self, question: str, chosen: Sequence[Candidate], hits: Sequence[Hit]) -> str:
        """Return the half of 'the A and the B' that no chosen sentence speaks of, if just one."""
        spoken: set[str] = set()
        for candidate in chosen:
            spoken |= candidate.terms | context_terms(hits[candidate.hit].item, self.lexicon)
        for pair in _PAIR.findall(question):
            halves = {str(word): content_terms(word, self.lexicon) for word in pair}
            absent = [word for word, terms in halves.items() if terms and not spoken.intersection(terms)]
            if len(absent) == 1 and all(halves.values()):
                return absent[0]
        return ""


def _refuse(reason: str, nearest: Item | None = None) -> Draft:
    note = f"{reason} {_nearest(nearest)}" if nearest else reason
    return Draft("", (), complete=False, notes=(note,))


def _nearest(item: Item, words: str = "") -> str:
    place = f"{item.source}, page {item.locator.number}" if isinstance(item.locator, Page) else item.source
    heading = str(item.metadata.get(HEADING) or item.metadata.get(TITLE) or "")
    if words:
        return f'The nearest thing found is in {place}: "{_short(words)}"'
    return f"The nearest thing found is {place}{f' ({heading})' if heading else ''}."


def _short(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0] + "…"


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Leave out units that overlap a better one or say the same."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not any(_same(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def _in_reading_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Put sentences of one hit in their own order, at the place of the best of them."""
    first = {c.hit: i for i, c in reversed(list(enumerate(candidates)))}
    return sorted(candidates, key=lambda c: (first[c.hit], c.unit.start))


def _same(one: Candidate, other: Candidate) -> bool:
    if one.hit == other.hit and one.unit.start < other.unit.end and other.unit.start < one.unit.end:
        return True
    fewer = min(len(one.terms), len(other.terms))
    if fewer == 0:
        return one.unit.text.casefold() == other.unit.text.casefold()
    return len(one.terms & other.terms) >= _NEAR_DUPLICATE * fewer and _figures(one) == _figures(other)


def _figures(candidate: Candidate) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*", candidate.unit.text))


def _quote(candidate: Candidate, hits: Sequence[Hit]) -> Quote:
    text = hits[candidate.hit].item.text[candidate.unit.start : candidate.unit.end]
    return Quote(candidate.hit, text, min(max(candidate.score, 0.0), 1.0))


def _closed(text: str) -> str:
    return text if text[-1:] in ".!?…:;。！？" else text + "."  # noqa: RUF001
