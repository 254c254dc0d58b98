"""Which recipe a folder's index is opened with, and the store that belongs to it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mmrag.core.errors import (
    ConfigError,
    Damaged,
    IdentityMismatch,
    NeedsMigration,
    NotFound,
    RecipeError,
    StoreError,
    UnknownName,
)
from mmrag.core.identity import differences
from mmrag.core.protocols import Embedder
from mmrag.embed.absent import AbsentEmbedder
from mmrag.places import Places, is_inside, path_of
from mmrag.recipes import PipelineRecipe, load_pipeline
from mmrag.store import Store
from mmrag.store.create import give_identity
from mmrag.store.swap import building_path, carry_over, finish_swap, give_up, refuse_unmovable, swap_in

_NOTE = "recipe"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recipe as the user named it; a store remembers the one it was last synced with.

    `model` stands in place of the embedder's own. `index` names the index recipe: a pipeline that says
    `index: default` is put over that one, and another pipeline over the same one runs on that model too.
    """

    recipe: str = DEFAULT
    model: str | None = None
    index: str = ""

    def command(self, places: Places) -> str:
        """Return the command that builds the index of a folder anew with this recipe."""
        given = ["--recipe", self.recipe, *(["--model", self.model] if self.model else [])]
        return shlex.join(["mmrag", "reindex", str(places.folder), *given, *places.store_option])


def choose(
    places: Places, recipe: str | Path | None, model: str | Path | None, *, heedless: bool = False
) -> tuple[PipelineRecipe, Chosen]:
    """Load the recipe that a call means: the one it names, else the one that the store was synced with.

    Args:
        places: Folder and store.
        recipe: A recipe's name, or the path of a YAML file.
        model: What stands in place of the embedder's own model.
        heedless: Whether a store that cannot be read is no error, since it is to be emptied.

    Raises:
        ConfigError: There is no such recipe, or it takes no other model.
    """
    known = recall(places, heedless=heedless)
    over = known.index if known is not None and known.index else None
    wanted = None if model is None else _model_named(model)
    if recipe is not None:
        plan, name = load_pipeline(recipe, model=wanted, over=over), _recipe_named(recipe)
        if wanted is None and known is not None and known.model and known.index == _index_named(plan):
            plan, wanted = _with_model_of_before(name, known.model, over)
    elif known is None:
        plan, name = load_pipeline(DEFAULT, model=wanted), DEFAULT
    else:
        name = known.recipe
        try:
            if wanted is None:
                plan, wanted = _with_model_of_before(name, known.model, over)
            else:
                plan = load_pipeline(name, model=wanted, over=over)
        except (RecipeError, UnknownName) as error:
            raise ConfigError(
                f"The index in {places.store} was made with recipe {name!r}. {error.message}",
                fix=f"Name that recipe's file with --recipe, or another recipe: {error.fix}",
                where=error.where,
            ) from error
    return plan, Chosen(name, wanted, _index_named(plan))


def _with_model_of_before(
    recipe: str, model: str | None, over: str | None
) -> tuple[PipelineRecipe, str | None]:
    """Load a recipe with the model that an index remembers, unless its embedder takes none any more."""
    try:
        return load_pipeline(recipe, model=model, over=over), model
    except (RecipeError, UnknownName):
        raise
    except ConfigError:
        # Its file has changed since. What else is wrong, the next line says again.
        return load_pipeline(recipe, over=over), None


def build_embedder(plan: PipelineRecipe, places: Places, *, given: bool, may_lack: bool = False) -> Embedder:
    """Build the embedder of a recipe.

    Args:
        plan: The recipe.
        places: Folder and store.
        given: Whether the call itself named a recipe or a model.
        may_lack: Whether a model that the index named and that is gone raises only when it is used: most
            of the upkeep of an index needs none.

    Raises:
        ModelError: It cannot be found; where the index named it, the fix says how to tell its new place.
    """
    try:
        embedder: Embedder = plan.index.embedder.build()
    except NotFound as error:
        if given or not Store.exists(places.store):
            raise
        gone = NotFound(
            f"The index in {places.store} was made with a model that is gone. {error.message}",
            fix=f"Put it back, or name its new folder once: {places.sync_command} --model FOLDER",
            where=error.where,
        )
        if not may_lack:
            raise gone from error
        with Store.open(places.store, fix=f"{places.sync_command} --rebuild") as store:
            return AbsentEmbedder(store.identity, gone)
    return embedder


def recall(places: Places, *, heedless: bool = False) -> Chosen | None:
    """Return the recipe that a store was last synced with, None if there is no store or it does not know.

    Raises:
        StoreError: The store cannot be read, and this is not `heedless`.
    """
    try:
        if not is_indexed(places):
            return None
        with Store.open(places.store, fix=f"{places.sync_command} --rebuild") as store:
            return chosen_by(store)
    except StoreError:
        if heedless:
            return None
        raise


def remember(store: Store, chosen: Chosen) -> None:
    """Let a store remember what it is synced with."""
    if chosen_by(store) == chosen:
        return
    # A store that cannot be written now can be searched all the same; a sync with work to do says why.
    with suppress(StoreError), store.writer() as writer:
        writer.note(_NOTE, msgspec.json.encode(chosen).decode())
        writer.commit()


def is_indexed(places: Places) -> bool:
    """Tell whether a folder has a store; the swap of a process that was killed is finished first."""
    finish_swap(places.store)
    return Store.exists(places.store)


