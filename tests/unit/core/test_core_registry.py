from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError, UnknownName
from mmrag.core.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry("shape", {"path": "pathlib:PurePosixPath", "gone": "mmrag.no_such_module:X"})


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugged.py").write_text("def square(): return 4\n")
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmrag.shape]\nsquare = plugged:square\npath = plugged:square\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_builtin_is_imported_by_name(registry: Registry) -> None:
    assert registry.get("path")("a") == Path("a")


def test_nothing_is_imported_before_it_is_named(registry: Registry) -> None:
    assert registry.names() == ["gone", "path"]
    with pytest.raises(ModuleNotFoundError):
        registry.get("gone")


def test_a_factory_can_be_registered_once(registry: Registry) -> None:
    registry.register("line", list)
    assert registry.get("line") is list
    assert "line" in registry.names()
    with pytest.raises(ConfigError) as caught:
        registry.register("line", dict)
    assert "already registered" in str(caught.value)
    assert registry.get("line") is list


def test_a_builtin_cannot_be_replaced(registry: Registry) -> None:
    with pytest.raises(ConfigError):
        registry.register("path", list)


@pytest.mark.usefixtures("plugin")
def test_an_installed_package_adds_components(registry: Registry) -> None:
    assert registry.names() == ["gone", "path", "square"]
    assert registry.get("square")() == 4
    assert registry.get("path")("a") == Path("a"), "a package must not shadow a built-in"
    with pytest.raises(ConfigError):
        registry.register("square", list)


def test_another_kind_sees_other_packages(plugin: None) -> None:
    assert Registry("colour", {}).names() == []


@pytest.mark.parametrize(("name", "fix"), [("pth", "Did you mean 'path'?"), ("xyz", "Known: gone, path.")])
def test_an_unknown_name_suggests_a_near_one(registry: Registry, name: str, fix: str) -> None:
    with pytest.raises(UnknownName) as caught:
        registry.get(name)
    assert caught.value.message == f"There is no shape named {name!r}."
    assert caught.value.fix == fix


def test_registries_do_not_share_what_is_registered() -> None:
    one, other = Registry("shape", {}), Registry("shape", {})
    one.register("line", list)
    with pytest.raises(UnknownName, match="Known: none"):
        other.get("line")


def test_names_in_order_are_the_builtin_ones_as_listed_then_the_others(
    registry: Registry, plugin: None
) -> None:
    registry.register("arc", str)
    assert registry.ordered() == ["path", "gone", "arc", "square"]
