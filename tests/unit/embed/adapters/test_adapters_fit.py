"""An adapter must find every one of its places in a model, or be refused with the names of what is wrong."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmrag.core.errors import AdapterMismatch
from mmrag.embed.adapters.bank import AdapterBank
from mmrag.embed.adapters.options import AdapterOptions

from .conftest import Make, edited, load_bare, named, renamed, run, trained, with_tensors

IDS = torch.arange(60, 81).reshape(3, 7)
Tiny = Callable[[str], Path]
HEAD = "base_model.model.mlp_head.0.weight"


def test_the_file_decides_which_layers_change_and_not_a_list_that_hits_the_vision_tower(
    tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = edited(make_adapter(1, "llava_next"), tmp_path, target_modules=["q_proj", "v_proj"])
    bare = load_bare(tiny("llava_next"))
    bank = AdapterBank.attach(bare, named(a=adapter))
    assert not [name for name, _ in bare.named_parameters() if "vision" in name and "lora" in name]
    with bank.using(["a"] * 3):
        found = run(bare, IDS)
    wanted = trained(tiny("llava_next"), make_adapter(1, "llava_next"))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "old"),
    [("qwen2_vl", "model.layers."), ("llava_next", "language_model.model.layers.")],
)
def test_names_of_older_layouts_are_understood(
    kind: str, old: str, tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = renamed(make_adapter(1, kind), tmp_path, "model.language_model.layers.", old)
    adapter = edited(adapter, tmp_path / "again", target_modules=rf"{old}\d+.*\.(q|v|o|gate|up|down)_proj")
    bare = load_bare(tiny(kind))
    bank = AdapterBank.attach(bare, named(a=adapter))
    with bank.using(["a"] * 3):
        found = run(bare, IDS)
    torch.testing.assert_close(found, trained(tiny(kind), make_adapter(1, kind)), atol=1e-5, rtol=0)


def test_a_tensor_without_a_place_is_named(tiny: Tiny, make_adapter: Make, tmp_path: Path) -> None:
    adapter = renamed(make_adapter(1), tmp_path, "layers.1.self_attn.q_proj", "layers.9.self_attn.q_proj")
    bare = load_bare(tiny("qwen2_vl"))
    with pytest.raises(AdapterMismatch, match=r"without a place.*layers\.9\.self_attn\.q_proj"):
        AdapterBank.attach(bare, named(a=adapter))
    # Knowing that, its owner may leave it out; then the layer of that name is missing, which is told as well.
    options = AdapterOptions(load={"a": str(adapter)}, leave_out=(r"layers\.9",))
    with pytest.raises(AdapterMismatch, match=r"lacks tensors.*layers\.1\.self_attn\.q_proj"):
        AdapterBank.attach(bare, options)
    assert not [name for name, _ in bare.named_parameters() if "lora" in name]


def test_half_of_a_pair_of_tensors_is_told(tiny: Tiny, make_adapter: Make) -> None:
    # The first half alone would run: with the other at random.
    options = AdapterOptions(load={"a": str(make_adapter(1))}, leave_out=(r"layers\.1.*q_proj.lora_B",))
    with pytest.raises(AdapterMismatch, match=r"lacks 1 tensors .*layers\.1.*q_proj\.lora_B"):
        AdapterBank.attach(load_bare(tiny("qwen2_vl")), options)


def test_an_adapter_of_another_width_leaves_the_model_as_it_was(
    tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    good = make_adapter(1)
    wrong = edited(good, tmp_path, r=6)
    bare = load_bare(tiny("qwen2_vl"))
    plain = run(bare, IDS)
    bank = AdapterBank.attach(bare, named(good=good))
    with pytest.raises(AdapterMismatch, match=r"lora_A.* shape \[4, .*has a place of shape \[6, "):
        bank.load("wrong", str(wrong))
    assert bank.names == ("good",)
    assert len([name for name, _ in bare.named_parameters() if "lora_A" in name]) == 12
    assert torch.equal(run(bare, IDS), plain)
    with bank.using(["good"] * 3):
        torch.testing.assert_close(run(bare, IDS), trained(tiny("qwen2_vl"), good), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"peft_type": "LILY"}, "neighbours"),
        ({"peft_type": "NEW_KIND"}, "knows no adapter like this"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    ],
)
def test_kinds_that_would_give_wrong_vectors_are_refused(
    settings: dict[str, Any], said: str, tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = edited(make_adapter(1), tmp_path, **settings)
    bare = load_bare(tiny("qwen2_vl"))
    with warnings.catch_warnings():
        # peft remarks on settings of another kind.
        warnings.simplefilter("ignore")
        with pytest.raises(AdapterMismatch, match=said):
            AdapterBank.attach(bare, named(a=adapter))


def test_a_broken_number_is_refused(tiny: Tiny, make_adapter: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = edited(make_adapter(1), tmp_path)
    tensors = load_file(adapter / "adapter_model.safetensors")
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, adapter / "adapter_model.safetensors")
    with pytest.raises(AdapterMismatch, match="no numbers"):
        AdapterBank.attach(load_bare(tiny("qwen2_vl")), named(a=adapter))


def test_a_head_that_was_trained_with_a_merged_adapter_is_handed_on(
    tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    adapter = with_tensors(make_adapter(1), tmp_path, {HEAD: torch.ones(2, 3)})
    bare = load_bare(tiny("qwen2_vl"))
    bank = AdapterBank.attach(bare, AdapterOptions(merge=(str(adapter),), load={"again": str(adapter)}))
    assert torch.equal(bank.extra_tensors["mlp_head.0.weight"], torch.ones(2, 3))
    other = with_tensors(make_adapter(2), tmp_path / "b", {HEAD: torch.zeros(2, 3)})
    # Another head cannot be switched by input: better an error than the wrong head.
    with pytest.raises(AdapterMismatch, match="mlp_head"):
        bank.load("other", str(other))


def test_whole_weights_are_merged_and_never_switched(tiny: Tiny, make_adapter: Make, tmp_path: Path) -> None:
    key = "base_model.model.model.language_model.norm.weight"
    adapter = with_tensors(make_adapter(1), tmp_path, {key: torch.full((64,), 2.0)})
    bare = load_bare(tiny("qwen2_vl"))
    with pytest.raises(AdapterMismatch, match=r"whole weights.*language_model\.norm\.weight"):
        AdapterBank.attach(bare, named(a=adapter))
    AdapterBank.attach(bare, AdapterOptions(merge=(str(adapter),)))
    assert torch.equal(bare.language_model.norm.weight, torch.full((64,), 2.0))
