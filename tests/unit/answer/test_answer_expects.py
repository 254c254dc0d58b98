from __future__ import annotations

import pytest

from mmrag.answer.expects import expected


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What does a filter cost?", "price"),
        ("What is the price of the lid?", "price"),
        ("How much do I pay for shipping?", "price"),
        ("How heavy is it?", "weight"),
        ("How loud is the fan?", "loudness"),
        ("At what temperature does it stop?", "temperature"),
        ("How long is the warranty?", "duration"),
        ("How often must I clean it?", "frequency"),
        ("How far apart are the holes?", "length"),
        ("When was it built?", "date"),
        ("In which week was it built?", "date"),
        ("How many lamps has it?", "number"),
        ("Which code opens the menu?", "number"),
        ("What does error code E07 mean?", None),
        ("Which part number has the lid?", "number"),
        ("Who may open the lid?", None),
        ("Is it loud when it runs?", "date"),
        ("Why does it hum?", None),
    ],
)
def test_what_a_question_asks_for(question: str, kind: str | None) -> None:
    found = expected(question)
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("question", "text", "mismatch"),
    [
        ("What does a filter cost?", "Filter: 12 EUR", 0.0),
        ("What does a filter cost?", "A set of 2 filters.", 0.5),
        ("What does a filter cost?", "A fine filter.", 1.0),
        ("What does the Larkwind 150 cost?", "The Larkwind 150 is dear.", 1.0),
        ("How long is the warranty?", "It is two years.", 0.0),
        ("How long is the pipe?", "It is 3 m.", 0.0),
        ("How heavy is it?", "It weighs 3.5 kg.", 0.0),
        ("How heavy is it?", "It is 35 mm wide.", 0.5),
        ("When does it open?", "It opens as soon as the room is warm.", 0.0),
        ("When does it open?", "It opens by itself.", 1.0),
        ("How often do I clean it?", "Clean it regularly.", 0.0),
        ("How many lamps has it?", "It has three lamps.", 0.0),
        ("How many lamps has it?", "It has lamps.", 1.0),
    ],
)
def test_what_may_hold_the_answer(question: str, text: str, mismatch: float) -> None:
    found = expected(question)
    assert found is not None
    assert found.mismatch(text) == mismatch
