"""Find the files of recipes and read them: shipped ones by name, others by path."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmrag.core.errors import ConfigError, MmragError, RecipeError, UnknownName, did_you_mean
from mmrag.recipes.document import MAX_BYTES, Document, parse
from mmrag.recipes.schema import INDEX_KEYS, PIPELINE_KEYS, Kind

FOLDERS: Mapping[Kind, str] = {"pipeline": "pipelines", "index": "indexes"}
MAX_LEVELS = 4
"""A recipe of one's own extends a size of a family, which extends the family, which extends the default."""


def shipped_folder(kind: Kind, package: Path | None = None) -> Path:
    """Return the folder of shipped recipes: in the package when installed, else in the checkout.

    Raises:
        ConfigError: The installation has no recipes.
    """
    package = package or Path(__file__).parent
    for folder in (package / FOLDERS[kind], package.parents[1] / FOLDERS[kind]):
        if folder.is_dir():
            return folder
    raise ConfigError(
        "This installation of mmrag has no recipes.", fix="Run: pip install --force-reinstall mmrag"
    )


def find_recipe(name_or_path: str | Path, kind: Kind) -> Path:
    """Return the file of a recipe: a shipped one's name, or a path that ends in `.yaml` or `.yml`.

    Raises:
        UnknownName: No shipped recipe has this name.
        RecipeError: There is no such file.
    """
    if not isinstance(name_or_path, str | Path):
        raise UnknownName(f"{name_or_path!r} names no recipe.", fix="See: mmrag recipe list")
    if isinstance(name_or_path, Path) or name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        if not path.is_file():
            raise RecipeError(f"There is no file {str(path)!r}.", fix="See: mmrag recipe list")
        return path
    if kind == "pipeline" and name_or_path.startswith("indexes/"):
        return find_recipe(name_or_path, "index")
    known = _shipped("index") | _shipped(kind)
    name = name_or_path.removeprefix(f"{FOLDERS[kind]}/")
    if name not in known:
        path_like = " A path to a recipe ends in .yaml." if "/" in name or "\\" in name else ""
        raise UnknownName(f"There is no recipe named {name!r}.", fix=did_you_mean(name, known) + path_like)
    return known[name]


def _shipped(kind: Kind) -> dict[str, Path]:
    return {path.stem: path for path in shipped_folder(kind).glob("*.yaml")}


def kind_of(file: Path, levels: int = MAX_LEVELS) -> Kind:
    """Tell an index recipe from a pipeline recipe by its keys, or by those of the one that it extends."""
    if file.parent == shipped_folder("index"):
        return "index"
    document = read_recipe(file)
    keys = document.data.keys()
    of_index, of_pipeline = len(keys & set(INDEX_KEYS)), len(keys & set(PIPELINE_KEYS))
    if of_index == of_pipeline and levels and isinstance(extended := document.data.get("extends"), str):
        with suppress(MmragError):
            # A base that cannot be found is told where the recipe is loaded.
            return kind_of(find_recipe(extended, "pipeline"), levels - 1)
    return "index" if of_index > of_pipeline else "pipeline"


def read_recipe(file: Path) -> Document:
    """Return a recipe as its file has it, its paths made relative to the file.

    Raises:
        RecipeError: It cannot be read, or is no YAML.
    """
    shown = shown_path(file)
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


def shown_path(file: Path) -> str:
    """Return what a recipe's file is called in messages."""
    for kind in FOLDERS:
        if file.parent == shipped_folder(kind):
            return f"{file.parent.name}/{file.name}"
    return str(file)


def name_of(file: Path) -> str:
    """Return a recipe's name: a shipped one's, else its path."""
    return file.stem if shown_path(file) != str(file) else str(file)


def _anchored(document: Document, folder: Path) -> Document:
    """Make the paths of other recipes, and all that begin with `./` or `../`, relative to their file."""
    found: dict[str, Any] = {key: _beside(value, folder) for key, value in document.data.items()}
    for mapping in (found, inner := dict(found["index"]) if isinstance(found.get("index"), dict) else {}):
        for key in ("extends", "index"):
            value = mapping.get(key)
            if isinstance(value, str) and value.endswith((".yaml", ".yml")):
                mapping[key] = str(folder / value)
    if inner:
        found["index"] = inner
    return replace(document, data=found)


def _beside(value: Any, folder: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _beside(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_beside(inner, folder) for inner in value]
    if isinstance(value, str) and value.startswith(("./", "../")):
        return str((folder / value).resolve())
    return value
