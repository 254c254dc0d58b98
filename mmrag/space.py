"""Look at the embedding space of an index: what `mmrag embed report` tells and draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Embedder
from mmrag.core.types import Item, Query
from mmrag.embed.centre import write_centres
from mmrag.evaluate.space import (
    Found,
    Questions,
    Shape,
    centred,
    found_by,
    means_of,
    odd_pictures,
    shape_of,
)
from mmrag.evaluate.space_map import space_map
from mmrag.store import Store

MAP_NAME, CENTRES_NAME = "space.png", "centres.npz"
_MOST = 50_000
_QUESTIONS = 200
_QUESTION_CHARACTERS = 300
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """What an embedding space is like, as it is and centred.

    Args:
        items: How many of each modality were looked at.
        sampled_of: How many the index holds.
        before: The space as it is.
        after: The space with each modality's mean taken away; None where there is one modality only.
        questions: How many pictures were asked for by their own words.
        found: What they find in the space "as it is", "centred", and with "calibrated" scores.
        duplicates: Near pictures by name with their cosine.
        outliers: Pictures that are like no other, with their mean cosine.
        files: What was written.
    """

    items: Mapping[str, int]
    sampled_of: int
    before: Shape
    after: Shape | None
    questions: int
    found: Mapping[str, Found] = field(default_factory=dict)
    duplicates: tuple[tuple[str, str, float], ...] = field(default_factory=tuple)
    outliers: tuple[tuple[str, float], ...] = field(default_factory=tuple)
    files: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "files": [str(path) for path in self.files]}


def look_at_space(store: Store, embedder: Embedder, folder: Path, *, seed: int = 0) -> Look:
    """Measure the space of a store, draw it, and keep the means that centre it.

    Pictures are asked for by the words that stand in and around them, as far as they have any: how often a
    text comes where a picture was wanted is what a gap between modalities costs.

    Args:
        store: Its vectors are looked at, at most 50,000 of them.
        embedder: Embeds the questions.
        folder: Where `space.png` and `centres.npz` go; it is made where needed.
        seed: Of all samples.

    Raises:
        ConfigError: There are less than two items, they have many vectors each, or the folder cannot be made.
    """
    with store.snapshot():
        rng = np.random.default_rng(seed)
        every = store.rows()
        rows = np.sort(rng.permutation(every)[:_MOST])
        if len(rows) < 2:
            held = "one item" if len(rows) else "no items"
            raise ConfigError(f"The index holds {held}.", fix="Sync a folder with more.")
        stored = store.vectors(rows).take(rows)
        if not stored.is_dense:
            raise ConfigError(
                "The items have many vectors each.", fix="Look at an index with one vector an item."
            )
        vectors = np.ascontiguousarray(stored.vectors)
        modalities, named, asked = _read(store, rows, embedder)
    _make(folder)
    questions = _questions(asked, embedder, rng)
    pictures = np.flatnonzero(np.asarray(modalities) == "image")
    odd = odd_pictures(vectors, pictures)
    kinds = sorted(set(modalities))
    before = shape_of(vectors, modalities, seed=seed)
    means = means_of(vectors, modalities)
    panels, after, found = {"as it is": vectors}, None, {}
    if questions is not None:
        found["as it is"] = found_by(questions, vectors, modalities)
    if len(kinds) > 1:
        moved = panels["centred"] = centred(vectors, modalities, means)
        after = shape_of(moved, modalities, seed=seed)
        if questions is not None:
            asked_again = centred(questions.vectors, ["text"] * len(questions.vectors), means)
            found["centred"] = found_by(Questions(asked_again, questions.answers), moved, modalities)
            found["calibrated"] = found_by(questions, vectors, modalities, calibrated=True)
    (folder / MAP_NAME).write_bytes(space_map(panels, modalities, seed=seed))
    files = [folder / MAP_NAME]
    if len(kinds) > 1:
        write_centres(folder / CENTRES_NAME, means)
        files.append(folder / CENTRES_NAME)
    return Look(
        {kind: modalities.count(kind) for kind in kinds},
        len(every),
        before,
        after,
        len(questions.answers) if questions is not None else 0,
        found,
        tuple((named[a], named[b], score) for a, b, score in odd.duplicates),
        tuple((named[at], score) for at, score in odd.outliers),
        tuple(files),
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be made ({error.strerror}).", fix="Name another one with --out."
        ) from error


def _read(
    store: Store, rows: NDArray[np.int64], embedder: Embedder
) -> tuple[list[str], dict[int, str], dict[int, str]]:
    """Return the modality of each row; names and words of the pictures by their places."""
    modalities: list[str] = []
    named: dict[int, str] = {}
    asked: dict[int, str] = {}
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        items = store.items(some)
        for place, row in enumerate(some.tolist(), start):
            item = items[row]
            seen = item.modality if item.modality in embedder.modalities else "text"
            modalities.append(seen)
            if seen == "image":
                named[place] = _name(item)
                if len(item.text.split()) >= 3:
                    asked[place] = " ".join(item.text.split())[:_QUESTION_CHARACTERS]
    return modalities, named, asked


def _questions(asked: Mapping[int, str], embedder: Embedder, rng: np.random.Generator) -> Questions | None:
    if not asked or "text" not in embedder.modalities:
        return None
    chosen = np.sort(rng.permutation(np.fromiter(asked, np.int64))[:_QUESTIONS])
    found = embedder.embed_queries([Query.of(asked[int(place)]) for place in chosen])
    return Questions(found.vectors, chosen)


def _name(item: Item) -> str:
    number = getattr(item.locator, "number", 0)
    return f"{item.source}, page {number}" if number > 1 else str(item.source)
