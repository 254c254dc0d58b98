"""What an index will cost before it is made: time, memory and disk, from a timed sample of the folder."""

from mmrag.estimate.amounts import Amount
from mmrag.estimate.estimator import estimate
from mmrag.estimate.report import Estimate, KindEstimate

__all__ = ["Amount", "Estimate", "KindEstimate", "estimate"]
