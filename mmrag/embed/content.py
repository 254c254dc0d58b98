"""What goes into a local model, whatever its family: words, pictures and sounds with their role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mmrag.core.types import Modality

Role = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is opened when its turn comes; `open` returns its encoded bytes.

    `open` raises a `SourceError` for a picture that is gone or cannot be read.
    """

    open: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound that is opened when its turn comes; `open` returns its samples and their rate.

    `open` raises a `SourceError` for a sound that is gone or cannot be read.

    Shapes:
        samples float32 [n_samples], one channel, -1 to 1

    Units:
        The rate is in samples a second.
    """

    open: Callable[[], tuple[NDArray[np.float32], int]]


@dataclass(frozen=True, slots=True)
class Content:
    """One input: interleaved words, pictures and sounds, in order.

    `instruction` is the caller's own; None takes the recipe's default for the role and task. `task` is a
    name under `tasks` in the recipe.
    """

    parts: tuple[str | Picture | Sound, ...]
    role: Role
    instruction: str | None = None
    task: str | None = None

    @property
    def modalities(self) -> frozenset[Modality]:
        """The modalities of the parts."""
        return frozenset(_modality(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An input ready for the device, on the CPU.

    `text_tokens` and `visual_tokens` are what batches are budgeted by: the positions that words and pictures
    take in the model. `notes` say what was cut. `data` is the model's own.
    """

    text_tokens: int
    visual_tokens: int
    data: Any
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """The length of the sequence."""
        return self.text_tokens + self.visual_tokens


class Model(Protocol):
    """A loaded model on one device: what the engine drives.

    `prepare` may be called from many threads at once; `run` is called by one thread at a time, and is safe
    when several callers do it anyway.
    """

    dim: int

    def prepare(self, content: Content) -> Prepared:
        """Open pictures, render the template, make tokens and pixels.

        Raises:
            SourceError: A picture cannot be opened.
            UnsupportedModality: The recipe does not take these parts together.
            InputTooLong: The recipe says that nothing is cut.
        """
        ...

    def run(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch in one forward pass.

        Shapes:
            -> float32 [len(batch), dim], unit vectors

        Raises:
            OutOfMemory: The device has too little memory for this batch.
        """
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes, without any template."""
        ...


def _modality(part: str | Picture | Sound) -> Modality:
    if isinstance(part, str):
        return "text"
    return "image" if isinstance(part, Picture) else "audio"
