"""`mmrag search`, `ask`, `explain` and `why-not`: questions to a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrag.cli.options import (
    FilterOption,
    Folder,
    ImageOption,
    InstructionOption,
    JsonOption,
    KOption,
    RecipeOption,
    StoreOption,
    TaskOption,
)
from mmrag.cli.output import ExitCode, console, print_json, sync_progress

if TYPE_CHECKING:
    from rich.console import Console

    from mmrag.core.types import Answer, Hit, Query
    from mmrag.pipeline import Pipeline
    from mmrag.search import Explanation

Words = Annotated[str, typer.Argument(help="The question; may be empty beside --image.")]
_SNIPPET_CHARACTERS = 200


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("search")(search)
    app.command("ask")(ask)
    app.command("explain")(explain)
    app.command("why-not")(why_not)


def search(
    folder: Folder,
    query: Words = "",
    k: KOption = 10,
    image: ImageOption = None,
    task: TaskOption = None,
    instruction: InstructionOption = None,
    filter: FilterOption = None,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the items that fit a query best."""
    from mmrag.answer import describe_hit, hit_to_dict

    wanted = _query(query, image, task, instruction)
    with _open(folder, recipe, store) as pipeline:
        found = pipeline.explain(wanted, k=k, filter=filter)
    if as_json:
        hits = [hit_to_dict(hit) for hit in found.hits]
        print_json("search", {"query": query, "hits": hits, "notes": list(found.notes)})
        return
    out = console()
    for rank, hit in enumerate(found.hits, 1):
        out.print(f"[bold]{rank:2}[/]  {hit.score:.3f}  ", end="")
        out.print(describe_hit(hit), style="cyan", markup=False)
        out.print(f"    {_snippet(hit)}", markup=False)
        if hit.also_in:
            out.print(f"    also in {', '.join(hit.also_in)}", style="dim", markup=False)
    if not found.hits:
        out.print("Nothing found.")
    _print_notes(out, found.notes)


def ask(
    folder: Folder,
    question: Words = "",
    image: ImageOption = None,
    task: TaskOption = None,
    instruction: InstructionOption = None,
    filter: FilterOption = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="Write the evidence as pictures and a page here.")
    ] = None,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question with citations that were checked, or say that there is no evidence."""
    from mmrag.answer import answer_to_dict

    wanted = _query(question, image, task, instruction)
    with _open(folder, recipe, store) as pipeline:
        answer = pipeline.ask(wanted, filter=filter)
        files = pipeline.write_evidence(answer, evidence, question=question) if evidence is not None else []
        if answer.status == "no_evidence":
            # The answer may stand in a file that no sync has seen yet.
            unseen = [told for told in pipeline.warnings() if told not in answer.notes]
            answer = replace(answer, notes=(*answer.notes, *unseen))
    if as_json:
        fields = {"question": question, **answer_to_dict(answer), "files": [str(file) for file in files]}
        print_json("ask", fields)
    else:
        _print_answer(answer, files)
    if answer.status == "no_evidence":
        raise typer.Exit(ExitCode.NO_EVIDENCE)


def explain(
    folder: Folder,
    query: Words = "",
    k: KOption = 10,
    image: ImageOption = None,
    task: TaskOption = None,
    instruction: InstructionOption = None,
    filter: FilterOption = None,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search, and show each lane's score and rank for each hit."""
    wanted = _query(query, image, task, instruction)
    with _open(folder, recipe, store) as pipeline:
        found = pipeline.explain(wanted, k=k, filter=filter)
    if as_json:
        print_json("explain", _explanation_as_dict(query, found))
    else:
        _print_explanation(found)


