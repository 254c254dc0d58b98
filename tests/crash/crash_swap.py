"""Builds the index of a folder anew with two recipes in turn, and says when each time is done."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mmrag import Pipeline
from mmrag.core.errors import Locked
from mmrag.recipes import COMPONENTS
from mmrag.store import Store
from mmrag.store.swap import swap_in
from mmrag.testing import HashingOptions

DIMS = (32, 64)


def register() -> None:
    """Make the embedder known to this process's recipes."""
    if "hashing" not in COMPONENTS.embedder.names():
        COMPONENTS.embedder.register("hashing", HashingOptions)


def write_recipes(folder: Path) -> dict[int, Path]:
    found = {}
    for dim in DIMS:
        found[dim] = folder / f"hashing{dim}.yaml"
        found[dim].write_text(
            f"recipe: 1\nextends: default\nembedder: {{type: hashing, dim: {dim}}}\n"
            "ocr: null\npictures: null\ndense: exact\n"
        )
    return found


def die_at(wanted: str, store: Path) -> None:
    """Swap, and be killed after one step."""

    def on_step(step: str) -> None:
        if step == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    with Store.open(store) as old:
        expected = old.file
    swap_in(store, expected, on_step=on_step)


def main(docs: Path, recipes: dict[int, Path]) -> None:
    with Pipeline.from_folder(docs, sync="never") as pipeline:
        dim = pipeline.recipe.index.embedder.dim
    print("ready", dim, flush=True)
    while True:
        dim = DIMS[1] if dim == DIMS[0] else DIMS[0]
        print("begin", dim, flush=True)
        try:
            Pipeline.reindex(docs, recipe=recipes[dim]).close()
        except Locked:
            continue
        print("done", dim, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "die":
        die_at(sys.argv[2], Path(sys.argv[3]))
    register()
    main(Path(sys.argv[1]), write_recipes(Path(sys.argv[2])))
