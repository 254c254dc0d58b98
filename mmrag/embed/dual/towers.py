"""The halves of a dual encoder: from collated inputs to features that are not normalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrag.core.checkpoint import check_sizes, loading
from mmrag.core.errors import ModelError
from mmrag.core.lazy import require
from mmrag.embed.dual.options import DualOptions

Inputs = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]
Features = Any
"""A tensor [rows, dim]."""

_CLASSES = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
    "clap": "ClapModel",
    "blip": "BlipForImageTextRetrieval",
}
_NEVER_READ = ("logit_scale", "logit_bias", "position_ids", "logit_scale_a", "logit_scale_t")
"""What a loss or an older format stores, and no feature depends on."""

_POOLER = "text_encoder.pooler.dense"


@dataclass(frozen=True, slots=True)
class Towers:
    """A loaded model as functions, from arrays to arrays.

    Args:
        device: Where it runs.
        dtype: Of its weights, by torch's own name.
        positions: How many places a picture or sound takes in its tower.
        text: Token ids, and a mask for most models, to features; None where they are never read alone.
        other: Pictures or sounds to features; None for a model of words.
        fused: Token ids and pictures to one feature a row, for feature fusion only.
        blank: The picture that stands for none in feature fusion.
    """

    device: str
    dtype: Any
    positions: int
    text: Callable[[Inputs], Features] | None = None
    other: Callable[[Inputs], Features] | None = None
    fused: Callable[[Inputs, Inputs], Features] | None = None
    blank: Arrays | None = None

    def embed_words(self, words: Arrays) -> NDArray[np.float32]:
        """Return the features of collated words."""
        assert self.text is not None
        return self._call(self.text, words)

    def embed_others(self, others: Arrays) -> NDArray[np.float32]:
        """Return the features of stacked pictures or sounds."""
        assert self.other is not None
        return self._call(self.other, others)

    def embed_fused(self, words: Arrays, others: Arrays) -> NDArray[np.float32]:
        """Return the features of words that look at a picture."""
        assert self.fused is not None
        return self._call(self.fused, words, others)

    def _call(self, tower: Callable[..., Features], *inputs: Arrays) -> NDArray[np.float32]:
        torch = require("torch", extra="local", feature="A dual encoder")

        def place(array: NDArray[Any]) -> Any:
            tensor = torch.from_numpy(array).to(self.device)
            return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

        with torch.inference_mode():
            features = tower(*({name: place(array) for name, array in arrays.items()} for arrays in inputs))
            found: NDArray[np.float32] = features.float().cpu().numpy()
        return found


def load_towers(folder: Path, options: DualOptions, config: Mapping[str, Any], device: str) -> Towers:
    """Load the weights of a checkpoint onto a device.

    The library's own classes are used: code that a checkpoint brings is never run.

    Raises:
        ModelError: Weights that its vectors depend on are missing.
    """
    transformers = require("transformers", extra="local", feature="A dual encoder")
    torch = require("torch", extra="local", feature="A dual encoder")
    kind = getattr(transformers, _CLASSES[config["model_type"]])
    more = {} if options.attn == "auto" else {"attn_implementation": options.attn}
    dtype = _dtype(torch, options.dtype, device)
    with loading(folder):
        check_sizes(folder, kind.config_class.from_pretrained(folder))
        model, found = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True, **more)
        model = model.eval().to(device)
    _check(folder, options, found)
    towers = Towers(device, dtype, _positions(model.config))
    if options.fusion == "feature":
        pooler = _read_pooler(folder, model) if options.pooled == "pooler" else None
        size = model.config.vision_config.image_size
        blank = {"pixel_values": np.zeros((3, size, size), np.float32)}
        return replace(towers, fused=_looking(model, pooler), blank=blank)
    text, other = _blip_apart(model) if options.architecture == "blip" else _apart(model)
    return replace(towers, text=text, other=other if options.taken - {"text"} else None)


def _positions(config: Any) -> int:
    if (vision := getattr(config, "vision_config", None)) is None:
        # A spectrogram is folded into a square picture.
        audio = config.audio_config
        return int(audio.spec_size // audio.patch_size) ** 2
    patches = getattr(vision, "num_patches", None)
    return int(patches or (vision.image_size // vision.patch_size) ** 2)


def _apart(model: Any) -> tuple[Callable[[Inputs], Features], Callable[[Inputs], Features]]:
    other = model.get_image_features if hasattr(model, "get_image_features") else model.get_audio_features
    return (
        lambda inputs: model.get_text_features(**inputs).pooler_output,
        lambda inputs: other(**inputs).pooler_output,
    )


def _blip_apart(model: Any) -> tuple[Callable[[Inputs], Features], Callable[[Inputs], Features]]:
    """BLIP as two towers: the projected first tokens, as its contrastive loss takes them."""

    def text(inputs: Inputs) -> Features:
        return model.text_proj(model.text_encoder(**inputs).last_hidden_state[:, 0])

    def image(inputs: Inputs) -> Features:
        return model.vision_proj(model.vision_model(**inputs).last_hidden_state[:, 0])

    return text, image


def _looking(model: Any, pooler: tuple[Any, Any] | None) -> Callable[[Inputs, Inputs], Features]:
    """BLIP as one encoder of words that looks at a picture."""
    torch = require("torch", extra="local", feature="A dual encoder")

    def fused(words: Inputs, pictures: Inputs) -> Features:
        seen = model.vision_model(**pictures).last_hidden_state
        # All patches are looked at, those of the blank picture too: so it was trained.
        mask = torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device)
        states = model.text_encoder(**words, encoder_hidden_states=seen, encoder_attention_mask=mask)
        first = states.last_hidden_state[:, 0]
        return first if pooler is None else torch.tanh(torch.nn.functional.linear(first, *pooler))

    return fused


def _dtype(torch: Any, name: str, device: str) -> Any:
    if name == "auto":
        return torch.float32 if device == "cpu" else torch.bfloat16
    return getattr(torch, name)


def _check(folder: Path, options: DualOptions, found: Mapping[str, Any]) -> None:
    # The heads of a BLIP checkpoint that the recipe does not read may be missing.
    projections = ("vision_proj.", "text_proj.") if options.fusion == "feature" else ()
    unread = ("itm_head.", *projections)
    missing = sorted(
        key
        for key in found["missing_keys"]
        if key.rsplit(".", 1)[-1] not in _NEVER_READ
        and not (options.architecture == "blip" and key.startswith(unread))
    )
    if missing:
        raise ModelError(
            f"{folder} lacks {len(missing)} tensors, {missing[0]} among them.",
            fix="Download the model again, or convert it to the layout of transformers.",
        )


def _read_pooler(folder: Path, model: Any) -> tuple[Any, Any]:
    """Read the text encoder's pooler, which the library's class leaves out."""
    safetensors = require("safetensors", extra="local", feature="A dual encoder")
    tensors: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            for key in {f"{_POOLER}.weight", f"{_POOLER}.bias"} & set(file.keys()):
                tensors[key] = file.get_tensor(key)
    if len(tensors) < 2:
        raise ModelError(
            f"{folder} has no {_POOLER}.weight and .bias in safetensors.",
            fix="Convert the published checkpoint with its pooler, or give the recipe: pooled: cls",
        )
    like = model.text_proj.weight
    weight, bias = (tensors[f"{_POOLER}.{name}"].to(like.device, like.dtype) for name in ("weight", "bias"))
    return weight, bias
