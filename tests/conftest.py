"""What several test folders share."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run cases that take minutes or gigabytes, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes or gigabytes; runs with --slow only")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="runs with --slow only"))


@pytest.fixture
def slow(request):
    """Whether to test with real sizes, or with small ones that show the same."""
    return request.config.getoption("--slow")


@pytest.fixture(scope="session")
def example_pipeline(tmp_path_factory):
    """A pipeline over a copy of the example corpus, synced once."""
    from mmrag import Pipeline

    folder = tmp_path_factory.mktemp("examples") / "corpus"
    shutil.copytree(ROOT / "examples" / "corpus", folder, ignore=shutil.ignore_patterns(".mmrag"))
    with Pipeline.from_folder(folder) as pipeline:
        yield pipeline
