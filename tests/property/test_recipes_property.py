from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import RecipeError
from mmrag.recipes.document import parse, write

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=20)
    | st.sampled_from(
        [
            "yes",
            "no",
            "1.0",
            "0b1",
            "1_000",
            "2001-01-01",
            "~",
            "null",
            "- a",
            "a: b",
            "#x",
            ".inf",
            "<<",
            "=",
            "1e3",
        ]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abcxyz-_", min_size=1, max_size=8), VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_back(data: dict[str, object]) -> None:
    document = parse(write(data), "x.yaml")
    assert document.problems == ()
    assert document.data == data


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_data_or_a_recipe_error(text: str) -> None:
    try:
        document = parse(text, "x.yaml")
    except RecipeError:
        return
    assert all(isinstance(key, str) for key in document.data)


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`?,~ \n01.", max_size=80))
def test_any_punctuation_is_data_or_a_recipe_error(text: str) -> None:
    try:
        document = parse(text, "x.yaml")
    except RecipeError:
        return
    for path in document.spots:
        assert document.where(path).startswith("x.yaml")
