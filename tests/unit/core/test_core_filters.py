"""The filter language: what it accepts, what it refuses and what it means."""

from __future__ import annotations

import pytest

from mmrag.core.errors import BadFilter, UnknownField
from mmrag.core.filters import And, Compare, Not, Or, field_values, parse
from mmrag.core.types import Item, ItemId, Page, Part, Source, SourceId, Span

DAY = 86_400_000_000_000
VALUES = {
    "source": "manuals/old/Relay Guide.pdf",
    "name": "Relay Guide.pdf",
    "folder": "manuals/old",
    "kind": "pdf",
    "language": None,
    "page": 3,
    "modified": 20_119 * DAY + 5,  # 2025-01-31
    "meta.author": "Ann",
    "meta.year": 2024,
    "meta.final": True,
    "meta.odd key": "Straße",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind == "pdf" and page <= 3', True),
        ("kind == 'pdf' and page < 3", False),
        ('not source startswith "drafts/"', True),
        ('source startswith "Manuals"', False),
        ('name endswith ".pdf"', True),
        ('kind in ["html", "pdf"]', True),
        ('kind not in ["html", "pdf"]', False),
        ('kind not in ["html"]', True),
        ("kind in []", False),
        ("kind not in []", True),
        ('kind == "PDF"', False),
        ('name contains "relay g"', True),
        ('meta."odd key" contains "STRASSE"', True),
        ('meta."odd key" == "strasse"', False),
        ("page == 3.0", True),
        ("page > -1", True),
        ("page >= 4 or page != 4", True),
        ('kind == "x" and kind == "x" or kind == "pdf"', True),
        ('kind == "x" and (kind == "x" or kind == "pdf")', False),
        ("NOT page == 4 AND page == 3", True),
    ],
)
def test_meaning(text: str, *, expected: bool) -> None:
    assert parse(text).matches(VALUES) is expected


@pytest.mark.parametrize(
    "text",
    [
        'language == "en"',
        'language != "en"',
        'language < "en"',
        'language in ["en"]',
        'language not in ["en"]',
        'language contains ""',
        "meta.nowhere != 1",
        "meta.nowhere not in []",
    ],
)
def test_missing_value_makes_every_comparison_false_and_its_negation_true(text: str) -> None:
    assert not parse(text).matches(VALUES)
    assert parse(f"not {text}").matches(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('meta.year == "2024"', False),
        ('meta.year != "2024"', True),
        ('meta.year not in ["2024", true]', True),
        ('meta.year >= "2023"', False),
        ("meta.year >= 2023", True),
        ("meta.final == true", True),
        ("meta.final == 1", False),
        ("meta.final > 0", False),
        ('meta.year contains "2"', False),
    ],
)
def test_untyped_fields_compare_only_within_one_type(text: str, *, expected: bool) -> None:
    assert parse(text).matches(VALUES) is expected


@pytest.mark.parametrize(
    ("pattern", "field", "expected"),
    [
        ("manuals/*.pdf", "source", False),
        ("manuals/*/*.pdf", "source", True),
        ("manuals/**", "source", True),
        ("**/*.pdf", "source", True),
        ("manuals/**/old/**/*.pdf", "source", True),
        ("**", "source", True),
        ("**/**/x.pdf", "source", False),
        ("manuals/old", "source", False),
        ("manuals/???/Relay*", "source", True),
        ("MANUALS/**", "source", False),
        ("manuals/*", "folder", True),
        ("*[Gg]uide*", "name", True),
        ("*[!e].pdf", "name", False),
    ],
)
def test_globs(pattern: str, field: str, *, expected: bool) -> None:
    assert parse(f'{field} matches "{pattern}"').matches(VALUES) is expected


