"""The public surface is a promise: a change here is a change for users, and goes into the changelog."""

import inspect
import subprocess
import sys

import mmrag
from mmrag import Pipeline
from mmrag.upkeep import Upkeep

HEAVY = ("torch", "transformers", "sentence_transformers", "faiss", "langchain_core", "onnxruntime", "numpy")


def test_names():
    assert set(mmrag.__all__) == {
        "Answer",
        "Citation",
        "Hit",
        "Item",
        "MmragError",
        "Pipeline",
        "Query",
        "__version__",
    }
    for name in mmrag.__all__:
        assert getattr(mmrag, name) is not None
    assert set(mmrag.__all__) <= set(dir(mmrag))


def test_pipeline_methods():
    public = {name for name, _ in inspect.getmembers(Pipeline) if not name.startswith("_")}
    assert public == {
        "ask",
        "close",
        "explain",
        "from_export",
        "from_folder",
        "reindex",
        "search",
        "sources",
        "sync",
        "sync_command",
        "watch",
        "warnings",
        "why_not",
        "without_refusal",
        "write_evidence",
    }


def test_upkeep_methods():
    public = {name for name, _ in inspect.getmembers(Upkeep) if not name.startswith("_")}
    assert public == {
        "compact",
        "export",
        "forget",
        "indexes",
        "look_at_space",
        "publish",
        "reindex",
        "verify",
    }


def test_unknown_attribute_is_an_attribute_error():
    assert not hasattr(mmrag, "pipelin")


def test_import_loads_nothing_heavy():
    code = "import sys, mmrag; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name for name in loaded.stdout.split() if name in HEAVY}


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom mmrag.cli.main import app\n"
        "result = CliRunner().invoke(app, ['ask', '--help'])\n"
        "assert result.exit_code == 0 and '--evidence' in result.output, result.output\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name for name in loaded.stdout.split() if name in HEAVY}
