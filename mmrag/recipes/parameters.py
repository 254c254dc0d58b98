"""Check a component's parameters against its options class, and build the options."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from mmrag.core.errors import ConfigError, did_you_mean
from mmrag.core.registry import Factory
from mmrag.recipes.document import KeyPath

Complain = Callable[[KeyPath, str, str], None]

_EXPECTED = re.compile(r"Expected `(.+?)`")
_PLACE = re.compile(r" - at `\$(.*?)`$")
_STEP = re.compile(r"\.{3}|[^.\[\]]+")
_ENUM = re.compile(r"Invalid enum value")


@dataclass(frozen=True, slots=True)
class Call:
    """A plain function as a component: `build` calls it with the recipe's parameters."""

    factory: Factory
    parameters: Mapping[str, Any]

    def build(self, *needs: Any) -> Any:
        """Call the function with what the pipeline hands it, then the parameters."""
        return self.factory(*needs, **self.parameters)

    def __call__(self, *needs: Any) -> Any:
        """Call the function: a fusion is used as it is."""
        return self.build(*needs)


def build_options(factory: Factory, given: Mapping[str, Any], path: KeyPath, complain: Complain) -> Any:
    """Return a component's options made of `given`, or None after complaining of all that is wrong.

    Args:
        factory: A dataclass of options, or a function whose keyword-only arguments are parameters.
        given: The recipe's parameters.
        path: Where they stand in the recipe.
        complain: Takes the path, message and fix of each problem.
    """
    known, required, make = _signature(factory)
    good = True
    values = {}
    for name, value in given.items():
        if name not in known:
            complain((*path, name), f"There is no parameter {name!r}.", did_you_mean(name, known))
            good = False
            continue
        done, values[name] = convert(value, known[name], (*path, name), complain)
        good &= done
    for name in sorted(required - given.keys()):
        complain((*path, name), f"The parameter {name!r} is missing.", f"Add the line: {name}: ...")
        good = False
    if not good:
        return None
    try:
        return make(**values)
    except ConfigError as error:
        place = (*path, error.where) if error.where in known else path
        complain(place, error.message, error.fix)
    except ValueError as error:
        complain(path, f"{error}", "Correct the value.")
    return None


def convert(value: Any, hint: Any, path: KeyPath, complain: Complain) -> tuple[bool, Any]:
    """Return whether `value` has the type `hint`, and the value as that type."""
    try:
        built = msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as error:
        said = str(error)
        place = _PLACE.search(said)
        inner = tuple(_STEP.findall(place[1])) if place else ()
        expected = _EXPECTED.search(said)
        if _ENUM.search(said):
            places = list(_places(value, hint, inner))
            wrong = [place for place in places if str(place[1]) not in _choices(place[2])]
            at, found, kind = (wrong or places or [(inner, value, hint)])[0]
            complain((*path, *at), f"{found!r} is not a choice.", did_you_mean(str(found), _choices(kind)))
        else:
            reason = f"Expected {_in_words(expected[1])}" if expected else _PLACE.sub("", said)
            steps = (step for step in inner if step != "...")
            complain((*path, *steps), f"{reason}, found {value!r}.", "Correct the value.")
        return False, None
    except TypeError:
        complain(path, "This parameter cannot be set in a recipe.", "Remove the line.")
        return False, None
    good = True
    for inner_path, known in _unknown_keys(value, built, path):
        name = str(inner_path[-1])
        complain(inner_path, f"There is no parameter {name!r}.", did_you_mean(name, known))
        good = False
    return good, built


def to_data(options: Any) -> dict[str, Any]:
    """Return a component's parameters, its defaults included, as plain data."""
    if isinstance(options, Call):
        return dict(options.parameters)
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(options, enc_hook=str))
    return data


def _signature(factory: Factory) -> tuple[dict[str, Any], set[str], Callable[..., Any]]:
    hints = typing.get_type_hints(factory)
    if dataclasses.is_dataclass(factory):
        fields = [field for field in dataclasses.fields(factory) if field.init]
        known = {field.name: hints[field.name] for field in fields}
        required = {
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        return known, required, factory
    arguments = inspect.signature(factory).parameters.values()
    keywords = [argument for argument in arguments if argument.kind is argument.KEYWORD_ONLY]
    known = {argument.name: hints.get(argument.name, Any) for argument in keywords}
    required = {argument.name for argument in keywords if argument.default is argument.empty}
    return known, required, partial(_call, factory)


def _call(factory: Factory, /, **parameters: Any) -> Call:
    return Call(factory, parameters)


def _unknown_keys(value: Any, built: Any, path: KeyPath) -> list[tuple[KeyPath, list[str]]]:
    """Name the keys that the conversion to nested dataclasses left out."""
    if dataclasses.is_dataclass(built) and isinstance(value, Mapping):
        known = [field.name for field in dataclasses.fields(built) if field.init]
        found: list[tuple[KeyPath, list[str]]] = [((*path, key), known) for key in value if key not in known]
        for key in known:
            if key in value:
                found += _unknown_keys(value[key], getattr(built, key), (*path, key))
        return found
    if isinstance(value, Mapping) and isinstance(built, Mapping):
        return [hit for key in value for hit in _unknown_keys(value[key], built.get(key), (*path, key))]
    if isinstance(value, list) and isinstance(built, list | tuple):
        pairs = enumerate(zip(value, built, strict=True))
        return [hit for i, (one, other) in pairs for hit in _unknown_keys(one, other, (*path, i))]
    return []


def _places(value: Any, hint: Any, steps: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Follow msgspec's path into nested options: yield where it may end, with the value and its type there.

    Of a mapping with any keys the path says `...`: it may be any of them.
    """
    if not steps:
        yield (), value, hint
        return
    step, rest = steps[0], steps[1:]
    for arm in [hint, *typing.get_args(hint)]:
        inner: list[tuple[Any, Any, Any]] = []
        if dataclasses.is_dataclass(arm) and isinstance(value, Mapping) and step in value:
            hints = typing.get_type_hints(arm)
            inner = [(step, value[step], hints[step])] if step in hints else []
        elif step == "..." and isinstance(value, Mapping) and typing.get_args(arm):
            inner = [(key, one, typing.get_args(arm)[-1]) for key, one in value.items()]
        elif isinstance(value, list) and str(step).isdigit() and typing.get_args(arm):
            inner = [(step, value[int(step)], typing.get_args(arm)[0])]
        for key, one, kind in inner:
            yield from (((key, *at), found, leaf) for at, found, leaf in _places(one, kind, rest))


def _choices(hint: Any) -> list[str]:
    found = [str(choice) for choice in typing.get_args(hint) if isinstance(choice, str | int)]
    return found or [str(choice) for inner in typing.get_args(hint) for choice in typing.get_args(inner)]


def _in_words(kinds: str) -> str:
    words = {
        "int": "a whole number",
        "float": "a number",
        "str": "text",
        "bool": "true or false",
        "array": "a list",
        "object": "a mapping",
        "null": "null",
    }
    return " or ".join(words.get(kind.strip(), kind.strip()) for kind in kinds.split("|"))
