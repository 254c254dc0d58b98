"""Find the files of a model, and tell two checkpoints apart without reading gigabytes."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmrag.core.errors import MissingExtra, ModelError, NotFound
from mmrag.core.lazy import require

_SAMPLE_BYTES = 65_536
_SAMPLES = 16
_BORDER_BYTES = 4096
_MAX_HEADER_BYTES = 100_000_000
_HINT = "the folder that holds its config.json (--model)"
_SMALL = (".json", ".jinja", ".txt", ".model")


def find_model(model: str, revision: str | None = None, *, hint: str = _HINT) -> Path:
    """Return the folder of a model: a path, or a hub id among what was downloaded. Nothing is downloaded.

    Args:
        model: The path or hub id.
        revision: Of a hub id.
        hint: What to give instead, in the words of the caller.

    Raises:
        NotFound: It is neither; the fix says how to get it.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise NotFound(f"There is no folder {model!r}.", fix=f"Give {hint}.")
    try:
        hub = require("huggingface_hub", extra="local", feature=f"The model {model}")
    except MissingExtra as error:
        raise NotFound(
            f"The model {model!r} is not here.", fix=f"{error.fix}, then: {download_command(model, revision)}"
        ) from error
    try:
        return Path(hub.snapshot_download(model, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise NotFound(
            f"The model {model!r} is not on this machine.",
            fix=f"Run: {download_command(model, revision)}. Or give {hint}.",
        ) from error


def download_command(model: str, revision: str | None = None) -> str:
    """Return the command that downloads a model."""
    return f"hf download {model}" + (f" --revision {revision}" if revision else "")


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return a JSON file of a model's folder.

    Raises:
        NotFound: It is missing.
        ModelError: It is no JSON object.
    """
    try:
        data = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{folder} has no {name}.", fix="Give the folder of a whole checkpoint.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / name} cannot be read: {error}.", fix="Download it again.") from error
    if not isinstance(data, dict):
        raise ModelError(f"{folder / name} is no JSON object.", fix="Download it again.")
    return data


def fingerprint(folder: Path) -> str:
    """Return a digest of a checkpoint: all of its small files, size and samples of its large ones.

    Weights are not read whole, which would take a minute for 16 GB: of each file the header, which lists
    every tensor, and 16 stretches of 64 KiB spread evenly are, and 2 KiB at both ends of each tensor, so that
    a small one that was trained on, such as a head, counts.

    Raises:
        NotFound: There are no weights.
    """
    # The target of a link is what counts: a hub's cache is made of links.
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    stamps = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    if not any(path.suffix in (".safetensors", ".bin") for path in files):
        raise NotFound(f"{folder} has no weights.", fix="Give the folder of a whole checkpoint.")
    return _fingerprint(folder, stamps)


@lru_cache(maxsize=64)
def _fingerprint(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, size, _ in stamps:
        path = folder / name
        if path.suffix in _SMALL:
            digest.update(name.encode() + path.read_bytes())
        elif path.suffix in (".safetensors", ".bin"):
            digest.update(f"{name} {size}".encode())
            _sample(path, size, digest)
    return digest.hexdigest()


def _sample(path: Path, size: int, digest: hashlib.blake2b) -> None:
    step = max(_SAMPLE_BYTES, size // _SAMPLES)
    stretches = [(at, _SAMPLE_BYTES) for at in range(0, size, step)]
    with path.open("rb") as file:
        if path.suffix == ".safetensors" and size >= 8:
            (length,) = struct.unpack("<Q", file.read(8))
            header = file.read(min(length, _MAX_HEADER_BYTES))
            digest.update(header)
            stretches += [(8 + length + end - _BORDER_BYTES // 2, _BORDER_BYTES) for end in _ends(header)]
        for at, count in stretches:
            file.seek(max(0, at))
            digest.update(file.read(count))


def _ends(header: bytes) -> list[int]:
    """Return where each tensor ends and the next one begins; nothing for a torn header."""
    try:
        entries = json.loads(header).items()
        return sorted({int(entry["data_offsets"][1]) for name, entry in entries if name != "__metadata__"})
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        # Whoever loads the file says so.
        return []
