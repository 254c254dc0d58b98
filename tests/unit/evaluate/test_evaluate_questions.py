from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmrag.core.errors import ConfigError
from mmrag.evaluate.questions import ExpectedSource, Question, load_questions

GOOD = {"id": "q1", "question": "How?", "answers": ["so"], "sources": [{"source": "a.pdf", "page": 2}]}


def write(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_questions_are_read(tmp_path: Path) -> None:
    other = {"id": "q2", "question": "Why?", "answerable": False, "modality": "scan", "filter": "page == 1"}
    assert load_questions(write(tmp_path, GOOD, "", other)) == [
        Question("q1", "How?", ("so",), (ExpectedSource("a.pdf", 2),)),
        Question("q2", "Why?", modality="scan", answerable=False, filter="page == 1"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({**GOOD, "anwsers": []}, "Did you mean 'answers'?"),
        ({**GOOD, "sources": [{"source": "a.pdf", "pgae": 1}]}, "Did you mean 'page'?"),
        ({**GOOD, "sources": [{"source": "a.pdf", "page": 0}]}, "sources[0]: The page is 0"),
        ({**GOOD, "sources": [{"source": "a.pdf", "page": True}]}, "'page' is True"),
        ({**GOOD, "sources": ["a.pdf"]}, "is not an object"),
        ({**GOOD, "sources": "a.pdf"}, "Give a list"),
        ({**GOOD, "answers": [3]}, "'answers' holds 3"),
        ({**GOOD, "answers": []}, "needs answers and sources"),
        ({**GOOD, "answerable": False}, "has no answers"),
        ({**GOOD, "answerable": "no"}, "true or false"),
        ({**GOOD, "modality": "tabel"}, "Did you mean 'table'?"),
        ({**GOOD, "id": " "}, "'id' is ' '"),
        ({"id": "q"}, "needs answers"),
        ({"id": "q", "answerable": False}, "'question' is missing"),
    ],
)
def test_each_mistake_is_named_with_its_line(tmp_path: Path, line: object, words: str) -> None:
    path = write(tmp_path, {**GOOD, "id": "first"}, line)
    with pytest.raises(ConfigError) as caught:
        load_questions(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}:2")


def test_an_id_may_stand_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="already used in line 1"):
        load_questions(write(tmp_path, GOOD, GOOD))


def test_files_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no question"):
        load_questions(write(tmp_path, ""))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_questions(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_questions(tmp_path / "latin.jsonl")
