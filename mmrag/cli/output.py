"""Printing for people and for programs; the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from mmrag.core.errors import ConfigError, MmragError, QueryError

if TYPE_CHECKING:
    from rich.console import Console

    from mmrag.corpus import Progress

SCHEMA = 1
"""The version of every `--json` output; it grows only when a field changes its meaning."""


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0
    FAILED = 1
    """mmrag could not do it: a locked or damaged store, a missing model, a full disk."""
    USAGE = 2
    """The request is wrong: an option, a filter, a recipe, a path."""
    NO_EVIDENCE = 3
    """`ask` found no answer in the folder."""
    SOURCES_FAILED = 4
    """`sync` and `status`: the rest is indexed, but some files could not be read."""


def print_json(command: str, fields: Mapping[str, object]) -> None:
    """Print one JSON object with the command's name and the schema's version."""
    document = {"command": command, "schema": SCHEMA, **fields}
    sys.stdout.write(_encodable(json.dumps(document, ensure_ascii=False, indent=2)) + "\n")


def print_json_line(command: str, fields: Mapping[str, object]) -> None:
    """Print the object of `print_json` on one line, as a stream of them needs."""
    document = {"command": command, "schema": SCHEMA, **fields}
    sys.stdout.write(_encodable(json.dumps(document, ensure_ascii=False)) + "\n")


def _encodable(text: str) -> str:
    # What the shell handed over, such as a question in another encoding, is printed again.
    return text.encode("utf-8", "replace").decode()


def print_error(error: MmragError, *, as_json: bool) -> ExitCode:
    """Print what happened and what to do; return the exit code."""
    code = ExitCode.USAGE if isinstance(error, ConfigError | QueryError) else ExitCode.FAILED
    if as_json:
        fields = {"error": type(error).__name__, "message": error.message, "fix": error.fix}
        print_json("error", {**fields, "where": error.where, "exit_code": int(code)})
    else:
        place = f"{error.where}: " if error.where else ""
        sys.stderr.write(f"error: {place}{error.message}\n  fix: {error.fix}\n")
    return code


def counted(count: int, thing: str) -> str:
    """Return '1 source' or '3 sources'."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; without a terminal it prints plain text and never wraps."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, soft_wrap=not stream.isatty())


@contextmanager
def sync_progress() -> Iterator[Callable[[Progress], None] | None]:
    """Show a sync's progress on a terminal; elsewhere give None and print nothing."""
    try:
        if sys.stderr.isatty():
            with _bar() as show:
                yield show
        else:
            yield None
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What was committed is kept; the next sync goes on from there.\n")
        raise


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.progress import (
        BarColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[files]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("scan", total=None, files="")

        def show(progress: Progress) -> None:
            if progress.stage == "embed":
                return  # It counts passages of one batch; the bar counts files.
            page = f", page {progress.page} of {progress.pages}" if progress.pages > 1 else ""
            words = f"{progress.stage} {progress.source[-40:]}{page}"
            files = f"{progress.done} of {progress.total} files" if progress.total else ""
            # Files differ in size by a million: bytes tell the time that is left.
            by_bytes = progress.bytes_total > 0
            done = progress.bytes_done if by_bytes else progress.done
            total = progress.bytes_total if by_bytes else progress.total
            bar.update(task, description=words, files=files, completed=done, total=total or None)

        yield show
