"""A column as numbers into the sorted list of its values: a comparison looks at each value once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mmrag.core.conditions import ORDER_OPS, TEXT_OPS, Compare, text_test, value_type
from mmrag.core.types import Scalar

Mask = NDArray[np.bool_]
Codes = NDArray[np.unsignedinteger[Any]]

_RANK = {"number": 0, "text": 1, "boolean": 2}
"""Values of different types never meet in a comparison, and stand in this order."""

_KEPT = 32
"""So many results of text operators are kept: those that searches come with again and again."""


class Values:
    """The distinct values of a column, sorted by type and value.

    Args:
        read: Gives them when they are first needed.
    """

    def __init__(self, read: Callable[[], Sequence[Scalar]]) -> None:
        self._read = read
        self._passing: dict[tuple[str, str, str], Mask] = {}

    @cached_property
    def all(self) -> Sequence[Scalar]:
        """The values: code c stands for `all[c - 1]`, code 0 for none."""
        return self._read()

    def packed(self) -> bytes:
        """Return them as bytes, for `unpacked`."""
        return msgspec.msgpack.encode(self.all)

    def matching(self, where: Compare, *, only_text: bool = False) -> Mask:
        """Return for each code whether its value meets a comparison, as `Compare.matches` has it.

        Args:
            where: The comparison, of whatever field.
            only_text: Take values that are no text for missing ones.

        Shapes:
            (len(all) + 1,); code 0 meets nothing.
        """
        found = np.zeros(len(self.all) + 1, bool)
        wanted = where.value if isinstance(where.value, tuple) else (where.value,)
        if only_text:
            wanted = tuple(value for value in wanted if isinstance(value, str))
        if where.op in ("==", "in", "!=", "not in"):
            for value in wanted:
                start, end = self._range(value)
                at = bisect_left(self.all, value, start, end)
                if at < end and self.all[at] == value:
                    found[at + 1] = True
            if where.op in ("!=", "not in"):
                start, end = self._range("") if only_text else (0, len(self.all))
                found[start + 1 : end + 1] ^= True
            return found
        if not wanted or wanted[0] != wanted[0]:
            return found
        start, end = self._range(wanted[0])
        if where.op in ORDER_OPS:
            start, end = self._ordered(where.op, wanted[0], start, end)
            found[start + 1 : end + 1] = True
        elif where.op in TEXT_OPS and isinstance(wanted[0], str):
            found[start + 1 : end + 1] = self._tested(where.field, where.op, wanted[0])
        return found

    def _tested(self, field: str, op: str, wanted: str) -> Mask:
        """Return which texts pass a text operator, kept: Python runs it on each, 1 to 10 us."""
        passing = self._passing.get((field, op, wanted))
        if passing is None:
            start, end = self._range(wanted)
            test = text_test(field, op)
            passing = np.array([test(str(value), wanted) for value in self.all[start:end]], bool)
            if len(self._passing) >= _KEPT:
                self._passing.clear()
            self._passing[field, op, wanted] = passing
        return passing

    def _range(self, like: Scalar) -> tuple[int, int]:
        """Return where the values of one type stand."""
        rank = _rank(like)
        start = bisect_left(self.all, rank, key=_rank)
        return start, bisect_right(self.all, rank, lo=start, key=_rank)

    def _ordered(self, op: str, value: Scalar, start: int, end: int) -> tuple[int, int]:
        after = op in ("<=", ">")
        at = (bisect_right if after else bisect_left)(self.all, value, start, end)
        return (start, at) if op in ("<", "<=") else (at, end)


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column: the code of each row's value, 0 where it has none, and the values."""

    codes: Codes
    values: Values

    @classmethod
    def of(cls, count: int, places: NDArray[np.int64], values: Iterable[Scalar]) -> Coded:
        """Code the values that stand at some of `count` places."""
        keyed = [(_rank(value), value) for value in values]
        known = sorted(set(keyed))
        code = {key: number for number, key in enumerate(known, 1)}
        codes = np.zeros(count, fitting(len(known)))
        codes[places] = [code[key] for key in keyed]
        return cls(codes, given([value for _, value in known]))

    def mask(self, where: Compare, *, only_text: bool = False) -> Mask:
        """Return which rows meet a comparison."""
        return mapped(self.values.matching(where, only_text=only_text), self.codes)


def given(values: Sequence[Scalar]) -> Values:
    """Wrap values that are sorted."""
    return Values(lambda: values)


def unpacked(data: bytes) -> list[Scalar]:
    """Return the values that `Values.packed` gave.

    Raises:
        msgspec.DecodeError: They are something else.
    """
    return msgspec.msgpack.decode(data, type=list[int | float | str | bool])


def joined(parts: Sequence[Coded]) -> Coded:
    """Put columns one after the other; values that no row has any more are dropped."""
    used = []
    for part in parts:
        held = np.bincount(part.codes, minlength=len(part.values.all) + 1)[1:] > 0
        used.append([(_rank(v), v) if here else None for v, here in zip(part.values.all, held, strict=True)])
    known = sorted({key for keys in used for key in keys if key is not None})
    code = {key: number for number, key in enumerate(known, 1)}
    width = fitting(len(known))
    codes = [
        np.array([0, *(code[key] if key is not None else 0 for key in keys)], width)[part.codes]
        for part, keys in zip(parts, used, strict=True)
    ]
    return Coded(np.concatenate(codes), given([value for _, value in known]))


def mapped(found: Mask, codes: Codes) -> Mask:
    """Return `found[codes]`."""
    hits = np.flatnonzero(found)
    if not len(hits):
        return np.zeros(len(codes), bool)
    first, last = int(hits[0]), int(hits[-1])
    if last - first == len(hits) - 1:
        # Codes side by side, as ranges and single values have them: 0.1 ms a million, a look-up 1 to 2.
        return np.equal(codes, first) if first == last else (codes >= first) & (codes <= last)
    return found.take(codes)


def fitting(largest: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type that holds a number."""
    return np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32


def _rank(value: Scalar) -> int:
    return _RANK[value_type(value)]
