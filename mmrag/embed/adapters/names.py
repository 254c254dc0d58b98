"""Names of modules across the layouts that one model's checkpoints have had."""

from __future__ import annotations

import re

_FRONT = re.compile(r"^(?:model\.)?(?:language_model\.)?(?:model\.)?(?=.)")
_CLIP_TOWER = re.compile(r"^vision_tower\.vision_model\.")


def canonical(name: str) -> str:
    """Return the part of a module's or tensor's name that all layouts share.

    transformers has moved the language model of a vision model twice: what is `language_model.layers.0` in a
    bare model was saved as `model.layers.0`, `language_model.model.layers.0` or
    `model.language_model.layers.0`. All become `layers.0`. Adapters are saved with the names of their day.
    """
    return _CLIP_TOWER.sub("vision_tower.", _FRONT.sub("", name))


def split_at(name: str, prefix: str) -> tuple[str, str] | None:
    """Split an adapter's tensor name into its module and what follows; None for a tensor of another kind.

    `prefix` is what the adapter's kind starts its names with, such as `lora_`:
    `layers.0.q_proj.lora_A.weight` becomes (`layers.0.q_proj`, `lora_A.weight`).
    """
    parts = name.split(".")
    for at, part in enumerate(parts):
        if part.startswith(prefix):
            return ".".join(parts[:at]), ".".join(parts[at:])
    return None
