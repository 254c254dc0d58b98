import sys

import pytest

from mmrag.core.errors import ConfigError, MissingExtra
from mmrag.index.ann.kinds import KINDS, lists_for
from mmrag.index.ann.options import FaissOptions


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "cagra"}, "flat-binary"),
        ({"refine": "f64"}, "sq8"),
        ({"device": "tpu"}, "cuda"),
        ({"spread": "mirror"}, "replicate"),
        ({"recall": 1.0}, "kind: flat"),
        ({"recall": 0.1}, "from 0.5"),
        ({"lists": -1}, "at 0"),
        ({"probes": -1}, "at 0"),
        ({"dim": -1}, "at 0"),
        ({"kind": "hnsw", "lists": 8}, "ivf-pq"),
        ({"kind": "flat", "refine": "f16"}, "Leave refine out"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(wrong, told):
    with pytest.raises(ConfigError) as caught:
        FaissOptions(**wrong)
    assert told in caught.value.fix


def test_without_faiss_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra) as caught:
        FaissOptions().empty(4)
    assert "mmrag[cpu]" in caught.value.fix


@pytest.mark.parametrize("other", [{"probes": 3}, {"spread": "replicate"}, {"device": "cpu"}])
def test_what_is_chosen_when_searching_does_not_change_the_files(other):
    assert FaissOptions(**other).identity == FaissOptions().identity


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "ivf-sq8"},
        {"recall": 0.9},
        {"lists": 8},
        {"refine": "sq8"},
        {"dim": 128},
        {"seed": 1},
        # No GPU searches 4-bit codes: its files hold others.
        {"device": "cuda"},
    ],
)
def test_what_the_files_depend_on_is_in_the_identity(other):
    assert FaissOptions(**other).identity != FaissOptions().identity


def test_coarse_codes_are_refined_and_whole_vectors_are_not():
    refined = {name for name, parts in KINDS.items() if parts.refine != "none"}
    assert refined == {"ivf-pq", "ivf-rabitq", "flat-binary"}
    assert FaissOptions(kind="ivf-sq8", refine="f16").parts.refine == "f16"
    assert FaissOptions(kind="ivf-pq", refine="none").parts.refine == "none"


@pytest.mark.parametrize(
    ("count", "lists"),
    [(1, 1), (400, 8), (10_000, 256), (100_000, 1024), (1_000_000, 4096), (4_000_000, 8192)],
)
def test_lists_are_a_power_of_two_near_four_roots_with_rows_enough_to_train(count, lists):
    assert lists_for(count) == lists
    assert count < 39 or lists * 39 <= count
