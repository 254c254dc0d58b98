"""Conditions on items: the meaning of the filter language, which every engine must reproduce.

- A comparison with a missing value is false, also `!=` and `not in`; `not (...)` flips it.
- `==` between different types is false; `!=` is its opposite wherever there is a value. Order
  and text operators between different types are false.
- `==`, `<`, `startswith`, `endswith` and `matches` mind the case and compare by code point;
  `contains` ignores case.
- In `source` and `folder`, `*` and `?` stay within one folder and `**` crosses folders; in other
  fields `*` matches anything.
- `modified` is nanoseconds since 1970 in UTC: whole numbers, which Python and SQL compare alike.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from operator import ge, gt, le, lt
from types import MappingProxyType
from typing import Any, Literal

from mmrag.core.types import Item, Page, Scalar, Source

FieldType = Literal["text", "number", "date"]
Op = Literal[
    "==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "startswith", "endswith", "matches"
]
Value = Scalar | tuple[Scalar, ...]

FIELDS: Mapping[str, FieldType] = MappingProxyType(
    {
        "source": "text",
        "name": "text",
        "folder": "text",
        "kind": "text",
        "media_type": "text",
        "modality": "text",
        "heading": "text",
        "title": "text",
        "language": "text",
        "page": "number",
        "size": "number",
        "modified": "date",
    }
)
META = "meta."
"""Prefix of fields that are an item's own metadata: untyped."""
ORDER_OPS: tuple[Op, ...] = ("<", "<=", ">", ">=")
TEXT_OPS: tuple[Op, ...] = ("contains", "startswith", "endswith", "matches")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType({"<": lt, "<=": le, ">": gt, ">=": ge})
PLAIN_KEY = r"[^\W\d][\w.-]*"
"""Metadata keys that need no quotes."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Filter(ABC):
    """A condition on an item's values; `str` of it parses to an equal filter."""

    __slots__ = ()

    @abstractmethod
    def matches(self, values: Mapping[str, Scalar | None]) -> bool:
        """Tell whether the values of `field_values` meet the condition."""


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All of two or more conditions."""

    parts: tuple[Filter, ...]

    def matches(self, values: Mapping[str, Scalar | None]) -> bool:
        """Tell whether every part matches."""
        return all(part.matches(values) for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(f"({p})" if isinstance(p, And | Or) else str(p) for p in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """Any of two or more conditions."""

    parts: tuple[Filter, ...]

    def matches(self, values: Mapping[str, Scalar | None]) -> bool:
        """Tell whether at least one part matches."""
        return any(part.matches(values) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(f"({p})" if isinstance(p, Or) else str(p) for p in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The opposite of a condition."""

    part: Filter

    def matches(self, values: Mapping[str, Scalar | None]) -> bool:
        """Tell whether the part does not match."""
        return not self.part.matches(values)

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, And | Or) else f"not {self.part}"


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """One field against one value (a tuple for `in` and `not in`).

    Units:
        A value of `modified` is nanoseconds since 1970 in UTC.
    """

    field: str
    op: Op
    value: Value

    def matches(self, values: Mapping[str, Scalar | None]) -> bool:
        """Tell whether the field's value is there and compares as asked."""
        left = values.get(self.field)
        if left is None:
            return False
        wanted = self.value if isinstance(self.value, tuple) else (self.value,)
        if self.op in ("==", "!=", "in", "not in"):
            equal = any(value_type(left) == value_type(right) and left == right for right in wanted)
            return equal == (self.op in ("==", "in"))
        right = wanted[0]
        if value_type(left) != value_type(right):
            return False
        if self.op in TEXT_OPS:
            same = isinstance(left, str) and isinstance(right, str)
            return same and text_test(self.field, self.op)(str(left), str(right))
        return _ORDER[self.op](left, right)

    def __str__(self) -> str:
        name = self.field
        if name.startswith(META) and not re.fullmatch(PLAIN_KEY, name[len(META) :]):
            name = META + json.dumps(name[len(META) :], ensure_ascii=False)
        if isinstance(self.value, tuple):
            return f"{name} {self.op} [{', '.join(_spell(self.field, v) for v in self.value)}]"
        return f"{name} {self.op} {_spell(self.field, self.value)}"


def field_values(item: Item, source: Source, modified: int) -> dict[str, Scalar | None]:
    """Return the values of an item that filters see; `modified` is its source's mtime in ns."""
    meta = item.metadata
    values: dict[str, Scalar | None] = {
        "source": source.id,
        "name": source.name,
        "folder": source.id.rpartition("/")[0],
        "kind": source.kind,
        "media_type": source.media_type,
        "modality": item.modality,
        "page": item.locator.number if isinstance(item.locator, Page) else None,
        "size": source.size,
        "modified": modified,
    }
    for name in ("heading", "title", "language"):
        value = meta.get(name)
        values[name] = value if isinstance(value, str) else None
    return values | {META + key: value for key, value in meta.items()}


def text_test(field: str, op: str) -> Callable[[str, str], bool]:
    """Return the function (value, wanted) -> bool of a text operator, for engines to call."""
    if op == "matches":
        return _matches_path if field in ("source", "folder") else fnmatchcase
    tests: dict[str, Callable[[str, str], bool]] = {
        "contains": _contains,
        "startswith": str.startswith,
        "endswith": str.endswith,
    }
    return tests[op]


def value_type(value: object) -> Literal["boolean", "text", "number"]:
    """Return the type of a scalar as filters see it."""
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _contains(value: str, wanted: str) -> bool:
    return _fold(wanted) in _fold(value)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _matches_path(value: str, pattern: str) -> bool:
    # The set of pattern positions reachable after each folder: linear, however many stars.
    steps = pattern.split("/")

    def skip(at: set[int]) -> set[int]:
        for i, step in enumerate(steps):
            if i in at and step == "**":
                at.add(i + 1)
        return at

    reached = skip({0})
    for name in value.split("/"):
        passed = {i if steps[i] == "**" else i + 1 for i in reached if _step(name, steps, i)}
        reached = skip(passed)
    return len(steps) in reached


def _step(name: str, steps: list[str], i: int) -> bool:
    return i < len(steps) and (steps[i] == "**" or fnmatchcase(name, steps[i]))


def _spell(field: str, value: Scalar) -> str:
    if field == "modified" and isinstance(value, int):
        moment = EPOCH + timedelta(microseconds=value // 1000)
        return f'"{moment.isoformat()}"'
    return json.dumps(value, ensure_ascii=False)
