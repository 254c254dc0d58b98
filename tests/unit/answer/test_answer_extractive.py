from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrag.answer.extractive import Extractive, ExtractiveOptions
from mmrag.core.errors import ConfigError
from mmrag.core.types import Hit, Item, Query
from mmrag.testing.answerer import AnswererContract
from mmrag.testing.samples import manual_items, text_item

Make = Callable[..., Extractive]


class TestExtractiveContract(AnswererContract):
    @pytest.fixture(autouse=True)
    def _made(self, make_extractive: Make) -> None:
        self._make = make_extractive

    def make(self, items: Sequence[Item]) -> Extractive:
        return self._make(items)


def hits_of(*texts: str, heading: str = "") -> list[Hit]:
    return [
        Hit(text_item(text, source=f"doc{i}.md", heading=heading), 1.0 - 0.1 * i)
        for i, text in enumerate(texts)
    ]


RICH = (
    "The pump is heavy. Its filter costs 12 euros. The lid is blue.",
    "Filters are sold in boxes of ten. The motor is loud.",
)


def test_the_sentence_that_answers_is_taken_and_nothing_else(make_extractive: Make) -> None:
    hits = hits_of(*RICH)
    draft = make_extractive(manual_items()).compose(Query.of("What does the filter of the pump cost?"), hits)
    assert draft.text.startswith("Its filter costs 12 euros.")
    assert draft.quotes[0].text == "Its filter costs 12 euros."
    assert "lid" not in draft.text


def test_a_name_that_is_nowhere_is_refused_by_name(make_extractive: Make) -> None:
    draft = make_extractive(manual_items()).compose(
        Query.of("What does the filter cost in Bremen?"), hits_of(*RICH)
    )
    assert draft.text == ""
    assert "'Bremen'" in draft.notes[0]
    assert "doc0.md" in draft.notes[0]


@pytest.mark.parametrize("place", ["heading", "title", "source", "also_in"])
def test_a_name_in_heading_title_or_file_name_counts(make_extractive: Make, place: str) -> None:
    item = text_item("The filter costs 12 euros.")
    hit = Hit(item, 1.0)
    if place == "also_in":
        hit = replace(hit, also_in=("Bremen/a.md",))
    elif place == "source":
        hit = replace(hit, item=replace(item, source="bremen.md"))
    else:
        hit = replace(hit, item=replace(item, metadata={place: "Shop in Bremen"}))
    answerer = make_extractive([item], ExtractiveOptions(threshold=0.4))
    draft = answerer.compose(Query.of("What does the filter cost in Bremen?"), [hit])
    assert "12 euros" in draft.text


def test_names_are_not_checked_when_told(make_extractive: Make) -> None:
    options = ExtractiveOptions(check_names=False, threshold=0.0)
    answerer = make_extractive(manual_items(), options)
    assert answerer.compose(Query.of("What does the filter cost in Bremen?"), hits_of(*RICH)).text


def test_a_weak_match_is_refused_and_the_nearest_thing_named(make_extractive: Make) -> None:
    draft = make_extractive(manual_items()).compose(
        Query.of("Who painted the ceiling of the chapel?"), hits_of(*RICH)
    )
    assert draft.text == ""
    assert draft.quotes == ()
    assert "best score" in draft.notes[0]
    assert "doc" in draft.notes[0]


def test_a_score_just_above_the_threshold_is_partial(make_extractive: Make) -> None:
    query, hits = Query.of("What does the filter cost?"), hits_of(*RICH)
    best = make_extractive(manual_items()).rank(query.text, hits)[0].score
    narrow = make_extractive(manual_items(), ExtractiveOptions(threshold=best - 0.001))
    wide = make_extractive(manual_items(), ExtractiveOptions(threshold=best - 0.2))
    above = make_extractive(manual_items(), ExtractiveOptions(threshold=best + 0.001))
    assert not narrow.compose(query, hits).complete
    assert "weak" in narrow.compose(query, hits).notes[0]
    assert wide.compose(query, hits).complete
    assert above.compose(query, hits).text == ""


def test_both_of_two_questions_are_answered(make_extractive: Make) -> None:
    hits = hits_of("The warranty lasts 24 months.", "A filter costs 12 euros.")
    query = Query.of("How long is the warranty and what does a filter cost?")
    draft = make_extractive(manual_items(), ExtractiveOptions(threshold=0.4)).compose(query, hits)
    assert "24 months" in draft.text
    assert "12 euros" in draft.text
    assert draft.complete


