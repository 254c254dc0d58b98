"""Retrieval over several lanes, fused and explained."""

from mmrag.search.fusion import MinMaxFusion, RrfFusion, WeightedFusion
from mmrag.search.hybrid import Explanation, HybridRetriever, LaneReport
from mmrag.search.lanes import DenseLane, Lane, LexicalLane
from mmrag.search.languages import main_languages
from mmrag.search.pictures import words_for_pictures
from mmrag.search.why_not import LaneStanding, WhyNot, why_not

__all__ = [
    "DenseLane",
    "Explanation",
    "HybridRetriever",
    "Lane",
    "LaneReport",
    "LaneStanding",
    "LexicalLane",
    "MinMaxFusion",
    "RrfFusion",
    "WeightedFusion",
    "WhyNot",
    "main_languages",
    "why_not",
    "words_for_pictures",
]
