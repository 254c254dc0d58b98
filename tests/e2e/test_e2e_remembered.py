"""What an index remembers: other pipelines search it, it is looked after without its model, status tells."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from mmrag import Pipeline
from mmrag.cli.main import main
from mmrag.core.errors import IdentityMismatch, NotFound
from mmrag.opening import Chosen, recall
from mmrag.places import Places
from mmrag.store import Store

pytestmark = pytest.mark.usefixtures("components")

FILES = ("pump.txt", "tank.txt")
TANK = "The tank holds 60 litres and is made of steel."


def model_of(pipeline: Pipeline) -> str:
    return pipeline.store.identity["model"]


def test_a_pipeline_recipe_is_put_over_the_index_that_is_there(
    docs: Path, small: Path, tmp_path: Path, mmrag: Callable[..., dict[str, Any]]
) -> None:
    mmrag("sync", docs, "--recipe", small, "--model", "chosen")
    before = recall(Places.of(docs, None))
    found = mmrag("search", docs, "impeller", "--recipe", "calibrated")
    assert found["hits"][0]["source"] == "pump.txt"
    assert recall(Places.of(docs, None)) == before, "a search changes nothing"
    own = tmp_path / "own.yaml"
    own.write_text("recipe: 1\nextends: rrf\nevidence: 3\n")
    for named in ("rrf", own):
        with Pipeline.from_folder(docs, recipe=named) as pipeline:
            assert (model_of(pipeline), pipeline.recipe.index.name) == ("chosen", str(small))
    # It is remembered with the index that it was put over.
    assert recall(Places.of(docs, None)) == Chosen(str(own), "chosen", str(small))
    (docs / "lever.txt").write_text("The lever is on the left.")
    with Pipeline.from_folder(docs) as pipeline:
        assert (pipeline.recipe.name, pipeline.store.count()) == (str(own), 3)
        assert pipeline.recipe.search.fusion.__class__.__name__ == "RrfFusion"
    with Pipeline.reindex(docs, recipe="calibrated", model="another") as pipeline:
        assert (pipeline.recipe.name, model_of(pipeline)) == ("calibrated", "another")
    assert mmrag("reindex", docs)["recipe"] == "calibrated"
    assert mmrag("search", docs, "lever")["hits"][0]["source"] == "lever.txt"
    assert mmrag("search", docs, "lever", "--recipe", "default", code=1)["error"] == "IdentityMismatch"
    insists = tmp_path / "insists.yaml"
    insists.write_text("recipe: 1\nextends: calibrated\nindex: indexes/default\n")
    assert mmrag("search", docs, "lever", "--recipe", insists, code=1)["error"] == "IdentityMismatch"
    small.unlink()
    gone = mmrag("search", docs, "lever", "--recipe", "rrf", code=2)
    assert f"The index was made with recipe '{small}'." in gone["message"]


def test_a_pipeline_recipe_is_put_over_an_index_recipe_that_another_pipeline_holds(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = "ocr: null, pictures: null, dense: exact, embedder: {type: named, model: small}"
    (tmp_path / "holds.yaml").write_text(
        f"recipe: 1\nextends: default\nindex: {{extends: default, {holds}}}\nevidence: 3\n"
    )
    monkeypatch.chdir(tmp_path)
    Pipeline.from_folder(docs, recipe="holds.yaml").close()
    monkeypatch.chdir("/")
    with Pipeline.from_folder(docs, recipe="calibrated") as pipeline:
        assert model_of(pipeline) == "small"
    with Pipeline.from_folder(docs) as pipeline:
        assert (pipeline.recipe.name, pipeline.recipe.evidence) == ("calibrated", 10)


def test_an_index_that_holds_nothing_takes_any_embedder(
    docs: Path,
    small: Path,
    large: Path,
    recipe: Callable[[str, str], Path],
    mmrag: Callable[..., dict[str, Any]],
) -> None:
    (docs / "aa.txt").write_text("At the breakdown it stopped.")
    with pytest.raises(RuntimeError, match="power"):
        Pipeline.from_folder(docs, recipe=small)
    (docs / "aa.txt").unlink()
    with Store.open(docs / ".mmrag") as store, store.writer() as writer:
        assert (store.count(), store.sources(), store.identity["model"]) == (0, [], "small")
        writer.cache("ocr", "key", b"words", None)
        writer.commit()
    # A plan writes nothing.
    assert mmrag("sync", docs, "--recipe", large, "--dry-run")["plan"]["added"] == 2
    with Store.open(docs / ".mmrag") as store:
        assert store.identity["model"] == "small"
    wide = recipe("wide", "type: hashing, dim: 96")
    with Pipeline.from_folder(docs, recipe=wide) as pipeline:
        assert (pipeline.store.count(), pipeline.store.identity["dim"]) == (2, "96")
        assert pipeline.store.cached("ocr", "key") == b"words"
        assert pipeline.search("impeller")[0].item.source == "pump.txt"
        assert pipeline.upkeep.verify().problems == ()
    # With anything in it, if only a file without items, it stays.
    for name in FILES:
        (docs / name).write_bytes(b"%PDF-1.4 torn")
    with Pipeline.from_folder(docs) as pipeline:
        assert (pipeline.store.count(), len(pipeline.sources())) == (0, 2)
    assert mmrag("sync", docs, "--recipe", small, code=1)["error"] == "IdentityMismatch"


def test_an_index_that_is_filled_meanwhile_is_not_taken_over(
    docs: Path, small: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    monkeypatch.setattr("mmrag.opening._is_empty", lambda path: True)
    with pytest.raises(IdentityMismatch):
        Pipeline.from_folder(docs, recipe=large)
    with Pipeline.from_folder(docs) as pipeline:
        assert (model_of(pipeline), pipeline.sync().embedded) == ("small", 0)


@pytest.mark.parametrize("over", [None, "calibrated"])
def test_an_index_is_looked_after_without_its_model(
    docs: Path,
    small: Path,
    over: str | None,
    mmrag: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named_options: type[Any],
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    mmrag("sync", docs, "--recipe", small, "--model", weights)
    if over:
        mmrag("sync", docs, "--recipe", over)
    Image.new("RGB", (40, 40)).save(tmp_path / "black.png")
    monkeypatch.setattr(named_options, "build", _not_found)
    status = mmrag("status", docs)
    assert (status["items"], status["embedder"]["model"]) == (2, "weights")
    assert mmrag("verify", docs)["problems"] == []
    assert mmrag("export", docs, tmp_path / "out")["items"] == 2
    assert mmrag("reindex", docs)["items"] == 2
    report = mmrag("embed", "report", docs, "--out", tmp_path / "look", code=1)
    assert report["error"] == "NotFound"
    assert not (tmp_path / "look").exists()
    (docs / "tank.txt").unlink()
    assert mmrag("forget", docs, "tank.txt")["clean"]
    assert mmrag("compact", docs)["bytes_after"]
    assert mmrag("status", docs)["items"] == 1
    told = "was made with a model that is gone. There is no 'weights'."
    for command in (
        ("search", docs, "pump"),
        ("ask", docs, "pump"),
        ("sync", docs),
    ):
        said = mmrag(*command, code=1)
        assert (said["error"], told in said["message"]) == ("NotFound", True)
        assert "--model FOLDER" in said["fix"]
    (docs / "tank.txt").write_text(TANK)
    with Pipeline.from_folder(docs, sync="never") as pipeline:
        for call in (
            lambda: pipeline.search("pump"),
            lambda: pipeline.ask("pump"),
            lambda: pipeline.search("pump", image=tmp_path / "black.png"),
            lambda: pipeline.why_not("pump", "pump.txt"),
            pipeline.sync,
        ):
            with pytest.raises(NotFound, match="model that is gone"):
                call()
        assert [record.state for record in pipeline.sources()] == ["indexed"]
    # What the call itself names is looked for.
    assert mmrag("status", docs, "--recipe", small, code=1)["error"] == "NotFound"


def _not_found(options: Any) -> NoReturn:
    raise NotFound(f"There is no {Path(options.model).name!r}.", fix="Download it.")


def test_status_tells_recipe_and_model(
    docs: Path,
    small: Path,
    mmrag: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mmrag("sync", docs, "--recipe", small, "--model", "chosen")
    mmrag("sync", docs, "--recipe", "calibrated")
    status = mmrag("status", docs)
    assert (status["recipe"], status["model"]) == ("calibrated", "chosen")
    # What one command uses is not what the index has.
    assert mmrag("status", docs, "--recipe", small)["recipe"] == "calibrated"
    said = _text(monkeypatch, capsys, "status", docs)
    assert f"Recipe calibrated over {small}, model chosen, 64 numbers a vector.\n" in said


def test_status_of_nothing_says_no_more_than_that(
    tmp_path: Path, recipe: Callable[[str, str], Path], mmrag: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "docs").mkdir()
    plain = tmp_path / "plain.yaml"
    plain.write_text("recipe: 1\nextends: default\nembedder: {type: named, model: small}\nocr: null\n")
    mmrag("sync", tmp_path / "docs", "--recipe", plain)
    status = mmrag("status", tmp_path / "docs")
    assert (status["recipe"], status["model"]) == (str(plain), "small")
    assert "looks at all" not in json.dumps(status["indexes"])
    (tmp_path / "docs" / "a.txt").write_text("A word.")
    mmrag("sync", tmp_path / "docs")
    assert "looks at all 1 rows" in json.dumps(mmrag("status", tmp_path / "docs")["indexes"])


def test_the_report_on_one_modality_compares_nothing(
    docs: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    said = _text(monkeypatch, capsys, "embed", "report", docs, "--out", tmp_path / "look")
    assert "similarity text" in said
    assert "There is one modality only" in said
    for absent in ("gap ", "modality at", "by chance", "another modality", "centres"):
        assert absent not in said.replace(": no gap", "")
    assert [path.name for path in (tmp_path / "look").iterdir()] == ["space.png"]


def test_the_report_on_one_item_leaves_no_folder(
    docs: Path, small: Path, tmp_path: Path, mmrag: Callable[..., dict[str, Any]]
) -> None:
    (docs / "pump.txt").unlink()
    Pipeline.from_folder(docs, recipe=small).close()
    said = mmrag("embed", "report", docs, "--out", tmp_path / "look", code=2)
    assert said["message"] == "The index holds one item."
    assert not (tmp_path / "look").exists()


def test_what_is_no_picture_is_refused_before_a_model_is_loaded(
    docs: Path,
    small: Path,
    tmp_path: Path,
    mmrag: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    named_options: type[Any],
) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    monkeypatch.setattr(named_options, "build", _not_found)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 of no pages")
    for name in ("a.pdf", "gone.png", "."):
        for command in (("search",), ("ask",), ("explain",)):
            said = mmrag(*command, docs, "pump", "--image", tmp_path / name, code=2)
            assert (said["error"], said["where"]) == ("QueryError", str(tmp_path / name))
    said = mmrag("why-not", docs, "pump", "pump.txt", "--image", tmp_path / "gone.png", code=2)
    assert "The picture cannot be opened: No such file" in said["message"]


def _text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: object) -> str:
    monkeypatch.setattr(sys, "argv", ["mmrag", *map(str, args)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    return capsys.readouterr().out
