from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError, RecipeError, UnknownName
from mmrag.core.registry import Registry
from mmrag.core.types import Matches
from mmrag.recipes import Components, check, load_index, load_pipeline, show
from mmrag.recipes.files import shipped_folder
from mmrag.testing import HashingOptions


@dataclass(frozen=True, slots=True)
class Passages:
    max_tokens: int = 200
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Plain:
    pass


@dataclass(frozen=True, slots=True)
class Lists:
    lists: int = 8
    probes: int = 2


@dataclass(frozen=True, slots=True)
class Sum:
    weights: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, lanes: Mapping[str, Matches], k: int) -> Matches:
        return next(iter(lanes.values()))


def registry(kind: str, **factories: type) -> Registry:
    found = Registry(kind, {})
    for name, factory in factories.items():
        found.register(name, factory)
    return found


@pytest.fixture
def components() -> Components:
    return Components(
        embedder=registry("embedder", hashing=HashingOptions),
        splitter=registry("splitter", passages=Passages),
        captioner=registry("captioner", fake=Plain),
        ocr=registry("ocr", fake=Plain),
        dense=registry("dense_index", exact=Plain, lists=Lists),
        lexical=registry("lexical_index", words=Plain),
        pictures=registry("picture_index", hashes=Plain),
        fusion=registry("fusion", sum=Sum),
        answerer=registry("answerer", quoting=Plain),
    )


INDEX = """\
recipe: 1
description: A small index.
needs: [ocr]
embedder: {type: hashing, dim: 64}
splitter:
  type: passages
  max_tokens: 100
  overlap: 5
dense: exact
lexical: words
ocr: fake
"""

PIPELINE = """\
recipe: 1
description: A small pipeline.
index: index.yaml
search:
  depth: 50
  fusion:
    type: sum
    weights: {lexical: 0.5, dense: 0.5}
answer: quoting
"""

