"""The scores of both lexical engines against BM25 written out.

tantivy: k1 = 1.2, b = 0.75, idf = ln(1 + (N - n + 0.5) / (n + 0.5)), the length of a text rounded
down to one of 256 values (exact up to 40 words); the mean length is not rounded.
okapi, and rank-bm25 (BM25Okapi), whose scores it gives: k1 = 1.5, b = 0.75,
idf = ln((N - n + 0.5) / (n + 0.5)), a negative idf replaced by 0.25 times the mean idf of all terms.
"""

from collections import Counter

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from mmrag.core.fields import SearchText
from mmrag.index.lexical import LexicalOptions
from mmrag.index.okapi import OkapiOptions

WORDS = np.array([f"word{i}" for i in range(400)])
PROBABILITIES = 1 / np.arange(1, 401) / (1 / np.arange(1, 401)).sum()


def corpus(shortest: int, longest: int, *, seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [
        rng.choice(WORDS, rng.integers(shortest, longest + 1), p=PROBABILITIES).tolist() for _ in range(600)
    ]


def queries() -> list[list[str]]:
    rng = np.random.default_rng(7)
    return [rng.choice(WORDS, rng.integers(1, 8), p=PROBABILITIES).tolist() for _ in range(60)]


def bm25(texts, query, *, k1: float, b: float, idf) -> np.ndarray:
    counts = [Counter(text) for text in texts]
    mean = sum(map(len, texts)) / len(texts)
    scores = np.zeros(len(texts))
    for term in query:
        for i, text in enumerate(texts):
            frequency = counts[i][term]
            scores[i] += idf(term) * frequency * (k1 + 1) / (frequency + k1 * (1 - b + b * len(text) / mean))
    return scores


def holders(texts) -> Counter:
    return Counter(term for text in texts for term in set(text))


def tantivy_idf(texts):
    held = holders(texts)
    return lambda term: float(np.log1p((len(texts) - held[term] + 0.5) / (held[term] + 0.5)))


def okapi_idf(texts):
    held = holders(texts)
    plain = {term: float(np.log((len(texts) - n + 0.5) / (n + 0.5))) for term, n in held.items()}
    floor = 0.25 * sum(plain.values()) / len(plain)
    return lambda term: 0.0 if term not in plain else plain[term] if plain[term] >= 0 else floor


def search(index, texts, query):
    index.add(np.arange(len(texts)), [SearchText("", "", " ".join(text), "", "") for text in texts])
    index.commit()
    found = index.search([" ".join(words) for words in query], len(texts))
    scores = np.zeros((len(query), len(texts)))
    for i, (rows, values) in enumerate(zip(found.rows, found.scores, strict=True)):
        scores[i, rows[rows >= 0]] = values[rows >= 0]
    return scores


@pytest.mark.parametrize(
    ("shortest", "longest", "tolerance"),
    [(1, 40, 1e-4), (20, 300, 0.06)],
    ids=["lengths that tantivy keeps", "lengths that it rounds"],
)
def test_lexical_scores_are_bm25(shortest, longest, tolerance):
    texts = corpus(shortest, longest, seed=1)
    scores = search(LexicalOptions(stemmer="none").open(None), texts, queries())
    for i, query in enumerate(queries()):
        wanted = bm25(texts, query, k1=1.2, b=0.75, idf=tantivy_idf(texts))
        np.testing.assert_allclose(scores[i], wanted, rtol=tolerance, atol=1e-4)


@pytest.mark.parametrize("k1", [1.5, 0.9])
@pytest.mark.parametrize("seed", [2, 3])
def test_okapi_scores_are_those_of_rank_bm25(seed, k1):
    texts = corpus(5, 200, seed=seed)
    scores = search(OkapiOptions(stemmer="none", k1=k1).open(), texts, queries())
    oracle = BM25Okapi(texts, k1=k1)
    assert 0.25 * oracle.average_idf in oracle.idf.values(), "no idf is replaced"
    for i, query in enumerate(queries()):
        np.testing.assert_allclose(scores[i], oracle.get_scores(query), rtol=1e-6, atol=1e-6)


def test_okapi_scores_are_the_formula():
    texts = corpus(5, 200, seed=2)
    scores = search(OkapiOptions(stemmer="none").open(), texts, queries())
    for i, query in enumerate(queries()):
        wanted = bm25(texts, query, k1=1.5, b=0.75, idf=okapi_idf(texts))
        np.testing.assert_allclose(scores[i], wanted, rtol=1e-6, atol=1e-6)


def test_both_engines_find_nearly_the_same_top_ten():
    texts = corpus(20, 120, seed=3)
    fast = search(LexicalOptions(stemmer="none").open(None), texts, queries())
    exact = search(OkapiOptions(stemmer="none").open(), texts, queries())
    shared = [
        len(np.intersect1d(np.argsort(-a, kind="stable")[:10], np.argsort(-b, kind="stable")[:10])) / 10
        for a, b in zip(fast, exact, strict=True)
    ]
    # Other k1, another idf for common words, rounded lengths: .79 was measured, .05 is what chance gives.
    assert np.mean(shared) >= 0.75
