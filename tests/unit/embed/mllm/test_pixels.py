"""Pictures: sizes as published, pixels as the libraries' processors make them, limits and refusals."""

import numpy as np
import pytest
import torch
import transformers

from mmrag.core.errors import Corrupt, SourceError
from mmrag.embed.content import Picture
from mmrag.embed.mllm.backbones import LlavaNext, QwenVl, _normalized
from mmrag.embed.mllm.options import MllmOptions, Pixels
from mmrag.embed.mllm.pixels import blank_image, fit, open_image

UNLIMITED = 1 << 40


@pytest.mark.parametrize(
    ("size", "factor", "limits", "expected"),
    [
        ((1000, 2000), 28, (0, 1280 * 784), (700, 1400)),
        ((100, 100), 28, (256 * 784, UNLIMITED), (448, 448)),
        ((480, 640), 28, (256 * 784, 1280 * 784), (476, 644)),
        ((1000, 2000), 32, (0, 1800 * 1024), (928, 1888)),
        ((42, 70), 28, (0, UNLIMITED), (56, 56)),  # 1.5 and 2.5: halves go to even
        ((70, 42), 28, (0, UNLIMITED), (56, 56)),
        ((5, 5), 28, (0, UNLIMITED), (28, 28)),
        ((5, 1000), 28, (0, 784), (28, 392)),  # no side less than one token's, whatever the limit
    ],
)
def test_sizes_are_the_published_ones(size, factor, limits, expected) -> None:
    assert fit(*size, factor, limits) == expected


def test_sizes_are_those_of_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    rng = np.random.default_rng(0)
    for height, width in rng.integers(28, 3000, (300, 2)).tolist():
        assert fit(height, width, 28, (3136, 1003520)) == smart_resize(
            height, width, 28, min_pixels=3136, max_pixels=1003520
        )


def test_a_picture_too_narrow_is_refused_alone() -> None:
    with pytest.raises(SourceError, match="too narrow"):
        fit(10, 2001, 28, (0, UNLIMITED))


def test_a_broken_picture_is_refused_alone() -> None:
    with pytest.raises(Corrupt):
        open_image(Picture(lambda: b"no picture"), Pixels())


def test_resizes_follow_each_other(picture_of, draw) -> None:
    # Squashed, then enlarged to 16 tokens and more: one resize alone gives other pixels.
    image = open_image(picture_of(300, 200), Pixels(squash=(90, 60), fetch_min=28 * 28 * 16))
    assert image.size == (140, 112)
    expected = draw(300, 200).resize((90, 60)).resize((140, 112))
    assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_the_blank_picture_is_black() -> None:
    assert blank_image(28).getextrema() == ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen3_vl"])
def test_qwen_pixels_are_those_of_its_processor(kind, tiny, picture_of, draw) -> None:
    model = transformers.AutoModel.from_pretrained(tiny(kind))
    images = transformers.AutoImageProcessor.from_pretrained(tiny(kind))
    least, most = 20_000, 40_000
    options = MllmOptions(model=".", architecture=kind, pixels=Pixels(min=least, max=most))
    backbone = QwenVl(model, images, options)
    for size in ((120, 90), (30, 200), (700, 500)):
        view = backbone.see(picture_of(*size))
        expected = images(
            images=draw(*size), size={"shortest_edge": least, "longest_edge": most}, return_tensors="pt"
        )
        assert torch.allclose(backbone._patches(view), expected["pixel_values"], atol=1e-6)
        assert [1, 2 * view.grid[0], 2 * view.grid[1]] == expected["image_grid_thw"][0].tolist()
        assert view.tokens == view.grid[0] * view.grid[1]


def test_llava_pixels_and_tokens_are_those_of_its_processor(tiny, picture_of, draw) -> None:
    folder = tiny("llava_next")
    processor = transformers.LlavaNextProcessor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    options = MllmOptions(model=".", architecture="llava_next", rope="none")
    backbone = LlavaNext(model, processor.image_processor, options)
    rng = np.random.default_rng(1)
    for width, height in rng.integers(8, 300, (25, 2)).tolist():
        view = backbone.see(picture_of(width, height))
        expected = processor(text="<image>", images=draw(width, height), return_tensors="pt")
        assert view.tokens == int((expected["input_ids"] == model.config.image_token_id).sum())
        pixels = _normalized(view.pixels, processor.image_processor, "cpu")
        assert torch.allclose(pixels, expected["pixel_values"][0], atol=1e-6)
