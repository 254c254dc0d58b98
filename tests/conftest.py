"""What several test folders share."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def example_pipeline(tmp_path_factory):
    """A pipeline over a copy of the example corpus, synced once."""
    from mmrag import Pipeline

    folder = tmp_path_factory.mktemp("examples") / "corpus"
    shutil.copytree(ROOT / "examples" / "corpus", folder, ignore=shutil.ignore_patterns(".mmrag"))
    with Pipeline.from_folder(folder) as pipeline:
        yield pipeline
