"""Where models run, and how large a batch may be there."""

from __future__ import annotations

import os
import re

from mmrag.core.errors import ConfigError
from mmrag.core.lazy import require
from mmrag.embed.engine.buckets import Budget
from mmrag.embed.engine.options import EngineOptions

_NAME = re.compile(r"cpu|mps|cuda(?::(\d+))?")

_CPU_TOKENS = 4096
"""More at once is no faster on a CPU, and falls out of its caches."""

_CPU_BATCH_COST, _GPU_BATCH_COST = 32, 512
"""Positions that could run while a batch is started: a GPU waits for thousands of kernels to be launched."""

_MIN_GPU_TOKENS = 2048
_MAX_GPU_TOKENS = 65_536
_BYTES_A_TOKEN = 1 << 20
"""About twice what the widest layer of a 7B model and its picture tower hold for one position in bfloat16; a
guess that is too high ends in `OutOfMemory`, after which batches are halved."""


def choose_devices(options: EngineOptions) -> tuple[str, ...]:
    """Return the devices that the options name, or the first GPU, or the CPU where there is none.

    Raises:
        ConfigError: There is no such device, or it is named twice.
        MissingExtra: PyTorch is not installed.
    """
    torch = require("torch", extra="local", feature="A local model")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not options.devices:
        return ("cuda:0",) if gpus else ("cpu",)
    here = ["cpu", *(f"cuda:{i}" for i in range(gpus))]
    if torch.backends.mps.is_available():
        here.append("mps")
    chosen = tuple(_spelled(name) for name in options.devices)
    for name in chosen:
        if name not in here:
            raise ConfigError(
                f"There is no device {name!r}.", fix=f"Here are: {', '.join(here)}.", where="devices"
            )
        if chosen.count(name) > 1:
            raise ConfigError(
                f"The device {name!r} is named twice.", fix="Name each device once.", where="devices"
            )
    return chosen


def choose_budget(device: str, options: EngineOptions) -> Budget:
    """Return how large batches may be: what the options say, else what the device suggests.

    A GPU's free memory is asked: call it after the model has been loaded. Without another word pictures may
    take half of a batch's positions, as each of theirs stands for four patches in the picture tower.
    """
    tokens = options.batch_tokens or _suggested_tokens(device)
    visual = options.batch_visual_tokens or max(1, tokens // 2)
    return Budget(
        tokens, visual, options.batch_items, _CPU_BATCH_COST if device == "cpu" else _GPU_BATCH_COST
    )


def choose_threads(options: EngineOptions) -> int:
    """Return how many threads prepare inputs: what the options say, else one a core that this process has."""
    if options.threads:
        return options.threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _spelled(name: str) -> str:
    found = _NAME.fullmatch(name)
    if not found:
        raise ConfigError(
            f"{name!r} is no device.", fix="Write cpu, cuda:0 (or another number) or mps.", where="devices"
        )
    return f"cuda:{int(found[1] or 0)}" if name.startswith("cuda") else name


def _suggested_tokens(device: str) -> int:
    if not device.startswith("cuda"):
        return _CPU_TOKENS
    torch = require("torch", extra="local", feature="A local model")
    free, _ = torch.cuda.mem_get_info(device)
    # What PyTorch keeps for itself without using it is free for the next batch too.
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(min(_MAX_GPU_TOKENS, max(_MIN_GPU_TOKENS, free // _BYTES_A_TOKEN)))
