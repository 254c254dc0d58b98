"""`mmrag sync`, `watch`, `status` and `formats`: what the folder gave."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrag.cli.options import Folder, JsonOption, ModelOption, RecipeOption, StoreOption
from mmrag.cli.output import ExitCode, console, print_json, print_json_line, sync_progress
from mmrag.cli.reports import print_report, print_summary, print_troubles, report_as_dict

if TYPE_CHECKING:
    from mmrag.core.errors import StoreError
    from mmrag.opening import Chosen
    from mmrag.pipeline import When
    from mmrag.store import SourceRecord

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="How many processes read; 0 reads in this one, unbounded.  [default: one a core, at most 8]",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("sync")(sync)
    app.command("watch")(watch)
    app.command("status")(status)
    app.command("formats")(formats)


def sync(
    folder: Folder,
    recipe: RecipeOption = None,
    model: ModelOption = None,
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Discard the index and start anew.")] = False,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the index equal to the folder; a second run does nothing."""
    from mmrag.pipeline import Pipeline

    when: When = "plan" if dry_run else "later"
    opened = Pipeline.from_folder(folder, recipe=recipe, model=model, store=store, sync=when, rebuild=rebuild)
    with opened as pipeline, sync_progress() as on_progress:
        report = pipeline.sync(dry_run=dry_run, workers=workers, on_progress=on_progress)
    if as_json:
        print_json("sync", report_as_dict(report))
    else:
        print_report(report)
    if report.states["failed"] and not dry_run:
        raise typer.Exit(ExitCode.SOURCES_FAILED)


def watch(
    folder: Folder,
    every: Annotated[
        float, typer.Option("--every", min=1, help="Look after so many seconds without news too.")
    ] = 600.0,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    workers: WorkersOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, one a sync.")
    ] = False,
) -> None:
    """Sync now and after every change of the folder, until Ctrl-C."""
    from mmrag.pipeline import Pipeline

    waiting = ""

    def on_wait(error: StoreError) -> None:
        nonlocal waiting
        if error.message != waiting:
            waiting = error.message
            sys.stderr.write(f"waiting: {error.message}\n")

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="later") as pipeline:
        sys.stderr.write(f"Watching {folder}; Ctrl-C ends.\n")
        try:
            for number, report in enumerate(pipeline.watch(every_s=every, workers=workers, on_wait=on_wait)):
                if number and report.plan.is_empty:
                    continue
                if as_json:
                    print_json_line("watch", report_as_dict(report))
                else:
                    print_report(report, known_troubles=not number, names_changes=bool(number))
                sys.stdout.flush()
        except KeyboardInterrupt:
            # Ctrl-C is how a watch ends; what was committed is kept.
            return


def status(
    folder: Folder,
    every_file: Annotated[bool, typer.Option("--all", help="List every file, the indexed ones too.")] = False,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the folder gave: counts, then problems with their remedies."""
    from mmrag.corpus import troubles_of
    from mmrag.opening import Chosen, chosen_by
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        records, warnings = pipeline.sources(), pipeline.warnings()
        items, indexes = pipeline.store.count(), pipeline.upkeep.indexes()
        chosen = chosen_by(pipeline.store) or Chosen(pipeline.recipe.name, None, pipeline.recipe.index.name)
        identity = pipeline.store.identity
        state = {
            "recipe": chosen.recipe,
            "model": chosen.model or identity.get("model"),
            "items": items,
            "generation": pipeline.store.generation,
            "root": pipeline.store.root,
            "embedder": identity,
            "indexes": [asdict(index) for index in indexes],
        }
    counts = Counter(record.state for record in records)
    coverage = _coverage(records)
    if as_json:
        sources = [_record_as_dict(record) for record in records]
        fields = {"states": counts, "pages": coverage, **state, "notes": warnings, "sources": sources}
        print_json("status", fields)
    else:
        out = console()
        print_summary(counts, items)
        out.print(_made_with(chosen, identity), markup=False)
        if pages := ", ".join(f"{count} {name}" for name, count in coverage.items() if count):
            out.print(f"Pages: {pages}.", markup=False)
        for index in indexes:
            out.print(f"{index.sentence()}.", markup=False)
            for note in index.notes:
                out.print(f"  {note}", markup=False)
        print_troubles(troubles_of(records), each=every_file)
        for warning in warnings:
            out.print(f"note: {warning}", style="yellow", markup=False)
        for record in records if every_file else ():
            if record.state == "indexed":
                out.print(f"indexed  {record.source.id}: {_gave(record)}", markup=False)
    if counts["failed"]:
        raise typer.Exit(ExitCode.SOURCES_FAILED)


def formats(as_json: JsonOption = False) -> None:
    """Show what happens to each kind of file: what is read and what is not."""
    from mmrag.corpus import load_readers, rows_of

    rows = rows_of(load_readers())
    if as_json:
        print_json("formats", {"formats": [asdict(row) for row in rows]})
        return
    out = console()
    for row in rows:
        needs = f"  (needs mmrag[{row.extra}])" if row.extra else ""
        out.print(f"{row.files}{needs}", style="bold", markup=False)
        if row.reads:
            out.print(f"  read: {row.reads}", markup=False)
        if row.leaves:
            out.print(f"  {'not: ' if row.reads else 'not read:'} {row.leaves}", markup=False)


def _made_with(chosen: Chosen, identity: Mapping[str, str]) -> str:
    over = f" over {chosen.index}" if chosen.index not in ("", chosen.recipe) else ""
    model = chosen.model or identity.get("model") or identity.get("embedder", "unknown")
    return f"Recipe {chosen.recipe}{over}, model {model}, {identity.get('dim', '?')} numbers a vector."


def _coverage(records: Iterable[SourceRecord]) -> dict[str, int]:
    """Count the pages of all sources by what they gave."""
    counted: Counter[str] = Counter()
    for record in records:
        for page in record.pages:
            pictured = page.ocr or page.figures > 0
            both = "with text and pictures" if pictured else "with text"
            counted[both if page.text else "with pictures only" if pictured else "with nothing"] += 1
    names = ("with text", "with text and pictures", "with pictures only", "with nothing")
    return {name: counted[name] for name in names}


def _record_as_dict(record: SourceRecord) -> dict[str, Any]:
    return {
        "source": record.source.id,
        "state": record.state,
        "reason": record.reason,
        "fix": record.fix,
        "kind": record.source.kind,
        "media_type": record.source.media_type,
        "size": record.source.size,
        "digest": record.source.digest,
        "title": record.title,
        "items": record.items,
        "pages": [asdict(page) for page in record.pages],
    }


def _gave(record: SourceRecord) -> str:
    pages = f" on {len(record.pages)} pages" if len(record.pages) > 1 else ""
    return f"{record.items} item{'s' * (record.items != 1)}{pages}"
