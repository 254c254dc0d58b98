import sys
from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError, MissingExtra
from mmrag.core.lazy import require


def test_an_installed_module_is_returned() -> None:
    assert require("json", extra="x", feature="Reading") is sys.modules["json"]
    assert require("os.path", extra="x", feature="Reading").join("a", "b") == "a/b"


@pytest.mark.parametrize("module", ["mmrag_has_no_such_module", "mmrag_has_no_such_module.part"])
def test_a_missing_module_names_its_extra(module: str) -> None:
    with pytest.raises(MissingExtra) as caught:
        require(module, extra="cpu", feature="The faiss index")
    assert "The faiss index needs the package 'mmrag_has_no_such_module'" in caught.value.message
    assert caught.value.fix == "Run: pip install 'mmrag[cpu]'"


def test_a_missing_extra_is_an_import_error_and_a_config_error() -> None:
    assert issubclass(MissingExtra, ImportError)
    assert issubclass(MissingExtra, ConfigError)


def test_a_module_that_is_broken_inside_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import mmrag_has_no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError) as caught:
        require("broken_inside", extra="x", feature="Reading")
    assert not isinstance(caught.value, MissingExtra)
    assert caught.value.name == "mmrag_has_no_such_module"
