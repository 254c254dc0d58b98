"""What the documents show can be typed: commands, options, Python, YAML, links."""

import importlib.util
import re
import shlex
import sys
import textwrap
import types
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmrag.cli.main import app
from mmrag.core.filters import FIELDS, parse
from mmrag.corpus import load_readers
from mmrag.recipes import check
from mmrag.testing import ReaderContract

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *(ROOT / "docs").glob("*.md"),
]
LINE = re.compile(r"^ {4}(?:\.venv/bin/)?mmrag (.+?)(?:  +#.*)?$", re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text()
        found += [(path.name, code) for code in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]
    return found


def commands() -> list[str]:
    return sorted({line for path in DOCUMENTS for line in LINE.findall(path.read_text())})


def options_of(words: list[str]) -> set[str]:
    command = typer.main.get_command(app)
    while words and (inner := getattr(command, "commands", {}).get(words[0])):
        command, words = inner, words[1:]
    assert not hasattr(command, "commands"), f"no such command: {words}"
    return {name for parameter in command.params for name in parameter.opts}


def test_there_is_something_to_check():
    assert len(commands()) > 8
    assert blocks("python")
    assert blocks("yaml")


@pytest.mark.parametrize("line", commands())
def test_commands_and_options_exist(line):
    words = shlex.split(line.split(" && ")[0])
    known = options_of(words)
    for word in words:
        if word.startswith("-"):
            assert word in known, f"{word} in {line!r}"
    if "--filter" in words and "..." not in words[words.index("--filter") + 1]:
        parse(words[words.index("--filter") + 1])


def test_every_command_is_documented():
    told = (ROOT / "docs" / "command-line.md").read_text()
    for name in typer.main.get_command(app).commands:
        assert f"`mmrag {name}" in told
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_python_of_the_readme_runs(example_pipeline):
    (code,) = [code for name, code in blocks("python") if name == "README.md"]
    folder = str(example_pipeline.folder)
    scope: dict[str, object] = {}
    exec(
        code.replace('"docs"', repr(folder)).replace("the warranty?", "the warranty on the Larkwind 150?"),
        scope,
    )
    answer = scope["answer"]
    assert answer.status == "answered"
    assert "five years" in answer.citations[0].quote


def test_the_table_of_formats_is_what_the_readers_say():
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "scripts" / "update_readme.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (ROOT / "README.md").read_text()
    assert script.updated(text) == text, "run: python scripts/update_readme.py"
    for reader in load_readers():
        for row in reader.about:
            assert row.reads in text


def _suite_of_the_docs() -> type[ReaderContract]:
    (code,) = [code for name, code in blocks("python") if name == "readers.md"]
    text = (ROOT / "docs" / "readers.md").read_text()
    suite = re.search(r"^ {8}class TestGpx.*?\n(?=\S|\n\S)", text, re.DOTALL | re.MULTILINE)
    # A reader goes to worker processes by its module's name.
    module = sys.modules.setdefault("reader_of_the_docs", types.ModuleType("reader_of_the_docs"))
    module.ReaderContract = ReaderContract
    exec(f"{code}\n{textwrap.dedent(suite[0])}", module.__dict__)
    return module.TestGpx


TestTheReaderOfTheDocs = _suite_of_the_docs()


def test_yaml_blocks_are_recipes(tmp_path):
    for number, (_, code) in enumerate(blocks("yaml")):
        path = tmp_path / f"recipe{number}.yaml"
        path.write_text(code)
        assert check(path) == []


def test_filters_of_the_docs_parse_and_every_field_is_told():
    text = (ROOT / "docs" / "filters.md").read_text()
    lines = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        parse(line)
    for field in FIELDS:
        assert f"`{field}`" in text


def test_links_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{target} in {path.name}"


def test_component_names_of_the_docs_are_the_registered_ones():
    from mmrag.recipes import COMPONENTS

    text = (ROOT / "docs" / "recipes.md").read_text()
    for kind in ("embedder", "splitter", "ocr", "dense", "lexical", "pictures", "fusion", "answerer"):
        for name in getattr(COMPONENTS, kind).names():
            assert f"`{name}`" in text, f"{kind} {name}"


def test_python_of_the_search_indexes_runs(tmp_path, monkeypatch, capsys):
    (code,) = [code for name, code in blocks("python") if name == "indexes.md"]
    monkeypatch.chdir(tmp_path)
    exec(code, scope := {})
    assert len(scope["again"]) == len(scope["index"]) == 20_000
    assert (scope["found"].rows % 3 == 0).all()
    assert float(capsys.readouterr().out.split()[-1]) > 0.85
