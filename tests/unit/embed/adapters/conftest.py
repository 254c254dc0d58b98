"""Adapters that peft itself trained (at random) on tiny models, saved as people save them."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmrag.embed.adapters.options import AdapterOptions

IDS = [list(range(60, 67)), list(range(67, 74)), list(range(74, 81))]
LAYERS = r".*language_model.*\.(q_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def make_adapter(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that writes an adapter of any peft kind, with random weights, for a tiny model."""
    root = tmp_path_factory.mktemp("adapters")
    made: dict[str, Path] = {}

    def make(seed: int = 1, kind: str = "qwen2_vl", peft_type: str = "LoraConfig", **settings: Any) -> Path:
        key = json.dumps([seed, kind, peft_type, settings], sort_keys=True, default=str)
        if key not in made:
            made[key] = root / f"{len(made)}"
            _save(tiny(kind), made[key], seed, peft_type, settings)
        return made[key]

    return make


def load_whole(folder: Path) -> Any:
    """Load the class that adapters are trained on: with its language-model head."""
    import torch
    import transformers

    torch.set_num_threads(1)
    config = transformers.AutoConfig.from_pretrained(folder)
    return getattr(transformers, config.architectures[0]).from_pretrained(folder).eval()


def load_bare(folder: Path) -> Any:
    """Load what an embedder runs: without the head."""
    import torch
    import transformers

    torch.set_num_threads(1)
    return transformers.AutoModel.from_pretrained(folder).eval()


def _save(base: Path, out: Path, seed: int, peft_type: str, settings: dict[str, Any]) -> None:
    import peft

    settings = {"target_modules": LAYERS, **settings}
    if peft_type == "LoraConfig":
        settings = {"r": 4, "lora_alpha": 8, **settings}
    config = getattr(peft, peft_type)(**settings)
    with warnings.catch_warnings():
        # peft remarks on feed-forward modules of IA3, and on a base model that it cannot find online.
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(load_whole(base), config)
        shake(model, seed, config)
        model.save_pretrained(out)


def shake(model: Any, seed: int, config: Any) -> None:
    """Give an adapter random weights: as peft makes it, it changes nothing."""
    import torch

    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=drawn) * 0.1)


def run(model: Any, ids: Any) -> Any:
    """Return the last states of a model for rows of ids."""
    import torch

    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).last_hidden_state.clone()


def edited(source: Path, target: Path, **settings: Any) -> Path:
    """Copy an adapter with other settings."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    config = json.loads((target / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    return target


def renamed(source: Path, target: Path, old: str, new: str) -> Path:
    """Copy an adapter with other names of tensors."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target, dirs_exist_ok=True)
    file = target / "adapter_model.safetensors"
    found = {name.replace(old, new): tensor for name, tensor in load_file(file).items()}
    save_file(found, file)
    return target


def with_tensors(source: Path, target: Path, more: dict[str, Any]) -> Path:
    """Copy an adapter with more tensors."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target, dirs_exist_ok=True)
    file = target / "adapter_model.safetensors"
    save_file({**load_file(file), **more}, file)
    return target


def trained(folder: Path, *adapters: Path) -> Any:
    """Return the states of the class that was trained, with each adapter merged by peft."""
    import peft
    import torch

    model = load_whole(folder)
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for something by its old name.
        warnings.simplefilter("ignore", FutureWarning)
        for adapter in adapters:
            model = peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return run(model.model, torch.tensor(IDS))


def named(**adapters: Path) -> AdapterOptions:
    return AdapterOptions(load={name: str(path) for name, path in adapters.items()})
