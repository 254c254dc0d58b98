"""The command `mmrag`: parse, call the pipeline, print; nothing is computed here."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from mmrag import __version__
from mmrag.cli import adapters, admin, embed, estimate, questions, recipes, sources, upkeep
from mmrag.cli.output import print_error
from mmrag.core.errors import MmragError, StoreError

app = typer.Typer(
    name="mmrag",
    help="A folder becomes an index, a question becomes an answer that you can check.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
sources.add_to(app)
questions.add_to(app)
upkeep.add_to(app)
app.add_typer(recipes.app, name="recipe")
app.add_typer(embed.app, name="embed")
app.add_typer(adapters.app, name="adapter")
admin.add_to(app)
estimate.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmrag {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A folder becomes an index, a question becomes an answer that you can check."""


def main() -> None:
    """Run the command line; a user's mistake ends in a sentence and an exit code."""
    try:
        app()
    except MmragError as error:
        sys.exit(print_error(error, as_json="--json" in sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`mmrag search ... | head`): not our error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as refused:
        # What no room foresaw, such as a folder that is deleted under our feet.
        where = str(refused.filename) if refused.filename is not None else None
        unread = StoreError(
            f"The system refused: {refused.strerror or refused}.", fix="Mend that and run again.", where=where
        )
        sys.exit(print_error(unread, as_json="--json" in sys.argv[1:]))
