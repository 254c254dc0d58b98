"""Score the units of hits against a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrag.answer.expects import Expectation, expected
from mmrag.answer.question import content_words, demands_of, fold, is_yes_or_no, missing_demands
from mmrag.answer.sentences import Unit
from mmrag.answer.units import units_of
from mmrag.core.errors import ConfigError
from mmrag.core.fields import CONTEXT, HEADING, TITLE, search_text
from mmrag.core.language import detect_language
from mmrag.core.protocols import TextEmbedder, TextIndex
from mmrag.core.types import Hit, Item, Page

_LABEL_CHARS = 60
"""So many characters at most, without a full stop, are a label or a heading."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What a unit's score is made of.

    The score is the weighted mean of three numbers from 0 to 1, less what is wrong with the unit:
    the cosine of the question and the unit under its heading; the share of the question's words,
    weighed by idf, that the unit or its surroundings hold; and how well its passage fits.

    Args:
        cosine_weight: Weight of the embedder's cosine; 0 in a language that the embedder does not know.
        coverage_weight: Weight of the covered words.
        passage_weight: Weight of the passage.
        passage_lane: The lane whose raw score says how well a passage fits, a cosine. Without it a
            passage's score over the best passage's is taken, which cannot tell a bad best one.
        heading_share: What a word counts that stands in the unit's heading or lead only.
        context_share: What a word counts that stands in the title, file name or sentence before.
        mismatch_penalty: Taken off when a question asks for a figure (a price, a length, a date, ...) and
            the unit has none; half when it has one without the unit of measurement. Taken off as
            well when the hit lacks the names and numbers of the question, in proportion.

    Raises:
        ConfigError: A weight is negative, or all three are 0.
    """

    cosine_weight: float = 0.4
    coverage_weight: float = 0.4
    passage_weight: float = 0.2
    passage_lane: str = "dense"
    heading_share: float = 0.8
    context_share: float = 0.5
    mismatch_penalty: float = 0.2

    def __post_init__(self) -> None:
        weights = (self.cosine_weight, self.coverage_weight, self.passage_weight)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ConfigError(
                f"The weights of cosine, coverage and passage are {weights}.",
                fix="Give weights of 0 or more, not all of them 0.",
            )
        for name in ("heading_share", "context_share", "mismatch_penalty"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}.", fix="Give 0 to 1.", where=name)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit of the hit at position `hit` with its score and the three numbers in it.

    `mismatch` is 1 when the question asks for a figure and the unit has none.
    """

    hit: int
    unit: Unit
    score: float
    cosine: float
    coverage: float
    passage: float
    terms: frozenset[str]
    mismatch: float = 0.0


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of a unit, and those of what stands near it."""

    own: frozenset[str]
    heading: frozenset[str]
    context: frozenset[str]


def score_units(
    question: str,
    hits: Sequence[Hit],
    embedder: TextEmbedder,
    lexicon: TextIndex,
    options: ScoreOptions,
) -> list[Candidate]:
    """Return the units of hits, best first; ties go to the better hit, then to the earlier unit.

    A unit is left out that ends in a colon: what it announces is the answer. Unless the question wants
    yes or no, so is one that only repeats the words of the question (a label: of its heading and title
    too), or that speaks of another model or code than the question.
    """
    wanted = content_terms(question, lexicon)
    demands = demands_of(question)
    placed = [
        (i, unit, terms)
        for i, hit in enumerate(hits)
        for unit, terms in _units(hit.item, lexicon)
        if not unit.text.endswith(":")
        and (
            is_yes_or_no(question)
            or (
                _says_more(unit, wanted, hit.item, lexicon)
                and not any(d.rivalled_by(fold(unit.text)) for d in demands)
            )
        )
    ]
    if not placed:
        return []
    texts = [question, *(_under_heading(unit, hits[i].item) for i, unit, _ in placed)]
    vectors = embedder.embed_texts(texts)
    cosines = np.clip(vectors[1:] @ vectors[0], 0.0, 1.0)
    passages = _passage_scores(hits, options.passage_lane)
    idf = lexicon.idf(wanted) if wanted else np.zeros(0, np.float32)
    language = detect_language(question)
    wish = expected(question) if language in (None, "en") else None
    cosine_weight = options.cosine_weight if reads(embedder, language) else 0.0
    total = cosine_weight + options.coverage_weight + options.passage_weight or 1.0
    lacking = [len(missing_demands(demands, words_of(hit))) / max(len(demands), 1) for hit in hits]
    found = []
    for (i, unit, terms), cosine in zip(placed, cosines.tolist(), strict=True):
        coverage = _coverage(wanted, idf, terms, options)
        whole = (
            cosine_weight * cosine + options.coverage_weight * coverage + options.passage_weight * passages[i]
        )
        mismatch = _mismatch(wish, unit)
        score = whole / total - options.mismatch_penalty * (mismatch + lacking[i])
        found.append(Candidate(i, unit, score, cosine, coverage, passages[i], terms.own, mismatch))
    return sorted(found, key=lambda c: (-c.score, c.hit, c.unit.start))


def content_terms(question: str, lexicon: TextIndex) -> list[str]:
    """Return the terms of the words that carry a question, each once."""
    return list(dict.fromkeys(term for word in content_words(question) for term in lexicon.analyze(word)))


def context_terms(item: Item, lexicon: TextIndex) -> frozenset[str]:
    """Return the terms of an item's headings, title and file name."""
    words = search_text(item)
    return frozenset(lexicon.analyze(f"{words.heading} {words.title} {words.name}"))


