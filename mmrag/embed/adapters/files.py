"""The files of an adapter in peft's layout, read without torch: settings, names of tensors, digest."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from mmrag.core.errors import AdapterMismatch, ModelError, NotFound
from mmrag.core.identity import digest_json
from mmrag.core.weights import read_config

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MANIFEST = "manifest.json"
_HEADER_BYTES = 100_000_000
_PREFIX = "base_model.model."
_NO_MATTER = (
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    "auto_mapping",
    "task_type",
)
"""Settings that say where an adapter came from, not what it computes."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a safetensors file: `start` and `end` are where its bytes stand after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter on disk.

    Attributes:
        folder: Where it is.
        config: Its adapter_config.json.
        tensors: What its weights hold, by name without "base_model.model.".
        digest: Of settings and weights; the same wherever the folder is.
        base: The fingerprint of the checkpoint that it was checked with; None where it is in no store.
    """

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    digest: str
    base: str | None = None

    @property
    def kind(self) -> str:
        """The kind that peft knows it by, such as LORA."""
        return str(self.config.get("peft_type", "")).upper()

    @property
    def rank(self) -> int | None:
        """The rank of its matrices, where its kind has one."""
        rank = self.config.get("r")
        return rank if isinstance(rank, int) else None

    @property
    def targets(self) -> tuple[str, ...]:
        """The modules that its settings name: names, or one regular expression."""
        named = self.config.get("target_modules") or ()
        return (named,) if isinstance(named, str) else tuple(sorted(named))

    def check_base(self, fingerprint: str | None) -> None:
        """Refuse a base model other than the one it was checked with.

        Raises:
            AdapterMismatch: It was another one.
        """
        if fingerprint is not None and self.base is not None and fingerprint != self.base:
            raise AdapterMismatch(
                f"It was checked with the base model {self.base[:12]}, and this is {fingerprint[:12]}.",
                fix="Use its base model, or run: mmrag adapter check NAME --base FOLDER --accept.",
                where=str(self.folder),
            )


def open_adapter(folder: Path) -> Adapter:
    """Read an adapter's settings and the header of its weights.

    Raises:
        NotFound: A file is missing.
        ModelError: A file cannot be read, or the weights are a pickle.
    """
    config = read_config(folder, CONFIG)
    weights = _weights(folder)
    tensors = read_header(weights)
    named = {name.removeprefix(_PREFIX): info for name, info in tensors.items()}
    if not named:
        raise ModelError(f"{weights} holds no tensors.", fix="Save the adapter again.")
    settings = {key: value for key, value in config.items() if key not in _NO_MATTER}
    for key in ("target_modules", "modules_to_save", "exclude_modules"):
        # peft keeps them as sets: their order differs from one save to the next.
        if isinstance(settings.get(key), list):
            settings[key] = sorted(settings[key])
    stat = weights.stat()
    digest = digest_json([settings, _digest(weights.resolve(), stat.st_size, stat.st_mtime_ns)])[:32]
    base = read_config(folder, MANIFEST).get("base_digest") if (folder / MANIFEST).is_file() else None
    return Adapter(folder, config, named, digest, base or None)


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Return what a safetensors file holds.

    Raises:
        ModelError: It is torn or no such file.
    """
    try:
        with path.open("rb") as file:
            return _header(file, path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{path} is no whole safetensors file: {error}.", fix="Get it again.") from error


def copy_tensors(source: Path, target: Path, names: Mapping[str, str]) -> None:
    """Write some tensors of a safetensors file into a new one.

    Args:
        source: The file.
        target: The new one.
        names: Name in the source to name in the target.

    Raises:
        ModelError: The source cannot be read.
    """
    found = read_header(source)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, new in names.items():
        info = found[name]
        size = info.end - info.start
        header[new] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with source.open("rb") as old, target.open("wb") as new_file:
        (length,) = struct.unpack("<Q", old.read(8))
        new_file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            old.seek(8 + length + found[name].start)
            for piece in _pieces(old, found[name].end - found[name].start):
                new_file.write(piece)


def kept(names: Iterable[str], leave_out: Iterable[str]) -> list[str]:
    """Return the names that no regular expression finds itself in.

    Raises:
        AdapterMismatch: Nothing is left.
    """
    patterns = [re.compile(pattern) for pattern in leave_out]
    names = list(names)
    rest = [name for name in names if not any(pattern.search(name) for pattern in patterns)]
    if names and not rest:
        raise AdapterMismatch(
            "`leave_out` leaves nothing of the adapter.", fix="Make its expressions narrower."
        )
    return rest


def _weights(folder: Path) -> Path:
    path = folder / WEIGHTS
    if path.is_file():
        return path
    if (folder / "adapter_model.bin").is_file():
        raise ModelError(
            f"{folder} has its weights as a pickle, which can run any code when it is read.",
            fix="Save them as safetensors: PeftModel.save_pretrained(folder, safe_serialization=True).",
        )
    raise NotFound(f"{folder} has no {WEIGHTS}.", fix="Give the folder that peft's save_pretrained wrote.")


def _header(file: BinaryIO, size: int) -> dict[str, TensorInfo]:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(_HEADER_BYTES, size - 8):
        raise ValueError("its header is longer than the file")
    header = json.loads(file.read(length))
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if not 0 <= start <= end <= size - 8 - length:
            raise ValueError(f"the tensor {name} stands outside of it")
        found[name] = TensorInfo(entry["dtype"], tuple(entry["shape"]), start, end)
    return found


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, 1 << 20))
        if not piece:
            raise ModelError(f"{file.name} ends too early.", fix="Get it again.")
        yield piece
        size -= len(piece)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    # Size and time are arguments so that a file that was written again is read again. Names, shapes and
    # values count, not the order in which a writer put them.
    state = hashlib.blake2b(digest_size=32)
    tensors = read_header(path)
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        for name, info in sorted(tensors.items()):
            state.update(f"{name.removeprefix(_PREFIX)} {info.dtype} {info.shape} ".encode())
            file.seek(8 + length + info.start)
            for piece in _pieces(file, info.end - info.start):
                state.update(piece)
    return state.hexdigest()