def test_star_crosses_slashes_outside_paths() -> None:
    assert parse('title matches "*relay"').matches({"title": "input/output relay"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('modified >= "2025-01-31"', True),
        ('modified <= "2025-01-31"', True),
        ('modified == "2025-01-31"', True),
        ('modified != "2025-01-31"', False),
        ('modified > "2025-01-31"', False),
        ('modified > "2025-01-30"', True),
        ('modified < "2025-02-01"', True),
        ('modified > "2025-01-31T00:00"', True),
        ('modified < "2025-01-31T01:00+01:00"', False),
        ('modified <= "2025-01-31T01:00:00.000001+01:00"', True),
        ('modified in ["2025-01-31", "2020-01-01"]', True),
        ('modified not in ["2025-01-31", "2020-01-01"]', False),
        ("modified in []", False),
    ],
)
def test_dates(text: str, *, expected: bool) -> None:
    condition = parse(text)
    assert condition.matches(VALUES) is expected
    assert parse(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("kind", "Expected an operator"),
        ("kind ==", "Expected a value"),
        ("kind == pdf", 'Put text in quotes: "pdf"'),
        ('kind = "pdf"', "'=='"),
        ('kind == "pdf', "never closed"),
        ('kind == "pdf" page == 3', "Expected 'and' or 'or'"),
        ('(kind == "pdf"', "Expected ')'"),
        ('"pdf" == kind', "Expected a field"),
        ('page == "3"', "page is a number"),
        ("kind == 3", 'Write "3"'),
        ("kind == true", "kind is a text"),
        ("page contains 3", "page is a number"),
        ('modified > "yesterday"', "not a date"),
        ('modified > "9999-01-01"', "not a date"),
        ("modified > 5", "not a date"),
        ('kind in "pdf"', "Expected a list"),
        ('kind in ["pdf" "html"]', "Expected ','"),
        ('kind in ["pdf",', "Expected a value"),
        ("meta.x < true", "cannot order"),
        ("meta.x startswith 5", "takes text"),
        ("page < 1e999", "too large"),
        ("page < 9223372036854775808", "too large"),
        (f"page < {'9' * 6000}", "too large"),
        (r'kind == "\ud800"', "half a character"),
        ("(" * 3000, "levels of nesting"),
        ("not " * 3000 + 'kind == "x"', "levels of nesting"),
        (" or ".join(["page == 1"] * 401), "More than 400"),
        (f"page in [{','.join(['1'] * 1001)}]", "More than 1000"),
    ],
)
def test_refusals_say_what_and_where(text: str, words: str) -> None:
    with pytest.raises(BadFilter) as caught:
        parse(text)
    assert words in str(caught.value)
    assert str(caught.value.where).startswith("filter")


def test_hint_points_at_the_place() -> None:
    with pytest.raises(BadFilter) as caught:
        parse('kind == "pdf" and page == "x"')
    _, line, caret = caught.value.message.split("\n")
    assert line[caret.index("^") :] == '"x"'
    assert caught.value.where == "filter, character 27"


def test_unknown_field_suggests_a_near_one() -> None:
    with pytest.raises(UnknownField, match="Did you mean 'page'"):
        parse("pages < 3")
    with pytest.raises(UnknownField):
        parse("meta == 3")


def test_tree() -> None:
    assert parse('not (page == 1 or page == 2) and kind == "pdf"') == And(
        (
            Not(Or((Compare("page", "==", 1), Compare("page", "==", 2)))),
            Compare("kind", "==", "pdf"),
        )
    )


def test_escapes() -> None:
    wanted = Compare("title", "==", 'a"b\\c\n\u00e9\U0001f600')
    assert parse(r'title == "a\"b\\c\n\u00e9\ud83d\ude00"') == wanted
    assert parse(str(wanted)) == wanted


def test_field_values_of_an_item() -> None:
    source = Source(SourceId("a/b/c.pdf"), "d", 12, "application/pdf")
    item = Item(
        ItemId("i"),
        source.id,
        Page(2),
        (Part("text", text="x"),),
        {"title": "T", "author": "Ann", "language": 3},
    )
    values = field_values(item, source, 77)
    assert values["folder"] == "a/b"
    assert (values["kind"], values["page"], values["size"], values["modified"]) == ("pdf", 2, 12, 77)
    assert (values["title"], values["meta.title"], values["meta.author"]) == ("T", "T", "Ann")
    assert values["heading"] is None
    assert values["language"] is None
    top = Source(SourceId("c.md"), "d", 12, "text/markdown")
    assert field_values(Item(ItemId("i"), top.id, Span(0, 1), ()), top, 0)["folder"] == ""
    assert field_values(Item(ItemId("i"), top.id, Span(0, 1), ()), top, 0)["page"] is None
