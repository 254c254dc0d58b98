"""Which states of an input become its vector: every pooling is a mean over some of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ModelError
from mmrag.embed.mllm.options import Pooling


@dataclass(frozen=True, slots=True)
class Marks:
    """The ids of the tokens that poolings look for; None where the tokenizer lacks one."""

    token: int | None = None
    vision_start: int | None = None
    vision_end: int | None = None


def pooled_tokens(
    ids: NDArray[np.int64], pooling: Pooling, marks: Marks, *, has_picture: bool, masked: int = 0
) -> NDArray[np.bool_]:
    """Return which tokens of one input are averaged.

    Each input decides for itself, whatever else is in its batch.

    Args:
        ids: The tokens of one input, without padding.
        pooling: The recipe's choice.
        marks: The tokens that it may look for.
        has_picture: Whether `image_kind` counts.
        masked: So many leading tokens are left out of a mean: the instruction.

    Shapes:
        ids [tokens] -> bool [tokens]

    Raises:
        ModelError: A token that the pooling looks for is not there, or nothing is left to average.
    """
    kind = pooling.image_kind if has_picture and pooling.image_kind is not None else pooling.kind
    chosen = np.zeros(ids.size, np.bool_)
    if kind == "last":
        chosen[-1:] = True
    elif kind == "mean":
        chosen[masked:] = True
    elif kind == "token_before":
        found = np.flatnonzero(ids == marks.token)
        # An argmax would find position 0 where there is none, and then read the last state.
        if found.size == 0 or found[0] == 0:
            raise _missing(pooling.token or "")
        chosen[found[0] - 1] = True
    else:
        starts = np.flatnonzero(ids == marks.vision_start)
        ends = np.flatnonzero(ids == marks.vision_end)
        if starts.size == 0 or starts.size != ends.size:
            raise _missing("vision-start and vision-end")
        for start, end in zip(starts, ends, strict=True):
            chosen[start : end + 1] = True
    if not chosen.any():
        raise ModelError(
            "Nothing of the input is left to average.", fix="Give words, or shorten the instruction."
        )
    return chosen


def average(states: Any, counts: Sequence[int]) -> Any:
    """Return the mean of each input's chosen states.

    Args:
        states: The chosen states of all inputs, one input after the other.
        counts: How many each input has, at least 1.

    Shapes:
        states float32 [sum(counts), width] -> float32 [inputs, width]
    """
    import torch

    # One mean an input: adding up by index would round otherwise from call to call on a GPU.
    return torch.stack([part.mean(0) for part in torch.split(states, list(counts))])


def _missing(token: str) -> ModelError:
    return ModelError(
        f"The input has no {token} token, which its pooling looks for.",
        fix="Correct the recipe: its form must write the token, and new_tokens list it if it is new.",
    )
