"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _folder(text: str) -> Path:
    # Path("") is the current folder: an unset shell variable would index that.
    if not text:
        raise typer.BadParameter("The folder's name is empty.")
    return Path(text)


Folder = Annotated[
    Path,
    typer.Argument(
        help="The folder with your documents.", show_default=False, parser=_folder, metavar="FOLDER"
    ),
]
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Where the index lives.  [default: FOLDER/.mmrag]")
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A shipped recipe's name, or the path of a YAML file.  [default: the index's own, or 'default']",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="The folder of a model to use in place of the one that the recipe names."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
FilterOption = Annotated[
    str | None,
    typer.Option("--filter", help="Which items count, such as 'kind == \"pdf\" and page <= 3'."),
]
ImageOption = Annotated[
    list[Path] | None,
    typer.Option("--image", help="A picture to search with, alone or beside the words; may be repeated."),
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="A task that the recipe names, such as a kind of retrieval.")
]
InstructionOption = Annotated[
    str | None, typer.Option("--instruction", help="What the embedder is told to look for, in words.")
]
KOption = Annotated[int, typer.Option("--k", "-k", min=1, help="How many hits.")]
