"""Folders of towers that are not whole are refused when they are loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrag.core.errors import ModelError
from mmrag.embed.dual.model import load_model
from mmrag.embed.dual.options import DualOptions


@pytest.fixture
def folder(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("clip"), tmp_path / "clip"))


def load(folder: Path) -> object:
    return load_model(folder, DualOptions(model=str(folder), architecture="clip"), "cpu")


def test_a_missing_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="tokenizer is missing"):
        load(folder)


def test_pickled_weights_that_are_none(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)


def test_a_configuration_of_nothing_but_the_name(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelError, match="hidden_size 768, and the weights have"):
        load(folder)


def test_a_missing_processor(folder: Path) -> None:
    (folder / "processor_config.json").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)
