"""Findings about checkpoints: what is missing or does not fit is said before anything is loaded."""

import json
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmrag.core.errors import ModelError
from mmrag.core.finding import Checkable
from mmrag.embed.adapters.options import AdapterOptions
from mmrag.embed.check import Wanted, check_checkpoint, count_in_words, weights_of
from mmrag.embed.dual import DualOptions
from mmrag.embed.mllm import MllmOptions
from mmrag.embed.mllm.options import Form, Pooling
from mmrag.embed.mllm.wanted import wanted
from mmrag.embed.remote import OpenAiOptions
from mmrag.embed.st import SentenceTransformersOptions
from mmrag.remote import ServerOptions


def findings(options):
    return {finding.name: finding for finding in options.check()}


def bad(options):
    return {name: found for name, found in findings(options).items() if found.verdict != "ok"}


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of a tiny model that a test may damage."""

    def make(kind):
        return Path(shutil.copytree(tiny(kind), tmp_path / kind))

    return make


@pytest.fixture
def qwen(copy):
    return MllmOptions(model=str(copy("qwen2_vl")), architecture="qwen2_vl")


def test_a_whole_checkpoint_is_well(qwen):
    found = findings(qwen)
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert found["config"].detail == "model_type qwen2_vl"
    assert "64 numbers" in found["architecture"].detail
    assert "<|image_pad|>" in found["tokens"].detail
    assert "peft" not in found
    assert isinstance(qwen, Checkable)


def test_weights_are_counted_as_torch_counts_them(tiny):
    import torch
    from transformers import AutoModel

    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(tiny("clip"), local_files_only=True)
    counted = weights_of(tiny("clip"))
    assert counted.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert counted.dtypes == {"F32": counted.parameters}
    assert counted.size_bytes == 4 * counted.parameters


def test_a_model_that_is_not_here_names_the_download():
    found = bad(MllmOptions(model="someone/nothing", revision="v1", architecture="qwen2_vl"))
    assert set(found) == {"model"}
    assert found["model"].verdict == "missing"
    assert "hf download someone/nothing --revision v1" in found["model"].fix


def test_another_architecture_is_named(copy):
    found = bad(MllmOptions(model=str(copy("qwen2_5_vl")), architecture="qwen2_vl"))
    assert set(found) == {"architecture"}
    assert "qwen2_5_vl" in found["architecture"].detail


def test_another_length_is_named(qwen):
    found = bad(replace(qwen, dims=(32, 128)))
    assert set(found) == {"architecture"}
    assert "64" in found["architecture"].detail
    assert "128" in found["architecture"].detail


def test_a_torn_file_of_weights_is_named(qwen):
    path = Path(qwen.model) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "weights" in bad(qwen)
    path.write_bytes(b"\x00" * 4)
    assert "weights" in bad(qwen)


def test_missing_weights_processor_tokenizer_and_config_are_each_named(qwen):
    folder = Path(qwen.model)
    parts = ("tokenizer.json", "tokenizer_config.json")
    for name, file in (("processor", "preprocessor_config.json"), *(("tokenizer", part) for part in parts)):
        kept = (folder / file).read_bytes()
        (folder / file).unlink()
        assert set(bad(qwen)) == {name}
        assert bad(qwen)[name].fix
        (folder / file).write_bytes(kept)
    (folder / "config.json").write_text("{")
    assert {"config", "architecture"} <= set(bad(qwen))
    (folder / "model.safetensors").unlink()
    assert "weights" in bad(qwen)


def test_each_shard_of_an_index_must_be_there_and_hold_its_tensors(tmp_path):
    def shard(name, tensors):
        header = {t: {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]} for t in tensors}
        text = json.dumps(header).encode()
        (tmp_path / name).write_bytes(struct.pack("<Q", len(text)) + text + bytes(12))

    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    shard("one.safetensors", ["a"])
    with pytest.raises(ModelError, match=r"1 of 2 files of weights are missing: two\.safetensors"):
        weights_of(tmp_path)
    shard("two.safetensors", ["c"])
    with pytest.raises(ModelError, match="lacks 1 tensors, such as b"):
        weights_of(tmp_path)
    shard("two.safetensors", ["b"])
    found = weights_of(tmp_path)
    assert (found.parameters, found.dtypes, found.size_bytes) == (12, {"BF16": 12}, 24)


def test_a_token_that_is_several_is_an_error_unless_it_is_added(qwen):
    pooled = replace(qwen, pooling=Pooling("token_before", token="<answer>"))
    found = bad(pooled)
    assert set(found) == {"tokens"}
    assert "<answer>" in found["tokens"].detail
    assert bad(replace(pooled, new_tokens=("<answer>",))) == {}


def test_a_mark_of_a_template_must_be_a_token_only_where_it_can_be_nothing_else(qwen):
    strict = replace(qwen, query=Form(wrap="<|begin|>{content}"))
    assert set(bad(strict)) == {"tokens"}
    told = findings(replace(qwen, query=Form(wrap="<instruct>{content}[INST]")))["template"]
    assert told.verdict == "ok"
    assert "<instruct>, [INST]" in told.detail


def test_words_alone_need_no_picture_token(tiny):
    options = MllmOptions(model=str(tiny("causal")), architecture="causal", rope="none", takes=("text",))
    assert wanted(options).tokens == []
    assert bad(options) == {}
    assert "processor" not in findings(options)


def test_adapters_are_found_opened_and_compared(qwen, tmp_path):
    missing = replace(qwen, adapters=AdapterOptions(load={"code": "someone/adapter"}))
    assert "hf download someone/adapter" in bad(missing)["adapter code"].fix
    assert findings(missing)["peft"].verdict == "ok"
    stored = AdapterOptions(load={"code": "code-lora"}, store=str(tmp_path / "store"))
    fix = bad(replace(qwen, adapters=stored))["adapter code"].fix
    assert fix.endswith(f": mmrag adapter add FOLDER --name code-lora --store {tmp_path / 'store'}")
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
    torn = bad(replace(qwen, adapters=AdapterOptions(merge=(str(folder),))))
    assert torn[f"adapter {folder}"].verdict == "broken"
    assert "adapter_model.safetensors" in torn[f"adapter {folder}"].detail


def test_code_of_a_checkpoint_is_told_and_never_run(qwen):
    (Path(qwen.model) / "modeling_own.py").write_text("raise SystemExit('run')")
    found = findings(qwen)["remote code"]
    assert found.verdict == "ok"
    assert "modeling_own.py" in found.detail
    assert "never run" in found.detail


def test_dual_encoders_are_checked_alike(copy):
    folder = copy("clip")
    options = DualOptions(model=str(folder), architecture="clip")
    assert bad(options) == {}
    assert "24 numbers" in findings(options)["architecture"].detail
    assert set(bad(replace(options, architecture="siglip2"))) == {"architecture"}


def test_pickles_are_not_looked_into(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"no pickle")
    build = MllmOptions(model=str(tmp_path), architecture="qwen2_vl").build
    found = {finding.name: finding for finding in check_checkpoint(Wanted(str(tmp_path), build))}
    assert "not looked into" in found["weights"].detail


def test_a_check_loads_nothing(tiny):
    code = (
        f"import sys; from mmrag.embed.mllm import MllmOptions; "
        f"found = list(MllmOptions(model={str(tiny('qwen2_vl'))!r}, architecture='qwen2_vl').check()); "
        "print(len(found), [name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "[]"


@pytest.mark.parametrize(("count", "told"), [(8.29e9, "8.29B"), (151e6, "151M"), (20_000, "20k"), (7, "7")])
def test_counts_in_words(count, told):
    assert count_in_words(count) == told


def test_a_folder_of_sentence_transformers_is_checked_as_far_as_it_can_be(copy):
    options = SentenceTransformersOptions(model=str(copy("qwen2_vl")))
    found = bad(options)
    assert set(found) == {"architecture"}
    assert findings(options)["sentence-transformers"].verdict == "ok"
    assert "hf download" in bad(SentenceTransformersOptions(model="someone/nothing"))["model"].fix


def test_a_server_must_take_connections(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        options = OpenAiOptions(model="m", server=ServerOptions(url, key_file=str(tmp_path / "key")))
        assert set(bad(options)) - {"httpx"} == {"key"}
        (tmp_path / "key").write_text("secret")
        assert "server" not in bad(options)
        assert "secret" not in str(findings(options))
    assert bad(options)["server"].verdict == "missing"
