"""Take apart a file that holds the adapters of several tasks side by side, as jina-embeddings-v4 has it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from mmrag.core.errors import ConfigError
from mmrag.embed.adapters.files import CONFIG, WEIGHTS, copy_tensors, kept, open_adapter, read_header

_TASK = re.compile(r"^(?P<front>.*\.lora_[AB])\.(?P<task>[^.]+)\.(?P<end>weight|bias)$")


def split_by_task(folder: Path, out: Path, *, leave_out: Sequence[str] = ()) -> dict[str, Path]:
    """Write one peft folder a task, from tensors named `...lora_A.<task>.weight`.

    Args:
        folder: The adapter with all tasks.
        out: Where the folders go, each under its task's name.
        leave_out: Regular expressions; tensors in whose name one is found are in none of them.

    Returns:
        The folder of each task.

    Raises:
        ConfigError: The file is not laid out by task.
        ModelError: It cannot be read.
    """
    open_adapter(folder)
    tasks: dict[str, dict[str, str]] = {}
    for name in kept(read_header(folder / WEIGHTS), leave_out):
        found = _TASK.match(name)
        if found is None:
            raise ConfigError(
                f"The tensor {name} names no task.", fix="Add the folder without --split.", where=str(folder)
            )
        tasks.setdefault(found["task"], {})[name] = f"{found['front']}.{found['end']}"
    for task, names in tasks.items():
        (out / task).mkdir(parents=True)
        shutil.copyfile(folder / CONFIG, out / task / CONFIG)
        copy_tensors(folder / WEIGHTS, out / task / WEIGHTS, names)
    return {task: out / task for task in tasks}
