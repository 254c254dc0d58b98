from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from mmrag.answer import answer_to_dict, compose_answer, describe_hit, describe_locator
from mmrag.answer.render import locator_to_dict
from mmrag.core.protocols import Draft, Quote
from mmrag.core.types import (
    Box,
    Cells,
    Hit,
    Item,
    ItemId,
    Locator,
    Page,
    Part,
    Query,
    SourceId,
    Span,
    Step,
    TimeRange,
)
from mmrag.testing.samples import text_item


@dataclass(frozen=True)
class Scripted:
    draft: Draft

    def compose(self, query: Query, hits: Sequence[Hit]) -> Draft:
        return self.draft


HITS = [Hit(text_item("One. Two."), 0.5, {"dense": 0.25}, {"dense": 1}, (SourceId("copy.md"),))]
GOOD, BAD = Quote(0, "One.", 0.9), Quote(0, "Nine.", 0.9)


@pytest.mark.parametrize(
    ("draft", "status", "cited"),
    [
        (Draft("One.", (GOOD,), complete=True), "answered", 1),
        (Draft("One.", (GOOD,), complete=False, notes=("Half.",)), "partial", 1),
        (Draft("One. Nine.", (GOOD, BAD), complete=True), "partial", 1),
        (Draft("Nine.", (BAD,), complete=True), "no_evidence", 0),
        (Draft("Nine.", (), complete=True), "no_evidence", 0),
        (Draft("", (), complete=False, notes=("Nothing.",)), "no_evidence", 0),
        (Draft("", (GOOD,), complete=False, notes=("Odd.",)), "no_evidence", 0),
    ],
)
def test_the_status_follows_from_draft_and_quotes(draft: Draft, status: str, cited: int) -> None:
    answer = compose_answer(Query.of("?"), HITS, Scripted(draft))
    assert answer.status == status
    assert len(answer.citations) == cited
    assert bool(answer.text) == bool(cited)
    assert answer.notes or status == "answered"


def test_what_came_before_is_kept_and_the_steps_are_added() -> None:
    draft = Draft("One. Nine.", (GOOD, BAD, BAD), complete=True, notes=("own",))
    answer = compose_answer(
        Query.of("?"), HITS, Scripted(draft), notes=("before",), steps=(Step("search", 1.0),), root="r"
    )
    assert answer.notes == (
        "before",
        "own",
        "2 quotes do not stand in the evidence and were left out.",
    )
    assert [step.name for step in answer.trace] == ["search", "compose", "verify"]
    assert dict(answer.trace[-1].detail) == {"citations": 1, "dropped": 2}
    assert answer.root == "r"
    assert answer.evidence == tuple(HITS)


def test_the_json_schema_is_stable() -> None:
    draft = Draft("One.", (GOOD,), complete=True)
    document = answer_to_dict(compose_answer(Query.of("?"), HITS, Scripted(draft), root="r"))
    assert json.loads(json.dumps(document)) == document
    assert list(document) == ["schema", "status", "text", "citations", "evidence", "notes", "trace", "root"]
    assert document["schema"] == 1
    assert document["citations"] == [
        {
            "source": "manual.md",
            "label": "manual.md, characters 0-9",
            "locator": {"span": [0, 9]},
            "quote": "One.",
            "support": 0.9,
            "start": 0,
            "end": 4,
            "item": HITS[0].item.id,
            "title": "",
            "heading": "",
        }
    ]
    assert document["evidence"] == [
        {
            "source": "manual.md",
            "label": "manual.md, characters 0-9",
            "locator": {"span": [0, 9]},
            "text": "One. Two.",
            "modality": "text",
            "score": 0.5,
            "scores": {"dense": 0.25},
            "ranks": {"dense": 1},
            "also_in": ["copy.md"],
            "item": HITS[0].item.id,
        }
    ]


HALF = Box(0, 0.5, 1, 1)


@pytest.mark.parametrize(
    ("source", "own", "locator", "label", "data"),
    [
        (
            "a/m.pdf",
            Page(3),
            Page(3, Box(0, 0.25, 1, 1)),
            "a/m.pdf, page 3",
            {"page": 3, "box": [0, 0.25, 1, 1]},
        ),
        ("x.PNG", Page(1), Page(1), "x.PNG", {"page": 1, "box": None}),
        ("n.md", Span(1, 9), Span(1, 5), "n.md, characters 1-5", {"span": [1, 5]}),
        ("n.md", Span(1, 9), Page(1), "n.md, figure", {"page": 1, "box": None}),
        ("f.html", Span(1, 9), Span(1, 5), "f.html#here", {"span": [1, 5]}),
        (
            "p.xlsx",
            Page(1),
            Cells("Fees", 2, 9),
            "p.xlsx, sheet Fees, rows 2-9",
            {"sheet": "Fees", "rows": [2, 9]},
        ),
        ("p.csv", Page(1), Cells("", 7, 7), "p.csv, row 7", {"sheet": "", "rows": [7, 7]}),
        ("v.mp4", TimeRange(0, 9999), TimeRange(65.2, 3725), "v.mp4, 1:05-1:02:05", {"time": [65.2, 3725]}),
    ],
)
def test_places_in_words_and_data(
    source: str, own: Locator, locator: Locator, label: str, data: object
) -> None:
    item = Item(ItemId("i"), SourceId(source), own, (Part("text", text="t"),), {"anchor": "here"})
    assert describe_locator(item, locator) == label
    assert locator_to_dict(locator) == data


@pytest.mark.parametrize(("place", "label"), [("slide 3", "t.pptx, slide 3"), ("", "t.pptx, under “B”")])
def test_a_reader_may_name_the_place(place: str, label: str) -> None:
    item = Item(ItemId("i"), SourceId("t.pptx"), Page(3), (), {"place": place, "heading": "A > B"})
    assert describe_locator(item, Page(3)) == label


def test_a_page_of_html_without_an_anchor_has_its_name_only() -> None:
    item = Item(ItemId("i"), SourceId("f.html"), Span(0, 1), (), {"heading": "A > B"})
    assert describe_locator(item, Span(0, 1)) == "f.html"
    assert describe_hit(Hit(item, 1.0)) == "f.html (A > B)"