def reads(embedder: TextEmbedder, language: str | None) -> bool:
    """Whether an embedder knows a language; None is one that could not be told."""
    languages: frozenset[str] | None = getattr(embedder, "languages", None)
    return languages is None or language is None or language in languages


def words_of(hit: Hit) -> str:
    """Return all words that stand for a hit: its own, its headings, title, neighbours and file names."""
    item = hit.item
    meta = [str(item.metadata.get(key, "")) for key in (TITLE, HEADING, CONTEXT)]
    page = f"page {item.locator.number}" if isinstance(item.locator, Page) else ""
    return "\n".join([item.text, *meta, page, item.source, search_text(item).name, *hit.also_in])


def _units(item: Item, lexicon: TextIndex) -> Iterator[tuple[Unit, _Terms]]:
    words = search_text(item)
    heading = frozenset(lexicon.analyze(f"{words.heading} {_shown(item)}"))
    context = frozenset(lexicon.analyze(f"{words.title} {words.name}"))
    before: frozenset[str] = frozenset()
    for unit in units_of(item):
        own = frozenset(lexicon.analyze(unit.text))
        lead = frozenset(lexicon.analyze(unit.lead)) if unit.lead else frozenset()
        yield unit, _Terms(own, heading | lead, context | before)
        before = own if unit.kind == "sentence" else frozenset()


def _says_more(unit: Unit, wanted: Sequence[str], item: Item, lexicon: TextIndex) -> bool:
    if not wanted:
        return True
    said = frozenset(wanted)
    if unit.kind == "sentence" and len(unit.text) <= _LABEL_CHARS and unit.text[-1] not in ".!?":
        words = search_text(item)
        said |= frozenset(lexicon.analyze(f"{words.heading} {words.title}"))
    return any(not said.issuperset(lexicon.analyze(word)) for word in content_words(unit.text))


def _under_heading(unit: Unit, item: Item) -> str:
    heading = _shown(item) or search_text(item).heading.rsplit(" > ", 1)[-1]
    words = f"{unit.lead} {unit.text}" if unit.lead else unit.text
    return f"{heading}\n{words}" if heading and heading != words else words


def _shown(item: Item) -> str:
    """Return what a picture shows: its caption and alternative text."""
    if item.modality == "text":
        return ""
    return " ".join(part.text for part in item.parts if part.text and part.role in ("caption", "alt"))


def _coverage(wanted: Sequence[str], idf: NDArray[np.float32], terms: _Terms, options: ScoreOptions) -> float:
    total = float(idf.sum())
    if total <= 0:
        return 0.0
    shares = [
        1.0
        if term in terms.own
        else max(
            options.heading_share if term in terms.heading else 0.0,
            options.context_share if term in terms.context else 0.0,
        )
        for term in wanted
    ]
    return min(float(np.dot(shares, idf)) / total, 1.0)


def _passage_scores(hits: Sequence[Hit], lane: str) -> list[float]:
    raw = [hit.scores[lane] for hit in hits if lane in hit.scores]
    if raw:
        # A hit that the lane did not find is at most as good as the worst that it did.
        return [min(max(hit.scores.get(lane, min(raw)), 0.0), 1.0) for hit in hits]
    best = max(hit.score for hit in hits)
    if best <= 0:
        return [1 / (i + 1) for i in range(len(hits))]
    return [max(hit.score, 0.0) / best for hit in hits]


def _mismatch(wish: Expectation | None, unit: Unit) -> float:
    return wish.mismatch(f"{unit.lead} {unit.text}" if unit.lead else unit.text) if wish else 0.0
