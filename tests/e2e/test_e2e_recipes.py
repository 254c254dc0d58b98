"""An index remembers its recipe; another recipe builds it anew beside; queries name tasks and pictures."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmrag import Pipeline, Query
from mmrag.core.errors import ConfigError, IdentityMismatch, RecipeError, StoreError
from mmrag.opening import Chosen, patterns_for, recall
from mmrag.places import Places
from mmrag.recipes import load_pipeline
from mmrag.store import Store
from mmrag.store.swap import building_path

pytestmark = pytest.mark.usefixtures("components")

FILES = ("pump.txt", "tank.txt")


def model_of(pipeline: Pipeline) -> str:
    return pipeline.store.identity["model"]


def test_an_index_remembers_the_recipe_it_was_synced_with(docs: Path, small: Path, monkeypatch) -> None:
    monkeypatch.chdir(small.parent)
    Pipeline.from_folder(docs, recipe="small.yaml").close()
    monkeypatch.chdir("/")
    with Pipeline.from_folder(docs, sync="never") as pipeline:
        assert pipeline.recipe.name == str(small)
        assert pipeline.search("impeller")[0].item.source == "pump.txt"
    with Pipeline.from_folder(docs, rebuild=True) as pipeline:
        assert model_of(pipeline) == "small"
    # One that no sync was done with is used for this call only.
    rrf = recall(Places.of(docs, None))
    with Pipeline.from_folder(docs, recipe=small, sync="never"):
        assert recall(Places.of(docs, None)) == rrf == Chosen(str(small), None, str(small))


def test_another_recipe_with_the_same_vectors_is_used_and_remembered(docs: Path, small, recipe) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    same = recipe("same", "type: named, model: small")
    with Pipeline.from_folder(docs, recipe=same, sync="never") as pipeline:
        assert pipeline.recipe.name == str(same)
    assert recall(Places.of(docs, None)).recipe == str(small)
    with Pipeline.from_folder(docs, recipe=same) as pipeline:
        assert pipeline.store.count() == 2
    assert recall(Places.of(docs, None)).recipe == str(same)


def test_a_recipe_with_other_vectors_is_refused_with_the_command(docs: Path, small, large) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    with pytest.raises(IdentityMismatch, match="model: small -> large") as caught:
        Pipeline.from_folder(docs, recipe=large)
    assert caught.value.fix == f"Run: mmrag reindex {docs} --recipe {large}"
    with pytest.raises(IdentityMismatch) as caught:
        Pipeline.from_folder(docs, recipe=small, model="tiny model", store=docs / ".mmrag")
    assert caught.value.fix == f"Run: mmrag reindex {docs} --recipe {small} --model 'tiny model'"


def test_a_recipe_that_is_gone_is_named(docs: Path, small: Path, recipe) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    small.unlink()
    with pytest.raises(ConfigError, match=r"was made with recipe '.*small\.yaml'") as caught:
        Pipeline.from_folder(docs)
    assert "--recipe" in caught.value.fix
    moved = recipe("moved", "type: named, model: small")
    with Pipeline.from_folder(docs, recipe=moved) as pipeline:
        assert pipeline.search("impeller")[0].item.source == "pump.txt"


def test_a_model_takes_the_place_of_the_recipes_own(docs: Path, small: Path, tmp_path, monkeypatch) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    with Pipeline.from_folder(docs, recipe=small, model="weights") as pipeline:
        assert model_of(pipeline) == "weights"
        assert pipeline.recipe.data["index"]["embedder"]["model"] == str(tmp_path / "weights")
    monkeypatch.chdir("/")
    # Neither a bare call nor another pipeline over the same index recipe has to name it again.
    over = tmp_path / "over.yaml"
    over.write_text(f"recipe: 1\nextends: default\nindex: {small}\nevidence: 3\n")
    for named in (None, small, over):
        with Pipeline.from_folder(docs, recipe=named, sync="never") as pipeline:
            assert model_of(pipeline) == "weights"
    with pytest.raises(IdentityMismatch, match="model: weights -> small"):
        Pipeline.from_folder(docs, recipe=small, model="small")


def test_a_recipe_without_a_model_takes_no_other(recipe) -> None:
    with pytest.raises(ConfigError, match="is 'hashing', which takes no other model") as caught:
        load_pipeline(recipe("plain", "type: hashing"), model="x")
    assert "--model" in caught.value.fix
    lacking = recipe("lacking", "type: named")
    with pytest.raises(RecipeError, match="'model' is missing"):
        load_pipeline(lacking)
    assert load_pipeline(lacking, model="given").index.embedder.model == "given"
    with pytest.raises(RecipeError, match="no embedder named"):
        load_pipeline(recipe("wrong", "type: nonsense"), model="x")
    one, other = (load_pipeline(lacking, model=model) for model in ("one", "other"))
    assert one.digest != other.digest
    assert one.index.digest != other.index.digest


def test_reindex_builds_beside_and_swaps(docs: Path, small: Path, large: Path) -> None:
    with Pipeline.from_folder(docs, recipe=small) as old:
        (docs / "lever.txt").write_text("The lever is on the left.")
        with Pipeline.reindex(docs, recipe=large) as new:
            assert model_of(new) == "large"
            assert len(new.sources()) == 3
            assert new.search("lever")[0].item.source == "lever.txt"
            assert new.upkeep.verify().problems == ()
        for call in (lambda: old.search("pump"), old.sources, old.sync, old.upkeep.publish):
            with pytest.raises(StoreError, match="was replaced"):
                call()
    assert sorted(path.name for path in docs.iterdir()) == [".mmrag", "lever.txt", "pump.txt", "tank.txt"]
    with Pipeline.from_folder(docs) as pipeline:
        assert pipeline.recipe.name == str(large)
        assert pipeline.sync().embedded == 0


def test_searches_go_on_while_the_other_index_is_built(docs: Path, small: Path, large: Path) -> None:
    seen: list[str] = []
    with Pipeline.from_folder(docs, recipe=small) as old:

        def search(_) -> None:
            try:
                seen.append(old.search("tank")[0].item.source)
            except StoreError as error:
                seen.append("replaced" if "was replaced" in error.message else error.message)

        Pipeline.reindex(docs, recipe=large, on_progress=search).close()
    assert seen.count("tank.txt") > 3
    # The last sync is that of the new index, in its place.
    assert set(seen[seen.count("tank.txt") :]) == {"replaced"}


def test_a_stopped_reindex_goes_on_where_it_was(docs: Path, small: Path, large: Path) -> None:
    with Pipeline.from_folder(docs, recipe=small) as pipeline:
        root = pipeline.store.root
    (docs / "zz.txt").write_text("At the breakdown it stopped.")
    with pytest.raises(RuntimeError, match="power"):
        Pipeline.reindex(docs, recipe=large)
    with Pipeline.from_folder(docs, sync="never") as pipeline:
        assert (model_of(pipeline), pipeline.store.root) == ("small", root)
        with pytest.raises(StoreError, match="may hold them as well"):
            pipeline.upkeep.forget(["pump.txt"])
        (told,) = [told for told in pipeline.warnings() if "mmrag reindex" in told]
        assert f"mmrag reindex {docs} --recipe {large}" in told
    (docs / "zz.txt").unlink()
    with Store.open(building_path(docs / ".mmrag")) as beside:
        assert beside.identity["model"] == "large"
        born = beside.file
    with Pipeline.reindex(docs, recipe=large) as pipeline:
        assert model_of(pipeline) == "large"
        assert pipeline.store.file == born
        assert pipeline.warnings() == []
        assert len(pipeline.sources()) == 2


def test_a_build_that_was_given_up_makes_room_for_another(docs: Path, small, large, recipe) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    (docs / "zz.txt").write_text("At the breakdown it stopped.")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            Pipeline.reindex(docs, recipe=large)
        (docs / "zz.txt").unlink()
        with Pipeline.reindex(docs, recipe=recipe("huge", "type: named, model: huge")) as pipeline:
            assert (model_of(pipeline), pipeline.store.count()) == ("huge", 2)
        (docs / "zz.txt").write_text("At the breakdown it stopped.")
    with pytest.raises(RuntimeError):
        Pipeline.reindex(docs, recipe=large)
    (docs / "zz.txt").unlink()
    # The recipe in use gives the other one up.
    Pipeline.reindex(docs, recipe=recipe("huge", "type: named, model: huge")).close()
    assert not building_path(docs / ".mmrag").exists()


def test_an_index_of_nothing_takes_no_place(docs: Path, small: Path, large: Path) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    for name in FILES:
        (docs / name).write_bytes(b"%PDF-1.4 torn")
    with pytest.raises(StoreError, match="Nothing of the folder could be indexed"):
        Pipeline.reindex(docs, recipe=large)
    with Pipeline.from_folder(docs, sync="never") as pipeline:
        assert (model_of(pipeline), pipeline.store.count()) == ("small", 2)


def test_a_visible_store_in_the_corpus_is_not_indexed(docs: Path, small: Path, large: Path) -> None:
    store = docs / "my [index]"
    Pipeline.from_folder(docs, recipe=small, store=store).close()
    (store / "vectors" / "notes.txt").write_text("no part of the corpus")
    with Pipeline.reindex(docs, recipe=large, store=store) as pipeline:
        assert [record.source.id for record in pipeline.sources()] == sorted(FILES)
    assert patterns_for(docs, store) == (r"/my\ \[index\]/",)
    assert patterns_for(docs, docs.parent / "elsewhere") == ()


def test_text_read_in_pictures_is_carried_over(docs: Path, small: Path, large: Path) -> None:
    with Pipeline.from_folder(docs, recipe=small) as pipeline, pipeline.store.writer() as writer:
        writer.cache("ocr", "key", b"words", pipeline.sources()[0].source.id)
        writer.commit()
    with Pipeline.reindex(docs, recipe=large) as pipeline:
        assert pipeline.store.cached("ocr", "key") == b"words"


def test_an_import_remembers_its_recipe(docs: Path, small: Path, tmp_path: Path) -> None:
    with Pipeline.from_folder(docs, recipe=small) as pipeline:
        pipeline.upkeep.export(tmp_path / "out")
    place = tmp_path / "store"
    Pipeline.from_export(docs, tmp_path / "out", recipe=small, store=place).close()
    with Pipeline.from_folder(docs, store=place, sync="never") as pipeline:
        assert pipeline.recipe.name == str(small)


def test_two_that_reindex_at_once_leave_one_whole_index(docs: Path, small: Path, large: Path) -> None:
    Pipeline.from_folder(docs, recipe=small).close()
    said: list[str] = []

    def reindex() -> None:
        try:
            Pipeline.reindex(docs, recipe=large).close()
            said.append("done")
        except StoreError as error:
            said.append(f"{type(error).__name__}: {error.message}")

    threads = [threading.Thread(target=reindex) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "done" in said, said
    with Pipeline.from_folder(docs) as pipeline:
        assert (model_of(pipeline), len(pipeline.sources())) == ("large", 2)
        assert pipeline.upkeep.verify().problems == ()


def test_a_query_carries_task_instruction_and_pictures(docs: Path, recipe, asked, tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (40, 40), (90 * number, 0, 0)).save(tmp_path / f"{number}.png")
    images = [tmp_path / "1.png", tmp_path / "2.png"]
    seeing = recipe("seeing", "type: named, model: small, sees: true")
    query = Query.of("pump", image=images, task="visual", instruction="Find the page.")
    with Pipeline.from_folder(docs, recipe=seeing) as pipeline:
        for call in (
            lambda: pipeline.search(query),
            lambda: pipeline.ask(query),
            lambda: pipeline.explain(replace(query, parts=query.parts[:1]), image=images),
        ):
            # The vector of the last query is kept.
            pipeline.search("something else")
            asked.clear()
            call()
            assert asked[0] == query
        # Another task is another query.
        pipeline.search(replace(query, task="other"))
        assert asked[-1].task == "other"


def test_the_command_line(docs: Path, small: Path, large: Path, mmrag, asked, tmp_path: Path) -> None:
    assert mmrag("sync", docs, "--recipe", small)["items"] == 2
    refused = mmrag("search", docs, "pump", "--recipe", large, code=1)
    assert refused["fix"] == f"Run: mmrag reindex {docs} --recipe {large}"
    found = mmrag("search", docs, "pump", "--task", "t", "--instruction", "Find it.")
    assert found["hits"][0]["source"] == "pump.txt"
    assert (asked[-1].task, asked[-1].instruction) == ("t", "Find it.")
    told = mmrag("reindex", docs, "--recipe", large)
    assert (told["items"], told["recipe"], told["failed"]) == (2, str(large), 0)
    assert mmrag("status", docs)["embedder"]["model"] == "large"
    assert mmrag("reindex", docs)["recipe"] == str(large)
    mmrag("reindex", docs, "--model", "other")
    assert mmrag("status", docs)["embedder"]["model"] == "other"
    assert mmrag("sync", docs, "--model", "third", code=1)["error"] == "IdentityMismatch"
    assert mmrag("sync", docs, "--model", "third", "--rebuild")["items"] == 2
    assert mmrag("explain", docs, "pump", "--task", "t")["hits"]
    assert mmrag("why-not", docs, "pump", "tank.txt", "--task", "t")["sentences"]
    for number in (1, 2):
        Image.new("RGB", (40, 40), (90 * number, 0, 0)).save(tmp_path / f"{number}.png")
    both = ("--image", tmp_path / "1.png", "--image", tmp_path / "2.png")
    assert "reads no text in pictures" in mmrag("ask", docs, *both, code=2)["message"]
