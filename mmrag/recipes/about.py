"""What a person chooses a recipe by, as far as its embedder's options say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmrag.recipes.components import Components
from mmrag.recipes.document import Document
from mmrag.recipes.schema import Checker, Kind

_ORDER = ("text", "image", "audio", "fused")


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """An embedder in words.

    Args:
        kind: Its `type` in the recipe.
        model: The model that the recipe names; '' where it is the embedder's own.
        takes: What a vector can be of: text, image, audio, and `fused` for words and a picture in one.
        dims: The lengths that its vectors can have, the full one last; empty where the model says it.
    """

    kind: str = ""
    model: str = ""
    takes: tuple[str, ...] = ()
    dims: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RecipeInfo:
    """A shipped recipe, as a person chooses one.

    Args:
        name: Its name.
        kind: Whether it is a pipeline or an index.
        description: One line on what it is for.
        needs: The extras that it needs.
        path: Its file.
        embedder: The embedder, of the index that a pipeline is over.
        parameters: How large its model is, such as "2.2B".
        licence: Under what licence its models are.
    """

    name: str
    kind: Kind
    description: str
    needs: tuple[str, ...]
    path: Path
    embedder: EmbedderInfo = field(default_factory=EmbedderInfo)
    parameters: str = ""
    licence: str = ""


def index_notes(index: Document, components: Components) -> dict[str, Any]:
    """Return what an index recipe's document says of its models, by the fields of `RecipeInfo`."""
    notes = {key: str(index.data.get(key, "")) for key in ("parameters", "licence")}
    return {**notes, "embedder": embedder_info(index, components)}


def embedder_info(document: Document, components: Components) -> EmbedderInfo:
    """Return what an index recipe's document says of its embedder.

    The component's options may have `offers` (what a vector can be of), `dims` or `dim`, and `model`;
    nothing is built, and no model is looked for.
    """
    given = document.data.get("embedder")
    if given is None:
        return EmbedderInfo()
    options, data = Checker(document, components).component(given, ("embedder",), components.embedder)
    dims = getattr(options, "dims", ())
    if not dims and (dim := getattr(options, "dim", None)):
        dims = (dim,)
    # A package may name modalities that are not known here.
    known = [name for name in _ORDER if name in getattr(options, "offers", ())]
    others = [name for name in getattr(options, "offers", ()) if name not in _ORDER]
    return EmbedderInfo(
        kind=str(data.get("type", "")),
        model=str(getattr(options, "model", "")),
        takes=(*known, *others),
        dims=tuple(dims),
    )
