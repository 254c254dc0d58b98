"""Texts in several languages in one lexical index."""

import numpy as np
import pytest

from mmrag.core.fields import SearchText
from mmrag.index.lexical import LexicalIndex, LexicalOptions


def body(words: str, language: str = "") -> SearchText:
    return SearchText("", "", words, "", "", language=language)


def filled(*texts: SearchText, options: LexicalOptions | None = None, folder=None) -> LexicalIndex:
    index = (options or LexicalOptions()).open(folder)
    index.add(np.arange(len(texts)), texts)
    index.commit()
    return index


def found(index: LexicalIndex, query: str, k: int = 10) -> list[int]:
    rows = index.search([query], k).rows[0]
    return rows[rows >= 0].tolist()


MIXED = (
    body("Die Garantien gelten zwei Jahre.", "de"),
    body("The warranties last two years.", "en"),
    body("Les garanties durent deux ans et couvrent les réparations.", "fr"),
    body("Zwei Leitungen versorgen die Pumpe.", "de"),
    body("The keeper of the keys keeps them.", "en"),
)


@pytest.mark.parametrize(
    ("query", "first"),
    [("Garantie", 0), ("warranty", 1), ("réparation", 2), ("Leitung", 3), ("key", 4), ("Pumpen", 3)],
)
def test_each_text_is_found_by_the_endings_of_its_own_language(query, first):
    assert found(filled(*MIXED), query)[0] == first


def test_one_language_for_all_misses_the_others():
    english = filled(*MIXED, options=LexicalOptions(stemmer="english"))
    assert found(english, "Leitung") == []
    german = filled(*MIXED, options=LexicalOptions(stemmer="german"))
    assert found(german, "Leitung") == [3]


def test_a_word_with_two_forms_is_counted_once():
    """For English "keeper" is "keeper", for German "keep": a text with both holds one word."""
    index = filled(body("keeper keep", "en"), body("keeper other", "en"), body("Pumpe", "de"))
    scores = index.search(["keeper"], 2).scores[0]
    assert index.search(["keeper"], 2).rows[0].tolist() == [0, 1]
    single = filled(body("keeper keep", "en"), body("keeper other", "en"), body("Pumpe", "en"))
    np.testing.assert_allclose(scores[1], single.search(["keeper"], 2).scores[0, 1], rtol=1e-5)
    alone = index.search(["keep"], 1).scores[0, 0]
    assert scores[0] == pytest.approx(max(alone, scores[1]), rel=1e-5)


def test_the_languages_are_kept_with_the_index(tmp_path):
    filled(*MIXED, folder=tmp_path)
    assert found(LexicalOptions().open(tmp_path), "Leitung") == [3]


def test_a_language_that_comes_later_is_learnt():
    index = filled(body("The pumps.", "en"))
    assert found(index, "Leitung") == []
    index.add(np.array([7]), [body("Leitungen", "de")])
    index.commit()
    assert found(index, "Leitung") == [7]


@pytest.mark.parametrize("language", ["", "und", "zh", "eng", "EN", "en-GB"])
def test_unknown_languages_are_taken_for_english(language):
    assert found(filled(body("two relays", language), body("other", "de")), "relay") == [0]


def test_a_language_without_a_stemmer_keeps_its_endings():
    index = filled(body("záruka platí dva roky", "cs"), body("warranties", "en"))
    assert found(index, "záruka") == [0]
    assert found(index, "warranty") == [1]


def test_a_phrase_is_matched_in_the_language_of_its_text():
    index = filled(
        body("Leitungen der Pumpen", "de"), body("Pumpen der Leitungen", "de"), body("pumps of lines", "en")
    )
    assert found(index, '"Leitung der Pumpe"')[0] == 0
    assert found(index, '+"Leitung der Pumpe"') == [0]


def test_analyze_gives_one_word_one_form_that_the_index_holds():
    index = filled(*MIXED)
    for word in ("Garantien", "warranties", "keeper", "Leitungen", "réparations"):
        (term,) = index.analyze(word)
        assert index.idf([term])[0] < index.idf(["zeppelin"])[0]
        assert index.analyze(f"the {word} there")[1] == term
    assert index.analyze("Leitung") == index.analyze("Leitungen")
    assert index.analyze("warranty") == index.analyze("warranties")


def test_a_term_from_an_index_in_another_language_is_counted():
    """Fresh rows are searched beside the published ones with the terms of these."""
    english = filled(body("The pumps.", "en"))
    german = filled(body("Leitungen", "de"))
    assert german.idf(english.analyze("Leitungen"))[0] < german.idf(["zeppelin"])[0]
    assert german.row_with(english.analyze("Leitungen")[0]) == 0


def chinese_passages(count: int, seed: int) -> tuple[list[str], list[tuple[str, int]]]:
    """Return passages of two-character words without spaces, and questions with the row that answers them."""
    rng = np.random.default_rng(seed)
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + 600)]
    vocabulary = np.array(["".join(rng.choice(characters, 2)) for _ in range(1500)])
    weights = 1 / np.arange(2, len(vocabulary) + 2)
    passages, questions = [], []
    for row in range(count):
        words = rng.choice(vocabulary, rng.integers(20, 45), p=weights / weights.sum())
        passages.append("".join("".join(part) + "。" for part in np.array_split(words, 4)))
        start = int(rng.integers(0, len(words) - 6))
        questions.append(("".join(rng.permutation(words[start : start + 6])) + "吗?", row))
    return passages, questions


def test_chinese_is_found_by_grams_where_whole_runs_find_next_to_nothing():
    passages, questions = chinese_passages(300, seed=4)
    index = filled(*(body(passage, "zh") for passage in passages))
    hits = np.mean([found(index, question, 10)[:1] == [row] for question, row in questions])
    # A tokeniser for scripts with spaces takes each run between punctuation for one word.
    whole = [set(passage.split("。")) for passage in passages]
    by_words = np.mean([question.rstrip("吗?") in whole[row] for question, row in questions])
    assert by_words < 0.05
    assert hits > 0.9