def why_not(
    folder: Folder,
    query: Words,
    source: Annotated[str, typer.Argument(help="The file that you expected, as `status` names it.")],
    k: KOption = 10,
    image: ImageOption = None,
    task: TaskOption = None,
    instruction: InstructionOption = None,
    filter: FilterOption = None,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where an expected file was lost: not indexed, filtered out, or ranked too low."""
    from dataclasses import asdict

    wanted = _query(query, image, task, instruction)
    with _open(folder, recipe, store) as pipeline:
        reasons = pipeline.why_not(wanted, source, k=k, filter=filter)
    if as_json:
        print_json("why-not", {"query": query, **asdict(reasons), "sentences": list(reasons.sentences())})
        return
    for sentence in reasons.sentences():
        console().print(sentence, markup=False)


def _query(words: str, images: list[Path] | None, task: str | None, instruction: str | None) -> Query:
    from mmrag.core.types import Query

    for image in images or ():
        _refuse_no_picture(image)
    return Query.of(words.strip(), image=images, task=task, instruction=instruction)


def _refuse_no_picture(path: Path) -> None:
    """Refuse what cannot be a picture before a model is loaded, which may take minutes."""
    from mmrag.core.errors import SourceError
    from mmrag.core.protocols import ReadLimits
    from mmrag.media.pictures import open_picture
    from mmrag.search.picture_lane import refuse_pipe, unopened

    refuse_pipe(path)
    try:
        path.stat()
        open_picture(path, max_pixels=ReadLimits().max_pixels).close()
    except (OSError, SourceError) as error:
        raise unopened(path, error) from error


def _open(folder: Path, recipe: str | None, store: Path | None) -> Pipeline:
    from mmrag.pipeline import Pipeline

    with sync_progress() as on_progress:
        return Pipeline.from_folder(folder, recipe=recipe, store=store, sync="new", on_progress=on_progress)


def _print_answer(answer: Answer, files: list[Path]) -> None:
    from mmrag.answer import describe_locator

    out = console()
    if answer.text:
        out.print(answer.text, style="bold", markup=False)
    else:
        out.print("No evidence for an answer in this folder.", style="bold yellow")
    for number, citation in enumerate(answer.citations, 1):
        out.print(f"\n  [{number}] ", end="", markup=False)
        out.print(describe_locator(citation.item, citation.locator), style="cyan", markup=False)
        quote = " ".join(citation.quote.split())
        out.print(f"      “{quote}”  (support {citation.support:.2f})", markup=False)
    if answer.status == "partial":
        out.print("\nThis is a partial answer.", style="yellow")
    _print_notes(out, answer.notes)
    if files:
        out.print(f"\nEvidence: {files[0]}", markup=False)


def _print_notes(out: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        out.print(f"note: {note}", style="yellow", markup=False)


def _print_explanation(found: Explanation) -> None:
    from mmrag.answer import describe_hit

    out = console()
    for rank, hit in enumerate(found.hits, 1):
        out.print(f"[bold]{rank:2}[/]  {hit.score:.3f}  ", end="")
        out.print(describe_hit(hit), style="cyan", markup=False)
        for lane in found.lanes:
            if lane.name in hit.ranks:
                place = f"rank {hit.ranks[lane.name]}, score {hit.scores[lane.name]:.3f}"
                out.print(f"      {lane.name:8} {place}", markup=False)
        out.print(f"      {_snippet(hit)}", style="dim", markup=False)
    _print_notes(out, found.notes)
    for step in found.steps:
        for what, told in step.detail.items():
            out.print(f"{step.name}, {what}: {told}", style="dim", markup=False)
    out.print("  ".join(f"{step.name} {step.ms:.1f} ms" for step in found.steps), style="dim", markup=False)


def _explanation_as_dict(query: str, found: Explanation) -> dict[str, Any]:
    from mmrag.answer import hit_to_dict

    return {
        "query": query,
        "lanes": [{"name": lane.name, "used": lane.used, "reason": lane.reason} for lane in found.lanes],
        "hits": [hit_to_dict(hit) for hit in found.hits],
        "notes": list(found.notes),
        "trace": [{"name": s.name, "ms": round(s.ms, 3), "detail": dict(s.detail)} for s in found.steps],
    }


def _snippet(hit: Hit) -> str:
    words = " ".join(hit.item.text.split())
    if not words:
        return "(a picture without words)" if hit.item.modality == "image" else "(no words)"
    return words if len(words) <= _SNIPPET_CHARACTERS else words[: _SNIPPET_CHARACTERS - 1] + "…"
