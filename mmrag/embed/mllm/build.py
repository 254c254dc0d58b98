"""From a recipe to an embedder: what can be said and refused before any weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mmrag.core.errors import ConfigError, ModelError
from mmrag.core.identity import digest_json
from mmrag.core.weights import find_model, fingerprint, read_config
from mmrag.embed.centre import read_centres
from mmrag.embed.local import LocalEmbedder, LocalModel
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.mllm.tensors import hidden_size

_SEEING = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_next")
_PICTURE_TOKENS = ("image_token_id", "image_token_index", "vision_start_token_id")
"""Any of them is in a model that reads pictures among words, and none in one with a tower for each."""


def build_embedder(options: MllmOptions) -> LocalEmbedder:
    """Return the embedder of a recipe; its weights are loaded on first use.

    Raises:
        NotFound: The model is not on this machine.
        ModelError: The model is of another architecture.
        ConfigError: The options do not fit the architecture.
    """
    folder = find_model(options.model, options.revision)
    config = read_config(folder)
    _check_architecture(options, config, folder)
    dim = _dim(options, hidden_size(folder, config))

    def load(device: str) -> Any:
        from mmrag.embed.mllm.load import load_model

        return load_model(options, folder, dim, device)

    return LocalEmbedder(
        LocalModel(
            identity=identity(options, folder, dim),
            dim=dim,
            takes=frozenset(options.takes),
            fuses=options.fuses,
            load=load,
            pictures=options.pictures,
            languages=frozenset(options.languages) or None,
            tasks=frozenset(options.tasks),
            engine=options.engine,
        ),
        read_centres(options.centres, dim),
    )


def identity(options: MllmOptions, folder: Path, dim: int) -> Mapping[str, str]:
    """Return what document vectors depend on.

    How queries are written, their instructions and the adapters that only queries take are left out: they may
    change, and no document needs a new vector. So are devices, batches, padding and the implementation of
    attention, which no vector depends on beyond rounding.

    Args:
        options: The recipe.
        folder: The checkpoint.
        dim: The length of a vector.
    """
    return {
        "embedder": "mllm",
        # No name: the same checkpoint in another folder is the same model.
        "revision": fingerprint(folder),
        "architecture": options.architecture,
        "template": digest_json(_template(options))[:32],
        "pooling": _short(replace(options.pooling, without_instruction=None)),
        "head": _short(options.head) if options.head.kind != "none" else "none",
        "attention": options.attention,
        "rope": options.rope,
        "pixels": _short(options.pixels),
        "images": "pil",
        "max_tokens": f"{options.max_tokens} {options.max_text_tokens or 'all'} {options.longer}",
        "parts": " ".join((*options.takes, options.pictures, "fused" if options.fuses else "apart")),
        "dim": str(dim),
        "dtype": options.dtype,
        "adapters": _adapters(options),
    }


def _template(options: MllmOptions) -> dict[str, Any]:
    task = options.tasks.get(options.task) if options.task else None
    return {
        "form": asdict(options.form("document")),
        "instruction": task.document if task else None,
        "image_token": options.image_token,
        "images_joined": options.images_joined,
        "add_special_tokens": options.add_special_tokens,
        "new_tokens": list(options.new_tokens),
        "normalize_text": options.normalize_text,
        "empty_text": options.empty_text,
        "instruction_full_stop": options.instruction_full_stop,
    }


def _short(value: Any) -> str:
    """Write the fields of a dataclass that are set, as people read a difference."""
    fields = asdict(value)
    return (
        " ".join(f"{name}={fields[name]}" for name in fields if fields[name] not in (None, False))
        or "default"
    )


def _adapters(options: MllmOptions) -> str:
    if options.adapters.empty:
        return "none"
    from mmrag.embed.adapters.identity import adapters_identity

    return adapters_identity(options.adapters, task=options.task)


def _dim(options: MllmOptions, width: int) -> int:
    if options.head.kind == "linear":
        width = options.head.hidden
    if options.dims and options.dims[-1] != width:
        raise ConfigError(
            f"The model's vectors have {width} numbers, the recipe says {options.dims[-1]}.",
            fix="Correct dims in the recipe, or use the recipe of this model's size.",
            where="dims",
        )
    if options.dim is not None and options.dim > width:
        raise ConfigError(
            f"The model's vectors have {width} numbers, fewer than {options.dim}.",
            fix="Give a smaller dim.",
            where="dim",
        )
    return options.dim or width


def _may_be(wanted: str, found: str, config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with its own name, such as jina-v4's, may be of this architecture."""
    if found in _SEEING:
        return False
    if wanted == "causal":
        return "vision_config" not in config and "audio_config" not in config
    return "vision_config" in config and any(name in config for name in _PICTURE_TOKENS)


def _check_architecture(options: MllmOptions, config: Mapping[str, Any], folder: Path) -> None:
    found, wanted = str(config.get("model_type")), options.architecture
    if found != wanted and not _may_be(wanted, found, config):
        raise ModelError(
            f"The model in {folder} is of architecture {found!r}, the recipe needs {wanted!r}.",
            fix="Use the recipe of this model, or give the recipe's own model with --model.",
        )
    if wanted != "causal" and not isinstance(config.get("vision_config"), Mapping):
        raise ModelError(
            f"{folder / 'config.json'} is not whole: it has no vision_config.",
            fix="Download config.json again.",
        )
    if wanted == "causal" and "image" in options.takes:
        raise ConfigError(
            "A causal language model takes no images.", fix="Give takes: [text].", where="takes"
        )
    one_axis = wanted in ("causal", "llava_next")
    if one_axis != (options.rope == "none"):
        allowed = "none" if one_axis else "mrope or sequential"
        raise ConfigError(
            f"rope {options.rope!r} does not fit the architecture {wanted!r}.",
            fix=f"Give rope: {allowed}.",
            where="rope",
        )
