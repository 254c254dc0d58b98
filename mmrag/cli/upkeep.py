"""`mmrag verify`, `forget`, `compact`, `reindex`, `export` and `import`: the life of an index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmrag.cli.options import FilterOption, Folder, JsonOption, ModelOption, RecipeOption, StoreOption
from mmrag.cli.output import ExitCode, console, counted, print_json, sync_progress

if TYPE_CHECKING:
    from mmrag.store import ForgetReport


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("verify")(verify)
    app.command("forget")(forget)
    app.command("compact")(compact)
    app.command("reindex")(reindex)
    app.command("export")(export)
    app.command("import")(import_)


def verify(
    folder: Folder, recipe: RecipeOption = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Prove that the index is whole: every digest computed again, every search index checked."""
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        report = pipeline.upkeep.verify()
        remedy = f"{pipeline.sync_command} --rebuild"
        if report.indexes_only:
            # Sources, items and vectors are whole: nothing has to be read or embedded again.
            remedy = pipeline.sync_command.replace(" sync ", " reindex ", 1)
    if as_json:
        print_json("verify", {**asdict(report), "fix": remedy if report.problems else ""})
    else:
        for problem in report.problems:
            console().print(problem, style="red", markup=False)
        held = (("source", report.sources), ("item", report.items), ("vector", report.vectors))
        told = ", ".join(counted(count, thing) for thing, count in (*held, ("orphan", report.orphans)))
        verdict = "whole."
        if report.problems:
            verdict = f"{'a search index is' if report.indexes_only else ''} damaged. Run: {remedy}".lstrip()
        console().print(f"{told}: {verdict}\nroot {report.root}", markup=False)
    if report.problems:
        raise typer.Exit(ExitCode.FAILED)


def forget(
    folder: Folder,
    files: Annotated[
        list[str] | None, typer.Argument(help="Names as `status` shows them.", show_default=False)
    ] = None,
    filter: FilterOption = None,
    ignore: Annotated[
        bool,
        typer.Option(
            "--ignore", help="List them in .mmragignore, so that files which stay are not read again."
        ),
    ] = False,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove every trace of files from the index, and prove it by a scan of every stored byte."""
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        report = pipeline.upkeep.forget(files or (), filter=filter, ignore=ignore)
    if as_json:
        print_json("forget", {**asdict(report), "clean": report.clean})
    else:
        _print_forgotten(report)
    if not report.clean:
        raise typer.Exit(ExitCode.FAILED)


def compact(
    folder: Folder, recipe: RecipeOption = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Give back the disk space of what was removed."""
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        report = pipeline.upkeep.compact()
    if as_json:
        print_json("compact", asdict(report))
    else:
        console().print(
            f"{_size(report.bytes_before)} before, {_size(report.bytes_after)} now.", markup=False
        )


def reindex(
    folder: Folder,
    recipe: RecipeOption = None,
    model: ModelOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the search indexes anew; with --recipe or --model the whole index, beside the one in use."""
    from mmrag.pipeline import Pipeline

    if recipe is None and model is None:
        # Nothing is read or embedded.
        opened = Pipeline.from_folder(folder, store=store, sync="never")
    else:
        with sync_progress() as on_progress:
            opened = Pipeline.reindex(
                folder, recipe=recipe, model=model, store=store, on_progress=on_progress
            )
    with opened as pipeline:
        if recipe is None and model is None:
            pipeline.upkeep.reindex()
        items, generation = pipeline.store.count(), pipeline.store.generation
        failed = sum(record.state == "failed" for record in pipeline.sources())
        name = pipeline.recipe.name
    if as_json:
        fields = {"items": items, "generation": generation, "recipe": name, "failed": failed}
        print_json("reindex", fields)
    else:
        console().print(f"{counted(items, 'item')} indexed anew with recipe {name}.", markup=False)
        if failed:
            console().print(f"{counted(failed, 'file')} could not be indexed: mmrag status", markup=False)
    if failed and (recipe is not None or model is not None):
        raise typer.Exit(ExitCode.SOURCES_FAILED)


def export(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="A folder that is not there yet.", show_default=False)],
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the index as Parquet files: sources, items with vectors, pictures and the words in them."""
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        report = pipeline.upkeep.export(target)
    if as_json:
        print_json("export", asdict(report))
    else:
        console().print(
            f"{counted(report.sources, 'source')}, {counted(report.items, 'item')},"
            f" {counted(report.blobs, 'picture')}:"
            f" {_size(report.bytes)} in {target}\nroot {report.root}",
            markup=False,
        )


def import_(
    folder: Folder,
    exported: Annotated[Path, typer.Argument(help="What `mmrag export` wrote.", show_default=False)],
    recipe: RecipeOption = None,
    model: ModelOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the index of a folder out of an export; nothing is read or embedded."""
    from mmrag.pipeline import Pipeline

    with Pipeline.from_export(folder, exported, recipe=recipe, model=model, store=store) as pipeline:
        items, root, command = pipeline.store.count(), pipeline.store.root, pipeline.sync_command
    if as_json:
        print_json("import", {"items": items, "root": root})
    else:
        console().print(
            f"{counted(items, 'item')}.\nroot {root}\nWhat has changed since: {command}", markup=False
        )


def _print_forgotten(report: ForgetReport) -> None:
    out = console()
    removed = (
        ("source", report.sources),
        ("item", report.items),
        ("vector", report.vectors),
        ("picture", report.blobs),
        ("recognised text", report.cached),
    )
    told = ", ".join(counted(count, thing) for thing, count in removed)
    sizes = f"{_size(report.bytes_before)} before, {_size(report.bytes_after)} now"
    out.print(f"Removed: {told}; {sizes}.", markup=False)
    for name in report.unknown:
        out.print(f"{name}: no source of that name was in the index.", style="yellow", markup=False)
    for told in report.waiting:
        out.print(f"{told} Run the command again when it has ended.", style="yellow", markup=False)
    for told in report.proof.findings:
        out.print(told, style="red", markup=False)
    if report.clean:
        proof = report.proof
        out.print(
            f"Proof: none of {proof.needles} pieces of them stands in the {_size(proof.bytes)} of"
            f" {proof.files} stored files.",
            markup=False,
        )


def _size(count: float) -> str:
    if count < 1000:
        return f"{count:g} bytes"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} GB"
