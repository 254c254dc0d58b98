import inspect
import pickle

import pytest

from mmrag.core import errors
from mmrag.core.errors import (
    AnswerError,
    ConfigError,
    MmragError,
    ModelError,
    QueryError,
    ServeError,
    SourceError,
    StoreError,
    did_you_mean,
)

TREE = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, MmragError)]
BRANCHES = (ConfigError, SourceError, StoreError, ModelError, QueryError, AnswerError, ServeError)


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = MmragError("The disk is full.", fix="Free some space.", where="a.md")
    assert str(error) == "a.md: The disk is full. Free some space."
    assert (error.message, error.fix, error.where) == ("The disk is full.", "Free some space.", "a.md")
    assert str(MmragError("It broke.", fix="Mend it.")) == "It broke. Mend it."


@pytest.mark.parametrize("kind", TREE)
def test_every_error_stands_on_one_branch_and_says_what_it_means(kind: type[MmragError]) -> None:
    assert kind.__doc__
    if kind is not MmragError:
        assert sum(issubclass(kind, branch) for branch in BRANCHES) == 1
    with pytest.raises(TypeError):
        kind("without a fix")  # type: ignore[call-arg]


@pytest.mark.parametrize("branch", [ConfigError, SourceError, QueryError])
def test_wrong_values_are_value_errors(branch: type[MmragError]) -> None:
    assert issubclass(branch, ValueError)


@pytest.mark.parametrize("branch", [StoreError, ModelError, AnswerError, ServeError])
def test_other_troubles_are_not(branch: type[MmragError]) -> None:
    assert not issubclass(branch, ValueError)


@pytest.mark.parametrize("kind", TREE)
def test_an_error_survives_the_way_between_processes(kind: type[MmragError]) -> None:
    error = pickle.loads(pickle.dumps(kind("It broke.", fix="Mend it.", where="x")))
    assert type(error) is kind
    assert (error.message, error.fix, error.where) == ("It broke.", "Mend it.", "x")


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("fusoin", ["fusion", "depth"], "Did you mean 'fusion'?"),
        ("zzz", ["b", "a"], "Known: a, b."),
        ("x", [], "Known: none."),
        ("", ["a"], "Known: a."),
    ],
)
def test_a_near_name_is_suggested(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known) == said
