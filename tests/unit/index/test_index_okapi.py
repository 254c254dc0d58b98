from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import ConfigError, Damaged, IdentityMismatch
from mmrag.core.fields import SearchText
from mmrag.index.okapi import OkapiIndex, OkapiOptions
from mmrag.testing.samples import body

PLAIN = OkapiOptions(stemmer="none")


def filled(*texts: str, folder: Path | None = None) -> OkapiIndex:
    index = PLAIN.open(folder)
    index.add(np.arange(len(texts)), [body(text) for text in texts])
    index.commit()
    return index


def found(index: OkapiIndex, query: str, k: int = 10, allow: list[int] | None = None) -> list[int]:
    rows = index.search([query], k, allow=None if allow is None else np.array(allow)).rows[0]
    return rows[rows >= 0].tolist()


def zipf(count: int, seed: int) -> list[str]:
    """Texts with words that nearly all of them hold, and words that two of them hold."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(3000)])
    shares = 1 / np.arange(2, 3002)
    return [" ".join(rng.choice(words, rng.integers(5, 60), p=shares / shares.sum())) for _ in range(count)]


class Formula:
    """BM25Okapi written out."""

    def __init__(self, texts: dict[int, str]) -> None:
        self.lengths = {row: len(text.split()) for row, text in texts.items()}
        self.mean = sum(self.lengths.values()) / max(1, len(texts))
        self.held: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for row, text in texts.items():
            for term, times in Counter(text.split()).items():
                self.held[term][row] = times
        n = {term: len(rows) for term, rows in self.held.items()}
        idf = {term: np.log(len(texts) - n[term] + 0.5) - np.log(n[term] + 0.5) for term in n}
        floor = 0.25 * np.mean(list(idf.values())) if idf else 0.0
        self.idf = {term: value if value >= 0 else floor for term, value in idf.items()}

    def scores(self, query: str) -> dict[int, float]:
        scores: dict[int, float] = {}
        for term in query.split():
            for row, f in self.held.get(term, {}).items():
                damping = 1.5 * (0.25 + 0.75 * self.lengths[row] / self.mean)
                scores[row] = scores.get(row, 0.0) + self.idf[term] * f * 2.5 / (f + damping)
        return scores


def check(index: OkapiIndex, texts: Formula, query: str, k: int, allow: list[int] | None = None) -> None:
    wanted = texts.scores(query)
    if allow is not None:
        wanted = {row: score for row, score in wanted.items() if row in set(allow)}
    result = index.search([query], k, allow=None if allow is None else np.array(sorted(allow), np.int64))
    rows = [row for row in result.rows[0].tolist() if row >= 0]
    assert len(rows) == len(set(rows)) == min(k, len(wanted))
    best = sorted(wanted.values(), reverse=True)[:k]
    np.testing.assert_allclose(result.scores[0, : len(rows)], best, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose([wanted[row] for row in rows], best, rtol=1e-6, atol=2e-6)


WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=8).map(" ".join)
CHANGED = st.dictionaries(st.integers(0, 12), WORDS, max_size=6)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "remove", "commit"]), CHANGED), max_size=6)


@settings(deadline=None, max_examples=150)
@given(STEPS, WORDS, st.integers(1, 14), st.none() | st.sets(st.integers(0, 14)))
def test_any_history_scores_like_okapi_over_what_is_left(steps, query, k, allow):
    index, texts = PLAIN.open(), {}
    for step, given_texts in steps:
        rows = np.array(list(given_texts), np.int64)
        if step == "add":
            index.add(rows, [body(text) for text in given_texts.values()])
            texts |= given_texts
        elif step == "remove":
            index.remove(rows)
            texts = {row: text for row, text in texts.items() if row not in given_texts}
        else:
            index.commit()
    index.commit()
    assert index.rows().tolist() == sorted(texts)
    check(index, Formula(texts), query, k, None if allow is None else sorted(allow))


LARGE = zipf(3000, seed=1)


@pytest.fixture(scope="module")
def large() -> tuple[OkapiIndex, Formula]:
    return filled(*LARGE), Formula(dict(enumerate(LARGE)))


@pytest.mark.parametrize("k", [1, 10, 400])
def test_skipping_frequent_terms_loses_nothing(large, k):
    index, texts = large
    rng = np.random.default_rng(2)
    for _ in range(25):
        query = " ".join(rng.choice(LARGE[int(rng.integers(len(LARGE)))].split(), 4))
        check(index, texts, query, k)


def test_frequent_terms_are_really_skipped(large):
    """One rare term decides: its texts all stand above what the frequent term can give."""
    index, _ = large
    arrays = index._searcher.arrays
    held = np.diff(arrays.starts)
    rare = int(np.flatnonzero((held >= 10) & (held <= 40))[0])
    frequent = int(
        np.flatnonzero((arrays.idf > 0) & (held > 300))[
            np.argmin(arrays.tops[(arrays.idf > 0) & (held > 300)])
        ]
    )
    terms = sorted((int(held[term]), term) for term in (rare, frequent))
    assert index._searcher._skipping(terms, Counter([rare, frequent]), 3) is not None


@pytest.mark.parametrize("share", [0.002, 0.05, 0.6])
def test_allowed_rows_few_and_many(large, share):
    index, texts = large
    rng = np.random.default_rng(3)
    allow = np.flatnonzero(rng.random(len(LARGE)) < share).tolist()
    for query in ("w1 w2 w50", "w900 w0", "w0", "w2999 w1500 w3"):
        check(index, texts, query, 10, allow)


def test_searches_in_many_threads_do_not_meet(large):
    index, _ = large
    queries = [f"w{i} w{i // 2} w{5 * i}" for i in range(60)]
    alone = [found(index, query) for query in queries]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda query: found(index, query), queries)) == alone


def test_an_interrupted_search_leaves_nothing_behind(large, monkeypatch):
    index, texts = large
    with monkeypatch.context() as patched:
        patched.setattr("mmrag.index.okapi_search._best_of", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.search(["w1 w2 w3"], 2000)
    check(index, texts, "w5 w6", 2000)


def test_all_fields_are_one_bag():
    index = PLAIN.open()
    texts = [SearchText("alpha", "", "bravo", "", "", "delta"), SearchText("", "", "bravo", "", "charlie")]
    index.add(np.array([3, 1]), texts)
    index.commit()
    assert [sorted(found(index, word)) for word in ("alpha", "charlie", "delta", "bravo")] == [
        [3],
        [1],
        [3],
        [1, 3],
    ]


def test_texts_without_a_word_do_no_harm():
    index = filled("", "")
    assert found(index, "alpha") == []
    assert index.idf(["alpha"])[0] > 0
    assert len(index) == 2


def test_a_word_that_every_row_has_still_matches():
    assert found(filled("alpha", "alpha"), "alpha") == [0, 1]


def test_a_query_shorter_than_a_gram_matches_beginnings():
    assert found(filled("税金", "関税", "保修"), "税") in ([0, 1], [1, 0])


def test_changes_are_seen_after_commit_and_can_be_given_up():
    index = filled("alpha")
    index.add(np.array([1]), [body("bravo")])
    assert found(index, "bravo") == []
    index.close()
    index.commit()
    assert found(index, "bravo") == []


def test_opening_again_gives_the_same(tmp_path):
    texts = zipf(200, seed=5)
    index = filled(*texts, folder=tmp_path)
    again = PLAIN.open(tmp_path)
    queries = ["w1 w2", "w17 w0 w300", "nowhere"]
    np.testing.assert_array_equal(again.search(queries, 20).rows, index.search(queries, 20).rows)
    again.add(np.array([900]), [body("zeppelin w1")])
    again.remove(np.array([0, 1]))
    again.commit()
    left = dict(enumerate(texts)) | {900: "zeppelin w1"}
    for row in (0, 1):
        del left[row]
    for query in queries:
        check(PLAIN.open(tmp_path), Formula(left), query, 30)
    check(index, Formula(dict(enumerate(texts))), "w1 w2", 30)


def test_nothing_of_removed_rows_stays_in_the_files(tmp_path):
    index = filled("zeppelin alpha", "alpha bravo", folder=tmp_path)
    assert index.row_with("zeppelin") == 0
    index.remove(np.array([0]))
    index.commit()
    assert index.row_with("zeppelin") is None
    assert index.row_with("bravo") == 1
    assert not index.has_removed()
    assert all(b"zeppelin" not in file.read_bytes() for file in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 15


def test_an_index_of_nothing_can_be_kept(tmp_path):
    PLAIN.open(tmp_path).commit()
    assert len(PLAIN.open(tmp_path)) == 0
    assert found(PLAIN.open(tmp_path), "alpha") == []


def test_other_options_are_refused_with_the_difference(tmp_path):
    filled("alpha", folder=tmp_path)
    with pytest.raises(IdentityMismatch, match=r"k1=1.5 .*k1=1.2"):
        OkapiOptions(stemmer="none", k1=1.2).open(tmp_path)
    with pytest.raises(IdentityMismatch, match="stemmer"):
        OkapiOptions().open(tmp_path)


def test_any_torn_or_missing_file_is_damage(tmp_path):
    filled("alpha bravo", "bravo", folder=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 15
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(Damaged):
            PLAIN.open(tmp_path)
        file.unlink()
        with pytest.raises(Damaged):
            PLAIN.open(tmp_path)
        file.write_bytes(whole)
    assert len(PLAIN.open(tmp_path)) == 2


@pytest.mark.parametrize("wrong", [{"k1": -1.0}, {"b": 1.5}, {"epsilon": float("nan")}])
def test_parameters_without_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        OkapiOptions(**wrong)


def test_rows_without_texts_are_refused():
    with pytest.raises(ConfigError, match="2 rows"):
        PLAIN.open().add(np.array([1, 2]), [body("alpha")])


def test_a_detached_index_scores_new_rows_among_the_old_ones(tmp_path):
    """Beside it, a tail of one text would give every word of that text a negative weight."""
    kept = OkapiOptions().open(tmp_path / "words")
    old = ["alpha beta", "beta gamma", "delta"]
    kept.add(np.arange(3), [SearchText("", "", text, "", "") for text in old])
    kept.commit()
    together = OkapiOptions().open(None)
    texts = ["alpha beta", "delta", "alpha alpha gamma"]
    together.add(np.array([0, 2, 7]), [SearchText("", "", text, "", "") for text in texts])
    together.commit()
    detached = kept.detached()
    detached.remove(np.array([1]))
    detached.add(np.array([7]), [SearchText("", "", "alpha alpha gamma", "", "")])
    detached.commit()
    ours, whole = detached.search(["alpha gamma"], 3), together.search(["alpha gamma"], 3)
    assert ours.rows[0].tolist() == whole.rows[0].tolist() == [7, 0, -1]
    np.testing.assert_allclose(ours.scores, whole.scores)
    assert kept.rows().tolist() == [0, 1, 2]
