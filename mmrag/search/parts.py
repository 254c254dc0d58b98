"""Split a lane by the modality of what it finds, so that none crowds out another."""

from __future__ import annotations

from collections.abc import Mapping

from mmrag.core.protocols import Rows
from mmrag.core.types import Matches, Modality, Query
from mmrag.search.lanes import Lane, Noting
from mmrag.search.shared_rows import SharedRows, frozen


def split_by_modality(lane: Lane, rows_by_modality: Mapping[str, Rows]) -> tuple[Lane, ...]:
    """Return one lane for each modality that has rows, over the same index; the lane itself for one alone.

    In a space where every text lies nearer to a question in words than any picture, one list of the best
    hundred holds no picture at all, and no fusion can bring back what it was not given. Pair this with
    `CalibratedFusion`: by rank or stretch alone the best of each list are equals, however unlike the query.

    Args:
        lane: The lane.
        rows_by_modality: The rows of each modality, sorted and unique; together, all rows.
    """
    parts = [PartLane(lane, name, rows) for name, rows in sorted(rows_by_modality.items()) if len(rows)]
    return tuple(parts) if len(parts) > 1 else (lane,)


class PartLane:
    """Searches a lane among some of its rows: `dense:image` is the pictures of `dense`.

    Args:
        lane: The whole lane.
        part: What the rows have in common.
        rows: The rows, sorted and unique.
    """

    def __init__(self, lane: Lane, part: str, rows: Rows) -> None:
        self.name = f"{lane.name}:{part}"
        self.rows = frozen(rows)
        self._lane = lane
        self._shared = SharedRows()

    @property
    def modalities(self) -> frozenset[Modality]:
        """What the whole lane looks at in a query."""
        return self._lane.modalities

    def why_not_usable(self, query: Query) -> str | None:
        """Return what the whole lane says."""
        return self._lane.why_not_usable(query)

    def limits(self, query: Query) -> str | None:
        """Return what the whole lane says."""
        return self._lane.limits(query)

    def notes(self, query: Query) -> tuple[str, ...]:
        """Return what the whole lane says."""
        return self._lane.notes(query) if isinstance(self._lane, Noting) else ()

    def search(self, query: Query, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best of the rows."""
        among = self.rows if allow is None else self._shared.of(self.rows, allow)
        return self._lane.search(query, k, allow=among)

    def __len__(self) -> int:
        return len(self.rows)
