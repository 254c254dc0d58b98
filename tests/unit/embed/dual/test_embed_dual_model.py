"""Loading, cutting, refusing, and what the identity says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, SiglipConfig, SiglipImageProcessorPil, SiglipModel

from mmrag.core.errors import ConfigError, Corrupt, InputTooLong, ModelError, OutOfMemory, UnsupportedModality
from mmrag.embed.content import Content, Picture
from mmrag.embed.dual.build import build_embedder
from mmrag.embed.dual.model import DualModel, load_model
from mmrag.embed.dual.options import DualOptions


def words(text: str) -> Content:
    return Content((text,), "document")


def test_a_long_text_keeps_its_marks_and_tells(
    tiny: Callable[[str], Path], dual: Callable[..., DualModel]
) -> None:
    long = "the tower is 330 metres tall " * 30
    tokenizer = AutoTokenizer.from_pretrained(tiny("clip"))
    expected = tokenizer(long, truncation=True, max_length=77)["input_ids"]
    prepared = dual("clip").prepare(words(long))
    assert list(prepared.data.words) == expected
    assert prepared.text_tokens == 77
    assert "the model reads 75" in prepared.notes[0]
    shorter = dual("clip", max_text_tokens=10).prepare(words(long))
    assert list(shorter.data.words) == tokenizer(long, truncation=True, max_length=10)["input_ids"]
    with pytest.raises(InputTooLong, match="the model reads 75"):
        dual("clip", longer="error").prepare(words(long))
    with pytest.raises(ConfigError, match="reads 77 tokens, fewer than 78"):
        dual("clip", max_text_tokens=78)


def test_a_users_end_mark_does_not_end_the_text(dual: Callable[..., DualModel]) -> None:
    # CLIP takes its feature at the first end mark: all behind it would be unread.
    model = dual("clip")
    texts = ["a cat <|endoftext|> on a sofa", "a cat <|endoftext|> in Paris", "a cat"]
    found = model.run([model.prepare(words(text)) for text in texts])
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_a_picture_for_a_model_of_words_is_refused_alone(
    dual: Callable[..., DualModel], picture: Callable[..., Picture]
) -> None:
    model = dual("clip", takes=("text",))
    with pytest.raises(UnsupportedModality, match="the input has: image"):
        model.prepare(Content((picture(1),), "document"))
    np.testing.assert_allclose(
        model.run([model.prepare(words("a cat"))]), dual("clip").run([model.prepare(words("a cat"))])
    )


def test_a_broken_picture_is_the_inputs_own_error(dual: Callable[..., DualModel]) -> None:
    with pytest.raises(Corrupt):
        dual("clip").prepare(Content((Picture(lambda: b"GIF89a nothing"),), "document"))


def test_many_threads_prepare_at_once(
    dual: Callable[..., DualModel], picture: Callable[..., Picture]
) -> None:
    model = dual("clip", fusion="sum")
    contents = [Content((picture(i % 3), f"the tower {i} " * (1 + i % 40)), "document") for i in range(120)]
    alone = [model.prepare(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(model.prepare, contents))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.data.words, other.data.words)
        assert np.array_equal(one.data.other["pixel_values"], other.data.other["pixel_values"])


def test_a_shorter_vector_has_length_one(dual: Callable[..., DualModel]) -> None:
    whole, cut = dual("clip"), dual("clip", dim=8, dims=(8, 24))
    assert (whole.dim, cut.dim) == (24, 8)
    full, short = (model.run([model.prepare(words("a cat"))])[0] for model in (whole, cut))
    np.testing.assert_allclose(short, full[:8] / np.linalg.norm(full[:8]), atol=1e-6)


def test_half_precision_gives_float32_near_the_truth(
    dual: Callable[..., DualModel], picture: Callable[..., Picture]
) -> None:
    contents = [words("a cat"), Content((picture(1),), "document")]
    full, half = dual("clip"), dual("clip", dtype="bfloat16")
    found = half.run([half.prepare(content) for content in contents])
    assert found.dtype == np.float32
    expected = full.run([full.prepare(content) for content in contents])
    assert (found * expected).sum(axis=1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_said(dual: Callable[..., DualModel], error: Exception) -> None:
    class Full:
        fused = None

        def embed_words(self, words: Any) -> Any:
            raise error

    model = dual("clip")
    prepared = model.prepare(words("a cat"))
    broken = DualModel(model._options, Full(), model._tokens, None, 24)  # type: ignore[arg-type]
    with pytest.raises(OutOfMemory, match="for one input"):
        broken.run([prepared])


def test_a_siglip_checkpoint_of_fixed_size_sees_its_padding(
    tiny: Callable[[str], Path],
    tmp_path: Path,
    image: Callable[..., Image.Image],
    picture: Callable[..., Picture],
) -> None:
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokenizer = AutoTokenizer.from_pretrained(
        tiny("siglip2"), model_input_names=["input_ids"], padding_side="right"
    )
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 32, **small}
    config = SiglipConfig(text_config=text, vision_config={"image_size": 32, "patch_size": 8, **small})
    torch.manual_seed(0)
    library = SiglipModel(config).eval()
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    for part in (library, tokenizer, processor):
        part.save_pretrained(tmp_path)
    options = DualOptions(model=str(tmp_path), architecture="siglip2")
    model = load_model(tmp_path, options, "cpu")
    found = model.run([model.prepare(words("a cat")), model.prepare(Content((picture(1),), "document"))])
    ids = tokenizer("a cat", padding="max_length", max_length=64, return_tensors="pt")
    assert list(ids) == ["input_ids"]
    with torch.inference_mode():
        expected = torch.cat(
            [
                library.get_text_features(**ids).pooler_output,
                library.get_image_features(**processor([image(1)], return_tensors="pt")).pooler_output,
            ]
        )
    expected = torch.nn.functional.normalize(expected, dim=-1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_uniirs_pooler_is_read_from_the_checkpoint(
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    picture: Callable[..., Picture],
    tmp_path: Path,
) -> None:
    plain = dual("blip", fusion="feature")
    both = plain.prepare(Content((picture(1), "a cat"), "query"))
    # The state before normalisation is that of the towers.
    first = plain._features([both.data])[0]
    with pytest.raises(ModelError, match="pooler"):
        dual("blip", fusion="feature", pooled="pooler")

    folder = tmp_path / "blip"
    shutil.copytree(tiny("blip"), folder)
    tensors = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    weight, bias = torch.randn(32, 32), torch.randn(32)
    tensors |= {"text_encoder.pooler.dense.weight": weight, "text_encoder.pooler.dense.bias": bias}
    # A retrieval checkpoint has no heads for matching and contrast.
    tensors = {
        key: value
        for key, value in tensors.items()
        if not key.startswith(("itm_", "text_proj", "vision_proj"))
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    options = DualOptions(model=str(folder), architecture="blip", fusion="feature", pooled="pooler")
    model = load_model(folder, options, "cpu")
    expected = np.tanh(weight.numpy() @ first + bias.numpy())
    np.testing.assert_allclose(model.run([both])[0], expected / np.linalg.norm(expected), atol=1e-5)


def test_missing_weights_are_no_random_weights(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(tiny("clip"), folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"], tensors["logit_scale"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    options = DualOptions(model=str(folder), architecture="clip")
    with pytest.raises(ModelError, match=r"lacks 1 tensors, text_projection\.weight"):
        load_model(folder, options, "cpu")


@pytest.mark.parametrize(("kind", "dim"), [("clip", 24), ("siglip2", 32), ("clap", 24), ("blip", 24)])
def test_the_dim_is_known_before_the_weights(
    kind: str, dim: int, options: Callable[..., DualOptions]
) -> None:
    embedder = options(kind).build()
    assert embedder.dim == dim == int(embedder.identity["dim"])
    expected = {"text", "audio"} if kind == "clap" else {"text", "image"}
    assert embedder.modalities == expected


def test_a_config_that_leaves_out_its_defaults(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(tiny("clip"), tmp_path / "clip")
    (tmp_path / "clip" / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": None}))
    assert DualOptions(model=str(tmp_path / "clip"), architecture="clip").build().dim == 512


def test_the_identity_is_what_documents_depend_on(options: Callable[..., DualOptions]) -> None:
    plain = dict(options("clip", fusion="sum").build().identity)
    same = options(
        "clip", fusion="sum", takes_instruction=True, instruction="find", tasks={"a": "b"}, task="a"
    )
    assert dict(same.build().identity) == plain
    for given in (
        {"fusion": "none"},
        {"fusion": "sum", "text_weight": 2.0},
        {"fusion": "sum", "normalize_text": "uniir"},
        {"fusion": "sum", "lowercase": True},
        {"fusion": "sum", "pictures": "fused"},
        {"fusion": "sum", "max_text_tokens": 20},
        {"fusion": "sum", "dtype": "float32"},
        {"fusion": "sum", "dim": 8, "dims": (8, 24)},
    ):
        assert dict(options("clip", **given).build().identity) != plain
    # What is not taken is embedded by its words.
    unfused = options("clip").build().identity
    assert options("clip", takes=("text",)).build().identity != unfused


def test_another_architecture_is_refused(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="is a blip model, and the recipe wants clip"):
        build_embedder(DualOptions(model=str(tiny("blip")), architecture="clip"))
    with pytest.raises(ConfigError, match="numbers, fewer than 48"):
        build_embedder(DualOptions(model=str(tiny("clip")), architecture="clip", dim=48, dims=(48,)))


def test_building_needs_no_torch(tiny: Callable[[str], Path]) -> None:
    code = (
        "import sys; from mmrag.embed.dual import DualOptions; "
        f"print(DualOptions(model={str(tiny('clip'))!r}, architecture='clip').build().identity['dim']); "
        "assert not {'torch', 'transformers', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "24\n", done.stderr
