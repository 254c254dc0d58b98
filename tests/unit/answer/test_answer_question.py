from __future__ import annotations

import pytest

from mmrag.answer.question import asks_denied, content_words, demands_of, fold, missing_demands, questions_in


def missing(question: str, evidence: str) -> list[str]:
    return missing_demands(demands_of(question), evidence)


def test_question_words_and_stop_words_carry_nothing() -> None:
    assert content_words("How long is the warranty of the AX-200?") == ["warranty", "AX-200"]
    assert content_words("Is that all there is?") == []


def test_another_language_has_other_stop_words() -> None:
    assert content_words("Wie lange gilt die Garantie für den Filter?") == ["Garantie", "Filter"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "How long is the warranty and what does a filter cost?",
            ["How long is the warranty", "what does a filter cost?"],
        ),
        ("Where is the fuse? Who may change it?", ["Where is the fuse", "Who may change it?"]),
        ("What do the seal and the filter cost?", ["What do the seal and the filter cost?"]),
        ("How heavy is it and what is it?", ["How heavy is it and what is it?"]),
    ],
)
def test_two_questions_are_told_from_one(text: str, parts: list[str]) -> None:
    assert questions_in(text) == parts


@pytest.mark.parametrize(
    ("question", "evidence", "absent"),
    [
        ("Does it run at 48 V?", "It runs at 24 V.", ["48"]),
        ("Does it run at 24 V?", "It runs at 24V.", []),
        ("Does it run at 24V?", "It runs at 24 V.", []),
        ("Is 12 right?", "It is 12.5 mm, 112 or 1.12.", ["12"]),
        ("Is 3.5 kg right?", "Das sind 3,5 kg.", []),
        ("Does it cost 1500 EUR?", "It costs € 1,500.", []),
        ("What lasts 2 years?", "It lasts two years.", []),
        ("Is the AX-200 loud?", "The AX200 is quiet.", []),
        ("Is the AX-20 loud?", "The AX-200 is quiet.", ["AX-20"]),
        ("Is the AX-200 loud?", "The AX-100 is quiet.", ["AX-200"]),
        ("Is it sold in Hamburg?", "Sold in hamburg's shops.", []),
        ("Is the Larkwind 200 loud?", "The Larkwind 300 has 200 W.", ["Larkwind 200"]),
        ("Is the Larkwind 300 loud?", "Fits: Larkwind 150, 300", []),
        ("Is the Larkwind 300 loud?", "The Larkwind 3000 is.", ["Larkwind 300"]),
        ("Was it built in May 2024?", "2024-05-01", []),
        ("Is it sold in Bremen?", "Sold in Hamburg.", ["Bremen"]),
        ("What do Germans buy?", "A German buys tea.", []),
        ("Has it a USB port?", "It has USBs.", []),
        ("Has it a USB port?", "It has two ports.", ["USB"]),
        ('What does "do not open" mean?', "DO  NOT\nOPEN", []),
        ('What does "do not open" mean?', "Do not ever open.", ["do not open"]),
        ("Who cut it for Breitkopf 1754?", "In 1754 it was cut for Breitkopf.", []),
        ("How loud is the Larkwind 150?", "Larkwind 300: 150 W", ["Larkwind 150"]),
        ("Do I call Dr. Meyer?", "Call Dr. Smith.", ["Meyer"]),
        ("Is it open on Sunday in March?", "Mon-Fri", []),
        ("Warranty of the pump?", "nothing", []),
        ("WHAT IS THE WARRANTY OF IT", "nothing", []),
        ("What Is the Warranty of the Pump", "nothing", []),
        ("Was kostet der Filter in der Werkstatt?", "nothing", []),
        ("Wie schwer ist der AX-300?", "Der AX-200 wiegt 3 kg.", ["AX-300"]),
    ],
)
def test_what_the_evidence_must_name(question: str, evidence: str, absent: list[str]) -> None:
    assert missing(question, evidence) == absent


@pytest.mark.parametrize(
    ("question", "denied"),
    [
        ("Which types does libffi not handle?", True),
        ("Which types doesn't it handle?", True),
        ("What is built without a compiler?", True),
        ("Which types does it handle?", False),
        ("Why does the fan not start?", False),
        ("If it does not start, what helps?", False),
        ("What should I check if the fan does not start?", False),
        ("Welche Nummer hilft in der Not?", False),
    ],
)
def test_what_is_not_so_is_asked_for(question: str, denied: bool) -> None:
    assert asks_denied(question) is denied


@pytest.mark.parametrize(
    ("question", "text", "rivalled"),
    [
        ("How loud is the Larkwind 150?", "Larkwind 300: 39 dB(A)", True),
        ("How loud is the Larkwind 150?", "Fits: Larkwind 150, 300", False),
        ("How loud is the Larkwind 150?", "It makes 34 dB(A).", False),
        ("What does code E07 mean?", "E05: bypass", True),
        ("What does code E07 mean?", "E07: tray full, see E05", False),
        ("What does code E07 mean?", "E07b and CO2", False),
        ("Where is AX-200 sold?", "AX 100 is sold here", True),
    ],
)
def test_another_of_the_family_is_a_rival(question: str, text: str, rivalled: bool) -> None:
    assert any(demand.rivalled_by(fold(text)) for demand in demands_of(question)) is rivalled