def test_one_of_two_questions_is_partial_and_the_other_is_named(make_extractive: Make) -> None:
    hits = hits_of("The warranty lasts 24 months.", "The lid is blue.")
    query = Query.of("How long is the warranty and who repairs broken umbrellas?")
    draft = make_extractive(manual_items(), ExtractiveOptions(threshold=0.4)).compose(query, hits)
    assert "24 months" in draft.text
    assert not draft.complete
    assert "umbrellas" in " ".join(draft.notes)


def test_half_of_a_pair_is_partial(make_extractive: Make) -> None:
    hits = hits_of("The weight of the pump is 3 kg.")
    query = Query.of("What are the weight and the colour of the pump?")
    draft = make_extractive(manual_items(), ExtractiveOptions(threshold=0.3)).compose(query, hits)
    assert "3 kg" in draft.text
    assert not draft.complete
    assert "'colour'" in " ".join(draft.notes)


def test_what_is_said_twice_is_quoted_once_but_other_numbers_are_another_thing(make_extractive: Make) -> None:
    twice = hits_of("The filter costs 12 euros.", "Note: the filter costs 12 euros.")
    options = ExtractiveOptions(max_sentences=3, margin=1.0, threshold=0.3)
    query = Query.of("What does the filter cost?")
    assert len(make_extractive(manual_items(), options).compose(query, twice).quotes) == 1
    other = hits_of("The filter costs 12 euros.", "The filter costs 15 euros.")
    assert len(make_extractive(manual_items(), options).compose(query, other).quotes) == 2


def test_a_table_row_is_readable_in_the_text_and_verbatim_in_the_quote(make_extractive: Make) -> None:
    hits = hits_of("Part | Price | Stock\nFilter | 12 EUR | 5\nSeal | 3 EUR | 7")
    draft = make_extractive(manual_items()).compose(Query.of("What is the price of a seal?"), hits)
    assert draft.text.startswith("Part: Seal; Price: 3 EUR; Stock: 7")
    assert draft.quotes[0].text == "Seal | 3 EUR | 7"


def test_words_of_the_heading_count_for_its_sentences(make_extractive: Make) -> None:
    plain = make_extractive(manual_items()).rank("How long is the warranty?", hits_of("It lasts 24 months."))[
        0
    ]
    headed = make_extractive(manual_items()).rank(
        "How long is the warranty?", hits_of("It lasts 24 months.", heading="Warranty")
    )[0]
    assert plain.coverage == 0
    assert headed.coverage == pytest.approx(ExtractiveOptions().heading_share)


def test_the_score_is_the_weighted_mean_of_its_three_parts(make_extractive: Make) -> None:
    options = ExtractiveOptions(
        cosine_weight=2, coverage_weight=1, passage_weight=1, mismatch_penalty=0, passage_lane="none"
    )
    for c in make_extractive(manual_items(), options).rank("What does the filter cost?", hits_of(*RICH)):
        assert c.score == pytest.approx((2 * c.cosine + c.coverage + c.passage) / 4)


def test_only_the_best_hits_are_read(make_extractive: Make) -> None:
    hits = [*hits_of(*["The lid is blue."] * 5), Hit(text_item("The filter costs 12 euros."), 0.1)]
    answerer = make_extractive(manual_items(), ExtractiveOptions(max_hits=5))
    assert answerer.compose(Query.of("What does the filter cost?"), hits).text == ""
    assert {c.hit for c in answerer.rank("filter", hits)} == {0, 1, 2, 3, 4}


def test_scores_that_are_not_positive_fall_back_to_ranks(make_extractive: Make) -> None:
    hits = [replace(hit, score=-1.0) for hit in hits_of(*RICH)]
    ranked = make_extractive(manual_items()).rank("filter", hits)
    assert {round(c.passage, 6) for c in ranked} == {1.0, 0.5}


