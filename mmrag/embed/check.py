"""Look into a model's folder before it is loaded: what is missing, what does not fit, how large it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from typing import Any

from mmrag.core.errors import MmragError, ModelError
from mmrag.core.finding import Finding
from mmrag.core.protocols import Embedder
from mmrag.core.weights import download_command, find_model, read_config
from mmrag.embed.adapters.files import open_adapter, read_header
from mmrag.embed.adapters.fit import misfits
from mmrag.embed.adapters.options import AdapterOptions
from mmrag.embed.adapters.store import find_adapter

_LOCAL = "Run: pip install 'mmrag[local]'"
_INDEX = "model.safetensors.index.json"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_LISTED = 5
BYTES_OF: Mapping[str, int] = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""The bytes of one number by the name that safetensors gives its type; 1 for all others."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a recipe wants of a checkpoint.

    Args:
        model: A folder or a hub id.
        build: Makes the embedder without loading weights: refuses what does not fit together.
        revision: Of a hub id.
        pictures: Whether it is given pictures or sounds, which a processor must prepare.
        tokens: Each must be one token.
        marks: Written in templates; whether each is one token is only told.
        adapters: Its adapters.
    """

    model: str
    build: Callable[[], Embedder]
    revision: str | None = None
    pictures: bool = False
    tokens: Sequence[str] = ()
    marks: Sequence[str] = ()
    adapters: AdapterOptions = field(default_factory=AdapterOptions)


@dataclass(frozen=True, slots=True)
class Weights:
    """What the headers of a checkpoint's files say.

    Args:
        files: The files that hold them.
        parameters: How many numbers.
        dtypes: How many of each type, as safetensors names it.
    """

    files: tuple[Path, ...]
    parameters: int
    dtypes: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        """What they take as they are stored."""
        return sum(BYTES_OF.get(dtype, 1) * count for dtype, count in self.dtypes.items())


def check_checkpoint(wanted: Wanted) -> Iterator[Finding]:
    """Yield findings as they are made; nothing is loaded, no code of the checkpoint runs."""
    yield from check_packages(*([] if wanted.adapters.empty else ["peft"]))
    try:
        folder = find_model(wanted.model, wanted.revision)
    except MmragError as error:
        yield Finding("model", "missing", error.message, error.fix)
        yield from _check_adapters(wanted.adapters, None)
        return
    yield Finding(
        "model", "ok", f"{wanted.model} in {folder}" if str(folder) != wanted.model else str(folder)
    )
    again = _again(wanted)
    yield _tried("config", again, lambda: f"model_type {read_config(folder).get('model_type')}")
    yield _tried("architecture", again, lambda: _built(wanted.build))
    yield from _check_tokenizer(folder, wanted, again)
    if wanted.pictures:
        yield _check_processor(folder, again)
    yield _tried("weights", again, lambda: _weights_in_words(folder))
    yield from _check_adapters(wanted.adapters, folder)
    yield from _check_code(folder)


def check_folder(wanted: Wanted, *packages: str) -> Iterator[Finding]:
    """Yield findings about a model whose folder a library of its own understands: less than of a checkpoint.

    Args:
        wanted: What the recipe wants; `build` refuses what does not fit.
        packages: That library.
    """
    yield from check_packages(*packages)
    try:
        folder = find_model(wanted.model, wanted.revision)
    except MmragError as error:
        yield Finding("model", "missing", error.message, error.fix)
        return
    yield Finding("model", "ok", str(folder))
    yield _tried("architecture", _again(wanted), lambda: _built(wanted.build))


def check_packages(*others: str) -> Iterator[Finding]:
    """Yield what there is of the extra `local`: always torch and transformers, and others on demand."""
    for name, least in (("torch", 2), ("transformers", 5), *((name, 0) for name in others)):
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "missing", "not installed", _LOCAL)
            continue
        if int(found.partition(".")[0]) < least:
            yield Finding(name, "broken", f"{found}, and {least} or later is needed", f"{_LOCAL} --upgrade")
        else:
            yield Finding(name, "ok", found)


def weights_of(folder: Path) -> Weights:
    """Return what a checkpoint's weights are, from the headers of its files.

    Raises:
        ModelError: A file is missing or torn, or lacks what the index says that it holds.
    """
    index = folder / _INDEX
    files, named = _shards(folder, index) if index.is_file() else (sorted(folder.glob("*.safetensors")), {})
    if not files:
        raise ModelError(f"{folder} has no *.safetensors.", fix="Get the whole checkpoint.")
    dtypes: Counter[str] = Counter()
    for path in files:
        tensors = read_header(path)
        if lacking := sorted(named.get(path.name, set()) - tensors.keys()):
            raise ModelError(
                f"{path} lacks {len(lacking)} tensors, such as {lacking[0]}.", fix="Get the file again."
            )
        for tensor in tensors.values():
            dtypes[tensor.dtype] += prod(tensor.shape)
    return Weights(tuple(files), dtypes.total(), dict(dtypes))


def _shards(folder: Path, index: Path) -> tuple[list[Path], dict[str, set[str]]]:
    named: dict[str, set[str]] = {}
    mapping = read_config(folder, index.name).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise ModelError(f"{index} names no files.", fix="Get the file again.")
    for tensor, file in mapping.items():
        named.setdefault(str(file), set()).add(tensor)
    missing = [name for name in sorted(named) if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{len(missing)} of {len(named)} files of weights are missing: {_listed(missing)}.",
            fix="Get the whole checkpoint.",
        )
    return [folder / name for name in sorted(named)], named


def size_in_words(size_bytes: float) -> str:
    """Return '16.6 GB' or '230 MB'."""
    return f"{size_bytes / 1e9:.3g} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.3g} MB"


