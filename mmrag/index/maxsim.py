"""Score by late interaction: each query vector takes its best match among an item's vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrag.core.types import Embeddings


def maxsim(queries: Embeddings, items: Embeddings) -> NDArray[np.float32]:
    """Score every query against every item by MaxSim; an item without vectors scores -inf.

    Shapes:
        queries.vectors (q, dim), items.vectors (v, dim) -> (n_queries, n_items)

    Source: Khattab and Zaharia, ColBERT, SIGIR 2020, section 3.3.
    """
    scores = np.full((len(queries), len(items)), -np.inf, np.float32)
    full = np.flatnonzero(np.diff(items.offsets) > 0)
    asked = np.flatnonzero(np.diff(queries.offsets) > 0)
    if full.size == 0 or asked.size == 0:
        return scores
    similar = queries.vectors @ items.vectors.T
    # reduceat wants the start of each non-empty run; empty items own no column.
    each = np.maximum.reduceat(similar, items.offsets[:-1][full], axis=1)
    scores[np.ix_(asked, full)] = np.add.reduceat(each, queries.offsets[:-1][asked], axis=0)
    return scores
