"""Filters as SQL over the catalog, with the meaning of `Filter.matches`."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mmrag.core.errors import BadFilter, UnknownField, did_you_mean
from mmrag.core.filters import FIELDS, META, And, Compare, Filter, Not, Or, text_test
from mmrag.core.types import Scalar

_SOURCE_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("source", "name", "folder", "kind", "media_type"), "text"),
        **dict.fromkeys(("size", "modified"), "number"),
    }
)
_METADATA = ("heading", "title", "language")
"""Fields that are metadata of the item, if they are text."""

_FUNCTIONS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("", "contains"): "text_contains",
        ("", "startswith"): "text_startswith",
        ("", "endswith"): "text_endswith",
        ("", "matches"): "text_matches",
        ("source", "matches"): "path_matches",
    }
)
_MAX_VALUES = 30_000
"""SQLite takes 32,766 values in one statement."""


def add_text_functions(db: sqlite3.Connection) -> None:
    """Give a connection the text operators of filters."""
    for (field, op), name in _FUNCTIONS.items():
        db.create_function(name, 2, text_test(field, op), deterministic=True)


def filter_sql(where: Filter) -> tuple[str, list[object]]:
    """Return a condition on the rows of `items` and its values.

    No part of it is ever NULL, so that NOT is the plain opposite.

    Raises:
        BadFilter: It has too many values.
        UnknownField: It names a field that does not exist.
    """
    values: list[object] = []
    sql = _condition(where, values)
    if len(values) > _MAX_VALUES:
        raise BadFilter(
            f"The filter holds {len(values)} values, at most {_MAX_VALUES} fit.", fix="Use shorter lists."
        )
    return sql, values


def _condition(where: Filter, values: list[object]) -> str:
    if isinstance(where, And | Or):
        word = " AND " if isinstance(where, And) else " OR "
        return f"({word.join(_condition(part, values) for part in where.parts)})"
    if isinstance(where, Not):
        return f"NOT {_condition(where.part, values)}"
    if isinstance(where, Compare):
        return _comparison(where, values)
    raise BadFilter(
        f"{type(where).__name__} is no condition that SQL knows.", fix="Use And, Or, Not, Compare."
    )


def _comparison(where: Compare, values: list[object]) -> str:
    field = where.field
    if field in _SOURCE_COLUMNS:
        # Sources are few: the condition is met on them once, not on each of their items.
        column = "id" if field == "source" else field
        test = _typed(column, _SOURCE_COLUMNS[field], where, values)
        return f"source IN (SELECT number FROM sources WHERE {test})"
    if field == "modality":
        return _typed("modality", "text", where, values)
    if field == "page":
        return f"(page IS NOT NULL AND {_typed('page', 'number', where, values)})"
    if field in _METADATA:
        values.append(field)
        test = f"typeof(value) = 'text' AND {_typed('value', 'text', where, values)}"
    elif field.startswith(META):
        values.append(field[len(META) :])
        test = _untyped(where, values)
    else:
        raise UnknownField(
            f"There is no field {field!r}.", fix=did_you_mean(field, [*FIELDS, META + "<key>"])
        )
    return f"row IN (SELECT row FROM metadata WHERE key = ? AND {test})"


def _typed(column: str, kind: str, where: Compare, values: list[object]) -> str:
    """Compare a column whose values all have one type; the caller sees to NULL."""
    wanted = [v for v in _wanted(where) if _type(v) == kind]
    if where.op in ("==", "in", "!=", "not in"):
        return _equality(column, where, wanted, values)
    if not wanted:
        return "0"
    return _order_or_text(column, where, wanted[0], values)


def _untyped(where: Compare, values: list[object]) -> str:
    """Compare `metadata.value`: SQLite never takes values of different types for equal."""
    wanted = _wanted(where)
    if where.op in ("==", "in", "!=", "not in"):
        return _equality("value", where, wanted, values)
    types = {"text": "'text'", "number": "'integer', 'real'", "boolean": "'blob'"}[_type(wanted[0])]
    return f"typeof(value) IN ({types}) AND {_order_or_text('value', where, wanted[0], values)}"


def _equality(column: str, where: Compare, wanted: Sequence[Scalar], values: list[object]) -> str:
    # Nothing equals NaN, which SQLite would take for NULL.
    known = [v for v in wanted if v == v]
    values.extend(_bound(v) for v in known)
    word = "IN" if where.op in ("==", "in") else "NOT IN"
    return f"{column} {word} ({', '.join('?' * len(known))})"


def _order_or_text(column: str, where: Compare, wanted: Scalar, values: list[object]) -> str:
    if where.op in ("<", "<=", ">", ">="):
        if wanted != wanted:
            return "0"
        values.append(_bound(wanted))
        return f"{column} {where.op} ?"
    if not isinstance(wanted, str):
        raise BadFilter(f"{where.op!r} takes text, not {wanted!r}.", fix=f'Write "{wanted}".')
    paths = where.op == "matches" and where.field in ("source", "folder")
    function = _FUNCTIONS["source" if paths else "", where.op]
    if column != "value":
        values.append(wanted)
        return f"{function}({column}, ?)"
    # These operators run in Python, so once a distinct value: titles and headings repeat. LIMIT
    # keeps SQLite from running them before DISTINCT (100,000 rows, 2,000 titles: 40 ms, not 120).
    values += [where.field.removeprefix(META), wanted]
    return (
        "value IN (SELECT value FROM (SELECT DISTINCT value FROM metadata WHERE key = ? LIMIT -1)"
        f" WHERE typeof(value) = 'text' AND {function}(value, ?))"
    )


def _wanted(where: Compare) -> tuple[Scalar, ...]:
    return where.value if isinstance(where.value, tuple) else (where.value,)


def _type(value: Scalar) -> str:
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _bound(value: Scalar) -> object:
    """Return what SQLite compares as Python compares `value`."""
    if isinstance(value, bool):
        return stored_boolean(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # Beyond every number that a column holds: its sign is all that counts.
        return math.copysign(math.inf, 1 if value > 0 else -1)
    return value


def stored_boolean(value: bool) -> bytes:
    """Return a truth value as the catalog keeps it: SQLite has no type for it, and 1 is a number."""
    return b"\x01" if value else b"\x00"
