from collections.abc import Mapping, Sequence

import numpy as np

from mmrag.core.fields import search_text
from mmrag.core.protocols import Fusion, Retriever
from mmrag.core.types import Item
from mmrag.index.exact import ExactOptions
from mmrag.index.okapi import OkapiOptions
from mmrag.search import (
    Background,
    CalibratedFusion,
    Calibration,
    DenseLane,
    HybridRetriever,
    LexicalLane,
    split_by_modality,
)
from mmrag.search.fusion import MinMaxFusion, RrfFusion, WeightedFusion
from mmrag.testing import FusionContract, HashingEmbedder, RetrieverContract


class Hybrid(RetrieverContract):
    fusion: Fusion

    def make(self, items: Mapping[int, Item]) -> Retriever:
        rows = np.array(sorted(items), dtype=np.int64)
        listed = [items[row] for row in rows.tolist()]
        embedder = HashingEmbedder()
        dense, lexical = ExactOptions().empty(embedder.dim), OkapiOptions().open(None)
        dense.add(rows, embedder.embed_items(listed))
        lexical.add(rows, [search_text(item) for item in listed])
        lexical.commit()
        lanes = (LexicalLane(lexical), DenseLane(embedder, dense))
        return HybridRetriever(lanes, type(self).fusion, lambda wanted: {row: items[row] for row in wanted})


class TestHybridMinMax(Hybrid):
    fusion = MinMaxFusion({"lexical": 0.5, "dense": 0.5})


class TestHybridRrf(Hybrid):
    fusion = RrfFusion()


class TestHybridOfParts(Hybrid):
    fusion = CalibratedFusion().with_calibration(
        Calibration({"text": {f"dense:{part}": Background(0.2, 0.1, 100) for part in ("even", "odd")}})
    )

    def make(self, items: Mapping[int, Item]) -> Retriever:
        whole = super().make(items)
        assert isinstance(whole, HybridRetriever)
        rows = np.array(sorted(items), dtype=np.int64)
        lexical, dense = whole.lanes
        parts = split_by_modality(dense, {"even": rows[::2], "odd": rows[1::2]})
        return HybridRetriever(
            (lexical, *parts), self.fusion, lambda wanted: {row: items[row] for row in wanted}
        )


class TestMinMax(FusionContract):
    scores_in_bounds = (0.0, 1.0)

    def make(self, lanes: Sequence[str]) -> Fusion:
        return MinMaxFusion({lane: 1 / len(lanes) for lane in lanes})


class TestRrf(FusionContract):
    scores_in_bounds = (0.0, 1.0)

    def make(self, lanes: Sequence[str]) -> Fusion:
        return RrfFusion(weights={lane: 1 / len(lanes) for lane in lanes})


class TestWeighted(FusionContract):
    compares_lanes = False

    def make(self, lanes: Sequence[str]) -> Fusion:
        return WeightedFusion({lane: 1 / len(lanes) for lane in lanes})


class TestCalibrated(FusionContract):
    scores_in_bounds = (0.0, 1.0)

    def make(self, lanes: Sequence[str]) -> Fusion:
        return CalibratedFusion({lane: 1 / len(lanes) for lane in lanes}).with_calibration(Calibration())
