"""Every vector equals what the library's own model gives for the input alone."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModel, AutoProcessor, BlipForImageTextRetrieval

from mmrag.embed.content import Content, Picture, Sound
from mmrag.embed.dual.model import DualModel

TEXTS = ["a photo of a cat", "Paris is the capital. " * 40, "x", "", "What is  the\ncapital of France?"]
PADDED: dict[str, Any] = {"padding": "max_length", "max_length": 64}


def embed(model: DualModel, contents: Sequence[Content], batch: int = 64) -> NDArray[np.float32]:
    prepared = [model.prepare(content) for content in contents]
    return np.concatenate([model.run(prepared[i : i + batch]) for i in range(0, len(prepared), batch)])


def unit(features: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).numpy()[0]
    return found


@lru_cache
def library(folder: Path) -> tuple[Any, Any]:
    return AutoProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def text_features(folder: Path, text: str, **more: Any) -> Any:
    processor, model = library(folder)
    longest = getattr(model.config.text_config, "max_position_embeddings", 64)
    longest -= 2 if model.config.model_type == "clap" else 0
    inputs = processor(text=[text], return_tensors="pt", truncation=True, **{"max_length": longest, **more})
    with torch.inference_mode():
        return model.get_text_features(**inputs).pooler_output


def image_features(folder: Path, picture: Image.Image) -> Any:
    processor, model = library(folder)
    inputs = processor(images=[picture], return_tensors="pt")
    with torch.inference_mode():
        return model.get_image_features(**inputs).pooler_output


@pytest.mark.parametrize(("kind", "padding"), [("clip", {}), ("siglip2", PADDED), ("clap", {})])
def test_words_are_as_alone(
    kind: str,
    padding: dict[str, Any],
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
) -> None:
    expected = np.stack([unit(text_features(tiny(kind), text, **padding)) for text in TEXTS])
    model = dual(kind)
    contents = [Content((text,), "document") for text in TEXTS]
    for batch in (1, 40):
        np.testing.assert_allclose(embed(model, contents, batch), expected, atol=1e-5)
    # Forty rows of mixed lengths: none depends on its neighbours.
    many = embed(model, contents * 8, 40)
    np.testing.assert_allclose(many, np.tile(expected, (8, 1)), atol=1e-5)
    assert np.abs(expected[0] - expected[2]).max() > 1e-3


@pytest.mark.parametrize("kind", ["clip", "siglip2"])
def test_pictures_are_as_alone(
    kind: str,
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    image: Callable[..., Image.Image],
    picture: Callable[..., Picture],
) -> None:
    sizes = [(40, 30), (200, 17), (31, 90)]
    expected = np.stack([unit(image_features(tiny(kind), image(i, *size))) for i, size in enumerate(sizes)])
    contents = [Content((picture(i, *size),), "document") for i, size in enumerate(sizes)]
    words = [Content((text,), "query") for text in TEXTS[:2]]
    model = dual(kind)
    # Words between the pictures: each row gets its own tower's feature.
    found = embed(model, [contents[0], words[0], contents[1], words[1], contents[2]])
    np.testing.assert_allclose(found[[0, 2, 4]], expected, atol=1e-5)
    np.testing.assert_allclose(found[[1, 3]], embed(model, words), atol=1e-5)
    np.testing.assert_allclose(embed(model, contents, 1), expected, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_sounds_are_as_alone(
    tiny: Callable[[str], Path], dual: Callable[..., DualModel], sound: Callable[..., Sound]
) -> None:
    processor, clap = library(tiny("clap"))
    tones = [sound(440), sound(3000, 0.4), sound(900, 2.0)]
    expected = []
    for tone in tones:
        inputs = processor.feature_extractor(tone.open()[0], sampling_rate=16000, return_tensors="pt")
        with torch.inference_mode():
            expected.append(unit(clap.get_audio_features(**inputs).pooler_output))
    contents = [Content((tone,), "document") for tone in tones]
    model = dual("clap")
    np.testing.assert_allclose(embed(model, contents), np.stack(expected), atol=1e-5)
    np.testing.assert_allclose(embed(model, contents, 1), np.stack(expected), atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 2.0)])
def test_a_sum_is_of_what_is_not_normalised(
    weights: tuple[float, float],
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    image: Callable[..., Image.Image],
    picture: Callable[..., Picture],
) -> None:
    words = text_features(tiny("clip"), TEXTS[0])
    seen = image_features(tiny("clip"), image(5))
    model = dual("clip", fusion="sum", text_weight=weights[0], image_weight=weights[1])
    contents = [
        Content((TEXTS[0], picture(5)), "query"),
        Content((picture(5), TEXTS[0]), "document"),
        Content((picture(5),), "document"),
        Content((picture(5), "  "), "document"),
        Content((TEXTS[0],), "query"),
    ]
    expected = [weights[0] * words + weights[1] * seen] * 2 + [seen, seen, words]
    rows = np.stack([unit(one) for one in expected])
    np.testing.assert_allclose(embed(model, contents), rows, atol=1e-5)
    np.testing.assert_allclose(embed(model, contents, 1), rows, atol=1e-5)
    normalised = (
        torch.nn.functional.normalize(words) * weights[0] + torch.nn.functional.normalize(seen) * weights[1]
    )
    assert np.abs(unit(normalised) - rows[0]).max() > 1e-3


def test_blip_towers_are_its_contrastive_features(
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    image: Callable[..., Image.Image],
    picture: Callable[..., Picture],
) -> None:
    processor = AutoProcessor.from_pretrained(tiny("blip"))
    blip = BlipForImageTextRetrieval.from_pretrained(tiny("blip")).eval()
    inputs = processor(images=[image(1)], text=[TEXTS[0]], return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        score = blip(**inputs, use_itm_head=False).itm_score.item()
    found = embed(dual("blip"), [Content((TEXTS[0],), "query"), Content((picture(1),), "document")])
    assert float(found[0] @ found[1]) == pytest.approx(score, abs=1e-5)


def test_blip_words_look_at_the_picture(
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    image: Callable[..., Image.Image],
    picture: Callable[..., Picture],
) -> None:
    processor = AutoProcessor.from_pretrained(tiny("blip"))
    blip = BlipForImageTextRetrieval.from_pretrained(tiny("blip")).eval()

    def state(text: str, pixels: Any) -> NDArray[np.float32]:
        # As UniIR batches its inputs: words padded to a fixed length under a mask, zeros for no picture.
        ids = processor.tokenizer(text, padding="max_length", max_length=30, return_tensors="pt")
        with torch.inference_mode():
            first = blip(
                input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], pixel_values=pixels
            ).question_embeds[:, 0]
        return unit(first)

    def pixels(seed: int) -> Any:
        return processor.image_processor(images=[image(seed)], return_tensors="pt")["pixel_values"]

    blank = torch.zeros(1, 3, 32, 32)
    expected = [
        state(TEXTS[0], pixels(1)),
        state(TEXTS[0], blank),
        state("", pixels(2)),
        state("x", pixels(2)),
    ]
    contents = [
        Content((picture(1), TEXTS[0]), "query"),
        Content((TEXTS[0],), "query"),
        Content((picture(2),), "document"),
        Content(("x", picture(2)), "document"),
    ]
    model = dual("blip", fusion="feature")
    np.testing.assert_allclose(embed(model, contents), np.stack(expected), atol=1e-5)
    np.testing.assert_allclose(embed(model, contents * 10, 40)[-4:], np.stack(expected), atol=1e-5)
    np.testing.assert_allclose(embed(model, contents, 1), np.stack(expected), atol=1e-5)
    for one, other in ((0, 1), (2, 3)):
        assert np.abs(expected[one] - expected[other]).max() > 1e-3


def test_the_same_call_twice_gives_the_same_numbers(
    dual: Callable[..., DualModel], picture: Callable[..., Picture], sound: Callable[..., Sound]
) -> None:
    for kind, part in (("clip", picture(1)), ("siglip2", picture(1)), ("clap", sound(300, 5.0))):
        model = dual(kind)
        contents = [Content((part,), "document"), Content(("a cat",), "query")]
        assert np.array_equal(embed(model, contents), embed(model, contents))
