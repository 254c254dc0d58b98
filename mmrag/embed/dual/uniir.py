"""Turn UniIR's published checkpoints into folders that a dual encoder loads."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Literal

from mmrag.core.errors import ModelError
from mmrag.core.lazy import require
from mmrag.core.weights import read_config

Kind = Literal["clip-sf", "blip-ff"]
Named = tuple[str, Any]

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".index.json")
_UNKNOWN = "Give the checkpoint of this kind that TIGER-Lab/UniIR publishes."


def convert(kind: Kind, checkpoint: Path, base: Path, folder: Path, *, trusted: bool = False) -> None:
    """Write a published checkpoint in the layout of transformers.

    Args:
        kind: Which model it is.
        checkpoint: The `.pth` file.
        base: A folder of the model that it was trained from, for config, tokenizer and processor:
            openai/clip-vit-large-patch14, or Salesforce/blip-itm-large-coco. Its weights are not used.
        folder: Where to; it must not exist.
        trusted: Whether the file may run code while it is read, as pickled settings in it need.

    Raises:
        ModelError: The file cannot be read, or is of another kind.
    """
    safetensors = require("safetensors.torch", extra="local", feature="Converting a checkpoint")
    if folder.exists():
        raise ModelError(f"{folder} is there already.", fix="Name another folder, or remove it.")
    rename = _CONVERTERS[kind]
    state = _read(checkpoint, trusted=trusted)
    try:
        tensors = {name: tensor.contiguous() for name, tensor in rename(state)}
    except (KeyError, IndexError) as error:
        raise ModelError(f"{checkpoint} is no {kind} checkpoint: it lacks {error}.", fix=_UNKNOWN) from error
    if not tensors:
        raise ModelError(f"{checkpoint} is no {kind} checkpoint.", fix=_UNKNOWN)
    folder.mkdir(parents=True)
    for path in sorted(base.iterdir()):
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(_WEIGHTS):
            shutil.copyfile(path, folder / path.name)
    _fit_pictures(folder, tensors)
    safetensors.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _read(checkpoint: Path, *, trusted: bool) -> Mapping[str, Any]:
    torch = require("torch", extra="local", feature="Converting a checkpoint")
    try:
        data = torch.load(checkpoint, map_location="cpu", weights_only=not trusted)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{checkpoint} holds more than tensors, and reading that may run code in it.",
            fix="If you trust where it is from, allow it: --trusted",
        ) from error
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{checkpoint} holds objects of the package {error.name}, which is not installed.",
            fix=f"Run: pip install {(error.name or '').split('.')[0]}",
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise ModelError(f"{checkpoint} cannot be read: {error}.", fix="Download it again.") from error
    state = data.get("model", data) if isinstance(data, Mapping) else None
    if not isinstance(state, Mapping):
        raise ModelError(f"{checkpoint} holds no tensors by name.", fix=_UNKNOWN)
    return state


def _clip(state: Mapping[str, Any]) -> Iterator[Named]:
    """OpenAI's names, under `clip_model.`, to those of CLIPModel."""
    state = {key.removeprefix("clip_model."): value for key, value in state.items()}
    for old, new in _CLIP_NAMES.items():
        # CLIP is kept in float16: the library computes in the precision that the recipe asks for.
        yield new, state[old].float()
    # Projections are stored as matrices that a row is multiplied with: transposed, seen from a linear layer.
    yield "text_projection.weight", state["text_projection"].float().T
    yield "visual_projection.weight", state["visual.proj"].float().T
    for key, value in state.items():
        found = _CLIP_BLOCK.fullmatch(key)
        if found is None:
            continue
        tower = "vision_model" if found["visual"] else "text_model"
        place = f"{tower}.encoder.layers.{found['layer']}"
        if (name := found["name"]).startswith("attn.in_proj_"):
            for part, piece in zip("qkv", value.float().chunk(3), strict=True):
                yield f"{place}.self_attn.{part}_proj.{name.removeprefix('attn.in_proj_')}", piece
        else:
            head, _, end = name.rpartition(".")
            yield f"{place}.{_CLIP_LAYER[head]}.{end}", value.float()


def _blip(state: Mapping[str, Any]) -> Iterator[Named]:
    """Salesforce's names to those of BlipForImageTextRetrieval, with the pooler that it leaves out."""
    for old, new in _BLIP_NAMES.items():
        yield new, state[f"visual_encoder.{old}"].float()
    yield "text_encoder.pooler.dense.weight", state["text_encoder.pooler.dense.weight"].float()
    for key, value in state.items():
        if found := _BLIP_BLOCK.fullmatch(key):
            place = f"vision_model.encoder.layers.{found['layer']}"
            yield f"{place}.{_BLIP_LAYER[found['name']]}.{found['end']}", value.float()
        elif (
            key.startswith("text_encoder.") and value.is_floating_point() and "pooler.dense.weight" not in key
        ):
            yield key, value.float()


def _fit_pictures(folder: Path, tensors: Mapping[str, Any]) -> None:
    """Correct the size of pictures, which BLIP's base has larger than the trained model."""
    positions = tensors.get("vision_model.embeddings.position_embedding")
    if positions is None:
        return
    config = read_config(folder)
    vision = config.setdefault("vision_config", {})
    vision["image_size"] = side = isqrt(positions.shape[1] - 1) * int(vision.get("patch_size", 16))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in ("preprocessor_config.json", "processor_config.json"):
        if not (folder / name).exists():
            continue
        settings = read_config(folder, name)
        settings.get("image_processor", settings)["size"] = {"height": side, "width": side}
        (folder / name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


_CLIP_NAMES = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
_CLIP_BLOCK = re.compile(r"(?P<visual>visual\.)?transformer\.resblocks\.(?P<layer>\d+)\.(?P<name>.+)")
_CLIP_LAYER = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_BLIP_NAMES = {
    "cls_token": "vision_model.embeddings.class_embedding",
    "pos_embed": "vision_model.embeddings.position_embedding",
    "patch_embed.proj.weight": "vision_model.embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "vision_model.embeddings.patch_embedding.bias",
    "norm.weight": "vision_model.post_layernorm.weight",
    "norm.bias": "vision_model.post_layernorm.bias",
}
_BLIP_BLOCK = re.compile(r"visual_encoder\.blocks\.(?P<layer>\d+)\.(?P<name>.+)\.(?P<end>weight|bias)")
_BLIP_LAYER = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_CONVERTERS: Mapping[Kind, Callable[[Mapping[str, Any]], Iterator[Named]]] = {
    "clip-sf": _clip,
    "blip-ff": _blip,
}
