"""Look into a checkpoint's safetensors files without loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmrag.core.errors import ModelError
from mmrag.core.lazy import require
from mmrag.embed.adapters.files import read_header


def tensor_shapes(folder: Path) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Return the file and the shape of every tensor, read from the headers.

    Raises:
        ModelError: A header is torn.
    """
    return {
        name: (path, info.shape)
        for path in sorted(folder.glob("*.safetensors"))
        for name, info in read_header(path).items()
    }


def hidden_size(folder: Path, config: Mapping[str, Any]) -> int:
    """Return the width of the language model's states.

    The weights are asked where the configuration leaves it to a default, as LLaVA-NeXT's published ones do.

    Raises:
        ModelError: Neither says.
    """
    text = config.get("text_config")
    for place in (text if isinstance(text, Mapping) else {}, config):
        if isinstance(width := place.get("hidden_size"), int):
            return width
    for name, (_, shape) in tensor_shapes(folder).items():
        if name.endswith("embed_tokens.weight") and len(shape) == 2:
            return shape[1]
    raise ModelError(
        f"{folder} does not say how wide its states are.",
        fix="Download the checkpoint again, config.json too.",
    )


def read_tensors(folder: Path, prefix: str, device: str) -> dict[str, Any]:
    """Return the tensors whose names start with `prefix`, by their names without it.

    Raises:
        ModelError: A file is torn.
    """
    safetensors = require("safetensors", extra="local", feature="A model's head")
    found: dict[str, Any] = {}
    for name, (path, _) in tensor_shapes(folder).items():
        if name.startswith(prefix):
            with safetensors.safe_open(path, framework="pt", device=device) as file:
                found[name.removeprefix(prefix)] = file.get_tensor(name)
    return found
