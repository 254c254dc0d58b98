import numpy as np
import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.types import Matches
from mmrag.search import CalibratedFusion, MinMaxFusion, RrfFusion, WeightedFusion


def lane(*pairs: tuple[int, float], width: int = 0) -> Matches:
    padded = [*pairs, *[(-1, -np.inf)] * (width - len(pairs))]
    rows = np.array([[row for row, _ in padded]], np.int64).reshape(1, -1)
    return Matches(rows, np.array([[score for _, score in padded]], np.float32).reshape(1, -1))


def fused(matches: Matches) -> dict[int, float]:
    there = matches.rows[0] >= 0
    return dict(zip(matches.rows[0][there].tolist(), matches.scores[0][there].tolist(), strict=True))


LANES = {"dense": lane((1, 0.9), (2, 0.5), (3, 0.1), width=6), "lexical": lane((3, 12.0), (4, 2.0))}


def test_min_max_stretches_each_lane_over_its_own_candidates():
    found = MinMaxFusion()(LANES, 10)
    assert fused(found) == pytest.approx({1: 0.5, 3: 0.5, 2: 0.25, 4: 0.0})
    assert found.rows[0, :4].tolist() == [1, 3, 2, 4]
    assert found.rows.shape == (1, 10)
    assert (found.scores[0, 4:] == -np.inf).all()


def test_weights_are_shared_among_the_lanes_that_take_part():
    fusion = MinMaxFusion(weights={"dense": 3, "lexical": 1, "visual": 4})
    assert fused(fusion(LANES, 10)) == pytest.approx({1: 0.75, 2: 0.375, 3: 0.25, 4: 0.0})
    assert fused(fusion({"lexical": LANES["lexical"]}, 10)) == pytest.approx({3: 1.0, 4: 0.0})


def test_a_lane_of_equal_scores_counts_one_for_each():
    assert fused(MinMaxFusion()({"a": lane((5, 3.0)), "b": lane((7, 2.0), (6, 2.0))}, 9)) == pytest.approx(
        {5: 0.5, 6: 0.5, 7: 0.5}
    )


def test_an_empty_lane_adds_nothing():
    assert fused(MinMaxFusion()({"a": lane((5, 3.0)), "b": lane(width=4)}, 3)) == pytest.approx({5: 0.5})
    assert fused(MinMaxFusion()({"a": lane(width=4)}, 3)) == {}


def test_rrf_adds_reciprocal_ranks():
    found = fused(RrfFusion()(LANES, 10))
    assert found == pytest.approx({3: (1 / 63 + 1 / 61) / 2, 1: 1 / 61 / 2, 2: 1 / 62 / 2, 4: 1 / 62 / 2})
    assert list(found) == [3, 1, 2, 4]


def test_weighted_adds_raw_scores():
    assert fused(WeightedFusion({"dense": 1, "lexical": 0})(LANES, 2)) == pytest.approx({1: 0.9, 2: 0.5})


@pytest.mark.parametrize("fusion", [MinMaxFusion, RrfFusion, WeightedFusion, CalibratedFusion])
def test_a_lane_without_a_weight_is_refused(fusion):
    with pytest.raises(ConfigError, match="Did you mean 'dense'"):
        fusion(weights={"dense": 1})({"denze": lane((1, 1.0))}, 1)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_no_number_from_zero_is_refused(weight):
    with pytest.raises(ConfigError):
        MinMaxFusion(weights={"dense": weight})


def test_zero_weights_alone_still_rank():
    assert list(fused(MinMaxFusion({"lexical": 0, "dense": 1})({"lexical": LANES["lexical"]}, 5))) == [3, 4]


ALL = [MinMaxFusion, RrfFusion, WeightedFusion, CalibratedFusion]


@pytest.mark.parametrize("fusion", ALL)
@pytest.mark.parametrize("weights", [{}, {"dense": 30, "lexical": 70}, {"dense": 0, "lexical": 0}])
def test_pictures_weigh_as_much_as_all_others_unless_named(fusion, weights):
    lanes = {"dense": lane((1, 1.0)), "lexical": lane((1, 1.0)), "pictures": lane((2, 1.0))}
    found = fused(fusion(weights=weights)(lanes, 5))
    if any(weights.values()) or not weights:
        assert found[1] == pytest.approx(found[2])
    else:
        assert found[1] < found[2]
    alone = fused(fusion(weights=weights)({"pictures": lanes["pictures"]}, 5))
    assert list(alone) == [2]
    named = fused(fusion(weights={"dense": 1, "lexical": 1, "pictures": 6})(lanes, 5))
    assert named[2] == pytest.approx(3 * named[1])


@pytest.mark.parametrize("fusion", ALL)
def test_parts_of_a_lane_have_its_weight(fusion):
    lanes = {"lexical": lane((1, 1.0)), "dense:text": lane((2, 1.0)), "dense:image": lane((3, 1.0))}
    found = fused(fusion(weights={"lexical": 1, "dense": 3})(lanes, 5))
    assert found[2] == pytest.approx(found[3])
    assert found[2] == pytest.approx(3 * found[1])
    own = fused(fusion(weights={"lexical": 1, "dense": 3, "dense:image": 2})(lanes, 5))
    assert own[3] == pytest.approx(2 * own[1])


def test_a_misspelt_part_is_refused():
    with pytest.raises(ConfigError, match="denze:text"):
        MinMaxFusion(weights={"dense": 1})({"denze:text": lane((1, 1.0))}, 1)
