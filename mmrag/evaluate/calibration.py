"""Choose the score below which an answerer refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmrag.core.errors import ConfigError
from mmrag.core.types import Answer
from mmrag.evaluate.questions import Question


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """A threshold, what it keeps and refuses, and how much to trust it.

    Args:
        threshold: Refuse scores below it.
        kept: Share of the answerable questions at or above it.
        refused: Share of the unanswerable questions below it.
        answerable: How many answerable scores it was chosen on.
        unanswerable: How many unanswerable scores it was measured on.
        separation: Probability that an answerable question scores above an unanswerable one
            (area under the ROC curve; ties count half).
    """

    threshold: float
    kept: float
    refused: float
    answerable: int
    unanswerable: int
    separation: float

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def as_markdown(self) -> str:
        """Return the report as one sentence."""
        return (
            f"Threshold {self.threshold:.3f} keeps {100 * self.kept:.0f} % of {self.answerable} answerable "
            f"questions and refuses {100 * self.refused:.0f} % of {self.unanswerable} others "
            f"(separation {self.separation:.3f}).\n"
        )


def calibrate(
    scores_answerable: Sequence[float], scores_unanswerable: Sequence[float], *, keep: float = 0.95
) -> ThresholdReport:
    """Return the highest threshold that keeps a share of the answerable questions.

    Args:
        scores_answerable: Best scores of questions with an answer in the corpus.
        scores_unanswerable: Best scores of questions without.
        keep: The share to keep, above 0, at most 1.

    Raises:
        ConfigError: A list is empty or keep is out of range.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"keep is {keep}.", fix="Give a share above 0 and at most 1.", where="keep")
    if not len(scores_answerable) or not len(scores_unanswerable):
        raise ConfigError(
            "Calibration needs scores of both kinds.", fix="Give answerable and unanswerable questions."
        )
    good = np.sort(np.asarray(scores_answerable, dtype=np.float64))
    bad = np.sort(np.asarray(scores_unanswerable, dtype=np.float64))
    # The epsilon keeps 0.95 x 20 = 19.000000000000004 from asking for 20 of 20.
    needed = int(np.ceil(keep * len(good) - 1e-9))
    threshold = float(good[len(good) - needed])
    return measure(good.tolist(), bad.tolist(), threshold)


def calibrate_questions(
    questions: Sequence[Question], ask: Callable[[Question], Answer], *, keep: float = 0.95
) -> tuple[ThresholdReport, ThresholdReport | None]:
    """Choose a threshold on the questions marked `tune`, and measure it on those marked `test`.

    Args:
        questions: Answerable and unanswerable ones.
        ask: Answers without ever refusing: `ExtractiveOptions.without_refusal` gives such options.
            A question's score is the best support of its citations, 0 without one.
        keep: The share of answerable questions to keep.

    Returns:
        What the threshold does on the tune questions and, None if a kind is missing there, on the
        test questions.

    Raises:
        ConfigError: One kind of question is missing among the tune questions.
    """
    scores: dict[tuple[str, bool], list[float]] = {}
    for question in questions:
        score = max((citation.support for citation in ask(question).citations), default=0.0)
        scores.setdefault((question.split, question.answerable), []).append(score)
    tuned = calibrate(scores.get(("tune", True), []), scores.get(("tune", False), []), keep=keep)
    kept_apart = scores.get(("test", True), []), scores.get(("test", False), [])
    return tuned, measure(*kept_apart, tuned.threshold) if all(kept_apart) else None


def measure(
    scores_answerable: Sequence[float], scores_unanswerable: Sequence[float], threshold: float
) -> ThresholdReport:
    """Return what a threshold keeps and refuses on these scores: for the held-out half."""
    good = np.asarray(scores_answerable, dtype=np.float64)
    bad = np.sort(np.asarray(scores_unanswerable, dtype=np.float64))
    below, upto = np.searchsorted(bad, good, "left"), np.searchsorted(bad, good, "right")
    return ThresholdReport(
        threshold=threshold,
        kept=float((good >= threshold).mean()),
        refused=float((bad < threshold).mean()),
        answerable=len(good),
        unanswerable=len(bad),
        separation=float((below + upto).mean() / (2 * len(bad))),
    )
