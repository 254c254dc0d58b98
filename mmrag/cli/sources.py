"""`mmrag sync` and `mmrag status`: what the folder gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrag.cli.options import Folder, JsonOption, RecipeOption, StoreOption
from mmrag.cli.output import ExitCode, console, print_json, sync_progress

if TYPE_CHECKING:
    from rich.console import Console

    from mmrag.corpus import SyncReport, Trouble
    from mmrag.store import SourceRecord

_COLORS = {"failed": "red", "skipped": "yellow", "partial": "yellow"}
_WORST_FIRST = ("failed", "skipped", "partial")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("sync")(sync)
    app.command("status")(status)


def sync(
    folder: Folder,
    recipe: RecipeOption = "default",
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Discard the index and start anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the index equal to the folder; a second run does nothing."""
    from mmrag.pipeline import Pipeline

    with (
        Pipeline.from_folder(folder, recipe=recipe, store=store, sync="later", rebuild=rebuild) as pipeline,
        sync_progress() as on_progress,
    ):
        report = pipeline.sync(dry_run=dry_run, on_progress=on_progress)
    if as_json:
        print_json("sync", _report_as_dict(report))
    else:
        _print_report(report)
    if report.states["failed"] and not dry_run:
        raise typer.Exit(ExitCode.SOURCES_FAILED)


def status(
    folder: Folder, recipe: RecipeOption = "default", store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Show what each file gave, problems last."""
    from mmrag.corpus import troubles_of
    from mmrag.pipeline import Pipeline

    with Pipeline.from_folder(folder, recipe=recipe, store=store, sync="never") as pipeline:
        records, warnings = pipeline.sources(), pipeline.warnings()
        items = pipeline.store.count()
        state = {
            "items": items,
            "generation": pipeline.store.generation,
            "root": pipeline.store.root,
            "embedder": dict(pipeline.store.identity),
        }
    counts = Counter(record.state for record in records)
    if as_json:
        print_json(
            "status",
            {"states": counts, **state, "notes": warnings, "sources": [_record_as_dict(r) for r in records]},
        )
    else:
        out = console()
        for record in records:
            if record.state == "indexed":
                out.print(f"{record.source.id}: {_gave(record)}", markup=False)
        _print_troubles(out, troubles_of(records))
        out.print(_summary(counts, items), markup=False)
        for warning in warnings:
            out.print(f"note: {warning}", style="yellow", markup=False)
    if counts["failed"]:
        raise typer.Exit(ExitCode.SOURCES_FAILED)


def _report_as_dict(report: SyncReport) -> dict[str, Any]:
    return {
        "dry_run": report.dry_run,
        "plan": report.plan.counts,
        "changes": report.plan.sources,
        "states": dict(report.states),
        "troubles": [asdict(trouble) for trouble in report.troubles],
        "items": report.items,
        "read": report.read,
        "embedded": report.embedded,
        "reused": report.reused,
        "seconds": round(report.seconds, 3),
        "generation": report.generation,
    }


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


def _print_report(report: SyncReport) -> None:
    out = console()
    if report.dry_run:
        for kind, names in report.plan.sources.items():
            for name in names:
                out.print(f"{kind}: {name}", markup=False)
    else:
        _print_troubles(out, report.troubles)
    counts = report.plan.counts
    changes = [f"{counts[name]} {name}" for name in counts if name != "unchanged" and counts[name]]
    if not changes:
        out.print(f"Nothing to do: {counts['unchanged']} files unchanged.", markup=False)
    elif report.dry_run:
        out.print(f"To do: {', '.join(changes)}; {counts['unchanged']} unchanged.", markup=False)
    else:
        out.print(f"Done: {', '.join(changes)}; {counts['unchanged']} unchanged.", markup=False)
    if report.read:
        out.print(
            f"{report.read} items read, {report.embedded} embedded, {report.reused} reused,"
            f" in {report.seconds:.1f} s.",
            markup=False,
        )
    out.print(_summary(report.states, report.items), markup=False)


def _print_troubles(out: Console, troubles: Sequence[Trouble]) -> None:
    for state in _WORST_FIRST:
        for trouble in troubles:
            if trouble.state == state:
                out.print(f"[{_COLORS[state]}]{state}[/] ", end="")
                out.print(f"{trouble.source}: {trouble.reason} {trouble.fix}".rstrip(), markup=False)


def _gave(record: SourceRecord) -> str:
    pages = f" on {len(record.pages)} pages" if len(record.pages) > 1 else ""
    return f"{record.items} item{'s' * (record.items != 1)}{pages}"


def _summary(states: Any, items: int) -> str:
    parts = [f"{states[state]} {state}" for state in ("indexed", *reversed(_WORST_FIRST)) if states[state]]
    return f"{sum(states.values())} sources ({', '.join(parts) or 'none'}), {items} items."
