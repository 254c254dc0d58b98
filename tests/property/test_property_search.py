"""Indexes and fusion against brute force, over histories and queries that hypothesis invents."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.fields import SearchText
from mmrag.core.types import Embeddings, Item, Matches, Part, Query, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactIndex
from mmrag.index.lexical import LexicalIndex, LexicalOptions
from mmrag.search import (
    Background,
    CalibratedFusion,
    Calibration,
    DenseLane,
    HybridRetriever,
    LexicalLane,
    MinMaxFusion,
    RrfFusion,
)
from mmrag.testing.fakes import HashingEmbedder

DIM = 4
ROWS = st.integers(0, 12)
# Whole numbers make every inner product exact, so that brute force agrees in ties too.
VECTORS = st.lists(st.integers(-2, 2), min_size=DIM, max_size=DIM)
ADD = st.lists(st.tuples(ROWS, VECTORS), max_size=6)
REMOVE = st.lists(ROWS, max_size=4)
HISTORY = st.lists(st.one_of(ADD.map(lambda x: ("add", x)), REMOVE.map(lambda x: ("remove", x))), max_size=8)
ALLOW = st.none() | st.lists(ROWS, unique=True).map(sorted)
WORDS = st.lists(
    st.sampled_from(["relay", "wire", "pump", "lid", "fuse", "保修", "relays"]),
    max_size=8,
)


def dense(vectors) -> Embeddings:
    return Embeddings.dense(np.array(vectors, np.float32).reshape(-1, DIM))


def replay(index, history) -> dict[int, np.ndarray]:
    held = {}
    for step, content in history:
        if step == "add":
            index.add(np.array([row for row, _ in content], np.int64), dense([v for _, v in content]))
            held |= {row: np.array(vector, np.float32) for row, vector in content}
        else:
            index.remove(np.array(content, np.int64))
            held = {row: vector for row, vector in held.items() if row not in content}
    return held


def check_dense(index, history, query, allow, k):
    held = replay(index, history)
    found = index.search(dense([query]), k, allow=None if allow is None else np.array(allow, np.int64))
    scores = {row: float(v @ np.array(query)) for row, v in held.items() if allow is None or row in allow}
    wanted = sorted(scores, key=lambda row: (-scores[row], row))[:k]
    assert len(index) == len(held)
    assert found.rows[0].tolist() == wanted + [-1] * (k - len(wanted))
    assert found.scores[0, : len(wanted)].tolist() == [scores[row] for row in wanted]


@settings(deadline=None)
@given(HISTORY, VECTORS, ALLOW, st.integers(1, 15))
def test_exact_is_brute_force(history, query, allow, k):
    check_dense(ExactIndex(DIM), history, query, allow, k)


@settings(deadline=None, max_examples=30)
@given(HISTORY, VECTORS, ALLOW, st.integers(1, 15))
def test_exact_survives_being_saved_anywhere_in_its_history(history, query, allow, k):
    index = ExactIndex(DIM)
    half = len(history) // 2
    held = replay(index, history[:half])
    with TemporaryDirectory() as folder:
        index.save(Path(folder))
        reopened = ExactIndex.load(Path(folder))
        check_dense(reopened, [("add", list(held.items())), *history[half:]], query, allow, k)
        del reopened


@settings(deadline=None, max_examples=40)
@given(HISTORY, VECTORS, ALLOW, st.integers(1, 15))
@pytest.mark.parametrize(
    "options", [FaissOptions(kind="flat"), FaissOptions(kind="ivf-flat", lists=2, probes=2)]
)
def test_faiss_that_reads_every_list_is_brute_force(options, history, query, allow, k):
    pytest.importorskip("faiss")
    check_dense(options.empty(DIM), history, query, allow, k)


@pytest.fixture(scope="module")
def crowded() -> LexicalIndex:
    """1,500 rows in several segments, many of them equal, some removed."""
    words = ["relay", "wire", "pump", "lid", "fuse", "warranty", "保修期", "关税"]
    rng = np.random.default_rng(0)
    index = LexicalOptions().open(None)
    for part in np.array_split(rng.permutation(1500), 4):
        bodies = [" ".join(rng.choice(words, rng.integers(1, 6))) for _ in part]
        index.add(part, [SearchText(body[:7], "", body, "", "") for body in bodies])
        index.commit()
    index.remove(np.arange(0, 1500, 13))
    index.commit()
    return index


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from(["relay", "wires", "PUMP", "lid", "保修", "税", '"wire pump"']), min_size=1),
    st.sampled_from([1, 5, 40]),
    st.floats(0, 1),
    st.integers(1, 400),
    st.integers(0, 2**32 - 1),
)
def test_lexical_allow_sets_are_exact(crowded, words, k, share, run, seed):
    rng = np.random.default_rng(seed)
    query = " ".join(words)
    starts = rng.integers(0, 1500, max(1, int(share * 1500 / run)))
    allow = np.unique((starts[:, None] + np.arange(run)[None, :]).ravel() % 1600)
    every = crowded.search([query], 1500)
    kept = np.isin(every.rows[0], allow) & (every.rows[0] >= 0)
    wanted = every.rows[0][kept][:k]
    found = crowded.search([query], k, allow=allow)
    assert found.rows[0].tolist() == wanted.tolist() + [-1] * (k - len(wanted))
    np.testing.assert_allclose(found.scores[0, : len(wanted)], every.scores[0][kept][:k], rtol=1e-5)


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(1, 30))
def test_lexical_takes_any_text_and_keeps_prefixes(crowded, text, k):
    longest = crowded.search([text], 40).rows[0]
    assert crowded.search([text], k).rows[0].tolist() == longest[:k].tolist()


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_text_is_found_by_any_of_its_own_terms(text):
    index = LexicalOptions().open(None)
    index.add(np.array([7]), [SearchText("", "", text, "", "")])
    index.commit()
    for term in index.analyze(text):
        assert index.idf([term])[0] < index.idf(["\ue000nowhere"])[0]
    if index.analyze(text):
        assert index.search([text], 1).rows[0, 0] == 7


SCORES = st.floats(-100, 100, width=32)
LANE = st.dictionaries(ROWS, SCORES).map(lambda found: sorted(found.items(), key=lambda x: (-x[1], x[0])))


def lane(pairs) -> Matches:
    rows = np.array([[row for row, _ in pairs] + [-1]], np.int64)
    return Matches(rows, np.array([[score for _, score in pairs] + [-np.inf]], np.float32))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c", "a:1", "a:2"]), LANE, min_size=1), st.integers(1, 20))
@pytest.mark.parametrize(
    "fusion",
    [
        MinMaxFusion(),
        RrfFusion(),
        MinMaxFusion({"a": 3, "b": 1, "c": 0}),
        CalibratedFusion().with_calibration(
            Calibration({"text": {f"a:{i}": Background(3.0 * i, 1.0 + i, 50) for i in (1, 2)}})
        ),
    ],
)
def test_fusion_keeps_every_row_once_within_bounds(fusion, lanes, k):
    found = fusion({name: lane(pairs) for name, pairs in lanes.items()}, k)
    there = found.rows[0] >= 0
    rows, scores = found.rows[0][there].tolist(), found.scores[0][there]
    every = {row for pairs in lanes.values() for row, _ in pairs}
    assert len(rows) == len(set(rows)) == min(k, len(every))
    assert set(rows) <= every
    assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()
    assert (np.diff(scores) <= 0).all()
    more = fusion({name: lane(pairs) for name, pairs in lanes.items()}, k + 5)
    assert more.rows[0, :k].tolist() == found.rows[0].tolist()


@settings(deadline=None)
@given(st.data())
def test_min_max_does_not_depend_on_the_scale_of_a_lane(data):
    pairs = data.draw(st.dictionaries(ROWS, st.integers(-50, 50), min_size=1)).items()
    other = lane(sorted(data.draw(LANE), key=lambda x: -x[1]))
    plain = MinMaxFusion()({"a": lane(list(pairs)), "b": other}, 20)
    scaled = MinMaxFusion()({"a": lane([(row, 4 * score + 8) for row, score in pairs]), "b": other}, 20)
    np.testing.assert_allclose(np.sort(plain.scores), np.sort(scaled.scores), atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(WORDS, st.integers(0, 3)), min_size=1, max_size=25),
    WORDS.filter(bool),
    st.integers(1, 6),
    st.sampled_from([MinMaxFusion(), RrfFusion()]),
)
def test_a_shorter_result_is_the_beginning_of_a_longer_one(bodies, words, depth, fusion):
    """Also with copies: few texts make many equal items, under 4 names."""
    items = {}
    for row, (body, copy) in enumerate(bodies):
        parts = (Part("text", text=" ".join(body) or "empty"),)
        items[row] = Item(hash(parts), SourceId(f"{copy}.md"), Span(0, 1), parts)
    rows = np.arange(len(items))
    embedder = HashingEmbedder(dim=16)
    lexical = LexicalOptions().open(None)
    lexical.add(rows, [SearchText("", "", items[row].text, "", "") for row in items])
    lexical.commit()
    lanes = [
        LexicalLane(lexical),
        DenseLane(embedder, ExactIndex.over(rows, embedder.embed_items(list(items.values())))),
    ]

    def load(wanted):
        return {row: items[row] for row in wanted}

    retriever = HybridRetriever(lanes, fusion, load, depth=depth)
    query = Query.of(" ".join(words))
    whole = retriever.retrieve(query, 40)
    assert len(whole) == len({item.id for item in items.values()})
    for k in range(1, len(whole) + 1):
        short = retriever.retrieve(query, k)
        assert [(h.item, h.score, h.ranks) for h in short] == [(h.item, h.score, h.ranks) for h in whole[:k]]
