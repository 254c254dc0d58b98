"""`mmrag adapter` must do what the store does, and end in a sentence where it cannot."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrag.cli.adapters import app
from mmrag.core.errors import AdapterMismatch, NotFound

from .conftest import Make

Tiny = Callable[[str], Path]


def call(*words: str, store: Path) -> str:
    done = CliRunner().invoke(app, [*words, "--store", str(store)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_adapter_is_added_listed_shown_checked_and_removed(
    tiny: Tiny, make_adapter: Make, tmp_path: Path
) -> None:
    base = str(tiny("qwen2_vl"))
    said = call("add", str(make_adapter(1)), "--name", "code", "--task", "find code", store=tmp_path)
    assert said.startswith("added code: LORA of rank 4")
    (row,) = json.loads(call("list", "--json", store=tmp_path))["adapters"]
    assert (row["name"], row["task"], row["base_digest"]) == ("code", "find code", "")
    assert "find code" in call("list", store=tmp_path)
    assert call("check", "code", "--base", base, store=tmp_path).startswith("ok: code")
    shown = call("show", "code", store=tmp_path)
    assert "base_digest: " in shown
    assert "adapter_model.safetensors: " in shown
    with pytest.raises(AdapterMismatch):
        call("check", "code", "--base", str(tiny("clip")), store=tmp_path)
    assert json.loads(call("remove", "code", "--json", store=tmp_path))["name"] == "code"
    assert json.loads(call("list", "--json", store=tmp_path))["adapters"] == []


def test_a_file_of_several_tasks_is_split(make_adapter: Make, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "adapters"
    shutil.copytree(make_adapter(1), folder)
    file = folder / "adapter_model.safetensors"
    both = {
        name.replace(".weight", f".{task}.weight"): tensor.clone()
        for name, tensor in load_file(file).items()
        for task in ("text", "code")
    }
    save_file(both, file)
    call("add", str(folder), "--split", "--name", "jina", store=tmp_path / "store")
    rows = json.loads(call("list", "--json", store=tmp_path / "store"))["adapters"]
    assert [(row["name"], row["task"]) for row in rows] == [("jina-code", "code"), ("jina-text", "text")]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        call("add", "./nowhere", store=tmp_path)


def test_what_is_not_there_is_named_as_what_it_is(make_adapter: Make, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no folder '\./nope'") as caught:
        call("add", "./nope", store=tmp_path)
    assert caught.value.fix == "Give the folder that peft wrote."
    with pytest.raises(NotFound) as caught:
        call("add", str(make_adapter(1)), "--base", "someone/nothing", store=tmp_path)
    assert "--base" in caught.value.fix
    assert "--model" not in caught.value.fix
