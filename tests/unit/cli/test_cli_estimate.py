"""`mmrag estimate`: what is printed."""

import json

import pytest
import typer
from typer.testing import CliRunner

from mmrag.cli import estimate as command
from mmrag.estimate import Amount

OWN = """recipe: 1
extends: default
index: {extends: default, ocr: null}
"""


@pytest.fixture(scope="module")
def app():
    app = typer.Typer()
    command.add_to(app)
    app.command("other")(lambda: None)
    return app


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "docs").mkdir()
    for i in range(6):
        (tmp_path / "docs" / f"{i}.md").write_text(f"# Pump {i}\n\nIt delivers {i} litres.\n")
    (tmp_path / "own.yaml").write_text(OWN)
    return [
        "estimate",
        str(tmp_path / "docs"),
        "--recipe",
        str(tmp_path / "own.yaml"),
        "--sample-seconds",
        "1",
    ]


def test_it_is_told_in_lines(app, arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    told = {line.split()[0]: line for line in done.output.splitlines() if line[0] != " "}
    assert "6 (" in told["files"]
    assert "need a vector" in told["items"]
    assert "about" in told["time"]
    assert "embed" in told["time"]
    assert "of vectors" in told["disk"]
    assert told["VRAM"].endswith("none: the embedder uses no GPU")
    assert "files" in told["sample"]


def test_it_is_there_for_programs(app, arguments):
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert (told["command"], told["files"]) == ("estimate", 6)
    assert told["seconds"]["total"]["value"] > 0
    assert told["sampled"]["embedded"] > 0


@pytest.mark.parametrize(
    ("seconds", "told"), [(3.21, "3.2 s"), (45, "45 s"), (120, "2.0 min"), (7200, "2.0 h")]
)
def test_times_in_words(seconds, told):
    assert command._time_of(seconds) == told


def test_counts_in_words():
    assert command._count(Amount(1234)) == "1,234"
    assert command._count(Amount(1000, 50)) == "about 1,000 (900 to 1,100)"
