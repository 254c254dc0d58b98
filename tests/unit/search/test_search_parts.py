import gc
import weakref

import numpy as np
import pytest

from mmrag.core.types import Matches, Modality, Query
from mmrag.search import HybridRetriever, MinMaxFusion, PartLane
from mmrag.search.shared_rows import SharedRows

QUERY = Query.of("relay")


class Watched:
    """A lane that notes among which rows it was asked to search, and demands some."""

    name = "watched"
    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self, demand: np.ndarray | None = None) -> None:
        self.demand, self.seen = demand, []

    def why_not_usable(self, query):
        return None

    def limits(self, query):
        return None

    def demanded(self, query):
        return self.demand

    def told(self, query):
        return {}

    def search(self, query, k, *, allow=None):
        self.seen.append(allow)
        return Matches(np.full((1, k), -1), np.full((1, k), -np.inf, np.float32))

    def __len__(self):
        return 9


def fixed(*rows: int) -> np.ndarray:
    made = np.array(rows, np.int64)
    made.setflags(write=False)
    return made


def test_a_filter_that_comes_again_reaches_the_lane_as_the_same_array():
    lane, allow = Watched(), fixed(2, 3, 8)
    part = PartLane(lane, "text", np.array([1, 2, 3]))
    for _ in range(2):
        part.search(QUERY, 3, allow=allow)
        part.search(QUERY, 3)
    np.testing.assert_array_equal(lane.seen[0], [2, 3])
    np.testing.assert_array_equal(lane.seen[1], [1, 2, 3])
    assert lane.seen[0] is lane.seen[2]
    assert lane.seen[1] is lane.seen[3]
    assert not any(rows.flags.writeable for rows in lane.seen)


def test_a_filter_that_changed_is_looked_at_again():
    lane, allow = Watched(), np.array([2, 3])
    part = PartLane(lane, "text", np.array([1, 2, 3]))
    part.search(QUERY, 3, allow=allow)
    allow[1] = 4
    part.search(QUERY, 3, allow=allow)
    np.testing.assert_array_equal(lane.seen[1], [2])


@pytest.mark.parametrize("allow", [None, fixed(2, 3, 8)])
def test_what_a_query_demands_reaches_the_lanes_as_rows_that_nobody_changes(allow):
    demand = np.array([3, 8])
    lane = Watched(demand)
    HybridRetriever([lane], MinMaxFusion(), lambda rows: {}).retrieve(QUERY, 3, allow=allow)
    np.testing.assert_array_equal(lane.seen[0], [3, 8])
    assert not lane.seen[0].flags.writeable
    assert demand.flags.writeable


def test_only_the_last_filters_that_live_are_kept():
    shared, rows = SharedRows(), fixed(1, 2, 3)
    filters = [fixed(2, 3, number) for number in range(4, 12)]
    found = [weakref.ref(shared.of(rows, allow)) for allow in filters]
    assert [one() is not None for one in found] == [False] * 4 + [True] * 4
    assert shared.of(rows, filters[-1]) is found[-1]()
    del filters[-2:]
    gc.collect()
    shared.of(rows, filters[0])
    assert [one() is not None for one in found[4:]] == [True, True, False, False]
