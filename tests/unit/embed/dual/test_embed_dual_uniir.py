"""Checkpoints in the layout of UniIR's authors give the vectors of the model that they hold."""

import json
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmrag.core.errors import ModelError
from mmrag.embed.content import Content, Picture
from mmrag.embed.dual.model import DualModel, load_model
from mmrag.embed.dual.options import DualOptions
from mmrag.embed.dual.uniir import convert


def openai_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Write CLIPModel's weights as OpenAI's code stores them: one matrix for q, k and v."""
    out: dict[str, Any] = {"logit_scale": tensors["logit_scale"]}
    for ours, theirs, norms in (
        ("text_model", "", {"final_layer_norm": "ln_final"}),
        ("vision_model", "visual.", {"pre_layrnorm": "visual.ln_pre", "post_layernorm": "visual.ln_post"}),
    ):
        for norm, name in norms.items():
            for end in ("weight", "bias"):
                out[f"{name}.{end}"] = tensors[f"{ours}.{norm}.{end}"]
        for layer in range(2):
            at, to = f"{ours}.encoder.layers.{layer}", f"{theirs}transformer.resblocks.{layer}"
            for end in ("weight", "bias"):
                parts = [tensors[f"{at}.self_attn.{part}_proj.{end}"] for part in ("q", "k", "v")]
                out[f"{to}.attn.in_proj_{end}"] = torch.cat(parts)
                out[f"{to}.attn.out_proj.{end}"] = tensors[f"{at}.self_attn.out_proj.{end}"]
                out[f"{to}.ln_1.{end}"] = tensors[f"{at}.layer_norm1.{end}"]
                out[f"{to}.ln_2.{end}"] = tensors[f"{at}.layer_norm2.{end}"]
                out[f"{to}.mlp.c_fc.{end}"] = tensors[f"{at}.mlp.fc1.{end}"]
                out[f"{to}.mlp.c_proj.{end}"] = tensors[f"{at}.mlp.fc2.{end}"]
    out["token_embedding.weight"] = tensors["text_model.embeddings.token_embedding.weight"]
    out["positional_embedding"] = tensors["text_model.embeddings.position_embedding.weight"]
    out["text_projection"] = tensors["text_projection.weight"].T
    out["visual.class_embedding"] = tensors["vision_model.embeddings.class_embedding"]
    out["visual.conv1.weight"] = tensors["vision_model.embeddings.patch_embedding.weight"]
    out["visual.positional_embedding"] = tensors["vision_model.embeddings.position_embedding.weight"]
    out["visual.proj"] = tensors["visual_projection.weight"].T
    return {f"clip_model.{name}": tensor.clone() for name, tensor in out.items()}


def salesforce_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Write BLIP's weights as its authors' code stores them, with what a training run leaves beside them."""
    out: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if name.startswith("text_encoder."):
            out[name] = tensor
            out[name.replace("text_encoder", "text_encoder_m")] = tensor + 1
        elif name.startswith("vision_model."):
            for ours, theirs in (
                ("vision_model.embeddings.class_embedding", "cls_token"),
                ("vision_model.embeddings.position_embedding", "pos_embed"),
                ("vision_model.embeddings.patch_embedding", "patch_embed.proj"),
                ("vision_model.post_layernorm", "norm"),
                ("vision_model.encoder.layers.", "blocks."),
                (".self_attn.qkv.", ".attn.qkv."),
                (".self_attn.projection.", ".attn.proj."),
                (".layer_norm1.", ".norm1."),
                (".layer_norm2.", ".norm2."),
            ):
                name = name.replace(ours, theirs)
            out[f"visual_encoder.{name}"] = tensor
            out[f"visual_encoder_m.{name}"] = tensor + 1
    out["text_encoder.embeddings.position_ids"] = torch.arange(128)[None]
    out |= {"temp": torch.tensor(0.07), "query_queue": torch.zeros(4, 8), "new_ptr_queue": torch.zeros(1)}
    return out


def test_clip_sf(
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    picture: Callable[..., Picture],
    tmp_path: Path,
) -> None:
    state = openai_names(load_file(tiny("clip") / "model.safetensors"))
    torch.save({"model": OrderedDict(state), "epoch": 3}, tmp_path / "clip_sf.pth")
    folder = tmp_path / "made" / "clip"
    convert("clip-sf", tmp_path / "clip_sf.pth", tiny("clip"), folder)
    model = load_model(folder, DualOptions(model=str(folder), architecture="clip", fusion="sum"), "cpu")
    expected = dual("clip", fusion="sum")
    contents = [Content(("a cat", picture(1)), "query"), Content((picture(2),), "document")]
    contents.append(Content(("a cat",), "query"))
    found = model.run([model.prepare(content) for content in contents])
    np.testing.assert_allclose(
        found, expected.run([expected.prepare(content) for content in contents]), atol=1e-5
    )
    with pytest.raises(ModelError, match="is there already"):
        convert("clip-sf", tmp_path / "clip_sf.pth", tiny("clip"), folder)
    with pytest.raises(ModelError, match="is no blip-ff checkpoint"):
        convert("blip-ff", tmp_path / "clip_sf.pth", tiny("blip"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_blip_ff(
    tiny: Callable[[str], Path],
    dual: Callable[..., DualModel],
    picture: Callable[..., Picture],
    tmp_path: Path,
) -> None:
    tensors = load_file(tiny("blip") / "model.safetensors")
    torch.manual_seed(2)
    tensors["text_encoder.pooler.dense.weight"] = torch.eye(32) * 0.1
    tensors["text_encoder.pooler.dense.bias"] = torch.zeros(32)
    torch.save({"model": salesforce_names(tensors)}, tmp_path / "blip_ff.pth")
    # The base was made for larger pictures, as the published one is.
    base = tmp_path / "base"
    shutil.copytree(tiny("blip"), base)
    config = json.loads((base / "config.json").read_text())
    config["vision_config"]["image_size"] = 64
    (base / "config.json").write_text(json.dumps(config))
    settings = json.loads((base / "processor_config.json").read_text())
    settings["image_processor"]["size"] = {"height": 64, "width": 64}
    (base / "processor_config.json").write_text(json.dumps(settings))

    folder = tmp_path / "blip"
    convert("blip-ff", tmp_path / "blip_ff.pth", base, folder)
    options = DualOptions(model=str(folder), architecture="blip", fusion="feature", pooled="pooler")
    model, plain = load_model(folder, options, "cpu"), dual("blip", fusion="feature")
    contents = [Content(("a cat", picture(1)), "query"), Content((picture(2),), "document")]
    contents.append(Content(("a cat",), "query"))
    rows = [plain.prepare(content).data for content in contents]
    expected = np.tanh(plain._features(rows) * 0.1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = model.run([model.prepare(content) for content in contents])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_that_could_run_code_needs_consent(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    state = openai_names(load_file(tiny("clip") / "model.safetensors"))
    torch.save({"model": state, "config": Path("settings")}, tmp_path / "clip_sf.pth")
    with pytest.raises(ModelError, match="may run code"):
        convert("clip-sf", tmp_path / "clip_sf.pth", tiny("clip"), tmp_path / "made")
    convert("clip-sf", tmp_path / "clip_sf.pth", tiny("clip"), tmp_path / "made", trusted=True)
    assert (tmp_path / "made" / "model.safetensors").exists()
    with pytest.raises(ModelError, match="cannot be read"):
        convert("clip-sf", tmp_path / "none.pth", tiny("clip"), tmp_path / "none")
