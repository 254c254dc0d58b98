"""The filter language: what holds for every filter."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mmrag.core.errors import BadFilter, UnknownField
from mmrag.core.filters import And, Compare, Filter, Not, Or, parse, text_test

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = words | numbers | st.booleans()
keys = words.map("meta.".__add__)
equality = st.sampled_from(["==", "!="])
order = st.sampled_from(["<", "<=", ">", ">="])
listing = st.sampled_from(["in", "not in"])
text_ops = st.sampled_from(["contains", "startswith", "endswith", "matches"])


def _lists(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, max_size=3).map(tuple)


texts = st.sampled_from(["source", "kind", "title"])
comparisons = (
    st.builds(Compare, texts, equality | order | text_ops, words)
    | st.builds(Compare, texts, listing, _lists(words))
    | st.builds(Compare, st.sampled_from(["page", "size"]), equality | order, numbers)
    | st.builds(
        Compare, st.just("modified"), equality | order, st.integers(-(10**15), 10**15).map(lambda n: n * 1000)
    )
    | st.builds(Compare, keys, equality, scalars)
    | st.builds(Compare, keys, order, words | numbers)
    | st.builds(Compare, keys, listing, _lists(scalars))
    | st.builds(Compare, keys, text_ops, words)
)


def _joined(inner: st.SearchStrategy) -> st.SearchStrategy:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(And, parts) | st.builds(Or, parts) | st.builds(Not, inner)


filters = st.recursive(comparisons, _joined, max_leaves=12)


def _same(a: Filter, b: Filter) -> bool:
    # Dataclass equality alone holds 1, 1.0 and True for equal.
    return a == b and repr(a) == repr(b)


@given(filters)
def test_str_round_trips(condition: Filter) -> None:
    assert _same(parse(str(condition)), condition)


@given(filters, st.dictionaries(texts | keys | st.just("page"), st.none() | scalars))
def test_not_is_the_opposite(condition: Filter, values: dict) -> None:
    assert Not(condition).matches(values) is not condition.matches(values)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            ["(", ")", "not", "and", "or", "in", "[", "]", ",", "==", "page", '"a"', "3", "kind", "meta.x"]
        )
    ).map(" ".join)
)
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        condition = parse(text)
    except (BadFilter, UnknownField):
        return
    assert _same(parse(str(condition)), condition)


@given(
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=5).map("/".join),
    st.lists(st.sampled_from(["a", "*", "**", "?", "a*"]), min_size=1, max_size=5),
)
def test_path_globs_agree_with_a_regular_expression(path: str, steps: list[str]) -> None:
    plain = {"*": "[^/]*", "?": "[^/]", "a": "a", "a*": "a[^/]*", "**": "[^/]+(?:/[^/]+)*"}
    # An empty ** takes its slash with it.
    variants = _without_empty(steps)
    reached = any(re.fullmatch("/".join(plain[s] for s in v), path) for v in variants if v)
    assert text_test("source", "matches")(path, "/".join(steps)) is reached


def _without_empty(steps: list[str]) -> list[list[str]]:
    if not steps:
        return [[]]
    rest = _without_empty(steps[1:])
    kept = [[steps[0], *r] for r in rest]
    return kept + rest if steps[0] == "**" else kept
