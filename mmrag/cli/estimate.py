"""`mmrag estimate`: what an index will cost before it is made."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mmrag.cli.options import Folder, JsonOption, ModelOption, RecipeOption, StoreOption
from mmrag.cli.output import print_json

if TYPE_CHECKING:
    from mmrag.estimate import Amount, Estimate


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("estimate")(estimate)


def estimate(
    folder: Folder,
    recipe: RecipeOption = None,
    model: ModelOption = None,
    store: StoreOption = None,
    sample_seconds: Annotated[
        float, typer.Option("--sample-seconds", min=1, help="About how long the sample may take.")
    ] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Say what `sync` will take: time, memory and disk, from a sample that is read and embedded for real.

    Nothing is written.
    """
    from mmrag.estimate import estimate as estimated

    found = estimated(folder, recipe=recipe, model=model, store=store, sample_s=sample_seconds)
    if as_json:
        print_json("estimate", asdict(found))
    else:
        for line in _lines(found):
            typer.echo(line)


def _lines(found: Estimate) -> list[str]:
    seconds, memory, disk, sampled = found.seconds, found.memory, found.disk, found.sampled
    lines = [
        f"recipe    {found.recipe}, embedder {found.embedder}",
        f"files     {found.files:,} ({_bytes(found.bytes)}), {found.unchanged:,} of them indexed already"
        + (f", {found.blocked:,} cannot be read" if found.blocked else ""),
    ]
    for kind in found.kinds:
        pages = f", {_count(kind.pages)} pages" if kind.pages.value else ""
        lines.append(
            f"          {kind.kind}: {kind.files:,} files, {_bytes(kind.bytes)}{pages}, "
            f"{_count(kind.items)} items ({kind.sampled:,} files sampled)"
        )
    pictures = f", {_count(found.pictures)} of them as pictures" if found.pictures.value else ""
    lines += [
        f"items     {_count(found.items)}; {_count(found.embed)} need a vector{pictures}",
        f"time      {_time(seconds.total)}: load {_time_of(seconds.load)}, "
        f"read {_time_of(seconds.read.value)}, split {_time_of(seconds.split.value)}, "
        f"embed {_time_of(seconds.embed.value)}, write {_time_of(seconds.write.value)}",
        f"disk      {_bytes(disk.vectors.value + disk.others.value)}: {_bytes(disk.vectors.value)} "
        f"of vectors, {_bytes(disk.others.value)} of words, pictures and search indexes",
    ]
    if memory.process is not None and memory.reader is not None:
        lines.append(
            f"RAM       {_bytes(memory.process)} at its peak in the sample, and {memory.readers} x up to "
            f"{_bytes(memory.reader)} where files are read"
        )
    lines.append(f"VRAM      {_gpu(found)}")
    lines.append(
        f"sample    {sampled.files:,} files, {sampled.items:,} items of them, {sampled.embedded:,} embedded, "
        f"in {sampled.seconds:.0f} s; ranges are two standard errors of the sample"
    )
    return lines + [f"note: {note}" for note in found.notes]


def _gpu(found: Estimate) -> str:
    memory = found.memory
    if memory.gpu is not None:
        return f"{_bytes(memory.gpu)} at its peak in the sample"
    if memory.weights is None:
        return "none: the embedder uses no GPU"
    return (
        f"none: this machine has no GPU; on one, {_bytes(memory.weights)} for the weights, and 2 GB or more "
        "for batches"
    )


def _count(amount: Amount) -> str:
    if amount.error == 0:
        return f"{amount.value:,.0f}"
    return f"about {amount.value:,.0f} ({amount.low:,.0f} to {amount.high:,.0f})"


def _time(amount: Amount) -> str:
    return f"about {_time_of(amount.value)} ({_time_of(amount.low)} to {_time_of(amount.high)})"


def _time_of(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return (
        f"{seconds / 60:.1f} min"
        if seconds >= 90
        else f"{seconds:.0f} s"
        if seconds >= 10
        else f"{seconds:.1f} s"
    )


def _bytes(size: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"
