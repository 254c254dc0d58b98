"""What a sync did and what is wrong with which files, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mmrag.cli.output import console, counted

if TYPE_CHECKING:
    from mmrag.corpus import SyncReport, Trouble
    from mmrag.store import State

_COLORS = {"failed": "red", "skipped": "yellow", "partial": "yellow"}
_WORST_FIRST: tuple[State, ...] = ("failed", "partial", "skipped")
_APART = 3
"""So many files with one and the same trouble have a line each; more share one."""
_NAMED = 5


def report_as_dict(report: SyncReport) -> dict[str, Any]:
    """Return a sync's report as JSON values."""
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
        "new_troubles": [asdict(trouble) for trouble in report.new_troubles],
        "speeds": {kind: asdict(speed) for kind, speed in report.speeds.items()},
        "indexes": list(report.indexes),
        "notes": list(report.notes),
        "spent": {stage: round(seconds, 3) for stage, seconds in report.spent.items()},
    }


def print_report(report: SyncReport, *, known_troubles: bool = True, names_changes: bool = False) -> None:
    """Print what a sync did.

    Args:
        report: What it tells.
        known_troubles: Whether to tell also those that an earlier sync has told.
        names_changes: Whether to name the files.
    """
    out = console()
    counts = report.plan.counts
    changes = [f"{counts[name]} {name}" for name in counts if name != "unchanged" and counts[name]]
    if report.dry_run or names_changes:
        for kind, names in report.plan.sources.items():
            for name in names:
                out.print(f"{kind}: {name}", markup=False)
    if not changes:
        known = counts["unchanged"]
        told = f"{counted(known, 'file')} unchanged" if known else "there are no files in this folder"
        out.print(f"Nothing to do: {told}.", markup=False)
    elif report.dry_run:
        out.print(f"To do: {', '.join(changes)}; {counts['unchanged']} unchanged.", markup=False)
    else:
        out.print(f"Done: {', '.join(changes)}; {counts['unchanged']} unchanged.", markup=False)
    if report.read:
        out.print(
            f"{counted(report.read, 'item')} read, {report.embedded} embedded, {report.reused} reused,"
            f" in {report.seconds:.1f} s.",
            markup=False,
        )
    if report.indexes and not changes:
        out.print(f"Search indexes written: {', '.join(report.indexes)}.", markup=False)
    for note in report.notes:
        out.print(note, style="yellow", markup=False)
    print_summary(report.states, report.items)
    if not report.dry_run:
        print_troubles(report.troubles if known_troubles else report.new_troubles)


def print_summary(states: Mapping[State, int], items: int) -> None:
    """Print how many sources are in which state."""
    every: tuple[State, ...] = ("indexed", *_WORST_FIRST)
    parts = [f"{states[state]} {state}" for state in every if states[state]]
    sources = counted(sum(states.values()), "source")
    told = f"{sources} ({', '.join(parts) or 'none'}), {counted(items, 'item')}."
    console().print(told, markup=False)


def print_troubles(troubles: Sequence[Trouble], *, each: bool = False) -> None:
    """Print what is wrong, the worst first; files with the same trouble share a line unless `each`."""
    out = console()
    for state in _WORST_FIRST:
        found = [trouble for trouble in troubles if trouble.state == state]
        for (reason, fix), group in groupby(sorted(found, key=_told), key=_told):
            names = [trouble.source for trouble in group]
            together = len(names) > _APART and not each
            more = ", ..." if len(names) > _NAMED else ""
            told = [f"{len(names)} files ({', '.join(names[:_NAMED])}{more})"] if together else names
            for name in told:
                out.print(f"[{_COLORS[state]}]{state:8}[/] ", end="")
                out.print(f"{name}: {reason} {fix}".rstrip(), markup=False)


def _told(trouble: Trouble) -> tuple[str, str]:
    return trouble.reason, trouble.fix
