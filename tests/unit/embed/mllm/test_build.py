"""What is said and refused before weights are loaded, and checkpoints that are not whole."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmrag.core.errors import ConfigError, ModelError, NotFound, SourceError
from mmrag.core.types import Query
from mmrag.core.weights import fingerprint
from mmrag.embed.content import Content
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.local import LocalEmbedder
from mmrag.embed.mllm.build import build_embedder
from mmrag.embed.mllm.options import Form, Head, MllmOptions, Pixels, Pooling, Task

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def options(tiny: Any) -> MllmOptions:
    return MllmOptions(model=str(tiny("qwen2_vl")), architecture="qwen2_vl")


@pytest.fixture
def changed(tiny: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return a copy of a tiny model with another configuration, or other names of its weights."""

    def copy(kind: str, change: Change = lambda config: None, rename: Any = str) -> Path:
        folder = Path(shutil.copytree(tiny(kind), tmp_path / kind))
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
        weights = load_file(folder / "model.safetensors")
        renamed = {rename(name): tensor.clone() for name, tensor in weights.items()}
        save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copy


def embed(embedder: LocalEmbedder) -> np.ndarray[Any, Any]:
    model = embedder._model.load("cpu")
    return model.run([model.prepare(Content(("a cat on a sofa",), "document"))])


def test_what_is_said_of_a_recipe(options: MllmOptions) -> None:
    found = build_embedder(replace(options, tasks={"find": Task(query="Find it.")}, languages=("en",)))
    assert (found.dim, found.modalities, found.tasks) == (64, {"text", "image"}, {"find"})
    assert found.languages == {"en"}
    assert found.identity["embedder"] == "mllm"
    assert found.identity["dim"] == "64"
    assert all(isinstance(value, str) for value in found.identity.values())


def test_nothing_heavy_is_imported_to_say_it(options: MllmOptions) -> None:
    code = f"""
import sys
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.mllm.build import build_embedder
print(build_embedder(MllmOptions(model={options.model!r}, architecture="qwen2_vl")).dim)
print([name for name in ("torch", "transformers", "peft", "safetensors") if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split("\n")[:2] == ["64", "[]"]


SAME = {
    "how queries are written": {"query": Form(wrap="Query: {content}")},
    "a query's instruction": {"tasks": {"find": Task(query="Find it.")}, "task": "find"},
    "what a query's pooling leaves out": {
        "query": Form(wrap="{instruction}: {content}"),
        "pooling": Pooling("mean", without_instruction=": "),
    },
    "padding": {"padding_side": "left"},
    "batches": {"engine": EngineOptions(batch_items=2)},
    "attention's implementation": {"attn": "eager"},
}
OTHER = {
    "how items are written": {"document": Form(wrap="Passage: {content}")},
    "an item's instruction": {"tasks": {"find": Task(document="Found.")}, "task": "find"},
    "pooling": {"pooling": Pooling("token_before", token="<emb>")},
    "positions": {"rope": "sequential"},
    "attention": {"attention": "bidirectional"},
    "pixels": {"pixels": Pixels(max=50_000)},
    "the longest input": {"max_tokens": 512},
    "the vector's length": {"dims": (16, 64), "dim": 16},
    "the head": {"head": Head("residual_mlp", prefix="head.")},
    "precision": {"dtype": "bfloat16"},
    "what of an item is embedded": {"pictures": "fused"},
    "what it takes": {"takes": ("text",)},
    "normalisation": {"normalize_text": "uniir"},
    "added tokens": {"add_special_tokens": True},
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_vectors_stay_usable_after(change: dict[str, Any], options: MllmOptions) -> None:
    base = replace(options, document=Form(wrap="{instruction}{content}"))
    base = replace(base, pooling=Pooling("mean"))
    assert build_embedder(base).identity == build_embedder(replace(base, **change)).identity


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_vectors_are_others_after(change: dict[str, Any], options: MllmOptions) -> None:
    base = replace(options, document=Form(wrap="{instruction}{content}"))
    assert build_embedder(base).identity != build_embedder(replace(base, **change)).identity


def test_the_same_checkpoint_elsewhere_is_the_same(options: MllmOptions, tmp_path: Path) -> None:
    there = shutil.copytree(options.model, tmp_path / Path(options.model).name)
    assert build_embedder(replace(options, model=str(there))).identity == build_embedder(options).identity


def test_other_weights_are_another_model(options: MllmOptions, changed: Any) -> None:
    folder = changed("qwen2_vl")
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name] + 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert (
        build_embedder(replace(options, model=str(folder))).identity["revision"]
        != build_embedder(options).identity["revision"]
    )


def flat(config: dict[str, Any]) -> None:
    """As the first releases of Qwen2-VL have it: the language model's settings at the top."""
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text.pop("model_type")
    config |= {key: text[key] for key in text if key not in config}
    config |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    }


