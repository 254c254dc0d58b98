import pytest

from mmrag.index.analysis import Analyzer, Language, is_partial, normalise


@pytest.fixture(scope="module")
def english() -> Analyzer:
    return Analyzer()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Relays", "relay"),
        ("wiring", "wired"),
        ("CAFÉ", "cafe"),
        ("re\u0301sume\u0301", "résumé"),
        ("\ufb01lter", "filter"),
        ("\uff21\uff22\uff23", "abc"),
        ("war\u00adranty", "warranty"),
        ("保修期", "保修期"),
    ],
)
def test_spellings_of_one_word_are_one_term(english, one, other):
    assert english.terms(one) == english.terms(other) != []


def test_other_languages_can_be_left_unstemmed():
    assert Analyzer("none").terms("Garantien der Gerätes") == ["garantien", "der", "gerates"]
    assert Analyzer("german").terms("Garantien") == Analyzer("german").terms("Garantie")


def test_scripts_without_spaces_are_cut_into_grams(english):
    assert english.terms("保修期是") == ["保修", "修期", "期是"]
    assert english.terms("iPhone的保修 relays") == ["iphon", "的保", "保修", "relay"]
    assert english.terms("การรับ") == ["การ", "ารร", "รรั", "รับ"]
    assert english.terms("보증은 물") == ["보증", "증은", "물"]


def test_the_end_of_a_run_is_kept_in_shorter_pieces(english):
    assert english.kept("保修期 of") == ["保修", "修期", "期", "of"]
    assert english.kept("การรับ") == [*english.terms("การรับ"), "ับ", "บ"]


@pytest.mark.parametrize(
    ("term", "partial"), [("水", True), ("保修", False), ("ยา", True), ("การ", False), ("a", False)]
)
def test_terms_shorter_than_a_gram_are_known(term, partial):
    assert is_partial(term) == partial


def test_any_text_can_be_read(english):
    for text in ("", " ", "\x00", "\ud800 lone", "a" * 5000, "\U0001f600", "́"):
        assert isinstance(english.terms(text), list)
        assert isinstance(normalise(text), str)


@pytest.mark.parametrize(
    ("code", "stemmer"),
    [("de", "german"), ("pt-BR", "portuguese"), ("NB", "norwegian"), ("", "english"), ("zh", "english"),
     ("cs", "none"), ("deu", "english"), ("?", "english")],
)  # fmt: skip
def test_a_language_has_its_stemmer(code, stemmer):
    assert Language("auto").of(code) == stemmer
    assert Language("finnish").of(code) == "finnish"


def test_a_word_has_a_form_for_each_way_in_which_the_languages_of_an_index_cut_it():
    language = Language("auto")
    assert language.forms("Leitungen relays") == [("leitungen",), ("relay",)]
    language.speak(["german", "english", "title"])
    assert language.forms("Leitungen relays 保修期") == [
        ("leitung", "leitungen"),
        ("relays", "relay"),
        ("保修",),
        ("修期",),
    ]


def test_every_analyser_has_an_identity():
    assert len({Language(stemmer).identity for stemmer in ("auto", "english", "german", "none")}) == 4
