"""What every answerer must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from mmrag.core.protocols import Answerer
from mmrag.core.types import Hit, Item, Query
from mmrag.testing.samples import WORDS_OF_A_MANUAL, manual_items, text_item

QUESTIONS = (
    ("How long does the warranty of the Halden relay last?", "24 months"),
    ("Which terminal does the blue wire go to?", "A2"),
    ("How many litres per minute does the pump deliver?", "12 litres"),
)


class AnswererContract(ABC):
    """Subclass it as `Test...` and say how to make an answerer for a corpus of items."""

    @abstractmethod
    def make(self, items: Sequence[Item]) -> Answerer:
        """Make an answerer; `items` are its corpus, for what it must know of it beforehand."""

    @pytest.fixture
    def answerer(self) -> Answerer:
        return self.make(manual_items())

    def test_it_implements_the_protocol(self, answerer: Answerer) -> None:
        assert isinstance(answerer, Answerer)

    def test_without_evidence_there_is_no_answer(self, answerer: Answerer) -> None:
        draft = answerer.compose(Query.of(QUESTIONS[0][0]), [])
        assert draft.text == ""
        assert draft.quotes == ()
        assert not draft.complete
        assert draft.notes, "an empty draft says why"

    @pytest.mark.parametrize(("question", "words"), QUESTIONS)
    def test_an_answer_in_the_evidence_is_found(self, answerer: Answerer, question: str, words: str) -> None:
        hits = hits_about(words)
        draft = answerer.compose(Query.of(question), hits)
        assert words in draft.text
        assert draft.quotes
        assert words in " ".join(quote.text for quote in draft.quotes)

    @pytest.mark.parametrize(("question", "words"), QUESTIONS)
    def test_quotes_stand_word_for_word_in_their_hit(
        self, answerer: Answerer, question: str, words: str
    ) -> None:
        hits = hits_about(words)
        for quote in answerer.compose(Query.of(question), hits).quotes:
            assert 0 <= quote.hit < len(hits)
            assert quote.text.strip()
            assert quote.text in hits[quote.hit].item.text
            assert 0 <= quote.support <= 1

    def test_text_comes_with_quotes_and_quotes_with_text(self, answerer: Answerer) -> None:
        for question in (*(question for question, _ in QUESTIONS), "Who won the chess cup in Riga in 1998?"):
            draft = answerer.compose(Query.of(question), hits_about("relay"))
            assert bool(draft.text) == bool(draft.quotes)
            assert draft.text or draft.notes
            assert draft.text or not draft.complete

    def test_a_question_beside_the_evidence_is_not_answered(self, answerer: Answerer) -> None:
        for question in ("Who won the chess cup in Riga in 1998?", "What is the capital of Mongolia?"):
            draft = answerer.compose(Query.of(question), hits_about("relay"))
            assert draft.text == ""
            assert draft.notes

    def test_the_same_question_gets_the_same_draft(self, answerer: Answerer) -> None:
        query, hits = Query.of(QUESTIONS[0][0]), hits_about("24 months")
        assert answerer.compose(query, hits) == answerer.compose(query, hits)

    @pytest.mark.parametrize("text", ["?", "the", "ⅷ 保証", "relay " * 500])
    def test_odd_questions_are_no_error(self, answerer: Answerer, text: str) -> None:
        draft = answerer.compose(Query.of(text), hits_about("relay"))
        assert bool(draft.text) == bool(draft.quotes)

    def test_evidence_without_words_is_no_error(self, answerer: Answerer) -> None:
        hits = [Hit(text_item(text), 1.0) for text in (" ", "\n\n", "…")]
        assert answerer.compose(Query.of(QUESTIONS[0][0]), hits).text == ""

    def test_a_question_without_words_is_not_answered(self, answerer: Answerer) -> None:
        draft = answerer.compose(Query.of(image="photo.jpg"), hits_about("relay"))
        assert draft.text == ""
        assert draft.notes


def hits_about(words: str) -> list[Hit]:
    """Return all items of the sample manual as hits, those with `words` first."""
    items = sorted(manual_items(), key=lambda item: words not in item.text)
    count = len(WORDS_OF_A_MANUAL)
    return [
        Hit(item, 1 - i / count, {"fused": 1 - i / count}, {"fused": i + 1}) for i, item in enumerate(items)
    ]
