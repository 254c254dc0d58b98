from __future__ import annotations

import json

import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.types import Answer, Citation, Hit, Item, ItemId, Page, Part, SourceId, Status
from mmrag.evaluate import calibrate_questions, evaluate
from mmrag.evaluate.questions import ExpectedSource, Question
from mmrag.evaluate.report import in_place, says


def hit(source: str, page: int, *also_in: str) -> Hit:
    item = Item(ItemId(f"{source}{page}"), SourceId(source), Page(page), (Part("text", text="words"),))
    return Hit(item, 1.0, also_in=tuple(SourceId(name) for name in also_in))


def answer(status: Status, text: str = "", quote: str = "", at: Hit | None = None) -> Answer:
    citations = (Citation(at.item, at.item.locator, quote, 0.75, 0, 5),) if at else ()
    return Answer(status, text, citations, (at,) if at else ())


A1, A2, B1 = hit("a.pdf", 1), hit("a.pdf", 2), hit("b.pdf", 1)
QUESTIONS = [
    Question("q1", "one", ("24 months",), (ExpectedSource("a.pdf", 2),)),
    Question("q2", "two", ("12 EUR", "12.00"), (ExpectedSource("b.pdf"),), modality="table"),
    Question("q3", "three", ("red",), (ExpectedSource("b.pdf"),), modality="table"),
    Question("q4", "four", answerable=False),
    Question("q5", "five", answerable=False),
]
ANSWERS = {
    "q1": answer("answered", "It is 24 MONTHS.", "24 months", A2),
    "q2": answer("partial", "Price: 12 EUR", "none", A1),
    "q3": answer("no_evidence"),
    "q4": answer("no_evidence"),
    "q5": answer("answered", "Sure.", "Sure", A1),
}
HITS = {"q1": [A1, A2], "q2": [B1, A1], "q3": [A1, A2], "q4": [], "q5": [A1]}


def test_every_figure_by_hand() -> None:
    report = evaluate(QUESTIONS, lambda q: ANSWERS[q.id], lambda q, k: HITS[q.id][:k], k=(1, 2))
    assert report.counts == {"all": 5, "text": 1, "table": 2}
    third = pytest.approx(1 / 3)
    assert report.figures["all"] == {
        "hit@1": third,
        "hit@2": pytest.approx(2 / 3),
        "recall@2": pytest.approx(2 / 3),
        "mrr": pytest.approx((1 / 2 + 1 + 0) / 3),
        "answer_in_text": pytest.approx(2 / 3),
        "answer_in_citation": third,
        "source_cited": 0.5,
        "false_refusal": third,
        "abstention": 0.5,
    }
    assert report.figures["table"] == {
        "hit@1": 0.5,
        "hit@2": 0.5,
        "recall@2": 0.5,
        "mrr": 0.5,
        "answer_in_text": 0.5,
        "answer_in_citation": 0.0,
        "source_cited": 0.0,
        "false_refusal": 0.5,
        "abstention": None,
    }
    assert [row.rank for row in report.rows] == [2, 1, None, None, None]
    assert [row.question.id for row in report.failures()] == ["q2", "q3", "q5"]


def test_recall_counts_each_right_place() -> None:
    places = (ExpectedSource("a.pdf", 1), ExpectedSource("b.pdf"), ExpectedSource("c.pdf"))
    question = Question("q", "where", ("24 months",), places)
    hits = [A2, B1, A1, hit("c.pdf", 1)]
    report = evaluate([question], lambda q: ANSWERS["q1"], lambda q, k: hits, k=(1, 3))
    assert report.rows[0].recall == pytest.approx(2 / 3)
    assert report.figures["text"]["recall@3"] == pytest.approx(2 / 3)
    assert "recall@1" not in report.figures["text"]


def test_the_report_is_json_and_a_markdown_table() -> None:
    report = evaluate(QUESTIONS, lambda q: ANSWERS[q.id], lambda q, k: HITS[q.id][:k], k=(1,))
    document = report.as_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["rows"][0]["rank"] is None
    assert document["rows"][0]["support"] == 0.75
    lines = report.as_markdown().splitlines()
    assert lines[0] == "| figure | all (5) | text (1) | table (2) |"
    assert "| answer in text | 67 % | 100 % | 50 % |" in lines
    assert "| abstention | 50 % | - | - |" in lines
    assert {line.count("|") for line in lines} == {5}


def test_a_search_that_gives_too_much_is_cut() -> None:
    report = evaluate(QUESTIONS[:1], lambda q: ANSWERS["q1"], lambda q, k: [A1, B1, A2], k=(2,))
    assert report.rows[0].rank is None


def test_nothing_to_ask_is_refused() -> None:
    with pytest.raises(ConfigError):
        evaluate([], lambda q: ANSWERS["q1"], lambda q, k: [])
    with pytest.raises(ConfigError):
        evaluate(QUESTIONS, lambda q: ANSWERS["q1"], lambda q, k: [], k=(0,))


@pytest.mark.parametrize(
    ("text", "answers", "right"),
    [
        ("It lasts 24\nMonths.", ["24 months"], True),
        ("It lasts 124 months.", ["24 months"], False),
        ("It is 2.50 EUR", ["2.5 EUR"], False),
        ("It is 2.50 EUR.", ["9", "2.50 eur"], True),
        ("Price: €12", ["€12"], True),
        ("The A-2 terminal", ["terminal A2"], False),
        ("the A-2 terminal", ["A-2"], True),
        ("保修期为两年。", ["两年"], True),
        ("anything", ["", " . "], False),
    ],
)
def test_an_answer_is_found_as_whole_words(text: str, answers: list[str], right: bool) -> None:
    assert says(text, answers) is right


def test_a_copy_in_another_source_is_the_right_place() -> None:
    assert in_place(hit("x.pdf", 3, "a.pdf"), [ExpectedSource("a.pdf", 3)])
    assert not in_place(hit("x.pdf", 4, "a.pdf"), [ExpectedSource("a.pdf", 3)])
    assert not in_place(hit("x.pdf", 3), [ExpectedSource("a.pdf")])


def test_a_threshold_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    support = {"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.1}
    places = (ExpectedSource("a.pdf"),)
    questions = [
        Question("a", "?", ("x",), places, split="tune"),
        Question("b", "?", answerable=False, split="tune"),
        Question("c", "?", ("x",), places),
        Question("d", "?", answerable=False),
    ]

    def ask(question: Question) -> Answer:
        citation = Citation(A1.item, A1.item.locator, "words", support[question.id], 0, 5)
        return Answer("answered", "words", (citation,))

    tuned, tested = calibrate_questions(questions, ask)
    assert (tuned.threshold, tuned.kept, tuned.refused) == (0.9, 1.0, 1.0)
    assert tested is not None
    assert (tested.threshold, tested.kept, tested.refused) == (0.9, 0.0, 1.0)
    assert calibrate_questions(questions[:2], ask)[1] is None
