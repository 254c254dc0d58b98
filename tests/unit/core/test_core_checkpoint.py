"""What every loader asks of a checkpoint."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmrag.core.checkpoint import check_sizes, check_tokenizer, loading
from mmrag.core.errors import ConfigError, ModelError


@pytest.mark.parametrize(
    "names",
    [["tokenizer.json"], ["vocab.txt"], ["tokenizer.model"], ["vocab.json", "merges.txt"], ["spiece.model"]],
)
def test_each_kind_of_vocabulary_is_a_tokenizer(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.json and no tokenizer_config\.json"):
        check_tokenizer(tmp_path)
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"has no tokenizer_config\.json\. "):
        check_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").touch()
    check_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "error",
    [pickle.UnpicklingError("invalid load key, '\\x00'."), EOFError(), KeyError("x"), OSError("gone")],
)
def test_what_libraries_raise_is_a_fault_of_the_model(error: Exception, tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match=f"The model in {tmp_path} cannot be loaded: .") as caught,
        loading(tmp_path),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_our_own_errors_and_bugs_pass(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mine"), loading(tmp_path):
        raise ConfigError("mine", fix="")
    with pytest.raises(AssertionError), loading(tmp_path):
        raise AssertionError


def test_of_a_long_error_the_first_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="short") as caught, loading(tmp_path, purpose="a captioner"):
        raise ValueError("\nshort\nall that there is")
    assert "loaded as a captioner: short" in caught.value.message
    assert "all that" not in caught.value.message


def test_sizes_are_compared_with_the_weights(tmp_path: Path) -> None:
    rows = np.zeros((7, 4), np.float32)
    names = ["model.embed_tokens.weight", "model.layers.0.a", "model.layers.1.a", "visual.layers.9.a"]
    save_file(dict.fromkeys(names, rows), tmp_path / "model.safetensors")
    said = {"hidden_size": 4, "vocab_size": 7, "num_hidden_layers": 2}
    check_sizes(tmp_path, SimpleNamespace(**said))
    # One layer less than there are is what some checkpoints are trained with.
    check_sizes(tmp_path, SimpleNamespace(**{**said, "num_hidden_layers": 1}))
    for name in said:
        with pytest.raises(ModelError, match=f"{name} 8, and the weights have {said[name]}"):
            check_sizes(tmp_path, SimpleNamespace(**{**said, name: 8}))
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    check_sizes(tmp_path, SimpleNamespace(**{**said, "hidden_size": 8}))
