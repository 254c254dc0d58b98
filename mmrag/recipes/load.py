"""Find recipes by name or path, put them together, and turn them into options.

A recipe may extend one other: `extends: default`. Mappings are merged key by key, anything else is
replaced. A component that names another `type` starts afresh: parameters of the old type are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmrag.core.errors import ConfigError, MmragError, RecipeError, UnknownName, did_you_mean
from mmrag.recipes.components import COMPONENTS, Components
from mmrag.recipes.document import MAX_BYTES, Document, KeyPath, Problem, Spot, parse, write
from mmrag.recipes.schema import (
    INDEX_KEYS,
    NOTES,
    PIPELINE_KEYS,
    VERSION,
    Checker,
    IndexRecipe,
    Kind,
    PipelineRecipe,
    check_index,
    check_pipeline,
)

_FOLDERS: Mapping[Kind, str] = {"pipeline": "pipelines", "index": "indexes"}
_SHORT: Mapping[Kind, tuple[KeyPath, ...]] = {
    "index": tuple((key,) for key in INDEX_KEYS),
    "pipeline": (("search", "fusion"), ("answer",)),
}
"""Where a component stands: there `dense: exact` is short for a mapping with that `type`."""


@dataclass(frozen=True, slots=True)
class RecipeInfo:
    """A shipped recipe: its name, kind, one line on what it is for, and the extras that it needs."""

    name: str
    kind: Kind
    description: str
    needs: tuple[str, ...]
    path: Path


def load_pipeline(name_or_path: str | Path, *, components: Components = COMPONENTS) -> PipelineRecipe:
    """Load a pipeline recipe with its index recipe.

    Args:
        name_or_path: A shipped recipe's name, or the path of a file that ends in `.yaml` or `.yml`. An
            index recipe stands for the default pipeline over it.
        components: What the recipe can name.

    Raises:
        UnknownName: No shipped recipe has this name.
        RecipeError: The recipe is wrong; the message lists every problem with its file and line.
    """
    loader = _Loader(components)
    recipe = loader.pipeline(_find(name_or_path, "pipeline"))
    if recipe is None or loader.problems:
        raise _as_error(loader.problems)
    return recipe


def load_index(name_or_path: str | Path, *, components: Components = COMPONENTS) -> IndexRecipe:
    """Load an index recipe; arguments and errors as in `load_pipeline`."""
    loader = _Loader(components)
    recipe = loader.index(_find(name_or_path, "index"))
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
        file = _find(name_or_path, "pipeline")
        if _kind_of(file) == "index":
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
    file = _find(name_or_path, "pipeline")
    recipe = (load_index if _kind_of(file) == "index" else load_pipeline)(file, components=components)
    return f"# {recipe.name}, digest {recipe.digest[:16]}\n{write({'recipe': VERSION, **recipe.data})}"


def list_recipes() -> list[RecipeInfo]:
    """Return the shipped recipes: pipelines, then indexes, each by name."""
    loader = _Loader(COMPONENTS)
    found = []
    for kind in _FOLDERS:
        for path in sorted(
            shipped_folder(kind).glob("*.yaml"), key=lambda path: (path.stem != "default", path)
        ):
            description = str(loader.document(path, kind).data.get("description", ""))
            needs = tuple(sorted(loader.needs(path, kind)))
            found.append(RecipeInfo(path.stem, kind, description, needs, path))
    return found


def shipped_folder(kind: Kind, package: Path | None = None) -> Path:
    """Return the folder of shipped recipes: in the package when installed, else in the checkout.

    Raises:
        ConfigError: The installation has no recipes.
    """
    package = package or Path(__file__).parent
    for folder in (package / _FOLDERS[kind], package.parents[1] / _FOLDERS[kind]):
        if folder.is_dir():
            return folder
    raise ConfigError(
        "This installation of mmrag has no recipes.", fix="Run: pip install --force-reinstall mmrag"
    )


class _Loader:
    """Loads one recipe and what it refers to, and collects the problems of all files."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.problems: list[Problem] = []
        self._files: dict[Path, Document] = {}

    def pipeline(self, file: Path) -> PipelineRecipe | None:
        if _kind_of(file) == "index":
            document, index = self._default_over(file), self.index(file)
        else:
            document = self.document(file, "pipeline")
            index = self._index_of(document, file)
        checker = Checker(document, self.components)
        recipe = check_pipeline(_name(file), checker, index)
        self.problems += checker.problems
        return recipe

    def index(self, file: Path) -> IndexRecipe | None:
        return self._index(self.document(file, "index"), _name(file))

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

    def _default_over(self, file: Path) -> Document:
        """Return the default pipeline under the notes of an index recipe."""
        default = self.document(_find("default", "pipeline"), "pipeline")
        notes = {key: value for key, value in self.document(file, "index").data.items() if key in NOTES}
        return replace(default, data={**default.data, **notes})

    def _index(self, document: Document, name: str) -> IndexRecipe | None:
        checker = Checker(document, self.components)
        recipe = check_index(name, checker)
        self.problems += checker.problems
        return recipe

    def _index_of(self, document: Document, file: Path) -> IndexRecipe | None:
        if "index" not in document.data:
            return None
        value = document.data["index"]
        if isinstance(value, str):
            target = self._follow(document, "index", "index")
            return self.index(target) if target else None
        if isinstance(value, Mapping):
            inner = _written_out(document.below("index"), "index")
            return self._index(self._resolved(inner, "index"), _name(file))
        self._complain(
            document, ("index",), f"Expected a name or a mapping, found {value!r}.", "Write: index: default"
        )
        return None

    def _resolved(self, document: Document, kind: Kind) -> Document:
        """Put a document over the one that it extends."""
        if "extends" not in document.data:
            return document
        target = self._follow(document, "extends", kind)
        if target is None:
            return replace(document, whole=False)
        base = self._read(target, kind)
        if "extends" in base.data:
            self._complain(
                document,
                ("extends",),
                f"{document.data['extends']!r} extends {base.data['extends']!r} itself: one level only.",
                f"Extend {base.data['extends']!r} and repeat the differences.",
            )
            return replace(document, whole=False)
        return _merged(base, document)

    def _read(self, file: Path, kind: Kind) -> Document:
        if file not in self._files:
            self._files[file] = self._checked(_written_out(_read(file), kind))
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
            return _find(value, kind)
        except MmragError as error:
            self._complain(document, (key,), error.message, error.fix)
            return None

    def _complain(self, document: Document, path: KeyPath, message: str, fix: str) -> None:
        self.problems.append(Problem(document.where(path), message, fix))


