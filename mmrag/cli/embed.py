"""`mmrag embed`: look at the embedding space of an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmrag.cli.options import Folder, JsonOption, RecipeOption, StoreOption
from mmrag.cli.output import console, counted, print_json

if TYPE_CHECKING:
    from mmrag.evaluate.space import Found, Shape
    from mmrag.space import Look

_SHOWN = 8
"""So many near duplicates and outliers are printed; `--json` has more."""

app = typer.Typer(
    help="Look at the embedding space of an index.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _embed() -> None:
    """Look at the embedding space of an index."""


@app.command()
def report(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Where space.png and centres.npz go.")] = Path(
        "embed-report"
    ),
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the gap between modalities, find near duplicates and outliers, and draw the space."""
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        look = pipeline.upkeep.look_at_space(out)
    if as_json:
        print_json("embed report", look.as_dict())
    else:
        _print(look)


def _print(look: Look) -> None:
    from rich.table import Table

    terminal = console()
    kinds = ", ".join(f"{count} {kind}" for kind, count in look.items.items())
    of = f" of {look.sampled_of}" if sum(look.items.values()) < look.sampled_of else ""
    terminal.print(f"{kinds}{of}.", markup=False)
    has_several = len(look.items) > 1
    shapes = {"as it is": look.before} | ({"centred": look.after} if look.after is not None else {})
    columns = {name: _of_shape(shape, compared=has_several) for name, shape in shapes.items()}
    for name, found in look.found.items():
        columns[name] = columns.get(name, {}) | _of_found(found, compared=has_several)
    table = Table("", *columns, box=None, header_style="bold")
    for row in columns["as it is"]:
        table.add_row(row, *(column.get(row, "") for column in columns.values()))
    terminal.print(table)
    if not has_several:
        terminal.print("There is one modality only: no gap to measure, and nothing to centre.", markup=False)
    if look.questions:
        told = f"Asked for {counted(look.questions, 'picture')} by the words in and around them."
        terminal.print(told, markup=False)
    for one, other, score in look.duplicates[:_SHOWN]:
        terminal.print(f"near duplicates ({score:.3f}): {one} | {other}", markup=False)
    for name, score in look.outliers[:_SHOWN]:
        terminal.print(f"like no other ({score:.3f}): {name}", markup=False)
    for path in look.files:
        terminal.print(f"wrote {path}", markup=False)
    if look.after is not None:
        terminal.print(
            "To centre: `centres: PATH` below `embedder:` in a recipe of your own; to put scores on one scale"
            " instead, which embeds nothing anew: --recipe calibrated.",
            markup=False,
        )


def _of_shape(shape: Shape, *, compared: bool) -> dict[str, str]:
    found = {f"gap {pair}": f"{value:.3f}" for pair, value in shape.gap.items()}
    found |= {f"similarity {pair}": f"{value:.3f}" for pair, value in shape.similarity.items()}
    if not compared:
        return found
    found["neighbours of another modality"] = f"{shape.other_neighbours:.0%}"
    return found | {"the same by chance": f"{shape.other_by_chance:.0%}"}


def _of_found(found: Found, *, compared: bool) -> dict[str, str]:
    wrong = {
        "wrong modality at 1": f"{found.wrong_at_1:.0%}",
        "wrong modality at 10": f"{found.wrong_at_10:.0%}",
    }
    return (wrong if compared else {}) | {
        "right picture at 1": f"{found.hit_at_1:.0%}",
        "right picture at 10": f"{found.hit_at_10:.0%}",
    }