@pytest.mark.parametrize(
    "options",
    [
        {"max_sentences": 0},
        {"max_sentences": 4},
        {"max_hits": 0},
        {"cosine_weight": -1.0},
        {"heading_share": 2.0},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ExtractiveOptions(**options)


def test_options_without_refusal_answer_whatever_is_asked(make_extractive: Make) -> None:
    options = ExtractiveOptions(max_hits=3).without_refusal()
    draft = make_extractive(manual_items(), options).compose(Query.of("Who rules Mongolia?"), hits_of(*RICH))
    assert draft.text
    assert options.max_hits == 3


def test_a_unit_that_only_repeats_the_question_answers_only_yes_or_no(make_extractive: Make) -> None:
    answerer, hits = make_extractive(manual_items()), hits_of("The colour of the lid.", "Grey is the lid.")
    assert {c.hit for c in answerer.rank("What is the colour of the lid?", hits)} == {1}
    assert {c.hit for c in answerer.rank("Is that the colour of the lid?", hits)} == {0, 1}


def test_what_a_colon_announces_is_the_answer_not_the_announcement(make_extractive: Make) -> None:
    ranked = make_extractive(manual_items()).rank("Is the lid blue?", hits_of("The lid is as follows:"))
    assert ranked == []


def test_a_label_that_repeats_its_heading_is_no_answer(make_extractive: Make) -> None:
    hits = hits_of("Address map of the chip", "Map of the chip: blue.", heading="Address map, chip X")
    ranked = make_extractive(manual_items()).rank("Where does the memory of the chip start?", hits)
    assert {candidate.hit for candidate in ranked} == {1}


def test_an_answer_without_the_figure_asked_for_is_partial(make_extractive: Make) -> None:
    answerer = make_extractive(manual_items(), ExtractiveOptions(threshold=0.0, weak_band=0.0))
    query = Query.of("What does the filter cost?")
    without = answerer.compose(query, hits_of("The filter costs more than you think."))
    assert not without.complete
    assert without.notes == ("The match is weak: check the quotes.",)
    assert answerer.compose(query, hits_of("The filter costs 12 euros.")).complete


def test_a_question_with_not_wants_an_answer_with_not(make_extractive: Make) -> None:
    answerer = make_extractive(manual_items(), ExtractiveOptions(threshold=0.0, weak_band=0.0))
    query = Query.of("Which filter does the pump not take?")
    affirmed = answerer.compose(query, hits_of("The pump takes a paper filter."))
    assert not affirmed.complete
    assert "says not" in affirmed.notes[0]
    assert answerer.compose(query, hits_of("The pump cannot take a paper filter.")).complete


def test_a_refusal_names_scores_that_differ(make_extractive: Make) -> None:
    query, hits = Query.of("What does the filter cost?"), hits_of(*RICH)
    best = make_extractive(manual_items()).rank(query.text, hits)[0].score
    draft = make_extractive(manual_items(), ExtractiveOptions(threshold=best + 0.002)).compose(query, hits)
    assert f"best score {best:.3f}, needed {best + 0.002:.3f}" in draft.notes[0]


def test_a_name_and_its_number_must_stand_in_one_item(make_extractive: Make) -> None:
    answerer = make_extractive(manual_items(), ExtractiveOptions(threshold=0.0))
    query = Query.of("Which fonts did Breitkopf 1754 sell?")
    together = "In 1754 a type was cut. Breitkopf sold music fonts."
    assert answerer.compose(query, hits_of(together)).text
    assert answerer.compose(query, hits_of(*together.split(". "))).text == ""


def test_the_cosine_lane_says_how_well_a_passage_fits(make_extractive: Make) -> None:
    scores: list[dict[str, float]] = [{"dense": 0.5}, {}, {"dense": 0.25}]
    found = hits_of("Green lid.", "Two lids.", "Ten lids.")
    hits = [replace(hit, scores=score) for hit, score in zip(found, scores, strict=True)]
    ranked = make_extractive(manual_items()).rank("lid", hits)
    assert {c.hit: c.passage for c in ranked} == {0: 0.5, 1: 0.25, 2: 0.25}


def test_a_sentence_without_a_figure_does_not_say_how_much(make_extractive: Make) -> None:
    hits = hits_of("The filter costs more than you think. The filter costs 12 euros.")
    ranked = make_extractive(manual_items()).rank("What does the filter cost?", hits)
    assert ranked[0].unit.text == "The filter costs 12 euros."


class German:
    languages = frozenset({"de"})

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(np.array([1.0, 0.0], np.float32), (len(texts), 1))


def test_the_cosine_is_left_out_in_a_language_that_the_embedder_does_not_know(make_extractive: Make) -> None:
    lexicon = make_extractive(manual_items()).lexicon
    answerer = ExtractiveOptions(passage_weight=0.0).build(German(), lexicon)
    english = answerer.rank("Where can I find the key to the lid of the box?", hits_of("The lamp is green."))
    assert english[0].score == pytest.approx(english[0].coverage)
    german = answerer.rank("Wo ist denn der Schlüssel für die Kiste?", hits_of("Die Lampe ist grün."))
    assert german[0].score > german[0].coverage
