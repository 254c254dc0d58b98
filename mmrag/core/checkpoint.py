"""What every loader asks of a checkpoint: a tokenizer, a fitting configuration, and plain errors."""

from __future__ import annotations

import json
import pickle
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmrag.core.errors import MmragError, ModelError
from mmrag.core.lazy import require
from mmrag.core.quiet import quiet_loading

_VOCABULARIES = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
)
"""Any of these is a whole tokenizer."""

_SETTINGS = "tokenizer_config.json"
_AGAIN = "Download the whole checkpoint again."
_MAX_HEADER_BYTES = 100_000_000
_PICTURE_ROWS = ("patch_embed.proj.weight", "patch_embedding.weight")


@contextmanager
def loading(folder: Path, *, purpose: str = "", fix: str = _AGAIN) -> Iterator[None]:
    """Load quietly, and turn what the libraries raise at a bad checkpoint into `ModelError`.

    Args:
        folder: The checkpoint.
        purpose: What it cannot be loaded as, if that may be the reason.
        fix: What to do about it.

    Raises:
        ModelError: It cannot be loaded.
    """
    torn = require("safetensors", extra="local", feature="A local model").SafetensorError
    wrong = (OSError, ValueError, RuntimeError, LookupError, AttributeError, TypeError, ImportError)
    try:
        with quiet_loading():
            yield
    except MmragError:
        raise
    except (*wrong, EOFError, pickle.UnpicklingError, torn) as error:
        # Further lines list all that the library knows.
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        told = f" as {purpose}" if purpose else ""
        raise ModelError(f"The model in {folder} cannot be loaded{told}: {reason}", fix=fix) from error


def check_tokenizer(folder: Path) -> None:
    """Refuse a folder without a whole tokenizer: transformers would make up the rest, an empty one at worst.

    Raises:
        ModelError: A file is missing.
    """
    lacking = [] if (folder / _SETTINGS).is_file() else [_SETTINGS]
    if not any(all((folder / name).is_file() for name in names) for names in _VOCABULARIES):
        lacking.insert(0, "merges.txt" if (folder / "vocab.json").is_file() else "tokenizer.json")
    if not lacking:
        return
    raise ModelError(f"The tokenizer is missing: {folder} has no {' and no '.join(lacking)}.", fix=_AGAIN)


def check_sizes(folder: Path, config: Any) -> None:
    """Refuse a configuration of another size than the weights, before a model of its size is made.

    A config.json that leaves out its sizes stands for the library's default: many gigabytes. Only the
    headers of safetensors files are read; of other files nothing is known.

    Args:
        folder: The checkpoint.
        config: The configuration as transformers understands it.

    Raises:
        ModelError: They differ.
    """
    shapes = _shapes(folder)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    vision = getattr(config, "vision_config", None)
    for name, shape in shapes.items():
        if len(shape) == 2 and name.endswith("embed_tokens.weight"):
            prefix = re.escape(name.removesuffix("embed_tokens.weight"))
            layers = {found[1] for key in shapes if (found := re.match(rf"{prefix}layers\.(\d+)\.", key))}
            _compare(folder, "hidden_size", {getattr(text, "hidden_size", shape[1])}, shape[1])
            _compare(folder, "vocab_size", {getattr(text, "vocab_size", shape[0])}, shape[0])
            if (wanted := getattr(text, "num_hidden_layers", 0)) > len(layers):
                _compare(folder, "num_hidden_layers", {wanted}, len(layers))
        elif vision is not None and shape and name.endswith(_PICTURE_ROWS):
            said = {getattr(vision, key, None) for key in ("embed_dim", "hidden_size")} - {None}
            _compare(folder, "vision_config.hidden_size", said or {shape[0]}, shape[0])


def _compare(folder: Path, what: str, said: set[Any], found: int) -> None:
    if found not in said:
        raise ModelError(
            f"{folder / 'config.json'} stands for {what} {max(said)}, and the weights have {found}.",
            fix="Download config.json again: it is of another model, or not whole.",
        )


def _shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        # Whoever loads a torn file says so.
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            found |= _header(path)
    return found


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _MAX_HEADER_BYTES:
            return {}
        entries: Mapping[str, Any] = json.loads(file.read(length))
    return {name: tuple(entry["shape"]) for name, entry in entries.items() if name != "__metadata__"}