def open_store(
    places: Places, embedder: Embedder, chosen: Chosen, *, rebuild: bool = False, only_look: bool = False
) -> Store:
    """Open the store of a folder, or make it where there is none.

    Args:
        places: Folder and store.
        embedder: What makes the vectors.
        chosen: The recipe that it is of.
        rebuild: Empty a store that is there.
        only_look: Write nothing: what would be made or emptied is an empty view in memory.

    Raises:
        IdentityMismatch: It was built with another embedder, and holds something; the fix builds it anew
            with this one.
    """
    is_there = is_indexed(places)
    if only_look and (rebuild or not is_there):
        return Store.empty(places.store, identity=embedder.identity)
    if rebuild or not is_there:
        try:
            return Store.create(places.store, identity=embedder.identity, replace=rebuild)
        except StoreError:
            # Another process may have made it since the look.
            if rebuild or not Store.exists(places.store):
                raise
    rebuild_command = f"{places.sync_command} --rebuild"
    try:
        return Store.open(places.store, identity=embedder.identity, fix=rebuild_command)
    except IdentityMismatch as error:
        if _is_empty(places.store):
            if only_look:
                return Store.empty(places.store, identity=embedder.identity)
            if _take_over(places.store, embedder):
                return Store.open(places.store, identity=embedder.identity, fix=rebuild_command)
        raise IdentityMismatch(error.message, fix=f"Run: {chosen.command(places)}") from error


def _is_empty(path: Path) -> bool:
    with Store.open(path) as store, store.snapshot():
        return not store.count() and not store.sources()


def _take_over(path: Path, embedder: Embedder) -> bool:
    """Give a store to another embedder if it is empty still: a first sync that failed leaves such a one."""
    with Store.open(path) as store, store.exclusive() as db:
        return give_identity(db, embedder.identity)


def is_of_another(places: Places, embedder: Embedder) -> bool:
    """Tell whether a folder has a store whose vectors an embedder cannot go on with.

    If it can, what was begun to be built beside with another one is given up.
    """
    if not is_indexed(places):
        return False
    with Store.open(places.store) as store:
        if differences(store.identity, embedder.identity):
            return True
    give_up(places.store)
    return False


def build_beside(places: Places, chosen: Chosen, embedder: Embedder, fill: Callable[[Store], None]) -> None:
    """Build a store beside that of a folder, and put it in its place when it is whole.

    Searches go on in the old one. What text was read in pictures is carried over. A call that is stopped
    leaves what is done, and another one with the same embedder goes on from there.

    Args:
        places: Folder and store; there is one.
        chosen: The recipe of the new one.
        embedder: What makes the vectors.
        fill: Syncs the folder into the store that is built.

    Raises:
        StoreError: The old store cannot be replaced; it stays as it was.
        Locked: Another process builds, writes or reads; what was built is kept.
    """
    refuse_unmovable(places.store)
    with Store.open(places.store) as old:
        expected, held = old.file, old.count()
        with _beside(places, embedder) as new:
            remember(new, chosen)
            carry_over(old, new)
            fill(new)
            if held and not new.count():
                raise StoreError(
                    f"Nothing of the folder could be indexed; the index in {places.store} stays as it is.",
                    fix=f"See why: mmrag status {shlex.quote(str(places.folder))}"
                    f" --store {shlex.quote(str(new.path))}",
                )
    swap_in(places.store, expected)


def unfinished(places: Places) -> list[str]:
    """Say that another index is being built beside that of a folder, or that its making was stopped."""
    path = building_path(places.store)
    with suppress(StoreError):  # It is being made, removed or put in place at this moment.
        if Store.exists(path):
            with Store.open(path) as store:
                chosen = chosen_by(store) or Chosen()
            told = f"An index with recipe {chosen.recipe!r} is being built beside this one, or was stopped."
            return [f"{told} To end it, run: {chosen.command(places)}"]
    return []


def patterns_for(folder: Path, store: Path) -> tuple[str, ...]:
    """Return the ignore patterns that keep a store which is no hidden folder out of a corpus around it."""
    if not is_inside(store, folder):
        return ()
    below = os.path.relpath(os.path.realpath(store), os.path.realpath(folder))
    return ("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", Path(below).as_posix()) + "/",)


@contextmanager
def _beside(places: Places, embedder: Embedder) -> Iterator[Store]:
    path = building_path(places.store)
    try:
        if Store.exists(path):
            store = Store.open(path, identity=embedder.identity)
        else:
            store = Store.create(path, identity=embedder.identity)
    except (IdentityMismatch, Damaged, NeedsMigration):
        # Of another recipe that was given up.
        store = Store.create(path, identity=embedder.identity, replace=True)
    with store:
        yield store


def chosen_by(store: Store) -> Chosen | None:
    """Return what a store was last synced with, None where it does not know."""
    told = store.note(_NOTE)
    if told is None:
        return None
    try:
        return msgspec.json.decode(told, type=Chosen)
    except msgspec.MsgspecError:
        return None  # A later mmrag may tell more; it is no more than a convenience.


def _recipe_named(recipe: str | Path) -> str:
    """Return how to name a recipe from any folder."""
    is_file = isinstance(recipe, Path) or recipe.endswith((".yaml", ".yml"))
    return os.path.abspath(recipe) if is_file else str(recipe)


def _index_named(plan: PipelineRecipe) -> str:
    """Return how to name the index recipe of a pipeline from any folder."""
    return _recipe_named(plan.index.name)


def _model_named(model: str | Path) -> str:
    path = path_of(model, "model").expanduser()
    return os.path.abspath(path) if isinstance(model, Path) or path.is_dir() else str(model)
