"""`mmrag recipe`: list, show and check recipes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from mmrag.cli.options import JsonOption
from mmrag.cli.output import ExitCode, print_json
from mmrag.core.errors import ConfigError

if TYPE_CHECKING:
    from mmrag.core.finding import Finding
    from mmrag.recipes import Problem, RecipeInfo

app = typer.Typer(help="List, show and check recipes.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")]

_GAP = 2
_WIDTH, _INDENT = 100, "    "
_FITTING = 0.95
"""The share of a column's cells that its width is chosen for."""
_LICENCE_WIDTH = 20
_LICENCE = re.compile(r"\bMIT\b|Apache-2\.0|BSD-\d-Clause|\bCC-[A-Z0-9.-]+|Qwen Research|see the model card")
_COLORS = {"ok": typer.colors.GREEN, "missing": typer.colors.YELLOW, "broken": typer.colors.RED}


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the shipped recipes: what each takes, how large its model is, and what it needs."""
    from mmrag.recipes import list_recipes

    found = list_recipes()
    if as_json:
        print_json("recipe list", {"recipes": [_as_dict(info) for info in found]})
        return
    pipelines = [info for info in found if info.kind == "pipeline"]
    indexes = [info for info in found if info.kind == "index"]
    typer.secho("Pipelines: how a question becomes an answer, over the default index", bold=True)
    _print_rows(
        ["name", "needs", ""], [[info.name, _joined(info.needs), ""] for info in pipelines], pipelines
    )
    # `show` and `check` take a bare name for a pipeline where both have it.
    typer.echo()
    typer.secho(
        "Indexes: how a folder becomes searchable; each also names the default pipeline over it", bold=True
    )
    names = {info.name for info in pipelines}
    rows = [_row(info, taken=names) for info in indexes]
    _print_rows(["name", "embedder", "takes", "numbers", "size", "needs", "licence"], rows, indexes)


def _row(info: RecipeInfo, *, taken: set[str]) -> list[str]:
    embedder = info.embedder
    return [
        f"indexes/{info.name}" if info.name in taken else info.name,
        embedder.kind,
        _joined(embedder.takes),
        str(embedder.dims[-1]) if embedder.dims else "-",
        info.parameters or "-",
        _joined(info.needs),
        _short(info.licence),
    ]


def _print_rows(head: Sequence[str], rows: Sequence[Sequence[str]], infos: Sequence[RecipeInfo]) -> None:
    """Print rows in columns, under each its description: the same whatever the terminal is."""
    columns = zip(head, *rows, strict=True)
    # One long cell shifts its own row, not all others.
    widths = [sorted(map(len, column))[int(_FITTING * len(rows))] for column in columns]
    typer.secho(_in_columns(head, widths), dim=True)
    for row, info in zip(rows, infos, strict=True):
        typer.echo(_in_columns(row, widths))
        typer.secho(
            fill(info.description, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT), dim=True
        )


def _in_columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    gap = " " * _GAP
    return gap.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _joined(words: Sequence[str]) -> str:
    return " ".join(words) or "-"


def _short(licence: str) -> str:
    """Return the names of the licences in a sentence, as far as they fit their column."""
    names = list(dict.fromkeys(_LICENCE.findall(licence))) or [licence.rstrip(".")]
    for count in range(len(names), 0, -1):
        told = ", ".join((*names[:count], *(["..."] if count < len(names) else [])))
        if len(told) <= _LICENCE_WIDTH:
            return told or "-"
    return "see --json"


def _as_dict(info: RecipeInfo) -> dict[str, object]:
    data = asdict(info)
    return {**data, "path": str(info.path)}


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
        list[str] | None,
        typer.Argument(help="Names or paths; when left out, the text of every shipped recipe is checked."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Take the embedder's model from this folder.", metavar="FOLDER"),
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Also load the models, and embed a text and a picture.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check recipes, and whether everything that they name is here.

    Every problem of the text is printed with its file and line (exit code 2); packages, models, tokens,
    weights and adapters that are missing or do not fit, with what helps (exit code 1).
    """
    from mmrag.recipes import check as problems_of
    from mmrag.recipes import list_recipes

    if model is not None and len(names or ()) != 1:
        raise ConfigError("--model is for one recipe.", fix="Name it: mmrag recipe check NAME --model FOLDER")
    wanted = names or [str(info.path) for info in list_recipes()]
    problems = {name: problems_of(name) for name in wanted}
    found = {name: _findings(name, model, load=load) for name in names or () if not problems[name]}
    if as_json:
        told: dict[str, list[Finding]] = {name: list(found.get(name, ())) for name in wanted}
        rows = {name: [asdict(problem) for problem in problems[name]] for name in wanted}
        findings = {name: [asdict(finding) for finding in told[name]] for name in wanted}
        print_json("recipe check", {"recipes": rows, "findings": findings})
    else:
        told = {name: _print_check(name, problems[name], found.get(name, iter(()))) for name in wanted}
    if any(problems.values()):
        raise typer.Exit(ExitCode.USAGE)
    if any(finding.verdict != "ok" for name in wanted for finding in told[name]):
        raise typer.Exit(ExitCode.FAILED)


def _findings(name: str, model: str | None, *, load: bool) -> Iterator[Finding]:
    from mmrag.doctor import examine
    from mmrag.recipes import load_pipeline

    recipe = load_pipeline(name, model=model)
    return examine(recipe, load=load)


def _print_check(name: str, problems: Sequence[Problem], findings: Iterator[Finding]) -> list[Finding]:
    """Print what is wrong with a recipe, and findings as they are made."""
    for problem in problems:
        typer.echo(str(problem), err=True)
    told = []
    for finding in findings:
        told.append(finding)
        verdict = typer.style(f"{finding.verdict:8}", fg=_COLORS[finding.verdict])
        typer.echo(f"{verdict}{finding.name}: {finding.detail}  {finding.fix}".rstrip())
    if not problems and all(finding.verdict == "ok" for finding in told):
        typer.echo(f"ok: {name}")
    return told
