"""What every retriever and every fusion must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrag.core.errors import UnsupportedModality
from mmrag.core.protocols import Fusion, Retriever, Rows
from mmrag.core.types import Item, Matches, Query
from mmrag.testing.samples import WORDS_OF_A_MANUAL, manual_items


class RetrieverContract(ABC):
    """Subclass it as `Test...` and say how to make a retriever over items by row.

    `takes_images` is True when it takes queries with a picture.
    """

    takes_images: bool = False

    @abstractmethod
    def make(self, items: Mapping[int, Item]) -> Retriever:
        """Make a retriever that can find `items`."""

    @pytest.fixture
    def items(self) -> dict[int, Item]:
        return {10 * i + 3: item for i, item in enumerate(manual_items())}

    @pytest.fixture
    def retriever(self, items: dict[int, Item]) -> Retriever:
        return self.make(items)

    def test_it_implements_the_protocol(self, retriever: Retriever) -> None:
        assert isinstance(retriever, Retriever)

    def test_an_empty_corpus_gives_no_hits(self) -> None:
        assert self.make({}).retrieve(Query.of("warranty"), 5) == []

    def test_an_item_is_found_by_its_words(self, retriever: Retriever, items: dict[int, Item]) -> None:
        for item in items.values():
            assert retriever.retrieve(Query.of(item.text), 1)[0].item == item

    @pytest.mark.parametrize("k", [1, 3, 100])
    def test_at_most_k_hits_best_first(self, retriever: Retriever, items: dict[int, Item], k: int) -> None:
        hits = retriever.retrieve(Query.of("the relay, the wire and the pump"), k)
        assert 0 < len(hits) <= min(k, len(items))
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert np.isfinite(scores).all()
        assert len({hit.item.id for hit in hits}) == len(hits)

    def test_fewer_hits_are_the_first_of_more(self, retriever: Retriever) -> None:
        query = Query.of("relay warranty")
        few, more = retriever.retrieve(query, 2), retriever.retrieve(query, 6)
        assert [hit.item.id for hit in few] == [hit.item.id for hit in more[:2]]

    def test_hits_carry_their_history(self, retriever: Retriever) -> None:
        for hit in retriever.retrieve(Query.of("warranty of the relay"), 5):
            assert hit.ranks, "a hit without ranks cannot be explained"
            assert all(isinstance(rank, int) and rank >= 1 for rank in hit.ranks.values())
            assert hit.ranks.keys() <= hit.scores.keys()
            assert np.isfinite(list(hit.scores.values())).all()

    def test_only_allowed_items_are_found(self, retriever: Retriever, items: dict[int, Item]) -> None:
        rows = sorted(items)
        for allow in (rows[:1], rows[2:5], rows):
            hits = retriever.retrieve(Query.of("the relay"), 100, allow=np.array(allow, dtype=np.int64))
            assert {hit.item.id for hit in hits} <= {items[row].id for row in allow}

    def test_an_allowed_item_is_found_behind_better_ones(
        self, retriever: Retriever, items: dict[int, Item]
    ) -> None:
        last = max(items)
        hits = retriever.retrieve(
            Query.of(f"{WORDS_OF_A_MANUAL[0]} frost"), 3, allow=np.array([last], dtype=np.int64)
        )
        assert [hit.item.id for hit in hits] == [items[last].id]

    def test_nothing_allowed_gives_no_hits(self, retriever: Retriever) -> None:
        assert retriever.retrieve(Query.of("relay"), 5, allow=np.empty(0, dtype=np.int64)) == []

    def test_the_same_query_gives_the_same_hits(self, retriever: Retriever) -> None:
        query = Query.of("clean the pump")
        assert retriever.retrieve(query, 5) == retriever.retrieve(query, 5)

    @pytest.mark.parametrize("text", ["?!", "zeppelin", "relay " * 2000, "title:x AND (", "保証"])
    def test_odd_words_are_no_error(self, retriever: Retriever, text: str) -> None:
        assert len(retriever.retrieve(Query.of(text), 3)) <= 3

    def test_a_picture_is_refused_by_name_when_it_cannot_be_searched(self, retriever: Retriever) -> None:
        if self.takes_images:
            pytest.skip("it takes pictures")
        with pytest.raises(UnsupportedModality) as caught:
            retriever.retrieve(Query.of(image="photo.jpg"), 3)
        assert caught.value.fix


class FusionContract(ABC):
    """Subclass it as `Test...` and say how to make the fusion of equally weighted lanes.

    `scores_in_bounds` names the range that scores keep to, None for any. `compares_lanes` is False
    for a fusion that takes raw scores as they are: there the scale of a lane matters.
    """

    compares_lanes: bool = True
    scores_in_bounds: tuple[float, float] | None = None

    @abstractmethod
    def make(self, lanes: Sequence[str]) -> Fusion:
        """Make a fusion that weighs `lanes` equally."""

    @pytest.fixture
    def fusion(self) -> Fusion:
        return self.make(["lexical", "dense"])

    def test_a_row_good_in_both_lanes_beats_rows_good_in_one(self, fusion: Fusion) -> None:
        if not self.compares_lanes:
            pytest.skip("it takes scores as they are")
        found = fusion(
            {
                "lexical": matches([1, 5, 8, 9], [9.0, 8.0, 2.0, 1.0]),
                "dense": matches([2, 5, 9, 7], [0.9, 0.8, 0.2, 0.1]),
            },
            5,
        )
        assert found.rows[0, 0] == 5

    def test_results_are_well_formed(self, fusion: Fusion) -> None:
        rng = np.random.default_rng(0)
        for k in (1, 5, 50):
            lanes = {
                name: matches(rng.choice(40, 20, replace=False), np.sort(rng.random(20))[::-1])
                for name in ("lexical", "dense")
            }
            found = fusion(lanes, k)
            assert found.rows.dtype == np.int64
            assert found.scores.dtype == np.float32
            assert found.rows.shape == found.scores.shape
            assert found.rows.shape[0] == 1
            real = found.rows[0] != -1
            rows = found.rows[0][real]
            assert len(rows) == min(k, len(np.union1d(*(lane.rows for lane in lanes.values()))))
            assert len(np.unique(rows)) == len(rows)
            assert real[: len(rows)].all(), "padding must come last"
            assert np.isfinite(found.scores[0][real]).all()
            assert (found.scores[0][~real] == -np.inf).all()
            assert (np.diff(found.scores[0][real]) <= 0).all()
            if self.scores_in_bounds:
                low, high = self.scores_in_bounds
                assert (found.scores[0][real] >= low - 1e-6).all()
                assert (found.scores[0][real] <= high + 1e-6).all()

    def test_one_lane_keeps_its_order(self, fusion: Fusion) -> None:
        lane = matches([4, 2, 9, 1], [7.0, 6.5, 6.0, 0.5])
        for lanes in ({"lexical": lane}, {"lexical": lane, "dense": matches([], [])}):
            np.testing.assert_array_equal(_rows(fusion(lanes, 4)), [4, 2, 9, 1])

    def test_padding_is_no_row(self, fusion: Fusion) -> None:
        lanes = {
            "lexical": matches([4, -1, -1], [7.0, -np.inf, -np.inf]),
            "dense": matches([4, 2, -1], [0.9, 0.1, -np.inf]),
        }
        assert _rows(fusion(lanes, 3)) == [4, 2]

    def test_empty_lanes_give_nothing(self, fusion: Fusion) -> None:
        nothing = matches([-1, -1], [-np.inf, -np.inf])
        assert _rows(fusion({"lexical": nothing, "dense": nothing}, 3)) == []
        assert _rows(fusion({"lexical": matches([], []), "dense": matches([], [])}, 3)) == []
        assert _rows(fusion({}, 3)) == []

    def test_ties_go_to_the_smaller_row(self, fusion: Fusion) -> None:
        lanes = {"lexical": matches([9], [3.0]), "dense": matches([5], [3.0])}
        assert _rows(fusion(lanes, 2)) == [5, 9]
        assert _rows(fusion(lanes, 1)) == [5]

    def test_the_order_of_the_lanes_does_not_matter(self, fusion: Fusion) -> None:
        rng = np.random.default_rng(1)
        lanes = {
            name: matches(rng.choice(30, 10, replace=False), np.sort(rng.random(10))[::-1])
            for name in ("lexical", "dense")
        }
        one = fusion(lanes, 10)
        other = fusion(dict(reversed(lanes.items())), 10)
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.scores, other.scores)

    def test_equal_scores_in_a_lane_are_no_error(self, fusion: Fusion) -> None:
        found = fusion({"lexical": matches([3, 4], [2.0, 2.0]), "dense": matches([4], [0.5])}, 5)
        assert _rows(found) == [4, 3]
        assert np.isfinite(found.scores[found.rows != -1]).all()

    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    def test_any_number_of_lanes_of_any_depth(self, count: int) -> None:
        names = ["lexical", "dense", "dense2", "titles", "late"][:count]
        # Row 50 is the best of every lane; lane i holds 3 i + 1 rows more, the last of its own.
        lanes = {
            name: matches([50, *range(10 * i, 10 * i + 3 * i + 1)], np.linspace(0.9, 0.1, 3 * i + 2))
            for i, name in enumerate(names)
        }
        found = self.make(names)(lanes, 100)
        every = {int(row) for lane in lanes.values() for row in lane.rows.ravel()}
        assert found.rows[0, 0] == 50
        assert set(_rows(found)) == every

    def test_a_lane_that_found_nothing_changes_no_order(self) -> None:
        lanes = {
            "lexical": matches([1, 5, 8, 9], [9.0, 8.0, 2.0, 1.0]),
            "dense": matches([2, 5, 9], [0.9, 0.8, 0.2]),
        }
        fusion = self.make(["lexical", "dense", "late"])
        without = _rows(fusion(lanes, 9))
        assert _rows(fusion({**lanes, "late": matches([-1, -1], [-np.inf, -np.inf])}, 9)) == without

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_the_scale_of_a_lane_does_not_matter(self, fusion: Fusion, scale: float) -> None:
        if not self.compares_lanes:
            pytest.skip("it takes scores as they are")
        lexical = matches([1, 2, 3, 4], [9.0, 7.0, 3.0, 1.0])
        dense = matches([4, 3, 5, 1], [0.9, 0.6, 0.5, 0.1])
        scaled = Matches(lexical.rows, (lexical.scores * scale).astype(np.float32))
        plain = fusion({"lexical": lexical, "dense": dense}, 5)
        assert _rows(fusion({"lexical": scaled, "dense": dense}, 5)) == _rows(plain)

    def test_negative_scores_are_scores(self, fusion: Fusion) -> None:
        found = fusion({"dense": matches([1, 2], [-0.1, -0.4])}, 5)
        assert _rows(found) == [1, 2]

    def test_the_lanes_are_left_alone(self, fusion: Fusion) -> None:
        lanes = {"lexical": matches([1, 2], [2.0, 1.0]), "dense": matches([2, 3], [0.9, 0.1])}
        for lane in lanes.values():
            lane.rows.setflags(write=False)
            lane.scores.setflags(write=False)
        assert len(_rows(fusion(lanes, 5))) == 3


def matches(rows: Sequence[int] | Rows, scores: Sequence[float] | NDArray[np.float64]) -> Matches:
    """Make the matches of one query."""
    return Matches(
        np.asarray(rows, dtype=np.int64).reshape(1, -1), np.asarray(scores, dtype=np.float32).reshape(1, -1)
    )


def _rows(found: Matches) -> list[int]:
    return [int(row) for row in found.rows.ravel() if row != -1]
