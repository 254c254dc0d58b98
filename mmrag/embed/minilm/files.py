"""Load the model's files, and refuse missing or damaged ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.core.errors import ModelError, NotFound

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

_REINSTALL = "Run: pip install --force-reinstall --no-deps mmrag"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A folder that `scripts/build_minilm.py` wrote."""

    folder: Path
    name: str
    dtype: str
    pooling: str
    dim: int
    max_tokens: int
    sha256: dict[str, str]

    @classmethod
    def in_folder(cls, folder: Path) -> ModelFiles:
        """Read the manifest; the other files are read when they are needed.

        Raises:
            NotFound: There is no manifest.
            ModelError: The manifest is damaged.
        """
        try:
            data = json.loads(_read(folder / "manifest.json"))
            return cls(
                folder=folder,
                name=data["name"],
                dtype=data["dtype"],
                pooling=data["pooling"],
                dim=int(data["dim"]),
                max_tokens=int(data["max_tokens"]),
                sha256=dict(data["files"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "The embedder's manifest is damaged.", fix=_REINSTALL, where=str(folder / "manifest.json")
            ) from error

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer, which neither pads nor cuts."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._checked("tokenizer.json").decode())

    def session(self) -> onnxruntime.InferenceSession:
        """Return a session that computes on the calling thread only; any number may run at once."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Without the arena a run is as fast (17 ms at 200 word pieces) and its memory goes back.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            self._checked("model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def _checked(self, name: str) -> bytes:
        data = _read(self.folder / name)
        if hashlib.sha256(data).hexdigest() != self.sha256.get(name):
            raise ModelError(
                f"The embedder's file {name} is damaged: its SHA-256 is not the manifest's.",
                fix=_REINSTALL,
                where=str(self.folder / name),
            )
        return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"The embedder's file {path.name} cannot be read: {error.strerror}.",
            fix=_REINSTALL,
            where=str(path),
        ) from error
