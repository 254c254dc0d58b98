"""`mmrag recipe`: list, show and check recipes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mmrag.cli.options import JsonOption
from mmrag.cli.output import ExitCode, console, print_json

app = typer.Typer(help="List, show and check recipes.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the shipped recipes."""
    from rich.table import Table

    from mmrag.recipes import list_recipes

    found = list_recipes()
    if as_json:
        rows = [{**asdict(info), "path": str(info.path)} for info in found]
        print_json("recipe list", {"recipes": rows})
        return
    table = Table("name", "needs", "what it is for", box=None, header_style="bold")
    for info in found:
        # `show` and `check` take a bare name for a pipeline.
        name = info.name if info.kind == "pipeline" else f"indexes/{info.name}"
        table.add_row(name, ", ".join(info.needs) or "-", info.description)
    console().print(table)


@app.command()
def show(name: Name, as_json: JsonOption = False) -> None:
    """Print a recipe with everything written out: a file to start your own from."""
    from mmrag.recipes import show as shown

    text = shown(name)
    if as_json:
        print_json("recipe show", {"name": name, "yaml": text})
    else:
        typer.echo(text, nl=False)


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or paths; every shipped recipe when left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check recipes and print every problem with its file and line."""
    from mmrag.recipes import check as problems_of
    from mmrag.recipes import list_recipes

    wanted = names or [str(info.path) for info in list_recipes()]
    found = {name: problems_of(name) for name in wanted}
    if as_json:
        print_json("recipe check", {"recipes": {n: [asdict(p) for p in found[n]] for n in wanted}})
    else:
        for name in wanted:
            for problem in found[name]:
                typer.echo(str(problem), err=True)
            if not found[name]:
                typer.echo(f"ok: {name}")
    if any(found.values()):
        raise typer.Exit(ExitCode.USAGE)
