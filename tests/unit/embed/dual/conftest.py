"""Loaded tiny dual encoders, and pictures and sounds to embed."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmrag.embed.content import Picture, Sound
from mmrag.embed.dual.model import DualModel, load_model
from mmrag.embed.dual.options import DualOptions


@pytest.fixture(scope="session")
def tiny(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny model by its kind; do not write into it.

    The picture tower of a new BLIP is all but zero (transformers starts it at 1e-10), and no picture would
    matter: here it gets weights that make them matter.
    """
    root = tmp_path_factory.mktemp("dual")

    def folder(kind: str) -> Path:
        if kind != "blip":
            return tiny(kind)
        if not (root / kind).is_dir():
            shutil.copytree(tiny(kind), root / kind)
            tensors = load_file(root / kind / "model.safetensors")
            torch.manual_seed(3)
            for name, tensor in tensors.items():
                if tensor.dim() > 1 and ("vision_model" in name or "crossattention" in name):
                    tensors[name] = torch.randn_like(tensor) * 0.2
            save_file(tensors, root / kind / "model.safetensors", metadata={"format": "pt"})
        return root / kind

    return folder


@pytest.fixture(scope="session")
def options(tiny: Callable[[str], Path]) -> Callable[..., DualOptions]:
    """Return the options of a tiny model."""

    def make(kind: str, **given: Any) -> DualOptions:
        return DualOptions(model=str(tiny(kind)), architecture=kind, **given)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def dual(options: Callable[..., DualOptions]) -> Callable[..., DualModel]:
    """Return a loaded tiny model, loaded once a session."""

    loaded: dict[str, DualModel] = {}

    def load(kind: str, **given: Any) -> DualModel:
        made = options(kind, **given)
        if repr(made) not in loaded:
            loaded[repr(made)] = load_model(Path(made.model), made, "cpu")
        return loaded[repr(made)]

    return load


@pytest.fixture(scope="session")
def image() -> Callable[..., Image.Image]:
    """Return a picture of noise with a colour of its own: the towers of tiny models tell them apart."""

    def draw(seed: int, width: int = 40, height: int = 30) -> Image.Image:
        rng = np.random.default_rng(seed)
        noise = rng.integers(0, 200, (height, width, 3)) * rng.random(3) + 55 * rng.random(3)
        return Image.fromarray(noise.astype(np.uint8))

    return draw


@pytest.fixture(scope="session")
def picture(image: Callable[..., Image.Image]) -> Callable[..., Picture]:
    """Return such a picture as an input."""

    def make(seed: int, width: int = 40, height: int = 30) -> Picture:
        out = io.BytesIO()
        image(seed, width, height).save(out, "PNG")
        return Picture(out.getvalue)

    return make


@pytest.fixture(scope="session")
def sound() -> Callable[..., Sound]:
    """Return a tone with some noise as an input."""

    def make(hertz: float, seconds: float = 1.0, rate: int = 16000) -> Sound:
        times = np.arange(int(seconds * rate)) / rate
        noise = np.random.default_rng(int(hertz)).normal(size=len(times)) * 0.01
        samples = (0.3 * np.sin(2 * np.pi * hertz * times) + noise).astype(np.float32)
        return Sound(lambda: (samples, rate))

    return make
