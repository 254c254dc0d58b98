"""Tiny models of real architectures, built once a session."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrag.testing.tiny import build_tiny

# Whatever a test does, no hub is asked.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny model by its kind; do not write into it."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(kind: str) -> Path:
        if not (root / kind).is_dir():
            import torch

            torch.set_num_threads(1)
            build_tiny(kind, root / kind)
        return root / kind

    return folder
