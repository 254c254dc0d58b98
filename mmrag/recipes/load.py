"""Find recipes by name or path, put them together, and turn them into options.

A recipe may extend another one: `extends: default`. Mappings are merged key by key, anything else is
replaced. A component that names another `type` starts afresh: parameters of the old type are dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmrag.core.errors import ConfigError, MmragError, RecipeError
from mmrag.recipes.about import RecipeInfo, index_notes
from mmrag.recipes.components import COMPONENTS, Components
from mmrag.recipes.document import Document, KeyPath, Problem, Spot, write
from mmrag.recipes.files import (
    FOLDERS,
    MAX_LEVELS,
    find_recipe,
    kind_of,
    name_of,
    read_recipe,
    shipped_folder,
    shown_path,
)
from mmrag.recipes.schema import (
    INDEX_KEYS,
    NOTES,
    VERSION,
    Checker,
    IndexRecipe,
    Kind,
    PipelineRecipe,
    check_index,
    check_pipeline,
)

_SHORT: Mapping[Kind, tuple[KeyPath, ...]] = {
    "index": tuple((key,) for key in INDEX_KEYS),
    "pipeline": (("search", "fusion"), ("answer",)),
}
"""Where a component stands: there `dense: exact` is short for a mapping with that `type`."""


def load_pipeline(
    name_or_path: str | Path,
    *,
    model: str | None = None,
    over: str | None = None,
    components: Components = COMPONENTS,
) -> PipelineRecipe:
    """Load a pipeline recipe with its index recipe.

    Args:
        name_or_path: A shipped recipe's name, or the path of a file that ends in `.yaml` or `.yml`. An
            index recipe stands for the default pipeline over it.
        model: What takes the place of the embedder's own `model`: a folder or a hub id.
        over: The index recipe that is there: it takes the place of `index: default` in every pipeline but
            the default one, since `calibrated` and its like are about searching only.
        components: What the recipe can name.

    Raises:
        ConfigError: The embedder has no parameter `model`.
        UnknownName: No shipped recipe has this name.
        RecipeError: The recipe is wrong; the message lists every problem with its file and line.
    """
    loader = _Loader(components, model, over)
    recipe = loader.pipeline(find_recipe(name_or_path, "pipeline"))
    if recipe is None or loader.problems:
        raise _as_error(loader.problems)
    return recipe


def load_index(
    name_or_path: str | Path, *, model: str | Path | None = None, components: Components = COMPONENTS
) -> IndexRecipe:
    """Load an index recipe; arguments and errors as in `load_pipeline`."""
    loader = _Loader(components, None if model is None else str(model))
    recipe = loader.index(find_recipe(name_or_path, "index"))
    if recipe is None or loader.problems:
        raise _as_error(loader.problems)
    return recipe


def check(name_or_path: str | Path, *, components: Components = COMPONENTS) -> list[Problem]:
    """Return everything that is wrong with a recipe; nothing when it can be loaded.

    Raises:
        UnknownName: No shipped recipe has this name.
    """
    loader = _Loader(components)
    try:
        file = find_recipe(name_or_path, "pipeline")
        if kind_of(file) == "index":
            loader.index(file)
        else:
            loader.pipeline(file)
    except RecipeError as error:
        loader.problems.append(Problem(error.where or str(name_or_path), error.message, error.fix))
    return list(dict.fromkeys(loader.problems))


def show(name_or_path: str | Path, *, components: Components = COMPONENTS) -> str:
    """Return a recipe as YAML with everything written out: a file to start one's own from.

    A name is a pipeline's where there is one; `indexes/NAME` means an index.

    Raises:
        UnknownName: No shipped recipe has this name.
        RecipeError: The recipe is wrong.
    """
    file = find_recipe(name_or_path, "pipeline")
    recipe = (load_index if kind_of(file) == "index" else load_pipeline)(file, components=components)
    return f"# {recipe.name}, digest {recipe.digest[:16]}\n{write({'recipe': VERSION, **recipe.data})}"


def list_recipes() -> list[RecipeInfo]:
    """Return the shipped recipes: pipelines, then indexes, each by name."""
    loader = _Loader(COMPONENTS)
    found = []
    for kind in FOLDERS:
        for path in sorted(
            shipped_folder(kind).glob("*.yaml"), key=lambda path: (path.stem != "default", path)
        ):
            description = str(loader.document(path, kind).data.get("description", ""))
            needs = tuple(sorted(loader.needs(path, kind)))
            told = index_notes(loader.index_document(path, kind), COMPONENTS)
            found.append(RecipeInfo(path.stem, kind, description, needs, path, **told))
    return found


class _Loader:
    """Loads one recipe and what it refers to, and collects the problems of all files."""

    def __init__(self, components: Components, model: str | None = None, over: str | None = None) -> None:
        self.components = components
        self.model = model
        self.over = over
        self.problems: list[Problem] = []
        self._files: dict[Path, Document] = {}

    def pipeline(self, file: Path) -> PipelineRecipe | None:
        if kind_of(file) == "index":
            document, index = self._default_over(file), self.index(file)
        else:
            document = self.document(file, "pipeline")
            index = self._index_there(file) if document.data.get("index") == "default" else None
            index = index or self._index_of(document, file)
        checker = Checker(document, self.components)
        recipe = check_pipeline(name_of(file), checker, index)
        self.problems += checker.problems
        return recipe

    def index(self, file: Path) -> IndexRecipe | None:
        return self._index(self.document(file, "index"), name_of(file))

    def document(self, file: Path, kind: Kind) -> Document:
        """Return a file's document put over the one that it extends."""
        return self._resolved(self._read(file, kind), kind)

    def needs(self, file: Path, kind: Kind) -> set[str]:
        """Return the extras that a recipe names, those of a pipeline's index included."""
        document = self.document(file, kind)
        found = {str(extra) for extra in document.data.get("needs") or ()}
        if kind == "pipeline":
            target = self._follow(document, "index", "index")
            found |= self.needs(target, "index") if target else set()
        return found

    def index_document(self, file: Path, kind: Kind) -> Document:
        """Return the document of an index recipe, for a pipeline that of its index."""
        document = self.document(file, kind)
        if kind == "index":
            return document
        target = self._follow(document, "index", "index")
        return self.document(target, "index") if target else document

    def _default_over(self, file: Path) -> Document:
        """Return the default pipeline under the notes of an index recipe."""
        default = self.document(find_recipe("default", "pipeline"), "pipeline")
        notes = {key: value for key, value in self.document(file, "index").data.items() if key in NOTES}
        return replace(default, data={**default.data, **notes})

    def _index(self, document: Document, name: str) -> IndexRecipe | None:
        if self.model is not None:
            document = _with_model(document, self.model, name, self.components)
        checker = Checker(document, self.components)
        recipe = check_index(name, checker)
        self.problems += checker.problems
        return recipe

    def _index_there(self, pipeline: Path) -> IndexRecipe | None:
        """Return the index recipe that a pipeline over any index stands over, None for its own."""
        if self.over is None or pipeline == find_recipe("default", "pipeline"):
            return None
        try:
            file = find_recipe(self.over, "index")
        except ConfigError as error:
            told = f"The index was made with recipe {self.over!r}. {error.message}"
            fix = "Put that recipe back, or name the one that took its place with --recipe first."
            self.problems.append(Problem(self.over, told, fix))
            return None
        # A pipeline recipe may hold its index recipe itself.
        is_index = kind_of(file) == "index"
        return self.index(file) if is_index else self._index_of(self.document(file, "pipeline"), file)

    def _index_of(self, document: Document, file: Path) -> IndexRecipe | None:
        if "index" not in document.data:
            return None
        value = document.data["index"]
        if isinstance(value, str):
            target = self._follow(document, "index", "index")
            return self.index(target) if target else None
        if isinstance(value, Mapping):
            inner = _written_out(document.below("index"), "index")
            return self._index(self._resolved(inner, "index"), name_of(file))
        self._complain(
            document, ("index",), f"Expected a name or a mapping, found {value!r}.", "Write: index: default"
        )
        return None

    def _resolved(self, document: Document, kind: Kind, below: tuple[Path, ...] = ()) -> Document:
        """Put a document over the one that it extends, and that one over its own; `below` is the chain."""
        if "extends" not in document.data:
            return document
        target = self._follow(document, "extends", kind)
        if target is None:
            return replace(document, whole=False)
        if target in below or len(below) == MAX_LEVELS:
            chain = " extends ".join(repr(shown_path(path)) for path in (*below, target))
            told = "in a circle" if target in below else f"over more than {MAX_LEVELS} levels"
            self._complain(
                document, ("extends",), f"Recipes extend each other {told}: {chain}.", "Extend another one."
            )
            return replace(document, whole=False)
        base = self._resolved(self._read(target, kind), kind, (*below, target))
        return _merged(base, document)

    def _read(self, file: Path, kind: Kind) -> Document:
        if file not in self._files:
            self._files[file] = self._checked(_written_out(read_recipe(file), kind))
        return self._files[file]

    def _checked(self, document: Document) -> Document:
        self.problems += document.problems
        version = document.data.get("recipe")
        if version is None:
            self._complain(document, ("recipe",), "The key 'recipe' is missing.", "Add the line: recipe: 1")
        elif type(version) is not int or version != VERSION:
            newer = type(version) is int and version > VERSION
            fix = "Run: pip install --upgrade mmrag" if newer else f"Write: recipe: {VERSION}"
            self._complain(document, ("recipe",), f"Expected recipe: {VERSION}, found {version!r}.", fix)
        return document

    def _follow(self, document: Document, key: str, kind: Kind) -> Path | None:
        value = document.data[key]
        if not isinstance(value, str):
            self._complain(document, (key,), f"Expected a name, found {value!r}.", f"Write: {key}: default")
            return None
        try:
            return find_recipe(value, kind)
        except MmragError as error:
            self._complain(document, (key,), error.message, error.fix)
            return None

    def _complain(self, document: Document, path: KeyPath, message: str, fix: str) -> None:
        self.problems.append(Problem(document.where(path), message, fix))


