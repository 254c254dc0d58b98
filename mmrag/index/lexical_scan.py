"""Read rows out of a tantivy searcher: the best, the best allowed ones, or all that match."""

from __future__ import annotations

import numpy as np
import tantivy
from numpy.typing import NDArray

from mmrag.core.protocols import Rows
from mmrag.index.lexical_allow import ROW, among, ms_to_filter
from mmrag.index.ranking import Ranked, best

_SLACK = 16
_SPARE = 2.0
"""Standard deviations of the allowed rows among the best that a scan provides for."""
_MS_A_ROW = 0.0012
"""Looking one row deeper took this long at 100,000 documents."""
_TIE = 1e-5
"""Scores reach 100, where a float32 sum in another order differs by about this."""


def all_rows(searcher: tantivy.Searcher, query: tantivy.Query) -> Rows:
    """Return every row that matches, sorted."""
    if not searcher.num_docs:
        return np.empty(0, np.int64)
    hits = searcher.search(query, searcher.num_docs, count=False).hits
    rows = searcher.fast_field_values(ROW, [address for _, address in hits])
    return np.sort(np.array(rows, np.int64))


def highest_row(searcher: tantivy.Searcher) -> int:
    """Return the highest row of an index, -1 when it is empty."""
    if not searcher.num_docs:
        return -1
    hits = searcher.search(tantivy.Query.all_query(), 1, count=False, order_by_field=ROW).hits
    return int(hits[0][0])


def deep_rows(searcher: tantivy.Searcher, query: tantivy.Query, k: int, allow: Rows) -> Ranked | None:
    """Return the k best allowed rows by looking past the others; None where a filter is cheaper."""
    share = len(allow) / searcher.num_docs
    depth = round((k + _SPARE * k**0.5 + _SLACK) / share)
    while depth * _MS_A_ROW < ms_to_filter(allow):
        rows, scores, complete = _scan(searcher, query, depth)
        kept = among(rows, allow)
        bound = -np.inf if complete else scores[-1] + _TIE
        if complete or np.count_nonzero(kept & (scores > bound + _TIE)) >= k:
            return best(rows[kept], scores[kept], k, tie=_TIE)
        depth *= 4
    return None


def best_rows(searcher: tantivy.Searcher, query: tantivy.Query, k: int, count: int) -> Ranked:
    """Return the k best rows; tantivy orders ties by place, so look past those of the k-th."""
    depth = k + _SLACK
    while True:
        rows, scores, complete = _scan(searcher, query, min(depth, count))
        if complete or depth >= count or scores[-1] < scores[k - 1] - 2 * _TIE:
            return best(rows, scores, k, tie=_TIE)
        depth *= 4


def _scan(
    searcher: tantivy.Searcher, query: tantivy.Query, depth: int
) -> tuple[Rows, NDArray[np.float32], bool]:
    """Return the `depth` best rows, and whether these are all that match."""
    hits = searcher.search(query, depth, count=False).hits
    rows = searcher.fast_field_values(ROW, [address for _, address in hits])
    scores = np.array([score for score, _ in hits], np.float32)
    return np.array(rows, np.int64), scores, len(hits) < depth
