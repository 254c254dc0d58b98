"""Questions with known answers, metrics, and thresholds."""

from mmrag.evaluate.calibration import ThresholdReport, calibrate, calibrate_questions, measure
from mmrag.evaluate.modality import recall_by_modality
from mmrag.evaluate.questions import ExpectedSource, Question, load_questions
from mmrag.evaluate.report import EvalReport, Row, evaluate

__all__ = [
    "EvalReport",
    "ExpectedSource",
    "Question",
    "Row",
    "ThresholdReport",
    "calibrate",
    "calibrate_questions",
    "evaluate",
    "load_questions",
    "measure",
    "recall_by_modality",
]
