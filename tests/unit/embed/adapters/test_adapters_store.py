"""A store must take whole adapters only, keep them as they were, and tell when they are not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrag.core.errors import AdapterMismatch, ConfigError, Damaged, ModelError, NotFound, UnknownName
from mmrag.core.weights import fingerprint
from mmrag.embed.adapters.files import open_adapter
from mmrag.embed.adapters.split import split_by_task
from mmrag.embed.adapters.store import AdapterStore, Purpose, find_adapter

from .conftest import LAYERS, Make

Tiny = Callable[[str], Path]
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "store")


def test_what_was_added_is_there(store: AdapterStore, tiny: Tiny, make_adapter: Make) -> None:
    purpose = Purpose(task="code", query="Find code.", added="2026-11-22")
    manifest = store.add("code", make_adapter(1), purpose=purpose, base=tiny("qwen2_vl"))
    assert store.list() == [manifest] == [store.get("code")]
    assert (manifest.kind, manifest.rank, manifest.targets) == ("LORA", 4, (LAYERS,))
    assert (manifest.task, manifest.query, manifest.document) == ("code", "Find code.", "")
    assert manifest.base_digest == fingerprint(tiny("qwen2_vl"))
    assert manifest.digest == open_adapter(make_adapter(1)).digest
    assert store.check("code", base=tiny("qwen2_vl")) == manifest
    assert find_adapter("code", str(store.folder)) == store.folder / "code"
    store.remove("code")
    assert store.list() == []
    assert list(store.folder.iterdir()) == []


def test_a_name_is_taken_once_and_is_no_path(store: AdapterStore, make_adapter: Make) -> None:
    store.add("code", make_adapter(1))
    with pytest.raises(ConfigError, match="'code'"):
        store.add("code", make_adapter(2))
    for name in ("", "..", "a/b", ".hidden", "a" * 65, "new\n"):
        with pytest.raises(ConfigError, match="no name"):
            store.add(name, make_adapter(2))
    for name in ("cod", "..", ""):
        with pytest.raises(UnknownName):
            store.get(name)
    with pytest.raises(UnknownName):
        store.remove("cod")
    assert [manifest.name for manifest in store.list()] == ["code"]


def test_files_that_were_changed_are_found(store: AdapterStore, make_adapter: Make) -> None:
    store.add("code", make_adapter(1))
    store.check("code")
    with (store.folder / "code" / WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(Damaged, match=WEIGHTS):
        store.check("code")


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_torn_file_is_not_taken(cut: int, store: AdapterStore, make_adapter: Make, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(make_adapter(1), torn)
    (torn / WEIGHTS).write_bytes((torn / WEIGHTS).read_bytes()[:cut])
    with pytest.raises(ModelError, match="safetensors"):
        store.add("torn", torn)
    assert list(store.folder.iterdir()) == []


def test_a_pickle_and_a_missing_file_are_not_taken(
    store: AdapterStore, make_adapter: Make, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(make_adapter(1), bare)
    (bare / WEIGHTS).rename(bare / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        store.add("bare", bare)
    (bare / "adapter_model.bin").unlink()
    with pytest.raises(NotFound, match=WEIGHTS):
        store.add("bare", bare)


def test_a_rank_that_the_tensors_do_not_have_is_told(
    store: AdapterStore, make_adapter: Make, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(make_adapter(1), wrong)
    config = json.loads((wrong / "adapter_config.json").read_text())
    (wrong / "adapter_config.json").write_text(json.dumps({**config, "r": 6}))
    with pytest.raises(AdapterMismatch, match=r"\[4, \d+\] and the rank 6"):
        store.add("wrong", wrong)


def test_a_base_of_other_widths_or_weights_is_told(
    store: AdapterStore, tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    from mmrag.testing.tiny import build_tiny

    with pytest.raises(AdapterMismatch, match=r"no layer of the base|its layer"):
        store.add("code", make_adapter(1), base=tiny("clip"))
    store.add("code", make_adapter(1), base=tiny("qwen2_vl"))
    other = build_tiny("qwen2_vl", tmp_path / "other", seed=7)
    with pytest.raises(AdapterMismatch, match="--accept"):
        store.check("code", base=other)
    assert store.check("code", base=other, accept=True).base_digest == fingerprint(other)
    with pytest.raises(AdapterMismatch):
        store.check("code", base=tiny("qwen2_vl"))


def test_a_bank_refuses_another_base_than_the_one_checked(
    store: AdapterStore, tiny: Tiny, make_adapter: Make
) -> None:
    from mmrag.embed.adapters.bank import AdapterBank
    from mmrag.embed.adapters.options import AdapterOptions

    from .conftest import load_bare

    base = tiny("qwen2_vl")
    store.add("code", make_adapter(1), base=base)
    options = AdapterOptions(store=str(store.folder), load={"code": "code"})
    assert AdapterBank.attach(load_bare(base), options, fingerprint(base)).names == ("code",)
    with pytest.raises(AdapterMismatch, match="checked with the base"):
        AdapterBank.attach(load_bare(base), options, "0" * 32)


def test_an_unfinished_copy_is_not_listed(store: AdapterStore, make_adapter: Make) -> None:
    store.add("code", make_adapter(1))
    shutil.copytree(store.folder / "code", store.folder / ".adding-x" / "code")
    shutil.copytree(store.folder / "code", store.folder / ".removing-x")
    (store.folder / "empty").mkdir()
    assert [manifest.name for manifest in store.list()] == ["code"]


def test_a_file_with_several_tasks_becomes_one_adapter_each(
    store: AdapterStore, tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    side_by_side = tmp_path / "adapters"
    shutil.copytree(make_adapter(1), side_by_side)
    alone = {"retrieval": load_file(make_adapter(1) / WEIGHTS), "code": load_file(make_adapter(2) / WEIGHTS)}
    together = {
        name.replace(".weight", f".{task}.weight"): tensor
        for task, tensors in alone.items()
        for name, tensor in tensors.items()
    }
    together["base_model.model.multi_vector_projector.lora_A.code.weight"] = torch.ones(4, 64)
    save_file(together, side_by_side / WEIGHTS)
    found = split_by_task(side_by_side, tmp_path / "out", leave_out=("multi_vector_projector",))
    assert set(found) == {"retrieval", "code"}
    for task, folder in found.items():
        tensors = load_file(folder / WEIGHTS)
        assert tensors.keys() == alone[task].keys()
        assert all(torch.equal(tensors[name], alone[task][name]) for name in tensors)
        store.add(task, folder, base=tiny("qwen2_vl"))
    assert store.get("code").digest == open_adapter(make_adapter(2)).digest
    with pytest.raises(ConfigError, match="names no task"):
        split_by_task(make_adapter(1), tmp_path / "no")


def test_tensors_can_be_left_out_of_a_copy(store: AdapterStore, make_adapter: Make) -> None:
    from safetensors.torch import load_file

    store.add("less", make_adapter(1), leave_out=(r"layers\.1\.",))
    kept = load_file(store.folder / "less" / WEIGHTS)
    assert kept
    assert not [name for name in kept if "layers.1." in name]
    with pytest.raises(AdapterMismatch, match="leaves nothing"):
        store.add("none", make_adapter(1), leave_out=("lora",))


@pytest.mark.parametrize("text", ["{torn", "[]", "{}"])
def test_a_torn_manifest_is_damage(store: AdapterStore, make_adapter: Make, text: str) -> None:
    store.add("code", make_adapter(1))
    (store.folder / "code" / "manifest.json").write_text(text)
    with pytest.raises(Damaged, match="'code' cannot be read"):
        store.get("code")


def test_without_a_store_that_of_the_command_line_counts(
    make_adapter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    AdapterStore(Path("adapters")).add("code", make_adapter(1))
    assert find_adapter("code").resolve() == tmp_path / "adapters" / "code"
    with pytest.raises(NotFound, match="adapter store adapters") as caught:
        find_adapter("maths")
    assert caught.value.fix.endswith("mmrag adapter add FOLDER --name maths")
    with pytest.raises(NotFound) as caught:
        find_adapter("maths", "my adapters")
    assert caught.value.fix.endswith("--name maths --store 'my adapters'")
    with pytest.raises(NotFound, match=r"no folder '\./maths'") as caught:
        find_adapter("./maths")
    assert caught.value.fix == "Give the folder that peft wrote."
    with pytest.raises(NotFound) as caught:
        find_adapter("someone/maths")
    assert caught.value.fix == "Run: hf download someone/maths"
