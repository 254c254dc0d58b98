"""Pictures, inputs, and loaded models for the tests of multimodal embedders."""

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmrag.embed.content import Content, Picture
from mmrag.embed.mllm.build import build_embedder
from mmrag.embed.mllm.model import MllmModel
from mmrag.embed.mllm.options import MllmOptions

Draw = Callable[..., Image.Image]
Pictured = Callable[..., Picture]


def _draw(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _picture(width: int, height: int, seed: int = 0) -> Picture:
    out = io.BytesIO()
    _draw(width, height, seed).save(out, "PNG")
    return Picture(out.getvalue)


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Return a function that draws smooth noise: width, height, seed."""
    return _draw


@pytest.fixture(scope="session")
def picture_of() -> Pictured:
    """Return a function that gives the same picture as an input has it."""
    return _picture


@pytest.fixture(scope="session")
def loaded() -> Callable[[MllmOptions], MllmModel]:
    """Return the model of a recipe on the CPU; the same recipe is loaded once."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, MllmModel] = {}

    def load(options: MllmOptions) -> MllmModel:
        if repr(options) not in found:
            model: Any = build_embedder(options)._model.load("cpu")
            found[repr(options)] = model
        return found[repr(options)]

    return load


@pytest.fixture(scope="session")
def mixed() -> Callable[..., list[Content]]:
    """Return inputs of many lengths and sizes: words, pictures, both, and two pictures."""

    def make(count: int = 40, *, pictures: bool = True) -> list[Content]:
        rng = np.random.default_rng(7)
        found = []
        for at in range(count):
            words = " ".join(rng.choice(["cat", "sofa", "Paris", "tower", "7"], int(rng.integers(1, 12))))
            sides = rng.integers(20, 160, 4)
            one, two = (
                _picture(int(sides[0]), int(sides[1]), at),
                _picture(int(sides[2]), int(sides[3]), at + 99),
            )
            kinds: list[tuple[str | Picture, ...]] = [(words,), (one,), (one, words), (one, two, words)]
            found.append(
                Content(kinds[at % 4] if pictures else (words,), "query" if at % 3 == 0 else "document")
            )
        return found

    return make


def _latent_tensors(width: int, latents: int, inner: int) -> dict[str, Any]:
    import torch

    torch.manual_seed(1)
    cross, feed = "cross_attend_blocks.0.", "cross_attend_blocks.1."
    return {
        "latents": torch.randn(latents, width),
        f"{cross}norm.weight": torch.rand(width),
        f"{cross}norm.bias": torch.randn(width),
        f"{cross}norm_context.weight": torch.rand(width),
        f"{cross}norm_context.bias": torch.randn(width),
        f"{cross}fn.to_q.weight": torch.randn(inner, width) / 4,
        f"{cross}fn.to_kv.weight": torch.randn(2 * inner, width) / 4,
        f"{cross}fn.to_out.weight": torch.randn(width, inner) / 4,
        f"{feed}norm.weight": torch.rand(width),
        f"{feed}norm.bias": torch.randn(width),
        f"{feed}fn.net.0.weight": torch.randn(8 * width, width) / 4,
        f"{feed}fn.net.0.bias": torch.randn(8 * width),
        f"{feed}fn.net.2.weight": torch.randn(width, 4 * width) / 4,
        f"{feed}fn.net.2.bias": torch.randn(width),
    }


def _latent_attention(states: Any, given: dict[str, Any], heads: int) -> Any:
    """The block written plainly: one token and one head at a time, softmax and all."""
    import torch

    width = states.shape[-1]
    cross, feed = "cross_attend_blocks.0.", "cross_attend_blocks.1."

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return scaled * given[f"{name}.weight"] + given[f"{name}.bias"]

    context = norm(given["latents"], f"{cross}norm_context") @ given[f"{cross}fn.to_kv.weight"].T
    inner = context.shape[1] // 2
    out = []
    for state in states:
        query = norm(state, f"{cross}norm") @ given[f"{cross}fn.to_q.weight"].T
        seen = []
        for at in range(0, inner, inner // heads):
            part = slice(at, at + inner // heads)
            scores = context[:, :inner][:, part] @ query[part] / (inner // heads) ** 0.5
            seen.append(scores.softmax(0) @ context[:, inner:][:, part])
        one = state + given[f"{cross}fn.to_out.weight"] @ torch.cat(seen)
        wide = given[f"{feed}fn.net.0.weight"] @ norm(one, f"{feed}norm") + given[f"{feed}fn.net.0.bias"]
        gated = wide[: 4 * width] * torch.nn.functional.gelu(wide[4 * width :])
        out.append(one + given[f"{feed}fn.net.2.weight"] @ gated + given[f"{feed}fn.net.2.bias"])
    return torch.stack(out)


@pytest.fixture(scope="session")
def latent() -> SimpleNamespace:
    """Return random weights of a latent attention, and what it does with them written plainly."""
    return SimpleNamespace(tensors=_latent_tensors, attention=_latent_attention)
