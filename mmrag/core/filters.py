"""The filter language: which items a search may find, in words that people and programs write.

    kind == "pdf" and page <= 3            language in ["en", "de"]
    not source startswith "drafts/"        source matches "manuals/**/*.pdf"
    title contains "relay"                 modified >= "2025-01-31"
    meta.author == "Ann"                   meta."odd key" != true

`contains` ignores case, every other comparison minds it; `mmrag.core.conditions` has the exact
meaning. A date is ISO 8601, UTC unless it says otherwise; a bare date stands for its whole day.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mmrag.core.conditions import (
    EPOCH,
    FIELDS,
    META,
    ORDER_OPS,
    PLAIN_KEY,
    TEXT_OPS,
    And,
    Compare,
    Filter,
    Not,
    Op,
    Or,
    Value,
    field_values,
    text_test,
    value_type,
)
from mmrag.core.errors import BadFilter, UnknownField, did_you_mean
from mmrag.core.types import Scalar

__all__ = [
    "FIELDS",
    "META",
    "And",
    "Compare",
    "Filter",
    "Not",
    "Op",
    "Or",
    "Value",
    "field_values",
    "parse",
    "text_test",
]

MAX_DEPTH, MAX_COMPARISONS, MAX_LIST = 50, 400, 1000
"""Bounds that keep every filter within Python's recursion and SQLite's expression depth (1,000)."""


def parse(text: str) -> Filter:
    """Parse a filter.

    Raises:
        BadFilter: The text is no filter, or compares values of different types.
        UnknownField: It names a field that does not exist.
    """
    if not isinstance(text, str):
        raise BadFilter(f"A filter is no {type(text).__name__}.", fix="Write it as text.", where="filter")
    if not text.strip():
        raise BadFilter("The filter is empty.", fix='Write a test: kind == "pdf".', where="filter")
    parser = _Parser(text, _tokens(text))
    result = parser.either(0)
    if parser.token.kind != "end":
        raise parser.bad(f"Expected 'and' or 'or', found {parser.token.text!r}", "Join tests: a and b.")
    return result


_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?!\w))"
    rf"|(?P<word>{PLAIN_KEY})"
    r"|(?P<sign>[=!<>]=|[<>()\[\],])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SLIPS = {"=": "==", "&": "and", "|": "or", "!": "not"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    def word(self) -> str:
        return self.text.lower() if self.kind == "word" else self.text if self.kind == "sign" else ""


def _bad(text: str, at: int, what: str, fix: str) -> BadFilter:
    start = max(0, at - 40)
    line = re.sub(r"\s", " ", text[start : at + 40])
    where = f"filter, character {at + 1}"
    return BadFilter(f"{what}.\n    {line}\n    {' ' * (at - start)}^", fix=fix, where=where)


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in "\"'":
                raise _bad(text, at, "A quote is never closed", f"End the text with {text[at]}.")
            meant = _SLIPS.get(text[at])
            fix = f"Write {meant!r}." if meant else "Put text in double quotes."
            raise _bad(text, at, f"Unexpected {text[at]!r}", fix)
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(_Token(kind, match.group(), at))
        at = match.end()
    return [*found, _Token("end", "the end", len(text))]


class _Parser:
    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text, self._tokens, self._next, self._comparisons = text, tokens, 0, 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._next]

    def bad(self, what: str, fix: str, token: _Token | None = None) -> BadFilter:
        return _bad(self._text, (token or self.token).at, what, fix)

    def take(self) -> _Token:
        token = self.token
        self._next += token.kind != "end"
        return token

    def took(self, word: str) -> bool:
        if self.token.word() != word:
            return False
        self.take()
        return True

    def either(self, depth: int) -> Filter:
        parts = [self.all(depth)]
        while self.took("or"):
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all(self, depth: int) -> Filter:
        parts = [self.one(depth)]
        while self.took("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise self.bad(f"More than {MAX_DEPTH} levels of nesting", "Write a flatter filter.")
        if self.took("not"):
            return Not(self.one(depth + 1))
        if self.took("("):
            inner = self.either(depth + 1)
            if not self.took(")"):
                raise self.bad(f"Expected ')', found {self.token.text!r}", "Close the parenthesis.")
            return inner
        return self.comparison()

    def comparison(self) -> Filter:
        at, name = self.token, self.field()
        op = self.operator(name)
        if op in ("in", "not in"):
            values = self.listed(name)
            self.count(max(1, len(values)) if FIELDS.get(name) == "date" else 1, at)
            if FIELDS.get(name) == "date":
                parts = tuple(_dated(name, "==" if op == "in" else "!=", v) for v in values)
                joined: Filter = parts[0] if len(parts) == 1 else (Or if op == "in" else And)(parts)
                return joined if parts else Compare(name, op, ())
            return Compare(name, op, values)
        token = self.token
        value = self.value(name)
        self.count(1, at)
        if FIELDS.get(name) == "date":
            return _dated(name, op, value)
        if op in TEXT_OPS and not isinstance(value, str):
            raise self.bad(f"{op!r} takes text, not {token.text}", f'Write "{token.text}".', token)
        if op in ORDER_OPS and isinstance(value, bool):
            raise self.bad(f"{op!r} cannot order true and false", "Use == or !=.", token)
        return Compare(name, op, value)

    def count(self, comparisons: int, at: _Token) -> None:
        self._comparisons += comparisons
        if self._comparisons > MAX_COMPARISONS:
            raise self.bad(f"More than {MAX_COMPARISONS} comparisons", 'Use "in" with a list.', at)

    def field(self) -> str:
        token = self.take()
        if token.kind != "word":
            raise self.bad(f"Expected a field, found {token.text!r}", 'Write: kind == "pdf".', token)
        name = token.text
        if name == META and self.token.kind == "text":
            key = _unquote(self.take().text)
            if _broken(key):
                raise self.bad("The key holds half a character", "Leave out the lone surrogate.", token)
            return META + key
        if name not in FIELDS and not (name.startswith(META) and len(name) > len(META)):
            known = [*FIELDS, META + "<key>"]
            raise UnknownField(
                f"There is no field {name!r}.",
                fix=did_you_mean(name, known),
                where=f"filter, character {token.at + 1}",
            )
        return name

    def operator(self, name: str) -> Op:
        token = self.take()
        word = token.word()
        if word == "not" and self.took("in"):
            word = "not in"
        kind = FIELDS.get(name)
        known: list[Op] = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
        if kind in (None, "text"):
            known += ["contains", "startswith", "endswith", "matches"]
        for op in known:
            if op == word:
                return op
        what = f"Expected an operator, found {token.text!r}"
        if word in TEXT_OPS:
            what = f"{name} is a {kind}, which {word!r} does not fit"
        raise self.bad(what, f"Use one of: {', '.join(known)}.", token)

    def listed(self, name: str) -> tuple[Scalar, ...]:
        if not self.took("["):
            raise self.bad(f"Expected a list, found {self.token.text!r}", 'Write: in ["a", "b"].')
        values: list[Scalar] = []
        while not self.took("]"):
            if values and not self.took(","):
                raise self.bad(f"Expected ',' or ']', found {self.token.text!r}", "Close the list.")
            values.append(self.value(name))
            if len(values) > MAX_LIST:
                raise self.bad(f"More than {MAX_LIST} values in a list", "Use a shorter list.")
        return tuple(values)

    def value(self, name: str) -> Scalar:
        token = self.take()
        wanted = FIELDS.get(name)
        value = _literal(token)
        if value is None:
            quoted = f'Put text in quotes: "{token.text}".' if token.kind == "word" else ""
            fix = quoted or 'Write a number or "text".'
            raise self.bad(f"Expected a value, found {token.text!r}", fix, token)
        if not isinstance(value, str) and not _fits(value):
            raise self.bad("The number is too large", "Use a number below 2**63.", token)
        if isinstance(value, str) and _broken(value):
            raise self.bad("The text holds half a character", "Leave out the lone surrogate.", token)
        kind = value_type(value)
        if wanted == "date":
            if not isinstance(value, str) or _moment(value) is None:
                raise self.bad(f"{token.text} is not a date", f'Write: {name} >= "2025-01-31".', token)
        elif wanted is not None and kind != wanted:
            fix = f'Write "{token.text}".' if wanted == "text" else f"Write a bare number: {name} == 3."
            raise self.bad(f"{name} is a {wanted}, {token.text} is a {kind}", fix, token)
        return value


def _fits(value: float) -> bool:
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)


def _broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _literal(token: _Token) -> Scalar | None:
    if token.kind == "text":
        return _unquote(token.text)
    if token.kind == "number":
        whole = re.fullmatch(r"-?[0-9]+", token.text)
        if whole and len(token.text) > 20:
            return math.inf
        return int(token.text) if whole else float(token.text)
    return {"true": True, "false": False}.get(token.word())


def _unquote(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    # Two escaped halves make one character; a half alone is left for `parse` to refuse.
    joined = _ESCAPE.sub(plain, text[1:-1])
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # Nanoseconds of the years outside do not fit 64 bits.
    return moment if 1678 <= moment.year <= 2261 else None


def _dated(name: str, op: Op, value: Scalar) -> Filter:
    text = str(value)
    moment = _moment(text)
    assert moment is not None
    start = (moment - EPOCH) // timedelta(microseconds=1) * 1000
    if len(text) > 10:
        return Compare(name, op, start)
    end = start + 86_400_000_000_000
    if op == "==":
        return And((Compare(name, ">=", start), Compare(name, "<", end)))
    if op == "!=":
        return Or((Compare(name, "<", start), Compare(name, ">=", end)))
    bounds: dict[Op, Filter] = {
        "<": Compare(name, "<", start),
        ">=": Compare(name, ">=", start),
        "<=": Compare(name, "<", end),
        ">": Compare(name, ">=", end),
    }
    return bounds[op]