def _find(name_or_path: str | Path, kind: Kind) -> Path:
    if not isinstance(name_or_path, str | Path):
        raise UnknownName(f"{name_or_path!r} names no recipe.", fix="See: mmrag recipe list")
    if isinstance(name_or_path, Path) or name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        if not path.is_file():
            raise RecipeError(f"There is no file {str(path)!r}.", fix="See: mmrag recipe list")
        return path
    if kind == "pipeline" and name_or_path.startswith("indexes/"):
        return _find(name_or_path, "index")
    known = _shipped("index") | _shipped(kind)
    name = name_or_path.removeprefix(f"{_FOLDERS[kind]}/")
    if name not in known:
        path_like = " A path to a recipe ends in .yaml." if "/" in name or "\\" in name else ""
        raise UnknownName(
            f"There is no {kind} recipe named {name!r}.", fix=did_you_mean(name, known) + path_like
        )
    return known[name]


def _shipped(kind: Kind) -> dict[str, Path]:
    return {path.stem: path for path in shipped_folder(kind).glob("*.yaml")}


def _kind_of(file: Path) -> Kind:
    """Tell an index recipe from a pipeline recipe by its keys."""
    if file.parent == shipped_folder("index"):
        return "index"
    keys = _read(file).data.keys()
    return "index" if len(keys & set(INDEX_KEYS)) > len(keys & set(PIPELINE_KEYS)) else "pipeline"


def _read(file: Path) -> Document:
    shown = _shown(file)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise RecipeError(
            f"It cannot be read: {error.strerror}.", fix="Check the path.", where=shown
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError("It is not UTF-8 text.", fix="Save it as UTF-8.", where=shown) from error
    return _anchored(parse(text, shown), file.parent)


def _shown(file: Path) -> str:
    for kind in _FOLDERS:
        if file.parent == shipped_folder(kind):
            return f"{file.parent.name}/{file.name}"
    return str(file)


def _name(file: Path) -> str:
    return file.stem if _shown(file) != str(file) else str(file)


def _anchored(document: Document, folder: Path) -> Document:
    """Make the paths of other recipes relative to the file that names them."""
    found: dict[str, Any] = dict(document.data)
    for mapping in (found, inner := dict(found["index"]) if isinstance(found.get("index"), dict) else {}):
        for key in ("extends", "index"):
            value = mapping.get(key)
            if isinstance(value, str) and value.endswith((".yaml", ".yml")):
                mapping[key] = str(folder / value)
    if inner:
        found["index"] = inner
    return replace(document, data=found)


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
