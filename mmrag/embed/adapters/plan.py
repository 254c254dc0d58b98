"""Find the place of every tensor of an adapter in a loaded model, before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmrag.core.errors import AdapterMismatch
from mmrag.core.lazy import require
from mmrag.embed.adapters.files import WEIGHTS, Adapter, kept
from mmrag.embed.adapters.fit import rank_of
from mmrag.embed.adapters.names import canonical, split_at

_FEATURE = "An adapter"
_PREFIX = "base_model.model."
_NEVER_RUN = ("lm_head.weight", "lm_head.bias")
"""An embedder has no language-model head; peft saves it beside an adapter for a longer vocabulary."""
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to start a LoRA that also change the weights under it."""
_UNFIT = {
    "LILY": "mixes its experts by the whole batch: a vector would depend on its neighbours",
    "POLY": "needs the ids of tasks with each input",
    "XLORA": "needs a second pass through the model",
}
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes where.

    Attributes:
        adapter: The adapter.
        config: Its peft settings, with the modules of this model as targets.
        tensors: (module of the model, name inside it without the adapter's) to tensor.
        whole: Parameters of the model that the adapter replaces: name to tensor.
        extra: What has no place in the model: name in the file to tensor.
    """

    adapter: Adapter
    config: Any
    tensors: Mapping[tuple[str, str], Any]
    whole: Mapping[str, Any]
    extra: Mapping[str, Any]


def plan_graft(model: Any, adapter: Adapter, leave_out: Sequence[str] = ()) -> Plan:
    """Read an adapter's weights and find where they belong.

    The tensors themselves say which layers are changed, not the `target_modules` of the settings: those are
    written for the class that was trained, and hit other modules in the one that runs.

    Raises:
        AdapterMismatch: peft does not know the kind, a tensor has no place, or a layer has no tensor.
    """
    config, prefix = _settings(adapter)
    modules = _by_canonical(name for name, _ in model.named_modules() if ".base_layer" not in name)
    parameters = _by_canonical(name for name, _ in model.named_parameters())
    tensors: dict[tuple[str, str], Any] = {}
    whole: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    lost: list[str] = []
    spelled: dict[str, str] = {}
    for name, tensor in _read(adapter, leave_out).items():
        split = split_at(name, prefix)
        if split is None:
            place = parameters.get(canonical(name))
            if place is not None:
                whole[place] = tensor
            elif not name.endswith(_NEVER_RUN):
                extra[name] = tensor
            continue
        module = modules.get(canonical(split[0]))
        if module is None:
            lost.append(name)
        else:
            tensors[module, split[1]] = tensor
            spelled[module] = split[0]
    if lost:
        raise _mismatch(adapter, "has tensors without a place in the model", lost)
    if not tensors:
        raise _mismatch(adapter, f"has no tensor of its kind ({adapter.kind})", list(extra) + list(whole))
    _check_whole(adapter, model, whole)
    missing = _untouched(config, spelled, modules)
    if missing:
        raise _mismatch(adapter, "lacks tensors of layers that its settings name", missing)
    return Plan(adapter, _retarget(config, spelled), tensors, whole, extra)


def _settings(adapter: Adapter) -> tuple[Any, str]:
    """Return peft's settings object and what the names of the kind's tensors start with."""
    peft = require("peft", extra="local", feature=_FEATURE)
    prefixes = require("peft.mapping", extra="local", feature=_FEATURE).PEFT_TYPE_TO_PREFIX_MAPPING
    try:
        config = peft.PeftConfig.from_pretrained(str(adapter.folder))
        prefix = prefixes[config.peft_type]
    except (KeyError, ValueError, TypeError) as error:
        raise AdapterMismatch(
            f"peft {peft.__version__} knows no adapter like this ({adapter.kind}): {error}.",
            fix="Import the module that registers the kind, or update peft.",
            where=str(adapter.folder),
        ) from error
    start = getattr(config, "init_lora_weights", None)
    if isinstance(start, str) and start.startswith(_CHANGES_BASE):
        raise AdapterMismatch(
            f"The adapter was saved relative to weights that {start} changed.",
            fix="Save it with path_initial_model_for_weight_conversion, which makes a plain LoRA of it.",
            where=str(adapter.folder),
        )
    if adapter.kind in _UNFIT:
        raise AdapterMismatch(
            f"An adapter of kind {adapter.kind} {_UNFIT[adapter.kind]}.",
            fix="Train another kind, such as LoRA.",
            where=str(adapter.folder),
        )
    for key in ("target_parameters", "trainable_token_indices", "alora_invocation_tokens"):
        if getattr(config, key, None):
            raise AdapterMismatch(
                f"The adapter has {key}, which mmrag does not load.",
                fix="Train without it, or merge it into the checkpoint with peft.",
                where=str(adapter.folder),
            )
    return config, prefix


def _read(adapter: Adapter, leave_out: Sequence[str]) -> dict[str, Any]:
    torch = require("torch", extra="local", feature=_FEATURE)
    load_file = require("safetensors.torch", extra="local", feature=_FEATURE).load_file
    found = load_file(adapter.folder / WEIGHTS)
    tensors = {name: found[name] for name in kept(found, leave_out)}
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise _mismatch(adapter, "has tensors with values that are no numbers", broken)
    return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}


def _by_canonical(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    twice = set()
    for name in names:
        short = canonical(name.replace(".base_layer.", "."))
        if short in found:
            twice.add(short)
        found[short] = name
    # What could be either is neither: the caller says that it has no place.
    return {short: name for short, name in found.items() if short not in twice}


def _check_whole(adapter: Adapter, model: Any, whole: Mapping[str, Any]) -> None:
    wrong = [name for name, tensor in whole.items() if model.get_parameter(name).shape != tensor.shape]
    if wrong:
        raise _mismatch(adapter, "holds whole weights of other shapes than the model's", wrong)


def _untouched(config: Any, spelled: Mapping[str, str], modules: Mapping[str, str]) -> list[str]:
    """Name the layers of the trained part that the settings target and the file has nothing for.

    Only beside layers that the file spells with the same front: a list such as [q_proj] names modules of a
    vision tower too, which was not there or not meant when the adapter was trained.
    """
    targeted = require("peft.tuners.tuners_utils", extra="local", feature=_FEATURE).check_target_module_exists
    fronts = {_front(path) for path in spelled.values()}
    parts = {_part(module) for module in spelled}
    return [
        module
        for name, module in modules.items()
        if module not in spelled
        and _part(module) in parts
        and any(targeted(config, front + name) for front in fronts)
    ]


def _front(path: str) -> str:
    """Return what an adapter's file has before the part of a name that all layouts share."""
    return path.removesuffix(canonical(path))


def _part(module: str) -> str:
    """Return which list of layers a module is in: its canonical name up to the first number."""
    return re.split(r"\d", canonical(module), maxsplit=1)[0]


def _retarget(config: Any, spelled: Mapping[str, str]) -> Any:
    """Make the settings name exactly these modules, by the names that they have in the model that runs."""
    for key in ("rank_pattern", "alpha_pattern"):
        pattern = getattr(config, key, None)
        if pattern:
            # The patterns are written for the names in the file.
            found = {module: rank_of(path, pattern, 0) for module, path in spelled.items()}
            setattr(config, key, {re.escape(module): value for module, value in found.items() if value})
    for key in ("layers_to_transform", "layers_pattern", "exclude_modules", "modules_to_save"):
        if getattr(config, key, None) is not None:
            setattr(config, key, None)
    config.target_modules = set(spelled)
    config.inference_mode = True
    return config


def _mismatch(adapter: Adapter, what: str, names: Sequence[str]) -> AdapterMismatch:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return AdapterMismatch(
        f"The adapter {what}: {', '.join(sorted(names)[:_SHOWN])}{more}.",
        fix="Use its base model; what is not needed can be named in `leave_out`.",
        where=str(adapter.folder),
    )
