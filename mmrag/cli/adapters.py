"""`mmrag adapter`: add, list, show, check and remove task adapters."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmrag.cli.options import JsonOption
from mmrag.cli.output import console, print_json

if TYPE_CHECKING:
    from mmrag.embed.adapters.store import Manifest

app = typer.Typer(
    help="Add, list, show, check and remove task adapters.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="The adapter's name in the store.", show_default=False)]
StoreFolder = Annotated[
    Path, typer.Option("--store", help="The store: the folder that a recipe names as `adapters.store`.")
]
Base = Annotated[
    str | None,
    typer.Option("--base", help="Its base model: shapes are compared, and other base models refused later."),
]
_HERE = Path("adapters")
_BASE_HINT = "the folder that holds its config.json with --base"


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(help="A folder that peft wrote, or a downloaded hub id.", show_default=False),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Its name.  [default: that of the folder]")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="What it was trained for.")] = "",
    query: Annotated[str, typer.Option("--query", help="The instruction for queries it knows.")] = "",
    document: Annotated[str, typer.Option("--document", help="The instruction for documents it knows.")] = "",
    base: Base = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", help="Leave out tensors in whose name this regular expression is found."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="The file holds several tasks: add one adapter for each.")
    ] = False,
    store: StoreFolder = _HERE,
    as_json: JsonOption = False,
) -> None:
    """Check an adapter and copy it into a store."""
    from mmrag.core.weights import find_model
    from mmrag.embed.adapters.split import split_by_task
    from mmrag.embed.adapters.store import ADAPTER_HINT, AdapterStore, Purpose

    kept = AdapterStore(store)
    folder = find_model(source, hint=ADAPTER_HINT)
    purpose = Purpose(task, query, document, date.today().isoformat())
    over = find_model(base, hint=_BASE_HINT) if base is not None else None
    patterns = tuple(leave_out or ())
    if not split:
        called = name or (folder.name if Path(source).exists() else source.split("/")[-1])
        added = [kept.add(called, folder, purpose=purpose, base=over, leave_out=patterns)]
    else:
        with tempfile.TemporaryDirectory() as aside:
            added = [
                kept.add(
                    f"{name}-{part}" if name else part,
                    place,
                    purpose=replace(purpose, task=task or part),
                    base=over,
                )
                for part, place in split_by_task(folder, Path(aside), leave_out=patterns).items()
            ]
    if as_json:
        print_json("adapter add", {"adapters": [asdict(manifest) for manifest in added]})
        return
    for manifest in added:
        typer.echo(f"added {manifest.name}: {_in_words(manifest)}")


@app.command("list")
def list_(store: StoreFolder = _HERE, as_json: JsonOption = False) -> None:
    """List the adapters of a store."""
    from rich.table import Table

    from mmrag.embed.adapters.store import AdapterStore

    found = AdapterStore(store).list()
    if as_json:
        print_json("adapter list", {"adapters": [asdict(manifest) for manifest in found]})
        return
    table = Table("name", "kind", "rank", "task", "base", box=None, header_style="bold")
    for manifest in found:
        rank = str(manifest.rank) if manifest.rank is not None else "-"
        table.add_row(manifest.name, manifest.kind, rank, manifest.task or "-", manifest.base or "-")
    console().print(table)


@app.command()
def show(name: Name, store: StoreFolder = _HERE, as_json: JsonOption = False) -> None:
    """Print what a store says of an adapter."""
    from mmrag.embed.adapters.store import AdapterStore

    manifest = AdapterStore(store).get(name)
    if as_json:
        print_json("adapter show", {"adapter": asdict(manifest)})
        return
    for key, value in asdict(manifest).items():
        if key == "files":
            for file, digest in (value or {}).items():
                typer.echo(f"{file}: {digest}")
        elif value not in (None, "", ()):
            typer.echo(f"{key}: {', '.join(value) if isinstance(value, list | tuple) else value}")


@app.command()
def check(
    name: Name,
    base: Base = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Remember this base model as the right one.")
    ] = False,
    store: StoreFolder = _HERE,
    as_json: JsonOption = False,
) -> None:
    """Compare an adapter's files with what was added, and its shapes with its settings and base model."""
    from mmrag.core.weights import find_model
    from mmrag.embed.adapters.store import AdapterStore

    over = find_model(base, hint=_BASE_HINT) if base is not None else None
    manifest = AdapterStore(store).check(name, base=over, accept=accept)
    if as_json:
        print_json("adapter check", {"adapter": asdict(manifest), "ok": True})
    else:
        typer.echo(f"ok: {manifest.name}: {_in_words(manifest)}")


@app.command()
def remove(name: Name, store: StoreFolder = _HERE, as_json: JsonOption = False) -> None:
    """Delete an adapter from a store."""
    from mmrag.embed.adapters.store import AdapterStore

    AdapterStore(store).remove(name)
    if as_json:
        print_json("adapter remove", {"name": name})
    else:
        typer.echo(f"removed {name}")


def _in_words(manifest: Manifest) -> str:
    rank = f" of rank {manifest.rank}" if manifest.rank is not None else ""
    return f"{manifest.kind}{rank}, digest {manifest.digest[:12]}"
