"""Pictures and sounds as arrays, one at a time, as the checkpoint's own processor makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.checkpoint import loading
from mmrag.core.errors import Empty
from mmrag.core.lazy import require
from mmrag.core.protocols import ReadLimits
from mmrag.embed.content import Picture, Sound
from mmrag.embed.dual.options import DualOptions
from mmrag.embed.sounds import resample
from mmrag.media.pictures import open_picture, upright

Arrays = Mapping[str, NDArray[Any]]
Sense = Callable[[Picture | Sound], tuple[Arrays, tuple[str, ...]]]
"""From a picture or sound to the model's inputs without the first axis, and notes on what was cut."""


def load_sense(folder: Path, options: DualOptions) -> Sense | None:
    """Return what makes pictures, or sounds, into arrays; None for a model of words alone.

    Raises:
        ModelError: The checkpoint has no settings of it.
    """
    transformers = require("transformers", extra="local", feature="A dual encoder")
    with loading(folder):
        if "audio" in options.taken:
            return _Ear(transformers.AutoFeatureExtractor.from_pretrained(folder))
        if "image" in options.taken:
            # The other back end resizes a little differently: the same picture would get two vectors.
            return _Eye(transformers.AutoImageProcessor.from_pretrained(folder, backend="pil"))
    return None


@dataclass(frozen=True, slots=True)
class _Eye:
    processor: Any

    def __call__(self, part: Picture | Sound) -> tuple[Arrays, tuple[str, ...]]:
        assert isinstance(part, Picture)
        with open_picture(part.open(), max_pixels=ReadLimits().max_pixels) as opened:
            picture = upright(opened)
        made = self.processor(images=[picture], return_tensors="np")
        return {name: np.asarray(array)[0] for name, array in made.items()}, ()


@dataclass(frozen=True, slots=True)
class _Ear:
    extractor: Any

    def __call__(self, part: Picture | Sound) -> tuple[Arrays, tuple[str, ...]]:
        assert isinstance(part, Sound)
        samples, rate = part.open()
        if not len(samples):
            raise Empty("The sound has no samples.", fix="Leave it out.")
        wanted = int(self.extractor.sampling_rate)
        samples = resample(samples, rate, wanted)
        longest = int(self.extractor.nb_max_samples)
        notes: tuple[str, ...] = ()
        if len(samples) > longest:
            # The extractor would take a stretch at random: the same sound would get another vector each time.
            heard, whole = longest / wanted, len(samples) / wanted
            notes = (f"The sound takes {whole:.1f} s, and the model hears {heard:.1f} s: the rest was cut.",)
            samples = samples[:longest]
        made = self.extractor(samples, sampling_rate=wanted, return_tensors="np")
        features = np.asarray(made["input_features"], np.float32)[0]
        # Where no sound of a batch is long, the extractor marks one at random as if it were: none is, here.
        return {"input_features": features, "is_longer": np.zeros(1, np.bool_)}, notes
