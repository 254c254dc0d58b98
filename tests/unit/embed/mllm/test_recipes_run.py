"""Every shipped MLLM recipe runs on a tiny model of its architecture."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmrag.embed.adapters.options import AdapterOptions
from mmrag.embed.content import Content
from mmrag.embed.mllm.options import Head, MllmOptions
from mmrag.recipes import list_recipes, load_index

TINY = {"llava_next": "llava_next_mistral"}


def recipes() -> dict[str, MllmOptions]:
    """The embedders of all shipped recipes that are multimodal LLMs."""
    found = {}
    for about in list_recipes():
        if about.kind == "index" and isinstance(options := load_index(about.name).embedder, MllmOptions):
            found[about.name] = options
    return found


RECIPES = recipes()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs(name: str, tiny: Any, loaded: Any, picture_of: Any) -> None:
    options = RECIPES[name]
    # What the tiny models lack: the heads, the adapters, and vectors that long.
    options = replace(
        options,
        model=str(tiny(TINY.get(options.architecture, options.architecture))),
        revision=None,
        dims=(),
        dim=None,
        head=Head(),
        adapters=AdapterOptions(),
    )
    model = loaded(options)
    picture = picture_of(300, 200)
    contents = [Content(("a red cat",), "query"), Content(("a red cat",), "document")]
    contents += [Content((picture,), "query"), Content((picture,), "document")]
    if options.fuses:
        contents.append(Content((picture, "a red cat"), "query", "Find it."))
        contents.append(Content((picture, "a red cat"), "document"))
    prepared = [model.prepare(content) for content in contents]
    found = model.run(prepared)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert not any(note.startswith("cut") for one in prepared for note in one.notes)
    alone = np.concatenate([model.run([one]) for one in prepared])
    assert np.abs(found - alone).max() < 1e-5
    assert len(np.unique(found[:4].round(4), axis=0)) >= 2
