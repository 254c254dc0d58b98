from __future__ import annotations

from math import log2

import numpy as np
import pytest

from mmrag.core.errors import ConfigError
from mmrag.evaluate.calibration import calibrate, measure
from mmrag.evaluate.metrics import dcg, hit_rate, mean, mrr, ndcg, rank, recall
from mmrag.evaluate.modality import recall_by_modality

RANKING = ["d3", "d1", "d5", "d2"]


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1.0), (9, 1.0)])
def test_hit_rate(k: int, expected: float) -> None:
    assert hit_rate(RANKING, {"d1", "d2"}, k) == expected


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1 / 3), (4, 2 / 3), (9, 2 / 3)])
def test_recall(k: int, expected: float) -> None:
    assert recall(RANKING, {"d1", "d2", "d9"}, k) == pytest.approx(expected)


def test_mrr() -> None:
    assert mrr(RANKING, {"d5", "d2"}) == pytest.approx(1 / 3)
    assert mrr(RANKING, {"d5", "d2"}, 2) == 0.0
    assert mrr([], {"d5"}) == 0.0


def test_ndcg_by_hand() -> None:
    gains = {"d1": 3.0, "d2": 2.0, "d3": 1.0}
    found = 1 / log2(2) + 3 / log2(3) + 0 + 2 / log2(5)
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert ndcg(RANKING, gains, 4) == pytest.approx(found / ideal)
    assert ndcg(RANKING, gains, 1) == pytest.approx(1 / 3)
    assert ndcg(["d1", "d2", "d3"], gains, 3) == 1.0
    assert dcg([]) == 0.0


def test_what_stands_twice_counts_once_and_nothing_relevant_is_zero() -> None:
    assert recall(["a", "a"], {"a", "b"}, 2) == 0.5
    assert ndcg(["a", "a"], {"a": 1.0, "b": 1.0}, 2) == pytest.approx(1 / (1 + 1 / log2(3)))
    assert recall(["a"], set(), 1) == 0.0
    assert ndcg(["a"], {}, 1) == 0.0


def test_equal_scores_go_by_id() -> None:
    assert rank({"b": 0.5, "a": 0.5, "c": 0.9}) == ["c", "a", "b"]


def test_the_mean_of_nothing_is_nothing() -> None:
    assert mean([]) is None
    assert mean([0.0, 1.0]) == 0.5


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError):
        hit_rate(RANKING, {"d1"}, 0)
    with pytest.raises(ConfigError):
        ndcg(RANKING, {"d1": -1.0}, 1)


def test_the_threshold_keeps_what_was_asked_and_no_less_could_be_refused() -> None:
    good = [i / 20 for i in range(1, 21)]
    bad = [0.0, 0.05, 0.1, 0.5]
    report = calibrate(good, bad, keep=0.95)
    assert report.threshold == pytest.approx(0.1)
    assert report.kept == pytest.approx(0.95)
    assert report.refused == pytest.approx(0.5)
    assert (report.answerable, report.unanswerable) == (20, 4)
    assert "keeps 95 % of 20" in report.as_markdown()
    assert report.as_dict()["threshold"] == report.threshold


def test_separation_is_the_area_under_the_roc_curve() -> None:
    assert calibrate([0.9, 0.8], [0.1, 0.2]).separation == 1.0
    assert calibrate([0.5], [0.5]).separation == 0.5
    rng = np.random.default_rng(1)
    good, bad = rng.integers(0, 9, 40).tolist(), rng.integers(0, 7, 30).tolist()
    pairs = [1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad]
    assert measure(good, bad, 3).separation == pytest.approx(np.mean(pairs))


def test_calibration_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError):
        calibrate([], [0.1])
    with pytest.raises(ConfigError):
        calibrate([0.1], [])
    with pytest.raises(ConfigError):
        calibrate([0.1], [0.1], keep=0.0)


def test_recall_by_modality_looks_at_each_kind_of_relevant_item_alone() -> None:
    modality_of = {"t1": "text", "t2": "text", "p1": "image"}
    relevant = {"a": ["t1", "p1"], "b": ["t1", "t2"], "c": ["p1"]}
    rankings = {"a": ["t1", "x", "p1"], "b": ["t2", "x"]}
    assert recall_by_modality(rankings, relevant, modality_of, 2) == {"image": 0.0, "text": 0.75}
    assert recall_by_modality(rankings, relevant, modality_of, 3) == {"image": 0.5, "text": 0.75}
    assert recall_by_modality({}, {}, {}, 5) == {}
    with pytest.raises(ConfigError):
        recall_by_modality(rankings, relevant, modality_of, 0)