def _written_out(document: Document, kind: Kind) -> Document:
    """Write the short form of components out: `dense: exact` is `dense: {type: exact}`."""
    data: dict[str, Any] = dict(document.data)
    spots: dict[KeyPath, Spot] = dict(document.spots)
    for path in _SHORT[kind]:
        holder = data
        for key in path[:-1]:
            inner = holder.get(str(key))
            if not isinstance(inner, Mapping):
                break
            holder[str(key)] = dict(inner)
            holder = holder[str(key)]
        else:
            last = str(path[-1])
            if isinstance(holder.get(last), str):
                holder[last] = {"type": holder[last]}
                spots[(*path, "type")] = spots[path]
    return replace(document, data=data, spots=spots)


def _with_model(document: Document, model: str, name: str, components: Components) -> Document:
    """Put a model in the place of the one that the embedder of an index recipe names."""
    embedder = document.data.get("embedder")
    if not isinstance(embedder, Mapping) or embedder.get("type") not in components.embedder.names():
        return document  # The check says what is wrong with it.
    if "model" not in inspect.signature(components.embedder.get(embedder["type"])).parameters:
        raise ConfigError(
            f"The embedder of recipe {name!r} is {embedder['type']!r}, which takes no other model.",
            fix="Leave --model out, or choose a recipe whose embedder has a `model`: mmrag recipe list",
        )
    return replace(document, data={**document.data, "embedder": {**embedder, "model": model}})


def _merged(base: Document, child: Document) -> Document:
    data = _merge(base.data, child.data)
    data.pop("extends", None)
    if "description" not in child.data:
        data.pop("description", None)
    return Document(data, {**base.spots, **child.spots}, child.prefix)


def _merge(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    if child.get("type", base.get("type")) != base.get("type"):
        return dict(child)
    found = dict(base)
    for key, value in child.items():
        old = found.get(key)
        found[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def _as_error(problems: list[Problem]) -> RecipeError:
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        return RecipeError(unique[0].message, fix=unique[0].fix, where=unique[0].where)
    lines = "".join(f"\n  {problem}" for problem in unique)
    return RecipeError(f"The recipe has {len(unique)} problems:{lines}", fix="Correct each of these lines.")
