from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from mmrag.core.errors import ConfigError
from mmrag.recipes.parameters import Call, build_options, to_data


@dataclass(frozen=True, slots=True)
class Nested:
    size: int = 1


@dataclass(frozen=True, slots=True)
class Options:
    name: str
    count: int = 4
    share: float = 0.5
    wanted: bool = True
    kind: Literal["flat", "ivf"] = "flat"
    weights: Mapping[str, float] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    nested: Nested = Nested()
    maybe: int | None = None

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"count is {self.count}.", fix="Give 0 or more.", where="count")
        if self.share > 1:
            raise ValueError("share is above 1")


@dataclass(frozen=True, slots=True)
class Hooked:
    call: Callable[[], int] | None = None


def build(
    given: Mapping[str, object], factory: Callable[..., object] = Options
) -> tuple[object, list[tuple[str, str, str]]]:
    said: list[tuple[str, str, str]] = []
    options = build_options(
        factory, given, ("x",), lambda path, what, fix: said.append((".".join(map(str, path)), what, fix))
    )
    return options, said


def test_parameters_become_options_of_their_types() -> None:
    given = {
        "name": "a",
        "share": 1,
        "kind": "ivf",
        "weights": {"dense": 1},
        "words": ["b"],
        "nested": {"size": 3},
    }
    options, said = build(given)
    assert said == []
    assert options == Options(
        "a", share=1.0, kind="ivf", weights={"dense": 1.0}, words=("b",), nested=Nested(3)
    )
    assert isinstance(options, Options)
    assert isinstance(options.share, float)


def test_data_is_written_out_with_defaults() -> None:
    assert to_data(Options("a", words=("b",))) == {
        "name": "a",
        "count": 4,
        "share": 0.5,
        "wanted": True,
        "kind": "flat",
        "weights": {},
        "words": ["b"],
        "nested": {"size": 1},
        "maybe": None,
    }


@pytest.mark.parametrize(
    ("given", "path", "what", "fix"),
    [
        ({"cuont": 3}, "x.cuont", "no parameter 'cuont'", "Did you mean 'count'?"),
        ({"count": "four"}, "x.count", "Expected a whole number, found 'four'", "Correct"),
        ({"count": 1.5}, "x.count", "Expected a whole number, found 1.5", "Correct"),
        ({"count": True}, "x.count", "Expected a whole number, found True", "Correct"),
        ({"count": None}, "x.count", "Expected a whole number, found None", "Correct"),
        ({"share": "1"}, "x.share", "Expected a number, found '1'", "Correct"),
        ({"wanted": "yes"}, "x.wanted", "Expected true or false, found 'yes'", "Correct"),
        ({"wanted": 1}, "x.wanted", "Expected true or false, found 1", "Correct"),
        ({"name": 3}, "x.name", "Expected text, found 3", "Correct"),
        ({"kind": "ifv"}, "x.kind", "'ifv' is not a choice", "Did you mean 'ivf'?"),
        ({"weights": [1]}, "x.weights", "Expected a mapping, found [1]", "Correct"),
        ({"weights": {"a": "b"}}, "x.weights", "Expected a number", "Correct"),
        ({"words": "b"}, "x.words", "Expected a list, found 'b'", "Correct"),
        ({"nested": {"sise": 1}}, "x.nested.sise", "no parameter 'sise'", "Did you mean 'size'?"),
        ({"nested": {"size": "1"}}, "x.nested.size", "Expected a whole number", "Correct"),
        ({"maybe": "x"}, "x.maybe", "Expected a whole number or null, found 'x'", "Correct"),
        ({"count": -1}, "x.count", "count is -1.", "Give 0 or more."),
        ({"share": 2}, "x", "share is above 1", "Correct"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, object], path: str, what: str, fix: str) -> None:
    options, said = build({"name": "a", **given})
    assert options is None
    ((where, message, cure),) = said
    assert where.startswith(path)
    assert what in message
    assert fix in cure


def test_all_that_is_wrong_is_named_at_once() -> None:
    options, said = build({"cuont": 3, "share": "x", "kind": "z"})
    assert options is None
    assert [where for where, _, _ in said] == ["x.cuont", "x.share", "x.kind", "x.name"]
    assert "missing" in said[-1][1]


def test_what_yaml_cannot_say_cannot_be_set() -> None:
    assert build({}, Hooked) == (Hooked(), [])
    options, said = build({"call": "os.system"}, Hooked)
    assert options is None
    assert len(said) == 1


def test_a_function_is_called_when_it_is_built() -> None:
    def make(dim: int, *, scale: float, name: str = "x") -> tuple[int, float, str]:
        return dim, scale, name

    options, said = build({"scale": 2}, make)
    assert said == []
    assert isinstance(options, Call)
    assert options.build(3) == options(3) == (3, 2.0, "x")
    assert to_data(options) == {"scale": 2.0}
    assert [message for _, message, _ in build({"dim": 3}, make)[1]] == [
        "There is no parameter 'dim'.",
        "The parameter 'scale' is missing.",
    ]


@dataclass(frozen=True, slots=True)
class Chosen:
    kind: Literal["last", "mean"] = "last"
    takes: tuple[Literal["text", "image"], ...] = ()
    other: Literal["a", "b"] | None = None


@dataclass(frozen=True, slots=True)
class Choosing:
    pooling: Chosen = Chosen()
    maybe: Chosen | None = None
    forms: Mapping[str, Chosen] = field(default_factory=dict)
    rules: tuple[Chosen, ...] = ()


@pytest.mark.parametrize(
    ("given", "place", "value", "choices"),
    [
        ({"pooling": {"kind": "best"}}, "x.pooling.kind", "best", "last, mean"),
        ({"pooling": {"takes": ["text", "smell"]}}, "x.pooling.takes.1", "smell", "image, text"),
        ({"pooling": {"other": "z"}}, "x.pooling.other", "z", "a, b"),
        ({"maybe": {"kind": "best"}}, "x.maybe.kind", "best", "last, mean"),
        ({"forms": {"a": {"kind": "mean"}, "b": {"kind": "best"}}}, "x.forms.b.kind", "best", "last, mean"),
        ({"rules": [{}, {"kind": "best"}]}, "x.rules.1.kind", "best", "last, mean"),
    ],
)
def test_a_wrong_choice_inside_of_nested_options_is_named(
    given: Mapping[str, object], place: str, value: str, choices: str
) -> None:
    _, said = build(given, Choosing)
    ((where, what, fix),) = said
    assert (where, what) == (place, f"{value!r} is not a choice.")
    assert all(choice in fix for choice in choices.split(", "))
