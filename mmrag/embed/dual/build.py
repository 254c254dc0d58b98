"""From a recipe to an embedder, without loading any weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmrag.core.errors import ConfigError, ModelError
from mmrag.core.weights import find_model, fingerprint, read_config
from mmrag.embed.centre import read_centres
from mmrag.embed.content import Model
from mmrag.embed.dual.options import Architecture, DualOptions
from mmrag.embed.local import LocalEmbedder, LocalModel

MODEL_TYPES: Mapping[Architecture, tuple[str, ...]] = {
    "clip": ("clip",),
    "siglip2": ("siglip2", "siglip"),
    "clap": ("clap",),
    "blip": ("blip",),
}
"""The `model_type` of the checkpoints; those of SigLIP2 with a fixed resolution say `siglip`."""

_DIM: Mapping[Architecture, tuple[tuple[str, ...], int]] = {
    "clip": (("projection_dim",), 512),
    "siglip2": (("vision_config", "hidden_size"), 768),
    "clap": (("projection_dim",), 512),
    "blip": (("image_text_hidden_size",), 256),
}
"""Where a config says the length of a vector, and what it is where the file leaves it out."""


def build_embedder(options: DualOptions) -> LocalEmbedder:
    """Return the embedder of a dual encoder; its weights are loaded on first use.

    Raises:
        NotFound: The model is not on this machine.
        ModelError: It is of another architecture.
        ConfigError: It has no vectors of that length.
    """
    folder = find_model(options.model, options.revision)
    config = read_config(folder)
    found = config.get("model_type")
    if found not in MODEL_TYPES[options.architecture]:
        raise ModelError(
            f"{folder} is a {found} model, and the recipe wants {options.architecture}.",
            fix="Name the folder of the model that the recipe is for, or use its recipe: mmrag recipe list",
        )
    full = full_dim(config, options)
    if options.dim is not None and options.dim > full:
        raise ConfigError(
            f"The model has vectors of {full} numbers, fewer than {options.dim}.",
            fix="Give a smaller dim.",
            where="dim",
        )
    dim = options.dim or full

    def load(device: str) -> Model:
        from mmrag.embed.dual.model import load_model

        return load_model(folder, options, device)

    return LocalEmbedder(
        LocalModel(
            identity=_identity(folder, options, dim),
            dim=dim,
            takes=frozenset(options.taken),
            fuses=options.fusion != "none",
            load=load,
            pictures=options.pictures,
            languages=frozenset(options.languages) or None,
            tasks=frozenset(options.tasks),
            engine=options.engine,
        ),
        read_centres(options.centres, dim),
    )


def full_dim(config: Mapping[str, Any], options: DualOptions) -> int:
    """Return the length of the model's vectors before any cut."""
    keys, default = _DIM[options.architecture]
    if options.fusion == "feature":
        keys, default = ("text_config", "hidden_size"), 768
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) else default


def _identity(folder: Path, options: DualOptions, dim: int) -> dict[str, str]:
    # Instructions are for queries only: documents stay as they are when one changes.
    identity = {
        "embedder": "dual",
        "revision": fingerprint(folder),
        "architecture": options.architecture,
        "fusion": options.fusion,
        "text": f"{options.normalize_text}{' lowercase' if options.lowercase else ''}",
        "max_text_tokens": str(options.max_text_tokens or "model"),
        "parts": " ".join(sorted(options.taken)),
        "pictures": f"{options.pictures} pil",
        "dtype": options.dtype,
        "dim": str(dim),
    }
    if options.fusion == "sum":
        identity["weights"] = f"{options.text_weight:g} {options.image_weight:g}"
    if options.fusion == "feature":
        identity["pooled"] = options.pooled
    return identity
