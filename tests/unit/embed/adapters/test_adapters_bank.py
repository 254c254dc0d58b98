"""The bank must compute what peft computes on the class that was trained, for every row and every thread."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmrag.core.errors import ConfigError, UnknownName
from mmrag.embed.adapters.bank import AdapterBank
from mmrag.embed.adapters.files import open_adapter
from mmrag.embed.adapters.graft import Graft
from mmrag.embed.adapters.options import AdapterOptions, AdapterRule
from mmrag.embed.content import Content, Picture

from .conftest import Make, load_bare, named, run, trained

IDS = torch.arange(60, 81).reshape(3, 7)
Tiny = Callable[[str], Path]
PATH = r"model\.language_model\.layers\.%s_proj"
KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_next", "causal")


def layers_of(kind: str) -> dict[str, Any]:
    return {"target_modules": ["q_proj", "v_proj", "down_proj"]} if kind == "causal" else {}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_of_the_trained_class_are_exact_on_the_bare_model(
    kind: str, tiny: Tiny, make_adapter: Make
) -> None:
    first, second = (make_adapter(seed, kind, **layers_of(kind)) for seed in (1, 2))
    bare = load_bare(tiny(kind))
    plain = run(bare, IDS)
    bank = AdapterBank.attach(bare, named(a=first, ab=second))
    wanted = {"a": trained(tiny(kind), first), "ab": trained(tiny(kind), second), None: plain}
    assert (wanted["a"] - plain).abs().max() > 0.1
    for name in ("a", "ab", None, "a"):
        with bank.using([name] * 3):
            torch.testing.assert_close(run(bare, IDS), wanted[name], atol=1e-5, rtol=0)
    with bank.using(["ab", None, "a"]):
        mixed = run(bare, IDS)
    for row, name in enumerate(("ab", None, "a")):
        torch.testing.assert_close(mixed[row], wanted[name][row], atol=1e-5, rtol=0)
    assert torch.equal(run(bare, IDS), plain)


@pytest.mark.parametrize("kind", ["qwen2_vl", "llava_next"])
def test_merging_in_order_is_exact(kind: str, tiny: Tiny, make_adapter: Make) -> None:
    first, second = make_adapter(1, kind), make_adapter(2, kind)
    bare = load_bare(tiny(kind))
    AdapterBank.attach(bare, AdapterOptions(merge=(str(first), str(second))))
    torch.testing.assert_close(run(bare, IDS), trained(tiny(kind), first, second), atol=1e-5, rtol=0)
    assert not [name for name, _ in bare.named_parameters() if "lora" in name or "base_layer" in name]


def test_an_adapter_stands_on_what_was_merged(tiny: Tiny, make_adapter: Make) -> None:
    first, second = make_adapter(1), make_adapter(2)
    bare = load_bare(tiny("qwen2_vl"))
    bank = AdapterBank.attach(bare, AdapterOptions(merge=(str(first),), load={"second": str(second)}))
    torch.testing.assert_close(run(bare, IDS), trained(tiny("qwen2_vl"), first), atol=1e-5, rtol=0)
    with bank.using(["second"] * 3):
        both = run(bare, IDS)
    torch.testing.assert_close(both, trained(tiny("qwen2_vl"), first, second), atol=1e-5, rtol=0)


def test_a_row_without_adapter_is_not_touched_by_its_neighbours(tiny: Tiny, make_adapter: Make) -> None:
    bare = load_bare(tiny("qwen2_vl"))
    plain = run(bare, IDS)
    bank = AdapterBank.attach(bare, named(query=make_adapter(1)))
    assert torch.equal(run(bare, IDS), plain)
    with bank.using([None, None, None]):
        assert torch.equal(run(bare, IDS), plain)
    with bank.using([None, "query", None]):
        mixed = run(bare, IDS)
    assert torch.equal(mixed[0], plain[0])
    assert torch.equal(mixed[2], plain[2])
    assert not torch.allclose(mixed[1], plain[1])


@pytest.mark.parametrize(
    ("peft_type", "settings", "mixes"),
    [
        ("LoraConfig", {"use_rslora": True}, True),
        ("LoraConfig", {"use_dora": True}, False),
        ("LoraConfig", {"lora_dropout": 0.5}, True),
        (
            "LoraConfig",
            {"rank_pattern": {PATH % "1.mlp.up": 2}, "alpha_pattern": {PATH % "0.self_attn.q": 3}},
            True,
        ),
        ("IA3Config", {"feedforward_modules": r".*(gate_proj|up_proj|down_proj)"}, False),
        ("LoHaConfig", {"r": 4}, False),
        ("OFTConfig", {"r": 0, "oft_block_size": 4}, False),
    ],
)
def test_every_kind_that_peft_injects_goes_through(
    peft_type: str, settings: dict[str, Any], mixes: bool, tiny: Tiny, make_adapter: Make
) -> None:
    other = make_adapter(1)
    adapter = make_adapter(3, peft_type=peft_type, **settings)
    bare = load_bare(tiny("qwen2_vl"))
    plain = run(bare, IDS)
    bank = AdapterBank.attach(bare, named(lora=other, this=adapter))
    assert bank.mixes is mixes
    names = ["this", None, "lora"]
    found = torch.empty_like(plain)
    for rows in bank.groups(names):
        with bank.using([names[row] for row in rows]):
            found[rows] = run(bare, IDS[rows])
    torch.testing.assert_close(found[0], trained(tiny("qwen2_vl"), adapter)[0], atol=2e-5, rtol=0)
    torch.testing.assert_close(found[1], plain[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2], trained(tiny("qwen2_vl"), other)[2], atol=1e-5, rtol=0)
    if not mixes:
        with pytest.raises(ConfigError, match="one batch"), bank.using(names):
            pass
    bank.unload("this")
    bank.unload("lora")
    assert torch.equal(run(bare, IDS), plain)
    assert not [module for module in bare.modules() if type(module).__module__.startswith("peft")]


def test_a_kind_that_switches_in_its_own_way_is_asked_to(
    tiny: Tiny, make_adapter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora.layer import Linear

    asked: list[Any] = []

    def note(layer: Any, names: Any, inference_mode: bool = False) -> None:
        asked.append(names)

    monkeypatch.setattr(Linear, "set_adapter", note)
    bank = AdapterBank.attach(load_bare(tiny("qwen2_vl")), named(a=make_adapter(1)))
    asked.clear()
    with bank.using(["a"]):
        assert len(asked) >= 12


def test_an_adapter_of_the_vision_tower_is_run_by_groups(tiny: Tiny, make_adapter: Make) -> None:
    everywhere = make_adapter(4, "llava_next", target_modules=["q_proj", "v_proj"])
    words = make_adapter(1, "llava_next")
    bare = load_bare(tiny("llava_next"))
    bank = AdapterBank.attach(bare, named(words=words))
    assert bank.mixes
    assert bank.groups(["words", None]) == [[0, 1]]
    bank.load("everywhere", str(everywhere))
    assert not bank.mixes
    assert bank.groups(["words", None, "words", "everywhere"]) == [[0, 2], [1], [3]]
    assert any("vision_tower" in name and "lora_A" in name for name, _ in bare.named_parameters())
    bank.unload("everywhere")
    assert bank.mixes


def test_weights_of_half_precision_keep_their_speed(tiny: Tiny, make_adapter: Make) -> None:
    bare = load_bare(tiny("qwen2_vl")).to(torch.bfloat16)
    bank = AdapterBank.attach(bare, named(a=make_adapter(1)))
    assert {parameter.dtype for parameter in bare.parameters()} == {torch.bfloat16}
    with bank.using(["a"] * 3):
        found = run(bare, IDS)
    assert found.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(
        found.float(), trained(tiny("qwen2_vl"), make_adapter(1)), dim=-1
    ).min() > 0.99  # fmt: skip


def test_switching_without_the_lock_gives_wrong_vectors(tiny: Tiny, make_adapter: Make) -> None:
    """What the lock is for: the adapter in use is a state of the model, which threads share."""
    bare = load_bare(tiny("qwen2_vl"))
    graft = Graft(bare)
    names = [graft.add(open_adapter(make_adapter(seed))) for seed in (1, 2)]
    wanted = []
    for name in names:
        graft.enable([name])
        wanted.append(run(bare, IDS))
    both_switched = threading.Barrier(2)
    right: list[bool] = []

    def work(which: int) -> None:
        graft.enable([names[which]])
        both_switched.wait(10)
        right.append(torch.equal(run(bare, IDS), wanted[which]))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right.count(False) >= 1


def test_two_threads_with_two_adapters_never_get_a_wrong_vector(tiny: Tiny, make_adapter: Make) -> None:
    bare = load_bare(tiny("qwen2_vl"))
    bank = AdapterBank.attach(bare, named(a=make_adapter(1), b=make_adapter(2)))
    batches: tuple[list[str | None], ...] = (["a", "a", "a"], ["b", None, "a"])
    wanted = []
    for names in batches:
        with bank.using(names):
            wanted.append(run(bare, IDS))
    wrong: list[int] = []

    def work(which: int) -> None:
        for _ in range(40):
            with bank.using(batches[which]):
                if not torch.equal(run(bare, IDS), wanted[which]):
                    wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_error_inside_leaves_the_model_bare(tiny: Tiny, make_adapter: Make) -> None:
    bare = load_bare(tiny("qwen2_vl"))
    plain = run(bare, IDS)
    bank = AdapterBank.attach(bare, named(a=make_adapter(1), b=make_adapter(2)))
    for names in (["a", "a", "a"], ["a", "b", None]):
        with pytest.raises(RuntimeError, match="stop"), bank.using(names):
            raise RuntimeError("stop")
        assert torch.equal(run(bare, IDS), plain)


def test_adapters_come_and_go_while_the_model_runs(tiny: Tiny, make_adapter: Make) -> None:
    bare = load_bare(tiny("qwen2_vl"))
    bank = AdapterBank.attach(bare, named(a=make_adapter(1)))
    with bank.using(["a"] * 3):
        wanted = run(bare, IDS)
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(30):
            with bank.using(["a"] * 3):
                if not torch.equal(run(bare, IDS), wanted):
                    wrong.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(5):
        bank.load("hot", str(make_adapter(2)))
        bank.unload("hot")
    thread.join()
    assert wrong == []
    assert bank.names == ("a",)
    with pytest.raises(ConfigError, match="is loaded"):
        bank.load("a", str(make_adapter(2)))
    with pytest.raises(UnknownName):
        bank.unload("hot")
    with pytest.raises(UnknownName), bank.using(["hot"]):
        pass


def test_rules_choose_by_role_task_and_modalities(tiny: Tiny, make_adapter: Make) -> None:
    options = AdapterOptions(
        load={"both": str(make_adapter(1)), "code": str(make_adapter(2))},
        rules=(
            AdapterRule("both", role="query", modalities=("image", "text")),
            AdapterRule("code", task="code"),
            AdapterRule(None, role="document"),
        ),
        default="code",
    )
    bank = AdapterBank(load_bare(tiny("qwen2_vl")), options)
    picture = Picture(lambda: b"")
    assert bank.choose(Content(("words", picture), "query")) == "both"
    assert bank.choose(Content((picture,), "query"), modalities={"image", "text"}) == "both"
    assert bank.choose(Content(("words", picture), "document")) is None
    assert bank.choose(Content(("words",), "document"), task="code") == "code"
    assert bank.choose(Content(("words",), "document", task="x"), task="code") is None
    assert bank.choose(Content(("words",), "query")) == "code"


def test_a_rule_that_names_no_adapter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'cod'.*code"):
        AdapterOptions(load={"code": "x"}, rules=(AdapterRule("cod"),))
