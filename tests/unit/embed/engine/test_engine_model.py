"""A model of a real architecture gives the same vectors through the engine as for one input at a time."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmrag.core.errors import SourceError
from mmrag.embed.content import Content, Picture
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.engine.stream import Engine


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    colours = np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(colours).save(file, "PNG")
    return file.getvalue()


def inputs() -> list[Content]:
    rng = random.Random(0)
    found = []
    for i in range(24):
        words = "a photo of a cat " * rng.randint(1, 12)
        data = png(28 * rng.randint(2, 5), 28 * rng.randint(2, 5))
        picture = Picture(lambda data=data: data)
        found.append(Content([(words,), (picture,), (picture, words)][i % 3], "document"))
    return found


def test_batches_and_threads_change_no_vector(tiny: Callable[[str], Path]) -> None:
    from mmrag.embed.mllm.options import MllmOptions

    torch.set_num_threads(1)
    options = MllmOptions(
        model=str(tiny("qwen2_vl")),
        architecture="qwen2_vl",
        engine=EngineOptions(devices=("cpu",), batch_tokens=256, window=12, threads=2),
    )
    embedder = options.build()
    contents = inputs()
    contents[7] = Content((Picture(lambda: b"no picture"),), "document")
    found = list(embedder.embed_contents(contents))
    assert isinstance(found[7].error, SourceError)
    (model,) = embedder._running().models
    two = list(Engine([model, model], options.engine).stream(contents))
    for i, content in enumerate(contents):
        if i == 7:
            continue
        alone = model.run([model.prepare(content)])
        assert np.abs(found[i].vectors - alone).max() < 1e-5
        assert np.abs(two[i].vectors - alone).max() < 1e-5
