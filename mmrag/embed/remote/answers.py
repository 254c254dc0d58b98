"""Read vectors out of what a server answers, and believe none of it unchecked."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ModelError

Numbers = NDArray[np.float64]


def read_vectors(answer: Mapping[str, Any], count: int) -> list[Numbers | None]:
    """Return the vectors of an answer in the order of the inputs; None for one that holds no finite numbers.

    Raises:
        ModelError: There are more or fewer than `count`, an index twice, or something else than numbers.
    """
    rows = answer.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _strange("has no list `data`")
    if len(rows) != count:
        raise _strange(f"has {len(rows)} vectors for {count} inputs")
    places = [row.get("index", i) for i, row in enumerate(rows)]
    if sorted(place for place in places if isinstance(place, int)) != list(range(count)):
        raise _strange("does not say which vector belongs to which input")
    found: list[Numbers | None] = [None] * count
    for place, row in zip(places, rows, strict=True):
        found[place] = _vector(row.get("embedding"))
    return found


def to_unit(vector: Numbers, dim: int) -> NDArray[np.float32] | None:
    """Return the first `dim` numbers scaled to length 1; None if they are all zero."""
    kept = vector[:dim]
    largest = float(np.abs(kept).max())
    # Squares of very large or small numbers leave the range of a float.
    kept = kept / largest if largest > 0 else kept
    length = float(np.linalg.norm(kept))
    return (kept / length).astype(np.float32) if length > 0 else None


def _vector(value: object) -> Numbers | None:
    try:
        if isinstance(value, str):
            numbers = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float64)
        else:
            # null stands for NaN where JSON has none.
            numbers = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, binascii.Error) as error:
        raise _strange("has a vector that is neither numbers nor base64") from error
    if numbers.ndim != 1 or not numbers.size:
        raise _strange("has a vector that is no list of numbers")
    return numbers if bool(np.isfinite(numbers).all()) else None


def _strange(what: str) -> ModelError:
    return ModelError(
        f"The server's answer {what}.",
        fix="Check that `url` leads to an interface like OpenAI's /v1/embeddings.",
    )
