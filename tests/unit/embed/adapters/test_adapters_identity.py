"""Documents must need new vectors when, and only when, what they go through has changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmrag.core.errors import NotFound
from mmrag.embed.adapters.identity import adapters_identity
from mmrag.embed.adapters.options import AdapterOptions, AdapterRule
from mmrag.embed.adapters.store import AdapterStore

from .conftest import Make


def test_an_adapter_of_queries_alone_is_no_part_of_it(make_adapter: Make) -> None:
    first, second = str(make_adapter(1)), str(make_adapter(2))
    asked = (AdapterRule("a", role="query"),)
    assert adapters_identity(AdapterOptions()) == "none"
    assert adapters_identity(AdapterOptions(load={"a": first}, rules=asked)) == "none"
    assert adapters_identity(AdapterOptions(load={"a": second}, rules=asked)) == "none"
    merged = adapters_identity(AdapterOptions(merge=(first,)))
    assert merged != "none"
    assert adapters_identity(AdapterOptions(merge=(first,), load={"a": second}, rules=asked)) == merged


def test_a_query_adapter_that_is_not_here_stops_no_document(make_adapter: Make) -> None:
    rules = (AdapterRule("a", role="query"),)
    assert adapters_identity(AdapterOptions(load={"a": "/not/here"}, rules=rules)) == "none"
    with pytest.raises(NotFound, match="/not/here"):
        adapters_identity(AdapterOptions(load={"a": "/not/here"}, default="a"))


def test_what_documents_take_counts_by_its_weights_and_not_by_its_name(make_adapter: Make) -> None:
    first, second = str(make_adapter(1)), str(make_adapter(2))
    taken = adapters_identity(AdapterOptions(load={"a": first}, default="a"))
    assert adapters_identity(AdapterOptions(load={"other": first}, default="other")) == taken
    assert adapters_identity(AdapterOptions(load={"a": second}, default="a")) != taken
    assert adapters_identity(AdapterOptions(merge=(first,))) != taken
    assert adapters_identity(AdapterOptions(merge=(first, second))) != adapters_identity(
        AdapterOptions(merge=(second, first))
    )
    pictures = (AdapterRule("a", modalities=("image",)),)
    assert adapters_identity(AdapterOptions(load={"a": first}, rules=pictures)) != taken


def test_the_task_of_documents_decides_which_adapter_counts(make_adapter: Make) -> None:
    def identity(code: int, task: str) -> str:
        load = {"retrieval": str(make_adapter(1)), "code": str(make_adapter(code))}
        rules = (AdapterRule("code", task="code"), AdapterRule("retrieval", task="retrieval"))
        return adapters_identity(AdapterOptions(load=load, rules=rules), task=task)

    assert identity(2, "retrieval") == identity(3, "retrieval")
    assert identity(2, "code") != identity(3, "code")


def test_a_copy_in_a_store_is_the_same_adapter(make_adapter: Make, tmp_path: Path) -> None:
    AdapterStore(tmp_path / "store").add("mine", make_adapter(1))
    stored = AdapterOptions(store=str(tmp_path / "store"), merge=("mine",))
    shutil.copytree(make_adapter(1), tmp_path / "copy")
    assert adapters_identity(stored) == adapters_identity(AdapterOptions(merge=(str(tmp_path / "copy"),)))


def test_weights_that_were_written_again_are_noticed(make_adapter: Make, tmp_path: Path) -> None:
    place = tmp_path / "adapter"
    options = AdapterOptions(merge=(str(place),))
    found = []
    for seed in (1, 2):
        shutil.copytree(make_adapter(seed), place, dirs_exist_ok=True)
        # Copies keep their time stamps, and two of a session may be equal.
        os.utime(place / "adapter_model.safetensors", (seed, seed))
        found.append(adapters_identity(options))
    assert found[0] != found[1]


def test_no_torch_is_loaded_for_it(make_adapter: Make) -> None:
    script = (
        "import sys\n"
        "from mmrag.embed.adapters.identity import adapters_identity\n"
        "from mmrag.embed.adapters.options import AdapterOptions\n"
        f"print(adapters_identity(AdapterOptions(merge=({str(make_adapter(1))!r},))))\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'safetensors') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    digest, loaded = done.stdout.split("\n")[:2]
    assert digest == adapters_identity(AdapterOptions(merge=(str(make_adapter(1)),)))
    assert loaded == "[]"
