"""Where each token stands: counted one by one, or on the three axes of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sequential(tokens: int) -> NDArray[np.int64]:
    """Return 0, 1, 2, ... on all three axes, pictures included.

    LamRA (Qwen2-VL), GME and UNITE were trained so: their code calls the language model without positions.

    Shapes:
        -> int64 [3, tokens]
    """
    return np.broadcast_to(np.arange(tokens), (3, tokens)).copy()


def mrope(is_picture: NDArray[np.bool_], grids: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return positions on the axes time, height and width.

    Words count on all axes. A picture of rows x columns stands at one time; its tokens differ in height and
    width. The words after it go on behind its longer side.

    Args:
        is_picture: Which tokens are a picture's; those of one picture stand together.
        grids: The rows and columns of tokens of each picture, in order.

    Shapes:
        is_picture [tokens] -> int64 [3, tokens]
    """
    found = np.empty((3, is_picture.size), np.int64)
    at = position = 0
    for rows, columns in grids:
        start = at + int(np.argmax(is_picture[at:]))
        found[:, at:start] = position + np.arange(start - at)
        position += start - at
        at = start + rows * columns
        found[0, start:at] = position
        found[1, start:at] = position + np.repeat(np.arange(rows), columns)
        found[2, start:at] = position + np.tile(np.arange(columns), rows)
        position += max(rows, columns)
    found[:, at:] = position + np.arange(is_picture.size - at)
    return found
