"""A folder of words, pictures and pages with a local multimodal LLM: sync, search, ask, switch, look."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from reportlab.pdfgen.canvas import Canvas

from mmrag import Pipeline
from mmrag.cli.main import main
from mmrag.core.errors import IdentityMismatch, QueryError
from mmrag.core.types import Query
from mmrag.testing.tiny import build_tiny

RECIPE = """
recipe: 1
extends: {family}
embedder: {{dims: [], pixels: {{min: 3136, max: 50176}}}}
ocr: null
"""


def mmrag(*args, code=0):
    """Run a command in this process: each of its own would import torch anew, for seconds."""
    out, argv = io.StringIO(), sys.argv
    sys.argv = ["mmrag", *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = argv
    assert (ended.value.code or 0) == code, (ended.value.code, out.getvalue())
    return out.getvalue()


def as_json(*args, code=0):
    return json.loads(mmrag(*args, "--json", code=code))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for seed, kind in enumerate(("qwen2_vl", "qwen3_vl")):
        build_tiny(kind, root / kind, seed=seed)
    return root


def picture(path, colour, shape):
    image = Image.new("RGB", (160, 120), "white")
    getattr(ImageDraw.Draw(image), shape)((30, 20, 130, 100), fill=colour)
    image.save(path)


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus") / "docs"
    root.mkdir()
    (root / "manual.md").write_text(
        "# Pump manual\n\n## Warranty\n\nThe warranty on the pump is three years from the date of purchase.\n"
    )
    picture(root / "red.png", (220, 20, 20), "ellipse")
    picture(root / "blue.jpg", (20, 20, 220), "rectangle")
    (root / "torn.png").write_bytes((root / "red.png").read_bytes()[:200])
    canvas = Canvas(str(root / "parts.pdf"), pagesize=(400, 300))
    canvas.drawString(40, 200, "A shaft seal costs 14 euro.")
    canvas.save()
    return root


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    for family in ("gme-qwen2-vl-2b", "qwen3-vl-embedding-2b", "lamra-ret"):
        (root / f"{family}.yaml").write_text(RECIPE.format(family=family))
    return root


@pytest.fixture(scope="module")
def synced(docs, models, recipes):
    recipe, model = recipes / "gme-qwen2-vl-2b.yaml", models / "qwen2_vl"
    return as_json("sync", docs, "--recipe", recipe, "--model", model, code=4)


def test_a_folder_is_embedded_and_a_torn_picture_fails_alone(synced, docs):
    assert synced["states"]["failed"] == 1
    assert synced["embedded"] == synced["items"] == 4
    status = as_json("status", docs, code=4)
    assert status["embedder"]["rope"] == "sequential"
    assert [s["source"] for s in status["sources"] if s["state"] == "failed"] == ["torn.png"]


def test_the_index_knows_its_recipe_and_model(synced, docs):
    words = "The warranty on the pump is three years from the date of purchase."
    hits = as_json("search", docs, words)["hits"]
    assert hits[0]["source"] == "manual.md"
    answer = as_json("ask", docs, "How long is the warranty on the pump?")
    assert answer["status"] == "answered"
    assert "three years" in answer["text"]


def test_a_picture_finds_itself(synced, docs):
    found = as_json("search", docs, "--image", docs / "blue.jpg")
    assert found["hits"][0]["source"] == "blue.jpg"
    explained = as_json("explain", docs, "--image", docs / "red.png")
    best = explained["hits"][0]
    assert best["source"] == "red.png"
    # The model knows no instruction for a picture but the one of items: query and item are one vector.
    assert best["scores"]["dense"] == pytest.approx(1.0, abs=1e-4)


def test_words_and_a_picture_and_an_instruction_are_one_query(synced, docs):
    words = ("search", docs, "the same in blue", "--image", docs / "red.png")
    plain = as_json(*words)["hits"]
    told = as_json(*words, "--instruction", "Find an image that matches the changes.")["hits"]
    scores = [{hit["source"]: hit["scores"]["dense"] for hit in hits} for hits in (plain, told)]
    assert set(scores[0]) == set(scores[1])
    assert max(abs(scores[0][name] - scores[1][name]) for name in scores[0]) > 1e-3


def test_a_second_sync_embeds_nothing(synced, docs):
    again = as_json("sync", docs, code=4)
    assert again["embedded"] == 0
    assert set(again["plan"]) - {"unchanged"} >= {"added"}
    assert again["plan"]["added"] == again["plan"]["changed"] == 0


def test_another_family_is_refused_and_reindexed_beside(synced, docs, models, recipes):
    other = ("--recipe", recipes / "qwen3-vl-embedding-2b.yaml", "--model", models / "qwen3_vl")
    refused = as_json("sync", docs, *other, code=1)
    assert refused["error"] == "IdentityMismatch"
    assert "architecture: qwen2_vl -> qwen3_vl" in refused["message"]
    assert "mmrag reindex" in refused["fix"]
    assert as_json("search", docs, "pump")["hits"], "the old index still answers"
    assert as_json("reindex", docs, *other, code=4)["failed"] == 1, "the torn picture, as before"
    assert as_json("status", docs, code=4)["embedder"]["architecture"] == "qwen3_vl"
    found = as_json("search", docs, "--image", docs / "blue.jpg")
    assert found["hits"][0]["source"] == "blue.jpg"
    mmrag("verify", docs)


def test_python_takes_the_same_words(docs, models, recipes, tmp_path):
    recipe, model = recipes / "lamra-ret.yaml", models / "qwen2_vl"
    with Pipeline.from_folder(docs, recipe=recipe, model=model, store=tmp_path / "store") as pipeline:
        best = pipeline.search(Query.of(image=docs / "red.png"), k=1)[0]
        assert best.item.source == "red.png"
        asked = Query.of("in blue", image=docs / "red.png", task="composed")
        assert len(pipeline.search(asked, k=3)) == 3
        with pytest.raises(QueryError, match="no task 'swim'"):
            pipeline.search(Query.of("x", task="swim"))
    with pytest.raises(IdentityMismatch, match="pooling"):
        Pipeline.from_folder(
            docs, recipe=recipes / "gme-qwen2-vl-2b.yaml", model=model, store=tmp_path / "store"
        )


def test_pages_are_items_of_a_recipe_for_screenshots(docs, models, tmp_path):
    own = tmp_path / "pages.yaml"
    own.write_text(RECIPE.format(family="dse-qwen2-2b") + "splitter: {type: pages}\n")
    store = tmp_path / "store"
    with Pipeline.from_folder(docs, recipe=own, model=models / "qwen2_vl", store=store) as pipeline:
        page = next(hit for hit in pipeline.search("shaft seal euro", k=5) if hit.item.source == "parts.pdf")
        assert page.item.modality == "image"
        answer = pipeline.ask("What does a shaft seal cost?")
        assert "14 euro" in answer.text
        assert answer.citations[0].item.source == "parts.pdf"


def test_the_report_measures_and_draws(synced, docs, tmp_path):
    look = as_json("embed", "report", docs, "--out", tmp_path / "look")
    assert look["items"]["image"] >= 2
    with Image.open(tmp_path / "look" / "space.png") as drawn:
        assert drawn.width > 1000
    assert (tmp_path / "look" / "centres.npz").is_file()
    assert Path(look["files"][0]).name == "space.png"
    (tmp_path / "file").touch()
    assert as_json("embed", "report", docs, "--out", tmp_path / "file", code=2)["error"] == "ConfigError"


def test_a_picture_is_found_by_what_a_model_writes_about_it(docs, models, tmp_path):
    own = tmp_path / "described.yaml"
    own.write_text(
        "recipe: 1\nextends: vision-free\nembedder: minilm\nocr: null\n"
        f"captioner: {{type: mllm, model: {models / 'qwen3_vl'}, max_new_tokens: 12,\n"
        '  template: "<|im_start|>user\\n{image}{prompt}<|im_end|>\\n<|im_start|>assistant\\n"}\n'
    )
    with Pipeline.from_folder(docs, recipe=own, store=tmp_path / "store") as pipeline:
        items = {item.source: item for item in pipeline.store.items(pipeline.store.rows()).values()}
        red, blue = items["red.png"], items["blue.jpg"]
        said = next(part.text for part in red.parts if part.role == "caption")
        assert red.metadata["described_by"] == blue.metadata["described_by"]
        assert said
        words = " ".join(word for word in said.split() if word.isalnum()) or said
        assert "red.png" in {hit.item.source for hit in pipeline.search(words, k=4)}
        before = pipeline.store.root
        pipeline.sync()
        assert pipeline.store.root == before


@pytest.fixture
def small(tmp_path, models, recipes):
    """A folder with a note, indexed by a model that is this test's own."""
    folder, model, recipe = tmp_path / "small", tmp_path / "model", tmp_path / "own.yaml"
    folder.mkdir()
    (folder / "note.txt").write_text("The tank holds 60 litres.")
    shutil.copytree(models / "qwen2_vl", model)
    shutil.copy(recipes / "gme-qwen2-vl-2b.yaml", recipe)
    as_json("sync", folder, "--recipe", recipe, "--model", model)
    return folder, model, recipe


