"""Learn from a corpus what unrelated items score in each lane."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Rows
from mmrag.core.types import Item, Query
from mmrag.search.parts import PartLane

_WORDS = 16
"""As long as a question; more words of a passage score unlike any question."""
_FEWEST = 20
"""Scores; a mean of fewer says more about them than about the lane."""


@dataclass(frozen=True, slots=True)
class Background:
    """What items score that have nothing to do with a query: mean, standard deviation, of how many."""

    mean: float
    std: float
    count: int

    def scaled(
        self, rows: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows with how many standard deviations above the mean they score."""
        return rows, (scores - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class Probe:
    """A query made of an item of the corpus; its own row says nothing about unrelated items."""

    query: Query
    row: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The backgrounds of lanes, by the modalities of the query ("text", "image", "image+text").

    `learned_on` says of what: another state or embedder needs another calibration.
    """

    backgrounds: Mapping[str, Mapping[str, Background]] = field(default_factory=dict)
    learned_on: Mapping[str, str] = field(default_factory=dict)

    def for_query(self, query: Query) -> Mapping[str, Background]:
        """Return the backgrounds for a query, by lane; none when nothing was learned on such queries."""
        return self.backgrounds.get(_kind(query), {})

    def to_json(self) -> str:
        """Return the calibration as JSON; equal ones give equal text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: It is something else.
        """
        try:
            values = json.loads(text)
            learned_on = {str(key): str(value) for key, value in values["learned_on"].items()}
            backgrounds = {
                kind: {lane: _background(one) for lane, one in lanes.items()}
                for kind, lanes in values["backgrounds"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"This is no calibration of lanes ({error}).", fix="Learn it again with `learn_calibration`."
            ) from error
        return cls(backgrounds, learned_on)


def make_probes(
    load: Callable[[Sequence[int]], Mapping[int, Item]], rows: Rows, *, most: int = 200, seed: int = 0
) -> list[Probe]:
    """Make queries of some items: a caption, alternative text, or the first words.

    Args:
        load: Returns the items of rows.
        rows: The rows to draw from.
        most: How many to draw; items without words make no query.
        seed: Equal seeds draw equal rows.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(rows, min(most, len(rows)), replace=False)).tolist()
    items = load(drawn)
    made = ((row, _first_words(items[row])) for row in drawn if row in items)
    return [Probe(Query.of(words), row) for row, words in made if words]


def learn_calibration(
    lanes: Sequence[PartLane],
    probes: Sequence[Probe],
    *,
    sample: int = 256,
    seed: int = 0,
    learned_on: Mapping[str, str] | None = None,
) -> Calibration:
    """Learn what each lane scores for items that were drawn at random: some ms a probe and lane.

    A lane that scores only what matches (words) is measured by the matches among the items drawn. A lane
    with too few scores, or all the same, has no background.

    Args:
        lanes: The parts that are to share a scale, as `split_by_modality` makes them.
        probes: Queries like those to come, as `make_probes` makes them; those of pictures need
            probes with pictures.
        sample: How many items are drawn a lane.
        seed: Equal seeds draw equal items.
        learned_on: What identifies the corpus and the embedder.
    """
    rng = np.random.default_rng(seed)
    scores: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    for lane in lanes:
        drawn = np.sort(rng.choice(lane.rows, min(sample, len(lane.rows)), replace=False))
        for probe in probes:
            others = drawn[drawn != probe.row]
            if len(others) and lane.why_not_usable(probe.query) is None:
                matches = lane.search(probe.query, len(others), allow=others)
                own = matches.scores[matches.rows >= 0].astype(np.float64)
                scores.setdefault(_kind(probe.query), {}).setdefault(lane.name, []).append(own)
    found = {
        kind: {lane: one for lane, parts in by_lane.items() if (one := _measured(np.concatenate(parts)))}
        for kind, by_lane in scores.items()
    }
    return Calibration(found, learned_on or {})


def _kind(query: Query) -> str:
    # Words read in a picture beside it are words.
    return "+".join(sorted(query.modalities))


def _measured(scores: NDArray[np.float64]) -> Background | None:
    if len(scores) < _FEWEST or not (std := float(scores.std())) > 1e-9:
        return None
    return Background(float(scores.mean()), std, len(scores))


def _background(values: Mapping[str, float]) -> Background:
    one = Background(float(values["mean"]), float(values["std"]), int(values["count"]))
    if not (math.isfinite(one.mean) and 0 < one.std < math.inf):
        raise ValueError(f"a background of mean {one.mean} and standard deviation {one.std}")
    return one


def _first_words(item: Item) -> str:
    texts = {part.role: part.text for part in reversed(item.parts) if part.text}
    text = next((texts[role] for role in ("caption", "alt", "body", "ocr") if role in texts), "")
    return " ".join(text.split()[:_WORDS])
