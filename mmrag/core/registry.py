"""Components by name: built in, registered at run time, or found through entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mmrag.core.errors import ConfigError, UnknownName, did_you_mean

Factory = Callable[..., Any]


class Registry:
    """Factories of one kind of component, by name.

    Args:
        kind: What the components are; the entry point group is `mmrag.<kind>`.
        builtin: Name to "module:attribute", imported on first use.

    A factory is a frozen dataclass of options with a `build` method, or any callable: the recipe
    loader reads its parameters and their types.
    """

    def __init__(self, kind: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self._builtin = builtin
        self._registered: dict[str, Factory] = {}

    def register(self, name: str, factory: Factory) -> None:
        """Add a factory for this process.

        Raises:
            ConfigError: The name is taken.
        """
        if name in self.names():
            raise ConfigError(
                f"A {self.kind} named {name!r} is already registered.", fix="Choose another name."
            )
        self._registered[name] = factory

    def names(self) -> list[str]:
        """Return the known names, sorted."""
        found = {point.name for point in entry_points(group=f"mmrag.{self.kind}")}
        return sorted(found | self._builtin.keys() | self._registered.keys())

    def ordered(self) -> list[str]:
        """Return the known names: the built-in ones as listed, then the others sorted."""
        return [*self._builtin, *(name for name in self.names() if name not in self._builtin)]

    def get(self, name: str) -> Factory:
        """Return a factory by name; built-in names cannot be shadowed.

        Raises:
            UnknownName: No such component; the message suggests a near name.
        """
        if target := self._builtin.get(name):
            module, attribute = target.split(":")
            factory: Factory = getattr(import_module(module), attribute)
            return factory
        if name in self._registered:
            return self._registered[name]
        for point in entry_points(group=f"mmrag.{self.kind}"):
            if point.name == name:
                loaded: Factory = point.load()
                return loaded
        raise UnknownName(f"There is no {self.kind} named {name!r}.", fix=did_you_mean(name, self.names()))
