"""`mmrag doctor` and `eval`: is the installation well, and the quality."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmrag.cli.options import Folder, JsonOption, RecipeOption, StoreOption
from mmrag.cli.output import ExitCode, console, print_json, sync_progress

if TYPE_CHECKING:
    from mmrag.core.types import Answer, Hit
    from mmrag.evaluate import EvalReport, Question
    from mmrag.pipeline import Pipeline

_COLORS = {"ok": "green", "missing": "yellow", "broken": "red"}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("doctor")(doctor)
    app.command("eval")(evaluate)


def doctor(recipe: RecipeOption = None, as_json: JsonOption = False) -> None:
    """Look at the installation: what works, what is missing and what brings it."""
    from mmrag.doctor import diagnose

    findings = list(diagnose(recipe or "default"))
    if as_json:
        print_json("doctor", {"findings": [asdict(finding) for finding in findings]})
    else:
        out = console()
        for finding in findings:
            out.print(f"[{_COLORS[finding.verdict]}]{finding.verdict:8}[/]", end="")
            out.print(f"{finding.name}: {finding.detail}  {finding.fix}".rstrip(), markup=False)
    if any(finding.verdict == "broken" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def evaluate(
    folder: Folder,
    questions: Annotated[Path, typer.Option("--questions", help="A JSONL file of questions with answers.")],
    failures: Annotated[bool, typer.Option("--failures", help="List what went wrong.")] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Find the threshold that keeps 95 % of the answerable ones.")
    ] = False,
    recipe: RecipeOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score search and answers on your own questions."""
    from mmrag.evaluate import load_questions
    from mmrag.pipeline import Pipeline

    wanted = load_questions(questions)
    with sync_progress() as on_progress:
        pipeline = Pipeline.from_folder(folder, recipe=recipe, store=store, on_progress=on_progress)
    with pipeline:
        if calibrate:
            _calibrate(pipeline, wanted, questions.parent, as_json=as_json)
        else:
            _score(pipeline, wanted, questions.parent, as_json=as_json, failures=failures)


def _calibrate(pipeline: Pipeline, wanted: list[Question], beside: Path, *, as_json: bool) -> None:
    from mmrag.evaluate import calibrate_questions

    loose = pipeline.without_refusal()
    tuned, tested = calibrate_questions(wanted, lambda question: _ask(loose, question, beside))
    if as_json:
        held_out = tested.as_dict() if tested is not None else None
        print_json("eval", {"calibration": {"tune": tuned.as_dict(), "test": held_out}})
        return
    typer.echo(f"On the questions marked tune: {tuned.as_markdown()}", nl=False)
    if tested is not None:
        typer.echo(f"On those marked test: {tested.as_markdown()}", nl=False)


def _score(
    pipeline: Pipeline, wanted: list[Question], beside: Path, *, as_json: bool, failures: bool
) -> None:
    from mmrag.evaluate import evaluate as score

    def search(question: Question, k: int) -> list[Hit]:
        image = _image(question, beside)
        return pipeline.search(question.question, k=k, filter=question.filter, image=image)

    report = score(wanted, lambda question: _ask(pipeline, question, beside), search)
    if as_json:
        print_json("eval", report.as_dict())
        return
    typer.echo(report.as_markdown())
    if failures:
        _print_failures(report)


def _ask(pipeline: Pipeline, question: Question, beside: Path) -> Answer:
    return pipeline.ask(question.question, filter=question.filter, image=_image(question, beside))


def _image(question: Question, beside: Path) -> Path | None:
    """A question's picture is named relative to the file of questions."""
    return beside / question.image if question.image else None


def _print_failures(report: EvalReport) -> None:
    for row in report.failures():
        wanted = " | ".join(row.question.answers) or "(no evidence)"
        typer.echo(f"{row.question.id} {row.question.question}\n  wanted {wanted}")
        typer.echo(f"  got    {row.text or '(no evidence)'}  (rank {row.rank}, support {row.support:.2f})")
