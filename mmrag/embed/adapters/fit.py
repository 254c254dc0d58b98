"""Whether an adapter's tensors fit its settings and a base model, by shapes alone: no weights are loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mmrag.embed.adapters.files import Adapter, read_header
from mmrag.embed.adapters.names import canonical, split_at

_LINEAR = {"lora_A.weight": 1, "lora_B.weight": 0}
"""Which axis of a tensor is that of the base weight: input is 1, output 0."""


def misfits(adapter: Adapter, base: Path | None = None) -> list[str]:
    """Say what does not fit; an empty list where all does.

    Of adapters with a rank, the rank of each tensor is compared with the settings. With a base model, so are
    the widths of the layers. Other kinds are checked when they are loaded.

    Args:
        adapter: The adapter.
        base: The folder of its base model; of pickled weights nothing is compared.

    Raises:
        ModelError: A file of the base cannot be read.
    """
    wrong = []
    shapes = _shapes(base) if base is not None else {}
    if base is not None and not shapes:
        return _ranks(adapter)
    for name, info in adapter.tensors.items():
        module, rest = split_at(name, "lora_") or ("", "")
        if not shapes or rest not in _LINEAR or len(info.shape) != 2:
            continue
        weight = shapes.get(f"{canonical(module)}.weight")
        axis = _LINEAR[rest]
        if weight is None:
            wrong.append(f"{module} is no layer of the base model")
        elif len(weight) == 2 and info.shape[axis] != weight[axis]:
            wrong.append(f"{name} is {list(info.shape)} and its layer {list(weight)}")
    return [*_ranks(adapter), *wrong]


def _ranks(adapter: Adapter) -> list[str]:
    if adapter.rank is None:
        return []
    pattern = adapter.config.get("rank_pattern") or {}
    wrong = []
    for name, info in adapter.tensors.items():
        module, rest = split_at(name, "lora_") or ("", "")
        if rest not in _LINEAR or len(info.shape) != 2:
            continue
        rank = rank_of(module, pattern, adapter.rank)
        if info.shape[1 - _LINEAR[rest]] != rank:
            wrong.append(f"{name} is {list(info.shape)} and the rank {rank}")
    return wrong


def rank_of(module: str, pattern: Mapping[str, int], default: int) -> int:
    """Return the entry of a `rank_pattern` or `alpha_pattern` for a module, as peft matches them."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def _shapes(base: Path) -> dict[str, tuple[int, ...]]:
    return {
        canonical(name): info.shape
        for file in sorted(base.glob("*.safetensors"))
        for name, info in read_header(file).items()
    }