SEARCH = PIPELINE[PIPELINE.index("search") : PIPELINE.index("answer")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.yaml").write_text(INDEX)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path, components: Components) -> list[str]:
    return [str(problem).replace(f"{path.parent}/", "") for problem in check(path, components=components)]


def test_a_recipe_becomes_options(folder: Path, components: Components) -> None:
    recipe = load_pipeline(folder / "pipeline.yaml", components=components)
    assert recipe.description == "A small pipeline."
    assert recipe.index.embedder == HashingOptions(dim=64)
    assert recipe.index.embedder.build().dim == 64
    assert recipe.index.splitter == Passages(100, 5)
    assert recipe.index.dense == Plain()
    assert recipe.index.ocr == Plain()
    assert recipe.search.fusion == Sum({"lexical": 0.5, "dense": 0.5})
    assert recipe.search.depth == 50
    assert recipe.evidence == 10
    assert recipe.answer == Plain()
    assert recipe.needs == ("ocr",)


def test_a_name_and_a_path_as_text_do_too(folder: Path, components: Components) -> None:
    by_text = load_pipeline(str(folder / "pipeline.yaml"), components=components)
    assert by_text.digest == load_pipeline(folder / "pipeline.yaml", components=components).digest


def test_extends_merges_mappings_and_replaces_the_rest(folder: Path, components: Components) -> None:
    own = write(folder, "recipe: 1\nextends: index.yaml\nsplitter: {max_tokens: 30}\nneeds: []\n")
    recipe = load_index(own, components=components)
    assert recipe.splitter == Passages(30, 5)
    assert recipe.embedder == HashingOptions(64)
    assert recipe.needs == ()
    assert recipe.description == "", "a description says what its own file is for"


def test_another_type_starts_afresh(folder: Path, components: Components) -> None:
    lists = write(folder, "recipe: 1\nextends: index.yaml\ndense: {type: lists, probes: 4}\n", "lists.yaml")
    assert load_index(lists, components=components).dense == Lists(8, 4)
    back = write(folder, f"{INDEX.replace('dense: exact', 'dense: {type: lists, probes: 3}')}", "base.yaml")
    own = write(folder, "recipe: 1\nextends: base.yaml\ndense: exact\n")
    assert load_index(back, components=components).dense == Lists(8, 3)
    assert load_index(own, components=components).dense == Plain()


def test_null_switches_ocr_off_and_nothing_else(folder: Path, components: Components) -> None:
    own = write(folder, "recipe: 1\nextends: index.yaml\nocr: null\n")
    assert load_index(own, components=components).ocr is None
    assert load_index(write(folder, INDEX.replace("ocr: fake\n", "")), components=components).ocr is None
    own = write(folder, "recipe: 1\nextends: index.yaml\ndense: null\n")
    assert problems(own, components) == [
        "own.yaml:3 dense: Expected the name of a component (dense index), found None. Known: exact, lists."
    ]


def test_an_index_may_be_written_inside_the_pipeline(folder: Path, components: Components) -> None:
    own = write(
        folder,
        "recipe: 1\nextends: pipeline.yaml\nindex:\n  extends: index.yaml\n  splitter:\n    max_tokens: 30\n",
    )
    assert load_pipeline(own, components=components).index.splitter == Passages(30, 5)


def test_problems_inside_it_have_their_whole_path(folder: Path, components: Components) -> None:
    own = write(
        folder,
        "recipe: 1\nextends: pipeline.yaml\nindex:\n  extends: index.yaml\n  splitter:\n    max_tokns: 30\n",
    )
    assert problems(own, components) == [
        "own.yaml:6 index.splitter.max_tokns: There is no parameter 'max_tokns'. Did you mean 'max_tokens'?"
    ]


def test_a_recipe_may_extend_one_that_extends(folder: Path, components: Components) -> None:
    write(folder, "recipe: 1\nextends: index.yaml\nsplitter: {max_tokens: 7}\n", "middle.yaml")
    own = write(folder, "recipe: 1\nextends: middle.yaml\ndescription: Mine.\n")
    recipe = load_index(own, components=components)
    assert recipe.splitter.max_tokens == 7
    assert recipe.description == "Mine."


def test_a_problem_of_the_one_in_the_middle_is_named_with_its_file(
    folder: Path, components: Components
) -> None:
    write(folder, "recipe: 1\nextends: index.yaml\nsplitter: {max_tokns: 7}\n", "middle.yaml")
    own = write(folder, "recipe: 1\nextends: middle.yaml\n")
    (problem,) = check(own, components=components)
    assert problem.where.endswith("middle.yaml:3 splitter.max_tokns")


def test_endless_chains_are_refused(folder: Path, components: Components) -> None:
    for i in range(9):
        write(folder, f"recipe: 1\nextends: level{i + 1}.yaml\n", f"level{i}.yaml")
    assert "more than 4 levels" in problems(folder / "level0.yaml", components)[0]


def test_what_stands_over_an_unknown_base_is_checked_too(folder: Path, components: Components) -> None:
    own = write(
        folder, "recipe: 1\nextends: nope\nsplitter: {max_tokens: 1}\nocr: 4\nembeder: x\ndense: exact\n"
    )
    assert [line.split(" ")[0] for line in problems(own, components)] == [
        "own.yaml:2",
        "own.yaml:5",
        "own.yaml:4",
    ]


def test_a_recipe_that_extends_itself_is_refused(folder: Path, components: Components) -> None:
    own = write(folder, f"{INDEX}extends: own.yaml\n")
    assert "in a circle" in problems(own, components)[0]


def test_every_problem_is_named_at_once(folder: Path, components: Components) -> None:
    (folder / "index.yaml").write_text(INDEX.replace("max_tokens: 100", "max_tokens: many"))
    own = write(
        folder,
        "recipe: 1\nextends: pipeline.yaml\nsearch:\n  depth: 0\n  fusoin: sum\nevidence: '3'\nanser: x\n",
    )
    assert problems(own, components) == [
        "index.yaml:7 splitter.max_tokens: Expected a whole number, found 'many'. Correct the value.",
        "own.yaml:7 anser: There is no key 'anser' here. Did you mean 'answer'?",
        "own.yaml:6 evidence: Expected a whole number, found '3'. Correct the value.",
        "own.yaml:5 search.fusoin: There is no key 'fusoin' here. Did you mean 'fusion'?",
        "own.yaml:4 search.depth: 0 is too small. Give at least 1.",
    ]
    with pytest.raises(RecipeError) as caught:
        load_pipeline(own, components=components)
    assert "5 problems" in str(caught.value)
    assert all(problem.message in str(caught.value) for problem in check(own, components=components))


def test_one_problem_is_the_error_itself(folder: Path, components: Components) -> None:
    own = write(folder, "recipe: 1\nextends: pipeline.yaml\n\nsearch:\n  fusoin: sum\n")
    with pytest.raises(RecipeError) as caught:
        load_pipeline(own, components=components)
    assert caught.value.where == f"{own}:5 search.fusoin"
    assert caught.value.fix == "Did you mean 'fusion'?"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("type: sum", "type: summ"),
            "7 search.fusion.type: There is no fusion named 'summ'. Did you mean 'sum'?",
        ),
        (("    type: sum\n", ""), "6 search.fusion.type: The key 'type' is missing. Known: sum."),
        (("lexical: 0.5", "lexcal: 0.5"), "8 search.fusion.weights.lexcal: There is no lane 'lexcal'."),
        (("answer: quoting", "answer: 3"), "9 answer: Expected the name of a component (answerer), found 3."),
        (("answer: quoting\n", ""), " answer: The key 'answer' is missing."),
        (("index: index.yaml", "index: 7"), "3 index: Expected a name or a mapping, found 7."),
        (
            ("index: index.yaml", "index: defualt"),
            "3 index: There is no recipe named 'defualt'. Did you",
        ),
        (("index: index.yaml", "index: gone.yaml"), "3 index: There is no file"),
        (("index: index.yaml\n", ""), " index: The key 'index' is missing."),
        ((SEARCH, "search: 3\n"), "4 search: Expected a mapping, found 3."),
        (
            ("recipe: 1", "recipe: 2"),
            "1 recipe: Expected recipe: 1, found 2. Run: pip install --upgrade mmrag",
        ),
        (("recipe: 1", "recipe: '1'"), "1 recipe: Expected recipe: 1, found '1'. Write: recipe: 1"),
        (("recipe: 1\n", ""), " recipe: The key 'recipe' is missing. Add the line: recipe: 1"),
        (
            ("description: A small pipeline.", "description: [a]"),
            "2 description: Expected text, found ['a'].",
        ),
        (("recipe: 1", "recipe: 1\nextends: 4"), "2 extends: Expected a name, found 4."),
        (("recipe: 1", "recipe: 1\nextends: nope"), "2 extends: There is no recipe named 'nope'."),
        (
            ("answer: quoting", "answer: quoting\nanswer: quoting"),
            "10: The key 'answer' is already on line 9.",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    folder: Path, components: Components, change: tuple[str, str], said: str
) -> None:
    own = write(folder, PIPELINE.replace(*change))
    first = problems(own, components)[0]
    assert first.removeprefix("own.yaml:").removeprefix("own.yaml").startswith(said)
    with pytest.raises(RecipeError):
        load_pipeline(own, components=components)