def count_in_words(count: float) -> str:
    """Return '8.3B', '151M' or '640k'."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:.0f}"


def _weights_in_words(folder: Path) -> str:
    pickles = list(folder.glob("*.bin"))
    if pickles and not (folder / _INDEX).is_file() and not any(folder.glob("*.safetensors")):
        size = sum(path.stat().st_size for path in pickles)
        return (
            f"{size_in_words(size)} as pickles only ({_listed(sorted(path.name for path in pickles))}): not "
            "looked into, so that a bad one shows when it is loaded"
        )
    weights = weights_of(folder)
    dtypes = " and ".join(sorted(weights.dtypes, key=lambda dtype: -weights.dtypes[dtype]))
    files = f"{len(weights.files)} file{'s' * (len(weights.files) > 1)}"
    return (
        f"{count_in_words(weights.parameters)} parameters, {dtypes}, "
        f"{size_in_words(weights.size_bytes)} in {files}"
    )


def _built(build: Callable[[], Embedder]) -> str:
    embedder = build()
    taken = " and ".join(sorted(embedder.modalities, reverse=True))
    return f"as the recipe says; takes {taken}, gives {embedder.dim} numbers"


def _check_tokenizer(folder: Path, wanted: Wanted, again: str) -> Iterator[Finding]:
    if not (folder / "tokenizer_config.json").is_file():
        yield Finding("tokenizer", "missing", f"{folder} has no tokenizer_config.json", again)
        return
    file = folder / "tokenizer.json"
    if not file.is_file():
        others = [
            name for name in ("vocab.json", "vocab.txt", "tokenizer.model") if (folder / name).is_file()
        ]
        if others:
            said = f"{', '.join(others)}, which is converted when the model is loaded; tokens not checked"
            yield Finding("tokenizer", "ok", said)
        else:
            yield Finding("tokenizer", "missing", f"{folder} has no tokenizer.json", again)
        return
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the library raises the bare class
        yield Finding("tokenizer", "broken", f"{file} cannot be read: {error}", again)
        return
    yield Finding("tokenizer", "ok", f"{tokenizer.get_vocab_size()} tokens")
    added = _added_tokens(folder)

    def is_one(token: str) -> bool:
        return token in added or len(tokenizer.encode(token, add_special_tokens=False).ids) == 1

    split = [token for token in wanted.tokens if not is_one(token)]
    if split:
        said = f"not one token of this tokenizer: {_listed(split)}"
        fix = "Use the recipe of this model, or list tokens that are to be added under new_tokens."
        yield Finding("tokens", "broken", said, fix)
    elif wanted.tokens:
        yield Finding("tokens", "ok", f"each one token: {_listed(wanted.tokens)}")
    if several := [mark for mark in wanted.marks if not is_one(mark)]:
        yield Finding("template", "ok", f"read as several tokens, as any words are: {_listed(several)}")


def _added_tokens(folder: Path) -> set[str]:
    """Return the tokens that stand in other files than tokenizer.json."""
    found: set[str] = set()
    with suppress(MmragError):
        found |= read_config(folder, "added_tokens.json").keys()
    with suppress(MmragError):
        decoder = read_config(folder, "tokenizer_config.json").get("added_tokens_decoder") or {}
        found |= {str(entry.get("content")) for entry in decoder.values() if isinstance(entry, dict)}
    return found


def _check_processor(folder: Path, again: str) -> Finding:
    here = [name for name in _PROCESSORS if (folder / name).is_file()]
    if not here:
        return Finding("processor", "missing", f"{folder} has no {' or '.join(_PROCESSORS)}", again)

    def read() -> str:
        for name in here:
            read_config(folder, name)
        return ", ".join(here)

    return _tried("processor", again, read)


def _check_adapters(adapters: AdapterOptions, base: Path | None) -> Iterator[Finding]:
    named = [*((f"adapter {source}", source) for source in adapters.merge)]
    named += [(f"adapter {name}", source) for name, source in adapters.load.items()]
    for name, source in named:
        try:
            folder = find_adapter(source, adapters.store)
        except MmragError as error:
            yield Finding(name, "missing", error.message, error.fix)
            continue
        yield _tried(name, download_command(source), lambda at=folder: _adapter(at, base))  # type: ignore[misc]


def _adapter(folder: Path, base: Path | None) -> str:
    adapter = open_adapter(folder)
    if base is not None and (wrong := misfits(adapter, base)):
        raise ModelError(
            f"It does not fit the model: {_listed(wrong)}.",
            fix="Use the model that the adapter was trained on.",
        )
    trained = adapter.config.get("base_model_name_or_path")
    rank = f" of rank {adapter.rank}" if adapter.rank else ""
    return f"{adapter.kind}{rank} in {folder}" + (f", trained on {trained}" if trained else "")


def _check_code(folder: Path) -> Iterator[Finding]:
    scripts = sorted(path.name for path in folder.glob("*.py"))
    mapped: Any = None
    with suppress(MmragError):
        mapped = read_config(folder).get("auto_map")
    if scripts or mapped:
        said = _listed(scripts) or "named in config.json only"
        yield Finding("remote code", "ok", f"the folder brings code of its own ({said}): it is never run")


def _tried(name: str, otherwise: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", attempt())
    except MmragError as error:
        return Finding(name, "broken", error.message, error.fix or otherwise)
    except (OSError, json.JSONDecodeError, ValueError) as error:
        return Finding(name, "broken", str(error), otherwise)


def _again(wanted: Wanted) -> str:
    if Path(wanted.model).expanduser().is_dir():
        return "Get the whole checkpoint."
    return f"Run: {download_command(wanted.model, wanted.revision)} --force-download"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