def test_a_model_that_moved_is_named_once(small, tmp_path):
    folder, model, _ = small
    moved = model.rename(tmp_path / "elsewhere")
    told = as_json("search", folder, "tank", code=1)
    assert told["error"] == "NotFound"
    assert told["fix"].endswith(f"mmrag sync {folder} --model FOLDER")
    # What needs no weights works without them.
    assert as_json("status", folder)["model"] == str(model)
    assert as_json("verify", folder)["problems"] == []
    assert "config.json" in as_json("sync", folder, "--model", model, code=1)["fix"]
    assert as_json("sync", folder, "--model", moved)["embedded"] == 0
    assert as_json("search", folder, "tank")["hits"]


def test_a_recipe_that_changed_to_an_embedder_without_a_model_is_refused_as_another(small):
    folder, _, recipe = small
    recipe.write_text("recipe: 1\nextends: default\nocr: null\n")
    told = as_json("search", folder, "tank", code=1)
    assert told["error"] == "IdentityMismatch"
    assert told["fix"] == f"Run: mmrag reindex {folder} --recipe {recipe}"
    assert as_json("reindex", folder, "--recipe", recipe)["items"] == 1


def test_a_query_picture_that_cannot_be_opened_is_a_wrong_request(synced, docs):
    for path in (docs / "torn.png", docs / "missing.png", docs):
        told = as_json("search", docs, "red", "--image", path, code=2)
        assert told["where"] == str(path)
