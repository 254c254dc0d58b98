"""What every index over words must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import pytest

from mmrag.core.fields import FIELDS, SearchText
from mmrag.core.protocols import Rows, TextIndex
from mmrag.core.types import Matches
from mmrag.testing.samples import WORDS_OF_A_MANUAL, body

FIRST_ROW = 2**40
NOT_A_SYNTAX = (
    'warranty AND "relay',
    "note:warranty",
    "title: warranty",
    'title:"warranty',
    "+warranty -relay",
    "-warranty C++ -20 --no-relay",
    "warranty~2 relay^3",
    "(warranty OR",
    "[a TO z] {x} \\ / * ? !",
    "warranty\x00relay",
    "' OR 1=1 --",
)


class TextIndexContract(ABC):
    """Subclass it as `Test...` and say how to make an empty index in memory.

    `reads_unspaced_scripts` is False for an engine that cannot look inside Chinese or Japanese,
    `forgets_at_once` for one whose statistics count removed rows for a while.
    """

    reads_unspaced_scripts: bool = True
    forgets_at_once: bool = True

    @abstractmethod
    def make(self) -> TextIndex:
        """Make an empty index."""

    @pytest.fixture
    def rows(self) -> Rows:
        return FIRST_ROW + 3 * np.arange(len(WORDS_OF_A_MANUAL), dtype=np.int64)

    @pytest.fixture
    def index(self, rows: Rows) -> TextIndex:
        return self.filled(rows, WORDS_OF_A_MANUAL)

    def settle(self, index: TextIndex) -> None:
        """Make changes visible: an engine that commits is asked to."""
        commit = getattr(index, "commit", None)
        if commit is not None:
            commit()

    def filled(self, rows: Sequence[int] | Rows, texts: Sequence[str]) -> TextIndex:
        """Make an index over texts that are bodies."""
        index = self.make()
        index.add(np.asarray(rows, dtype=np.int64), [body(text) for text in texts])
        self.settle(index)
        return index

    def test_it_implements_the_protocol(self) -> None:
        assert isinstance(self.make(), TextIndex)

    def test_an_empty_index_finds_nothing(self) -> None:
        index = self.make()
        assert len(index) == 0
        _check_nothing(index.search(["warranty", "relay"], 5), 2, 5)
        assert np.isfinite(index.idf(["warranty"])).all()

    def test_no_queries_give_no_matches(self, index: TextIndex) -> None:
        found = index.search([], 5)
        assert found.rows.shape == found.scores.shape == (0, 5)

    def test_matches_are_well_formed(self, index: TextIndex, rows: Rows) -> None:
        found = index.search(["the relay and the pump in the lid", "blue wire"], 6)
        assert found.rows.dtype == np.int64
        assert found.scores.dtype == np.float32
        assert found.rows.shape == found.scores.shape == (2, 6)
        for line, scores in zip(found.rows, found.scores, strict=True):
            real = line != -1
            assert np.isin(line[real], rows).all()
            assert len(np.unique(line[real])) == real.sum()
            assert (scores[real] > 0).all()
            assert (np.diff(scores[real]) <= 0).all()
            assert not real[int(real.sum()) :].any(), "padding must come last"
            assert (scores[~real] == -np.inf).all()

    def test_a_text_finds_itself(self, index: TextIndex, rows: Rows) -> None:
        np.testing.assert_array_equal(index.search(WORDS_OF_A_MANUAL, 1).rows[:, 0], rows)

    def test_only_rows_that_share_a_term_match(self, index: TextIndex, rows: Rows) -> None:
        found = index.search(["aluminium", "zeppelin"], 5)
        np.testing.assert_array_equal(found.rows[0], [rows[2], -1, -1, -1, -1])
        assert (found.rows[1] == -1).all()

    def test_case_does_not_matter(self, index: TextIndex, rows: Rows) -> None:
        found = index.search(["ALUMINIUM", "halden"], 1)
        np.testing.assert_array_equal(found.rows[:, 0], [rows[2], rows[0]])

    @pytest.mark.parametrize("query", ["", "  \n", "?!… — ()", "\x00"])
    def test_a_query_without_words_finds_nothing(self, index: TextIndex, query: str) -> None:
        _check_nothing(index.search([query], 3), 1, 3)

    @pytest.mark.parametrize("query", NOT_A_SYNTAX)
    def test_a_query_is_words_and_no_syntax(self, index: TextIndex, rows: Rows, query: str) -> None:
        found = index.search([query], 3)
        if "warranty" in query:
            assert found.rows[0, 0] == rows[0]

    def test_a_long_query_is_taken(self, index: TextIndex, rows: Rows) -> None:
        words = " ".join(f"word{i}" for i in range(3000))
        assert index.search([f"{words} aluminium"], 1).rows[0, 0] == rows[2]

    @pytest.mark.parametrize("field", FIELDS)
    def test_every_field_can_be_found(self, field: str) -> None:
        index = self.make()
        words = dict.fromkeys(FIELDS, "filler")
        index.add(
            np.array([4, 5, 6], dtype=np.int64),
            [SearchText(**words), SearchText(**{**words, field: "zeppelin"}), SearchText(**words)],
        )
        self.settle(index)
        np.testing.assert_array_equal(index.search(["zeppelin"], 2).rows, [[5, -1]])

    def test_words_beyond_ascii_are_found(self) -> None:
        index = self.filled([1, 2, 3], ["Die Prüfung der Pumpe", "Γενική περιγραφή", "гарантия на реле"])
        found = index.search(["prüfung", "περιγραφή", "Гарантия"], 1)
        np.testing.assert_array_equal(found.rows[:, 0], [1, 2, 3])

    def test_words_inside_unspaced_scripts_are_found(self) -> None:
        if not self.reads_unspaced_scripts:
            pytest.skip("it splits at spaces only")
        index = self.filled(
            [1, 2], ["本製品の保証期間は購入日から二年間です。", "青い電線を端子に接続してください。"]
        )
        found = index.search(["保証期間", "電線"], 1)
        np.testing.assert_array_equal(found.rows[:, 0], [1, 2])

    def test_k_larger_than_the_index_is_padded(self, index: TextIndex) -> None:
        found = index.search(["the"], 50)
        assert found.rows.shape == (1, 50)
        assert (found.rows[0, len(WORDS_OF_A_MANUAL) :] == -1).all()

    def test_ties_go_to_the_smaller_row(self) -> None:
        index = self.filled([90, 10, 50, 70, 30], ["blue wire"] * 5)
        np.testing.assert_array_equal(index.search(["wire"], 5).rows, [[10, 30, 50, 70, 90]])
        np.testing.assert_array_equal(index.search(["wire"], 2).rows, [[10, 30]])

    def test_ties_go_to_the_smaller_row_whenever_it_came(self) -> None:
        index = self.filled([90, 50], ["blue wire"] * 2)
        index.add(np.array([70], dtype=np.int64), [body("blue wire")])
        index.add(np.array([10], dtype=np.int64), [body("blue wire")])
        self.settle(index)
        np.testing.assert_array_equal(index.search(["wire"], 2).rows, [[10, 50]])

    def test_adding_in_pieces_is_adding_at_once(self, index: TextIndex, rows: Rows) -> None:
        pieces = self.make()
        for i in reversed(range(len(rows))):
            pieces.add(rows[i : i + 1], [body(WORDS_OF_A_MANUAL[i])])
            self.settle(pieces)
        assert len(pieces) == len(index)
        queries = [*WORDS_OF_A_MANUAL, "the relay"]
        _check_equal(pieces.search(queries, 5), index.search(queries, 5))

    def test_adding_a_row_again_replaces_it(self, index: TextIndex, rows: Rows) -> None:
        index.add(rows[2:3], [body("The lid is made of oak.")])
        self.settle(index)
        assert len(index) == len(rows)
        found = index.search(["aluminium", "oak"], 2)
        assert (found.rows[0] == -1).all(), "the old words are still found"
        np.testing.assert_array_equal(found.rows[1], [rows[2], -1])

    def test_removed_rows_are_not_found(self, index: TextIndex, rows: Rows) -> None:
        index.remove(rows[2:4])
        self.settle(index)
        assert len(index) == len(rows) - 2
        found = index.search(["aluminium", "solvents"], 3)
        assert (found.rows == -1).all()

    def test_a_removed_row_can_come_back(self, index: TextIndex, rows: Rows) -> None:
        index.remove(rows[2:3])
        index.add(rows[2:3], [body(WORDS_OF_A_MANUAL[2])])
        self.settle(index)
        assert len(index) == len(rows)
        assert index.search(["aluminium"], 1).rows[0, 0] == rows[2]

    def test_removing_an_unknown_row_is_harmless(self, index: TextIndex, rows: Rows) -> None:
        index.remove(np.array([1, int(rows[-1]) + 1], dtype=np.int64))
        index.remove(np.empty(0, dtype=np.int64))
        self.settle(index)
        assert len(index) == len(rows)

    def test_removed_words_do_not_count(self) -> None:
        if not self.forgets_at_once:
            pytest.skip("its statistics count removed rows until it merges")
        index = self.filled(range(10), ["red wire", *["blue wire"] * 9])
        index.remove(np.arange(1, 9, dtype=np.int64))
        self.settle(index)
        fresh = self.filled([0, 9], ["red wire", "blue wire"])
        _check_equal(index.search(["red", "blue", "wire"], 3), fresh.search(["red", "blue", "wire"], 3))

    def test_allow_is_exact(self, index: TextIndex, rows: Rows) -> None:
        every = index.search(["the relay, the wire and the pump"], 8)
        for i in range(len(rows)):
            allow = rows[i:]
            found = index.search(["the relay, the wire and the pump"], 8, allow=allow)
            kept = np.isin(every.rows[0], allow)
            expected = every.rows[0][kept]
            np.testing.assert_array_equal(found.rows[0, : len(expected)], expected)
            assert (found.rows[0, len(expected) :] == -1).all()
            # A filter hides rows; it does not make a term rarer.
            np.testing.assert_allclose(found.scores[0, : len(expected)], every.scores[0][kept], rtol=1e-5)

    def test_one_allowed_row_behind_many_better_ones_is_found(self) -> None:
        index = self.filled(range(500), [*["wire"] * 499, f"wire {'filler ' * 40}"])
        found = index.search(["wire"], 3, allow=np.array([499], dtype=np.int64))
        np.testing.assert_array_equal(found.rows, [[499, -1, -1]])

    def test_nothing_allowed_is_nothing_found(self, index: TextIndex) -> None:
        _check_nothing(index.search(["relay"], 3, allow=np.empty(0, dtype=np.int64)), 1, 3)

    def test_unknown_allowed_rows_are_ignored(self, index: TextIndex, rows: Rows) -> None:
        allow = np.array([1, rows[2], rows[-1] + 1], dtype=np.int64)
        np.testing.assert_array_equal(index.search(["aluminium"], 2, allow=allow).rows, [[rows[2], -1]])

    def test_the_batch_of_queries_does_not_matter(self, index: TextIndex) -> None:
        together = index.search(WORDS_OF_A_MANUAL, 4)
        for i, query in enumerate(WORDS_OF_A_MANUAL):
            alone = index.search([query], 4)
            np.testing.assert_array_equal(alone.rows[0], together.rows[i])
            np.testing.assert_allclose(alone.scores[0], together.scores[i], rtol=1e-6)

    def test_the_same_steps_give_the_same_matches(self, index: TextIndex, rows: Rows) -> None:
        twin = self.filled(rows, WORDS_OF_A_MANUAL)
        _check_equal(twin.search(WORDS_OF_A_MANUAL, 5), index.search(WORDS_OF_A_MANUAL, 5))

    def test_a_rare_word_counts_more_than_a_common_one(self) -> None:
        index = self.filled(range(20), ["wire red", *["wire blue"] * 19])
        found = index.search(["red blue"], 1)
        assert found.rows[0, 0] == 0

    def test_idf_falls_with_the_number_of_texts(self) -> None:
        index = self.filled(range(20), ["wire red", *["wire blue"] * 19])
        terms = [index.analyze(word)[0] for word in ("zeppelin", "red", "blue", "wire")]
        idf = index.idf(terms)
        assert idf.dtype == np.float32
        assert idf.shape == (4,)
        assert np.isfinite(idf).all()
        assert idf[0] >= idf[1] > idf[2] >= idf[3] >= 0

    def test_idf_of_nothing_is_empty(self, index: TextIndex) -> None:
        assert index.idf([]).shape == (0,)

    def test_analyze_gives_the_terms_that_are_searched(self, index: TextIndex, rows: Rows) -> None:
        for i, text in enumerate(WORDS_OF_A_MANUAL):
            terms = index.analyze(text)
            assert terms
            assert terms == index.analyze(text.upper()), "case must not matter"
            assert (index.idf(terms) < index.idf(["zeppelin"])[0]).all(), "a term of a text is nowhere"
            assert index.search([text], 1).rows[0, 0] == rows[i]

    def test_analyze_keeps_order_and_repeats(self, index: TextIndex) -> None:
        once, twice = index.analyze("blue wire"), index.analyze("blue wire blue")
        assert len(once) == 2
        assert twice == [*once, once[0]]
        assert index.analyze("") == []


def _check_equal(one: Matches, other: Matches) -> None:
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)


def _check_nothing(found: Matches, queries: int, k: int) -> None:
    assert found.rows.shape == found.scores.shape == (queries, k)
    assert (found.rows == -1).all()
    assert (found.scores == -np.inf).all()
