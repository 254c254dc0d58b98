import subprocess
import sys

import pytest

from mmrag.answer import ExtractiveOptions
from mmrag.core.errors import UnknownName
from mmrag.recipes import check, list_recipes, load_index, load_pipeline, show
from mmrag.recipes.schema import LANES

SHIPPED = list_recipes()
NAMES = [recipe.name if recipe.kind == "pipeline" else f"indexes/{recipe.name}" for recipe in SHIPPED]


def test_the_default_is_there_first() -> None:
    assert NAMES[0] == "default"
    assert "indexes/default" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_is_right(name: str) -> None:
    assert check(name) == []
    assert show(name)


@pytest.mark.parametrize("recipe", SHIPPED, ids=NAMES)
def test_every_shipped_recipe_says_what_it_is_for(recipe: object) -> None:
    description = recipe.description  # type: ignore[attr-defined]
    assert description.endswith(".")
    assert len(description) <= 100


def test_the_default_is_what_the_documentation_says() -> None:
    recipe = load_pipeline("default")
    assert recipe.index.data["embedder"]["type"] == "minilm"
    assert recipe.index.data["splitter"]["max_tokens"] == 200
    assert recipe.data["search"]["fusion"] == {"type": "min-max", "weights": {"lexical": 0.5, "dense": 0.5}}
    assert recipe.data["answer"]["threshold"] == recipe.answer.threshold == ExtractiveOptions().threshold
    assert set(recipe.search.fusion.weights) == set(LANES) - {"pictures"}  # type: ignore[attr-defined]
    assert recipe.needs == ("ocr",)


def test_variants_differ_in_what_they_name_only() -> None:
    default, ivf = load_index("default"), load_index("faiss-ivf-pq")
    differing = {key for key in default.data if default.data[key] != ivf.data[key]}
    assert differing == {"description", "needs", "dense"}
    assert load_index("no-ocr").ocr is None


def test_digests_of_different_recipes_differ() -> None:
    pipelines = [load_pipeline(recipe.name) for recipe in SHIPPED if recipe.kind == "pipeline"]
    assert len({recipe.digest for recipe in pipelines}) == len(pipelines)


def test_a_pipeline_and_an_index_may_share_a_name() -> None:
    assert "answer:" in show("default")
    assert "answer:" not in show("indexes/default")
    with pytest.raises(UnknownName):
        show("indexes/defualt")


def test_loading_a_recipe_imports_no_engine() -> None:
    code = (
        "import sys; from mmrag.recipes import load_pipeline; load_pipeline('faiss-ivf-pq'); "
        "heavy = ('torch', 'transformers', 'faiss', 'rapidocr', 'onnxruntime', 'pyarrow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
