"""Look into a folder of sentence-transformers without loading it: modules, prompts, code, lengths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrag.core.errors import ConfigError, ModelError, NotFound
from mmrag.core.weights import fingerprint, read_config

_OWN = "sentence_transformers."
_SMALL = (".json", ".jinja", ".txt", ".model")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class Folder:
    """A model in the format of sentence-transformers, on disk.

    `dim` is None where its files do not say it; `transformers` are the folders of modules with a tokenizer.
    """

    path: Path
    prompts: Mapping[str, str]
    query_prompt: str
    document_prompt: str
    dim: int | None
    needs_code: bool
    transformers: tuple[Path, ...] = ()


def look_into(path: Path) -> Folder:
    """Read what a folder says of itself.

    Raises:
        ModelError: It is no model of sentence-transformers.
    """
    try:
        modules = json.loads((path / "modules.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} has no modules.json: it is no model of sentence-transformers.",
            fix="A plain multimodal LLM needs a recipe that says how it embeds: mmrag recipe list",
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path / 'modules.json'} cannot be read: {error}.", fix="Download it again."
        ) from error
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelError(f"{path / 'modules.json'} lists no modules.", fix="Download it again.")
    own = _read(path / "config_sentence_transformers.json")
    prompts = {str(name): str(text) for name, text in (own.get("prompts") or {}).items()}
    usual = prompts.get(str(own.get("default_prompt_name")), "")
    document = next((prompts[name] for name in _DOCUMENT_PROMPTS if prompts.get(name)), usual)
    return Folder(
        path,
        prompts,
        prompts.get("query") or usual,
        document,
        _dim(path, modules),
        _needs_code(path, modules),
        tuple(path / str(module.get("path", "")) for module in modules if _is_transformer(module)),
    )


def check_code(folder: Folder, allowed: str | None) -> bool:
    """Return whether the folder's own code may run, which only its digest in the recipe allows.

    Raises:
        ConfigError: It needs code that nobody allowed, or other code than what was allowed.
        ModelError: Its code is not in the folder.
    """
    if not folder.needs_code:
        return False
    found = code_digest(folder.path)
    if found is None or _lies_elsewhere(folder.path):
        raise ModelError(
            f"{folder.path} runs code that is not in the folder.",
            fix="Take a model that brings its own code, or none.",
        )
    if allowed != found:
        what = "runs its own code" if allowed is None else "has other code than the recipe allows"
        raise ConfigError(
            f"The model in {folder.path} {what}.",
            fix=f"Read its Python files; if you trust them, write: remote_code: {found}",
            where="remote_code",
        )
    return True


def code_digest(path: Path) -> str | None:
    """Return the digest of all Python files of a folder, None if there are none."""
    files = sorted(file for file in path.rglob("*.py") if file.is_file())
    if not files:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def digest_model(path: Path) -> str:
    """Return a digest of a model: the weights of every module, and all that configures them."""
    digest = hashlib.blake2b(digest_size=16)
    for folder in [path, *sorted(inner for inner in path.rglob("*") if inner.is_dir())]:
        relative = folder.relative_to(path).as_posix()
        if any(part.startswith(".") for part in Path(relative).parts):
            continue
        try:
            found = fingerprint(folder)
        except NotFound:
            small = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in _SMALL)
            found = hashlib.blake2b(
                b"".join(file.name.encode() + file.read_bytes() for file in small), digest_size=16
            ).hexdigest()
        digest.update(f"{relative} {found}\n".encode())
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    return read_config(file.parent, file.name) if file.is_file() else {}


def _dim(path: Path, modules: list[dict[str, Any]]) -> int | None:
    """Return what the last module that says it says: of a dense layer, or of a pooling by one way."""
    for module in reversed(modules):
        config = _read(path / str(module.get("path", "")) / "config.json")
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind == "Dense":
            found = config.get("out_features")
            return found if isinstance(found, int) else None
        if kind == "Pooling":
            ways = sum(value is True for name, value in config.items() if name.startswith("pooling_mode_"))
            mode = config.get("pooling_mode")
            if ways > 1 or (isinstance(mode, list | tuple) and len(mode) > 1):
                return None
            found = config.get("word_embedding_dimension", config.get("embedding_dimension"))
            return found if isinstance(found, int) else None
        if kind != "Normalize":
            return None
    return None


def _is_transformer(module: Mapping[str, Any]) -> bool:
    kind = str(module.get("type", ""))
    return kind.startswith(_OWN) and kind.endswith((".Transformer", ".CLIPModel"))


def _needs_code(path: Path, modules: list[dict[str, Any]]) -> bool:
    foreign = any(not str(module.get("type", "")).startswith(_OWN) for module in modules)
    return foreign or bool(_auto_maps(path))


def _auto_maps(path: Path) -> list[str]:
    """Return what the configurations of a folder name as code of their own."""
    named: list[str] = []
    for file in sorted(path.rglob("*config*.json")):
        mapped = _read(file).get("auto_map")
        if isinstance(mapped, dict):
            for value in mapped.values():
                named += [str(one) for one in (value if isinstance(value, list) else [value]) if one]
    return named


def _lies_elsewhere(path: Path) -> bool:
    # "owner/name--module.Class" is code of another repository.
    return any("--" in name for name in _auto_maps(path))