def old_names(name: str) -> str:
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def new_names(name: str) -> str:
    inner = name.removeprefix("model.")
    if name.startswith(("lm_head", "model.language_model", "model.visual")):
        return name
    return f"model.{inner}" if inner.startswith("visual.") else f"model.language_model.{inner}"


def bare_names(name: str) -> str:
    return new_names(name).removeprefix("model.")


def called(name: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        config |= {"model_type": name, "architectures": ["Own"], "auto_map": {"AutoModel": "own.Own"}}

    return change


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl"])
@pytest.mark.parametrize(
    ("change", "rename"),
    [(flat, old_names), (called("jina_embeddings_v4"), str), (flat, new_names), (flat, bare_names)],
)
def test_older_and_renamed_checkpoints_load(
    kind: Any, change: Any, rename: Any, tiny: Any, changed: Any
) -> None:
    plain = MllmOptions(model=str(tiny(kind)), architecture=kind)
    other = replace(plain, model=str(changed(kind, change, rename)))
    assert np.array_equal(embed(build_embedder(other)), embed(build_embedder(plain)))


def test_a_width_left_to_a_default_is_read_from_the_weights(changed: Any) -> None:
    folder = changed("llava_next", lambda config: config["text_config"].pop("hidden_size"))
    options = MllmOptions(model=str(folder), architecture="llava_next", rope="none", image_token="<image>")
    assert build_embedder(options).dim == 64


def test_missing_weights_are_named(options: MllmOptions, changed: Any) -> None:
    folder = changed("qwen2_vl", rename=lambda name: name.replace("layers.1.mlp", "layers.9.mlp"))
    with pytest.raises(ModelError, match=r"lacks 3 weights: .*layers\.1\.mlp\.down_proj"):
        embed(build_embedder(replace(options, model=str(folder))))


def test_torn_weights_are_told(options: MllmOptions, changed: Any) -> None:
    folder = changed("qwen2_vl")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        embed(build_embedder(replace(options, model=str(folder))))


def test_a_head_that_the_checkpoint_lacks_is_told(options: MllmOptions) -> None:
    with pytest.raises(ModelError, match=r"'mlp_head\.'"):
        embed(build_embedder(replace(options, head=Head("residual_mlp", prefix="mlp_head."))))


def test_another_architecture_is_refused(options: MllmOptions, tiny: Any, changed: Any) -> None:
    with pytest.raises(ModelError, match="'qwen2_5_vl'"):
        build_embedder(replace(options, model=str(tiny("qwen2_5_vl"))))
    with pytest.raises(ModelError, match="'bert'"):
        build_embedder(replace(options, model=str(tiny("bert"))))
    with pytest.raises(ModelError, match="'qwen2_vl'"):
        build_embedder(replace(options, architecture="causal", takes=("text",), rope="none"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope": "none"}, "rope"),
        ({"dims": (16, 32)}, "64 numbers"),
        ({"architecture": "causal", "model": "causal", "rope": "none"}, "no images"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    change: Any, message: str, options: MllmOptions, tiny: Any
) -> None:
    if "model" in change:
        change = {**change, "model": str(tiny(change["model"]))}
    with pytest.raises(ConfigError, match=message):
        build_embedder(replace(options, **change))


def test_a_span_of_pictures_needs_their_marks(tiny: Any) -> None:
    options = MllmOptions(
        model=str(tiny("llava_next")),
        architecture="llava_next",
        rope="none",
        image_token="<image>",
        pooling=Pooling("mean", image_kind="vision_span"),
    )
    with pytest.raises(ConfigError, match="marks no pictures"):
        embed(build_embedder(options))


def test_a_model_that_is_not_here_says_how_to_get_it(options: MllmOptions) -> None:
    with pytest.raises(NotFound, match="hf download Alibaba-NLP/gme"):
        build_embedder(replace(options, model="Alibaba-NLP/gme-Qwen2-VL-2B-Instruct"))


def test_an_embedder_embeds_end_to_end(options: MllmOptions) -> None:
    embedder = build_embedder(replace(options, engine=EngineOptions(devices=("cpu",), threads=1)))
    contents = [Content((text,), "document") for text in ("a cat", "a tower in Paris", "7")]
    found = list(embedder.embed_contents(contents))
    model = embedder._model.load("cpu")
    for at, one in enumerate(found):
        assert one.position == at
        assert one.error is None
        assert one.vectors is not None
        assert np.abs(one.vectors[0] - model.run([model.prepare(contents[at])])[0]).max() < 1e-6


def test_a_small_tensor_among_large_ones_counts(tmp_path: Path) -> None:
    large = {f"layer{at:02d}": torch.full((512, 1024), float(at)) for at in range(12)}
    for head in (1.0, 2.0):
        (tmp_path / str(head)).mkdir()
        tensors = {**large, "layer04_head": torch.full((64, 64), head)}
        save_file(tensors, tmp_path / str(head) / "model.safetensors")
    assert fingerprint(tmp_path / "1.0") != fingerprint(tmp_path / "2.0")


@pytest.mark.parametrize(
    "wrong",
    [
        {"pictures": "fused", "fuses": False},
        {"takes": ()},
        {"max_tokens": 0},
        {"max_pictures": 0},
        {"pooling": Pooling("last", image_kind="token_before")},
        {"pooling": Pooling("mean", without_instruction="\nQuery: "), "query": Form("\nQuery: {content}")},
    ],
)
def test_values_that_make_no_sense_are_refused(options: MllmOptions, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(options, **wrong)


def test_the_end_that_the_settings_promise_is_put_behind_an_input(tiny: Any, tmp_path: Path) -> None:
    # As MM-Embed's settings have it, and as transformers 5 forgets.
    folder = Path(shutil.copytree(tiny("llava_next_mistral"), tmp_path / "model"))
    written = json.loads((folder / "tokenizer.json").read_text())
    written["post_processor"]["single"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(written))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    recipe = MllmOptions(model=str(folder), architecture="llava_next", rope="none", add_special_tokens=True)
    ends = []
    for promised in (False, True):
        (folder / "tokenizer_config.json").write_text(json.dumps({**told, "add_eos_token": promised}))
        model: Any = build_embedder(replace(recipe, image_token="<image>"))._model.load("cpu")
        ends.append(model.prepare(Content(("a cat",), "document")).data.ids.tolist())
    bare, ended = ends
    assert ended == [*bare, 2]
    assert bare[0] == 1


def test_an_error_that_is_kept_keeps_no_threads(options: MllmOptions, tmp_path: Path) -> None:
    embedder = build_embedder(options)
    with pytest.raises(SourceError) as caught:
        embedder.embed_queries([Query.of(image=tmp_path / "gone.png"), Query.of("b")])
    assert caught.value.__traceback__ is not None
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mmrag-")] == []
