import pytest

from mmrag.core.errors import RecipeError
from mmrag.recipes.document import MAX_BYTES, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1f", 31),
        ("007", 7),
        ("1_000", "1_000"),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("1.2.3", "1.2.3"),
        ("2026-11-22", "2026-11-22"),
        ("12:30", "12:30"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("min-max", "min-max"),
        ("[a, 1]", ["a", 1]),
        ("{b: 2}", {"b": 2}),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parse(f"key: {text}", "x.yaml").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_knows_its_line() -> None:
    document = parse("a: 1\n\nb:\n  c: 2\n  d: [1,\n   x]\n", "x.yaml")
    assert document.where(("a",)) == "x.yaml:1 a"
    assert document.where(("b", "c")) == "x.yaml:4 b.c"
    assert document.where(("b", "d", 1)) == "x.yaml:6 b.d.1"


def test_a_missing_key_gets_the_line_of_its_parent() -> None:
    document = parse("a: 1\nb:\n  c: 2\n", "x.yaml")
    assert document.where(("b", "z")) == "x.yaml:2 b.z"
    assert document.where(("z",)) == "x.yaml z"
    assert document.where(()) == "x.yaml"


def test_a_part_of_a_document_knows_where_it_is() -> None:
    part = parse("a: 1\nb:\n  c: 2\n", "x.yaml").below("b")
    assert part.data == {"c": 2}
    assert part.where(("c",)) == "x.yaml:3 b.c"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\na: 2\n", 2, "already on line 1"),
        ("b:\n  a: 1\n  'a': 2\n", 3, "already on line 2"),
        ("a: &x 1\n", 1, "anchor &x"),
        ("a: 1\nb: *x\n", 2, "alias *x"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("a: !env HOME\n", 1, "tag"),
        ("1: a\n", 1, "not text"),
        ("~: a\n", 1, "not text"),
        ("a: 1\nb: .inf\n", 2, "not a finite number"),
        ("a: 1e999\n", 1, "not a finite number"),
    ],
)
def test_what_is_not_plain_data_is_a_problem(text: str, line: int, said: str) -> None:
    (problem,) = parse(text, "x.yaml").problems
    assert problem.where == f"x.yaml:{line}"
    assert said in problem.message
    assert problem.fix


def test_a_duplicate_key_keeps_the_first_value() -> None:
    assert parse("a: 1\na: 2\n", "x.yaml").data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1\nb: 2", "x.yaml:2"),
        ("a: 1: 2", "x.yaml:1"),
        ("\ta: 1", "x.yaml:1"),
        ("a: 1\n---\nb: 2", "x.yaml:2"),
        ("", "x.yaml"),
        ("- a", "x.yaml"),
        ("a", "x.yaml"),
        ("a: \x07", "x.yaml"),
        ("[" * 1000, "x.yaml:1"),
        ("a: " + "x" * MAX_BYTES, "x.yaml"),
    ],
    ids=["open", "colon", "tab", "two", "empty", "list", "word", "control", "deep", "large"],
)
def test_what_is_no_recipe_is_refused(text: str, where: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "x.yaml")
    assert caught.value.where == where
    assert caught.value.fix


def test_a_billion_laughs_stay_a_few_problems() -> None:
    levels = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
    document = parse("\n".join(levels), "x.yaml")
    assert len(document.problems) == 60 + 2 * 59
    assert document.data["a59"] == [None, None]
