"""`mmrag recipe list` and `check`: what is printed, and the exit codes."""

import json

import pytest
from typer.testing import CliRunner

from mmrag.cli.recipes import _short, app
from mmrag.core.errors import ConfigError
from mmrag.testing.tiny import build_tiny

GME = """recipe: 1
extends: default
index: {extends: gme-qwen2-vl-2b, ocr: null, embedder: {dims: []}}
"""


def run(*arguments, code=0):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    return str(build_tiny("qwen2_vl", tmp_path_factory.mktemp("tiny") / "qwen2_vl"))


@pytest.fixture
def recipe(tmp_path):
    """The recipe of a published model, without OCR: the engine is not what is tested."""
    path = tmp_path / "own.yaml"
    path.write_text(GME)
    return str(path)


def test_the_list_has_two_groups_and_a_line_for_what_each_is_for():
    lines = run("list").splitlines()
    assert lines[0].startswith("Pipelines")
    indexes = next(i for i, line in enumerate(lines) if line.startswith("Indexes"))
    assert lines[indexes + 2].split()[:4] == ["indexes/default", "minilm", "text", "384"]
    assert lines[indexes + 3].strip() == "Text and pictures on a laptop, with no network, GPU or key."
    row = next(line for line in lines if line.startswith("gme-qwen2-vl-2b"))
    for cell in ("mllm", "text image fused", "2.2B", "local ocr", "Apache-2.0"):
        assert cell in row


def test_the_list_fits_a_terminal():
    lines = run("list").splitlines()
    assert max(len(line) for line in lines if line.startswith(" ")) <= 100
    rows = sorted(len(line) for line in lines if not line.startswith(" "))
    assert rows[int(0.9 * len(rows))] <= 100, "a few rows may stand out"


def test_the_list_is_there_for_programs():
    rows = {(row["kind"], row["name"]): row for row in json.loads(run("list", "--json"))["recipes"]}
    gme = rows["index", "gme-qwen2-vl-2b"]
    assert gme["embedder"]["takes"] == ["text", "image", "fused"]
    assert gme["embedder"]["model"] == "Alibaba-NLP/gme-Qwen2-VL-2B-Instruct"
    assert (gme["parameters"], gme["licence"]) == ("2.2B", "Apache-2.0")


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("all-MiniLM-L6-v2 is Apache-2.0; RapidOCR is Apache-2.0.", "Apache-2.0"),
        ("UniIR's weights are MIT; BLIP is BSD-3-Clause.", "MIT, BSD-3-Clause"),
        ("CC-BY-NC-4.0 at first, later the Qwen Research License; see the model card", "CC-BY-NC-4.0, ..."),
        ("", "-"),
        ("A long licence of its own that no column holds", "see --json"),
    ],
)
def test_a_licence_is_shortened_to_its_names(licence, told):
    assert _short(licence) == told


def test_without_a_name_only_the_text_is_checked():
    told = run("check")
    assert told.count("ok:") > 30
    assert "missing" not in told


def test_a_model_that_is_not_here_is_missing(recipe):
    told = run("check", recipe, code=1)
    assert "missing model: The model 'Alibaba-NLP/gme-Qwen2-VL-2B-Instruct' is not on this machine." in told
    assert "hf download Alibaba-NLP/gme-Qwen2-VL-2B-Instruct" in told
    assert "2.2B parameters, 4.4 GB in 16 bits" in told
    assert "ok: " not in told


def test_a_folder_takes_the_models_place(recipe, model):
    told = run("check", recipe, "--model", model)
    assert told.splitlines()[-1] == f"ok: {recipe}"
    assert "not loaded" not in told


def test_loading_embeds_a_text_and_a_picture(recipe, model):
    told = run("check", recipe, "--model", model, "--load")
    assert "64 dimensions; loaded and embedded a text in" in told
    assert "a picture in" in told


def test_what_is_broken_is_not_loaded(recipe):
    assert "embedder: not loaded: see above" in run("check", recipe, "--load", code=1)


def test_problems_of_the_text_come_first(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(GME.replace("ocr: null", "orc: null"))
    told = run("check", str(path), code=2)
    assert "There is no key 'orc' here." in told


def test_findings_are_there_for_programs(recipe):
    told = json.loads(run("check", recipe, "--json", code=1))
    assert told["recipes"] == {recipe: []}
    verdicts = {finding["name"]: finding["verdict"] for finding in told["findings"][recipe]}
    assert verdicts["model"] == "missing"
    assert verdicts["torch"] == "ok"


def test_a_folder_is_for_one_recipe():
    for names in ((), ("default", "rrf")):
        done = CliRunner().invoke(app, ["check", *names, "--model", "x"])
        assert isinstance(done.exception, ConfigError)
