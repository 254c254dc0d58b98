"""Recipe files as plain data with the line of every key: YAML 1.2, and of it only what is data."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmrag.core.errors import RecipeError

MAX_BYTES = 65_536
MAX_DEPTH = 12

KeyPath = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a recipe: where, what, and what to do."""

    where: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} {self.fix}"


@dataclass(frozen=True, slots=True)
class Spot:
    """A line of a file; line 0 is the file as a whole."""

    file: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping read from a file, or put together from two.

    `spots` holds where each key stands; `prefix` is the path of the mapping in its file. It is not
    `whole` when what it extends is not known: keys may then be missing.
    """

    data: Mapping[str, Any]
    spots: Mapping[KeyPath, Spot]
    prefix: KeyPath = ()
    problems: tuple[Problem, ...] = ()
    whole: bool = True

    def where(self, path: KeyPath) -> str:
        """Return 'FILE:LINE key.path'; a missing key gets the line of what should hold it."""
        near = path
        while near not in self.spots and near:
            near = near[:-1]
        spot = self.spots.get(near, Spot("recipe"))
        line = f":{spot.line}" if spot.line else ""
        dotted = ".".join(str(key) for key in (*self.prefix, *path))
        return f"{spot.file}{line} {dotted}".rstrip()

    def below(self, key: str) -> Document:
        """Return the mapping under `key` as a document of its own."""
        spots = {path[1:]: spot for path, spot in self.spots.items() if path[:1] == (key,)}
        return Document(self.data[key], spots, (*self.prefix, key))


def parse(text: str, file: str) -> Document:
    """Read YAML text into plain data.

    Duplicate keys, anchors, tags and keys that are not text are collected as problems: a recipe is
    data, and the same data must not have two spellings that look alike.

    Raises:
        RecipeError: It is not YAML, too large or too deep, or not one mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RecipeError(
            f"The recipe has more than {MAX_BYTES} bytes.",
            fix="A recipe names components; it holds no data.",
            where=file,
        )
    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RecipeError(
            f"This is not YAML: {error.problem or error.context}.",
            fix="Correct the line, or start from: mmrag recipe show default",
            where=f"{file}:{line}",
        ) from error
    except YAMLError as error:
        raise RecipeError(
            f"This is not YAML: {' '.join(str(error).split())}.", fix="Save it as UTF-8 text.", where=file
        ) from error
    if not isinstance(builder.root, dict):
        raise RecipeError(
            "A recipe is a mapping of keys to values.", fix="Begin with the line: recipe: 1", where=file
        )
    return Document(builder.root, builder.spots, problems=tuple(builder.problems))


def write(data: Mapping[str, Any]) -> str:
    """Return plain data as YAML text that `parse` reads back."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    buffer = io.StringIO()
    yaml.dump(data, buffer)
    return buffer.getvalue()


class _Builder:
    """Builds data from parser events, without recursion: depth is bounded, aliases never expand."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Any = None
        self.spots: dict[KeyPath, Spot] = {(): Spot(file)}
        self.problems: list[Problem] = []
        self._open: list[_Level] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise RecipeError(
                    "The file holds more than one document.",
                    fix="Remove what follows the line '---'.",
                    where=f"{self.file}:{line}",
                )
        elif kind == "AliasEvent":
            self._complain(line, f"The alias *{event.anchor} is not allowed.", "Write the value out.")
            self._put(None, line)
        elif kind == "ScalarEvent":
            self._refuse_extras(event, line)
            plain = event.implicit[0] and event.style in (None, "")
            self._put(self._scalar(event.value, line) if plain else event.value, line)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._refuse_extras(event, line)
            self._enter({} if kind == "MappingStartEvent" else [], line)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._open.pop()

    def _enter(self, container: dict[str, Any] | list[Any], line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise RecipeError(
                f"The recipe is nested deeper than {MAX_DEPTH} levels.",
                fix="Recipes are flat; flatten it.",
                where=f"{self.file}:{line}",
            )
        path = self._put(container, line)
        self._open.append(_Level(container, path))

    def _put(self, value: Any, line: int) -> KeyPath:
        if not self._open:
            self.root = value
            return ()
        level = self._open[-1]
        if isinstance(level.container, list):
            path = (*level.path, len(level.container))
            level.container.append(value)
            self.spots[path] = Spot(self.file, line)
            return path
        if not level.has_key:
            level.key, level.has_key = self._key(level, value, line), True
            self.spots.setdefault((*level.path, level.key), Spot(self.file, line))
            return (*level.path, level.key)
        level.has_key = False
        level.container.setdefault(level.key, value)
        return (*level.path, level.key)

    def _key(self, level: _Level, value: Any, line: int) -> str:
        if not isinstance(value, str):
            self._complain(line, f"The key {value!r} is not text.", "Put it in quotes.")
            return repr(value)
        if value in level.container:
            first = self.spots[(*level.path, value)].line
            self._complain(line, f"The key {value!r} is already on line {first}.", "Remove one of the two.")
        return value

    def _scalar(self, text: str, line: int) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text) and len(text) < 300:
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
        elif text.lower().lstrip("+-") not in (".inf", ".nan"):
            return text
        self._complain(line, f"{text[:40]} is not a finite number.", "Give a number.")
        return 0.0

    def _refuse_extras(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            self._complain(line, f"The anchor &{event.anchor} is not allowed.", "Write the value out.")
        if event.tag is not None:
            self._complain(line, f"The tag {event.tag} is not allowed.", "Remove the tag.")

    def _complain(self, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(f"{self.file}:{line}", message, fix))


@dataclass(slots=True)
class _Level:
    """An open mapping or list, and the key that waits for its value."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str = ""
    has_key: bool = False
