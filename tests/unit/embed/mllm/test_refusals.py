"""Checkpoints and recipes that would give vectors of nothing, or fill the memory, are refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmrag.core.errors import ConfigError, ModelError
from mmrag.embed.mllm.build import build_embedder
from mmrag.embed.mllm.options import Form, MllmOptions, Pixels, Pooling

Copy = Callable[[str], Path]


@pytest.fixture
def copy(tiny: Any, tmp_path: Path) -> Copy:
    """Return a copy of a tiny model that a test may damage."""
    return lambda kind: Path(shutil.copytree(tiny(kind), tmp_path / kind))


@pytest.fixture
def options(tiny: Any) -> MllmOptions:
    return MllmOptions(model=str(tiny("qwen2_vl")), architecture="qwen2_vl")


def load(options: MllmOptions) -> Any:
    return build_embedder(options)._model.load("cpu")


def test_a_model_without_its_tokenizer_is_refused(options: MllmOptions, copy: Copy) -> None:
    folder = copy("qwen2_vl")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"The tokenizer is missing: .* has no tokenizer\.json\. ") as caught:
        load(replace(options, model=str(folder)))
    assert "whole checkpoint" in caught.value.fix
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json and no tokenizer_config\.json"):
        load(replace(options, model=str(folder)))
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match=r"no merges\.txt"):
        load(replace(options, model=str(folder)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_token": "<picture>"}, "Not one token .*<picture>"),
        ({"image_token": "<|video_pad|>"}, "'<|image_pad|>'"),
        ({"image_token": "<|image_pad|><|image_pad|>"}, "for a picture once"),
        ({"pooling": Pooling("token_before", token="<answer>")}, "Not one token .*<answer>"),
        ({"query": Form(wrap="<|begin|>{content}")}, r"Not one token .*<\|begin\|>"),
        ({"max_tokens": 3, "document": Form(wrap="You are a helpful assistant. {content}")}, "no room"),
        ({"max_tokens": 3, "query": Form(wrap="You are a helpful assistant. {content}")}, "of a query"),
        ({"max_tokens": 3, "query": Form(wrap="You are helpful. {content}"), "longer": "error"}, "no room"),
    ],
)
def test_recipes_that_no_input_fits_are_refused_when_loading(
    change: dict[str, Any], message: str, options: MllmOptions
) -> None:
    with pytest.raises(ConfigError, match=message.replace("'<|", r"'<\|").replace("|>'", r"\|>'")):
        load(replace(options, **change))


def test_a_token_that_the_recipe_adds_is_a_token(options: MllmOptions) -> None:
    added = replace(
        options, pooling=Pooling("token_before", token="<answer>"), query=Form(wrap="{content}<answer>")
    )
    load(replace(added, new_tokens=("<answer>",)))


def reduce(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


REDUCED: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "the name alone": (
        "qwen2_vl",
        lambda config: [config.pop(key) for key in list(config) if key != "model_type"],
        "no vision_config",
    ),
    "an empty language model": (
        "qwen2_5_vl",
        lambda config: config.update(text_config={}),
        "hidden_size 8192, and the weights have 64",
    ),
    "an empty tower": (
        "qwen2_vl",
        lambda config: config.update(vision_config={}),
        r"vision_config\.hidden_size",
    ),
    "an empty tower of tiles": (
        "llava_next",
        lambda config: config.update(vision_config={}),
        r"vision_config\.hidden_size",
    ),
    "a language model's layers": (
        "qwen3_vl",
        lambda config: config["text_config"].pop("num_hidden_layers"),
        "num_hidden_layers",
    ),
    "words in a language model": ("causal", lambda config: config.pop("vocab_size"), "vocab_size"),
    "the name of a language model": (
        "causal",
        lambda config: [config.pop(key) for key in list(config) if key != "model_type"],
        "hidden_size 4096, and the weights have 64",
    ),
}


@pytest.mark.parametrize("case", REDUCED.values(), ids=REDUCED)
def test_a_reduced_configuration_makes_no_model_of_the_default_size(
    case: Any, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, change, message = case
    folder = copy(kind)
    reduce(folder, change)
    import transformers

    def made(*given: Any, **more: Any) -> None:
        pytest.fail("a model was made")

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", made)
    one_axis = kind in ("llava_next", "causal")
    recipe = MllmOptions(
        model=str(folder),
        architecture=kind,
        rope="none" if one_axis else "mrope",
        takes=("text",) if kind == "causal" else ("text", "image"),
    )
    with pytest.raises(ModelError, match=message):
        load(recipe)


def test_pickled_weights_that_are_none_are_told(options: MllmOptions, copy: Copy) -> None:
    folder = copy("qwen2_vl")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(replace(options, model=str(folder)))
    weights = {finding.name: finding for finding in replace(options, model=str(folder)).check()}["weights"]
    assert "as pickles only (pytorch_model.bin)" in weights.detail


@pytest.mark.parametrize("kind", ["clip", "siglip2", "clap", "blip"])
def test_towers_are_no_language_model_whatever_the_recipe(kind: str, tiny: Any) -> None:
    with pytest.raises(ModelError, match=f"architecture '{kind}'"):
        build_embedder(MllmOptions(model=str(tiny(kind)), architecture="qwen2_vl"))
    with pytest.raises(ModelError, match=f"architecture '{kind}'"):
        build_embedder(
            MllmOptions(model=str(tiny(kind)), architecture="causal", rope="none", takes=("text",))
        )


@pytest.mark.parametrize(
    "sizes",
    [
        {"min": 0},
        {"max": 0},
        {"min": 5000, "max": 4000},
        {"fetch_min": 9, "fetch_max": 8},
        {"fetch_max": -1},
        {"squash": (0, 9)},
    ],
)
def test_sizes_of_nothing_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="pixels"):
        Pixels(**sizes)
    Pixels(min=4000, max=4000, fetch_min=1, squash=(9, 9))


@pytest.mark.parametrize(
    ("form", "place"),
    [
        ({"wrap": "{content}{foo}"}, "{foo}"),
        ({"wrap": "{content}{text}"}, "{text}"),
        ({"text": "{text}{instrction}"}, "{instrction}"),
        ({"bare": "{content}{image}"}, "{image}"),
    ],
)
def test_a_place_for_nothing_is_refused(form: dict[str, str], place: str) -> None:
    with pytest.raises(ConfigError, match=f"Nothing stands for {place}"):
        Form(**form)  # type: ignore[arg-type]
    Form(wrap='{instruction}{content} {"a": 1} {}')