@pytest.mark.parametrize(
    ("name", "fix"),
    [("defualt", "Did you mean 'default'?"), ("./own", "ends in .yaml"), ("", "default, ")],
)
def test_an_unknown_name_suggests_a_near_one(name: str, fix: str) -> None:
    with pytest.raises(UnknownName) as caught:
        load_pipeline(name)
    assert fix in caught.value.fix


@pytest.mark.parametrize("name", ["gone.yaml", "gone/x.yml"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="There is no file"):
        load_pipeline(tmp_path / name)


def test_a_folder_or_bytes_are_no_recipe(tmp_path: Path, components: Components) -> None:
    with pytest.raises(RecipeError):
        load_pipeline(tmp_path, components=components)
    path = tmp_path / "x.yaml"
    path.write_bytes(b"recipe: \xff\xfe")
    with pytest.raises(RecipeError, match="UTF-8"):
        load_pipeline(path, components=components)


def test_the_digest_is_of_what_it_means(folder: Path, components: Components) -> None:
    plain = load_pipeline(folder / "pipeline.yaml", components=components)
    spelled = PIPELINE.replace("answer: quoting", "answer:\n  type: quoting  # a comment\nevidence: 10")
    same = write(folder, spelled.replace("A small pipeline.", "Other words."))
    assert load_pipeline(same, components=components).digest == plain.digest
    other = write(folder, PIPELINE.replace("depth: 50", "depth: 51"))
    assert load_pipeline(other, components=components).digest != plain.digest
    (folder / "index.yaml").write_text(INDEX.replace("max_tokens: 100", "max_tokens: 101"))
    moved = load_pipeline(folder / "pipeline.yaml", components=components)
    assert moved.digest != plain.digest
    assert moved.index.digest != plain.index.digest


@pytest.mark.parametrize("name", ["pipeline.yaml", "index.yaml"])
def test_what_is_shown_can_be_loaded(folder: Path, components: Components, name: str) -> None:
    shown = show(folder / name, components=components)
    own = write(folder, shown, "shown.yaml")
    assert check(own, components=components) == []
    load = load_pipeline if name == "pipeline.yaml" else load_index
    one, other = load(folder / name, components=components), load(own, components=components)
    assert one.digest == other.digest
    assert one.data == other.data
    assert "max_tokens: 100" in shown
    assert show(own, components=components).split("\n")[1:] == shown.split("\n")[1:]


def test_recipes_lie_in_the_package_or_in_the_checkout(tmp_path: Path) -> None:
    package = tmp_path / "site" / "mmrag" / "recipes"
    package.mkdir(parents=True)
    with pytest.raises(ConfigError) as caught:
        shipped_folder("index", package)
    assert "reinstall" in caught.value.fix
    (tmp_path / "site" / "indexes").mkdir()
    assert shipped_folder("index", package) == tmp_path / "site" / "indexes"
    (package / "indexes").mkdir()
    assert shipped_folder("index", package) == package / "indexes"
