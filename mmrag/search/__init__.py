"""Retrieval over several lanes, fused and explained."""

from mmrag.search.asked import Images, as_asked
from mmrag.search.calibrated import Calibrated, CalibratedFusion, QueryFusion
from mmrag.search.calibration import Background, Calibration, Probe, learn_calibration, make_probes
from mmrag.search.fusion import MinMaxFusion, RrfFusion, WeightedFusion
from mmrag.search.hybrid import Explanation, HybridRetriever, LaneReport
from mmrag.search.lanes import DenseLane, Lane, LexicalLane
from mmrag.search.languages import main_languages
from mmrag.search.parts import PartLane, split_by_modality
from mmrag.search.picture_lane import PictureFinder, PictureLane
from mmrag.search.pictures import words_for_pictures
from mmrag.search.why_not import LaneStanding, WhyNot, why_not

__all__ = [
    "Background",
    "Calibrated",
    "CalibratedFusion",
    "Calibration",
    "DenseLane",
    "Explanation",
    "HybridRetriever",
    "Images",
    "Lane",
    "LaneReport",
    "LaneStanding",
    "LexicalLane",
    "MinMaxFusion",
    "PartLane",
    "PictureFinder",
    "PictureLane",
    "Probe",
    "QueryFusion",
    "RrfFusion",
    "WeightedFusion",
    "WhyNot",
    "as_asked",
    "learn_calibration",
    "main_languages",
    "make_probes",
    "split_by_modality",
    "why_not",
    "words_for_pictures",
]
