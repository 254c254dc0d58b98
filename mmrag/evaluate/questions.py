"""Read a file of questions with known answers, one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from mmrag.core.errors import ConfigError, did_you_mean

QuestionModality = Literal["text", "table", "scan", "picture", "figure"]
Split = Literal["tune", "test"]


@dataclass(frozen=True, slots=True)
class ExpectedSource:
    """Where an answer stands: a source, and its page where that matters."""

    source: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what a right answer says and where that stands.

    Args:
        id: Unique in its file.
        question: The words.
        answers: Any one of them, found in the answer's text, makes it right.
        sources: The places that hold the answer; empty for an unanswerable question.
        modality: Where the answer stands: text, table, scan, picture or figure.
        answerable: Whether the corpus holds the answer.
        image: The path of a picture that is part of the question.
        filter: A filter to ask with.
        split: tune for questions that parameters may be chosen on, test for those kept apart.
        demo: Whether the demonstration asks it.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    sources: tuple[ExpectedSource, ...] = ()
    modality: QuestionModality = "text"
    answerable: bool = True
    image: str | None = None
    filter: str | None = None
    split: Split = "test"
    demo: bool = False


def load_questions(path: Path) -> list[Question]:
    """Read questions from a JSONL file; blank lines are skipped.

    Raises:
        ConfigError: The file cannot be read, or a line is not a question; `where` names the line.
    """
    # A pipe or device would be waited for, or read, without end.
    if os.path.exists(path) and not path.is_file():
        raise ConfigError(
            "The questions are not a file.", fix="Give a UTF-8 file of JSON lines.", where=str(path)
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The questions cannot be read ({error}).",
            fix="Give a UTF-8 file of JSON lines.",
            where=str(path),
        ) from error
    found: list[Question] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        question = parse_question(_object(line, where), where=where)
        if question.id in lines:
            raise ConfigError(
                f"The id {question.id!r} is already used in line {lines[question.id]}.",
                fix="Give each question its own id.",
                where=where,
            )
        lines[question.id] = number
        found.append(question)
    if not found:
        raise ConfigError("The file holds no question.", fix="Write one JSON object a line.", where=str(path))
    return found


def parse_question(values: Mapping[str, Any], *, where: str) -> Question:
    """Check one question; `where` names its place in errors.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type.
    """
    _known(values, set(Question.__dataclass_fields__), where)
    answerable = _take(values, "answerable", bool, where, default=True)
    answers = _strings(values, "answers", where)
    sources = tuple(
        _source(value, f"{where}: sources[{i}]")
        for i, value in enumerate(_take(values, "sources", list, where, default=[]))
    )
    modality = _one_of(values, "modality", get_args(QuestionModality), where, default="text")
    if answerable and not (answers and sources):
        raise ConfigError(
            "An answerable question needs answers and sources.",
            fix='Add them, or "answerable": false.',
            where=where,
        )
    if not answerable and (answers or sources):
        raise ConfigError(
            "An unanswerable question has no answers and no sources.",
            fix='Remove them, or "answerable": false.',
            where=where,
        )
    return Question(
        id=_take(values, "id", str, where),
        question=_take(values, "question", str, where),
        answers=answers,
        sources=sources,
        modality=modality,
        answerable=answerable,
        image=_take(values, "image", str, where, default=None),
        filter=_take(values, "filter", str, where, default=None),
        split=_one_of(values, "split", get_args(Split), where, default="test"),
        demo=_take(values, "demo", bool, where, default=False),
    )


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"The line is not JSON ({error.msg}, column {error.colno}).",
            fix="Write one JSON object a line.",
            where=where,
        ) from error
    except RecursionError as error:
        raise ConfigError(
            "The line is nested too deeply.", fix="Write one JSON object a line.", where=where
        ) from error
    if not isinstance(values, dict):
        raise ConfigError("The line is not a JSON object.", fix='Write {"id": ..., ...}.', where=where)
    return values


def _source(value: object, where: str) -> ExpectedSource:
    if not isinstance(value, dict):
        raise ConfigError(f"{value!r} is not an object.", fix='Write {"source": "manual.pdf"}.', where=where)
    _known(value, set(ExpectedSource.__dataclass_fields__), where)
    page = _take(value, "page", int, where, default=None)
    if page is not None and page < 1:
        raise ConfigError(f"The page is {page}.", fix="Count pages from 1.", where=where)
    return ExpectedSource(_take(value, "source", str, where), page)


def _known(values: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in values:
        if key not in keys:
            raise ConfigError(f"The key {key!r} is unknown.", fix=did_you_mean(key, keys), where=where)


_REQUIRED: Any = object()


def _take(values: Mapping[str, Any], key: str, kind: type, where: str, *, default: Any = _REQUIRED) -> Any:
    if key not in values:
        if default is _REQUIRED:
            raise ConfigError(f"The key {key!r} is missing.", fix=f"Add {key!r}.", where=where)
        return default
    value = values[key]
    right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not right or (kind is str and not value.strip()):
        raise ConfigError(f"{key!r} is {value!r}.", fix=f"Give a {_WORDS[kind]}.", where=where)
    return value


def _one_of(values: Mapping[str, Any], key: str, known: tuple[str, ...], where: str, *, default: str) -> Any:
    value = _take(values, key, str, where, default=default)
    if value not in known:
        raise ConfigError(f"There is no {key} {value!r}.", fix=did_you_mean(value, known), where=where)
    return value


_WORDS = {str: "string that is not empty", bool: "true or false", int: "whole number", list: "list"}


def _strings(values: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = _take(values, key, list, where, default=[])
    for value in found:
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{key!r} holds {value!r}.", fix="Give strings only.", where=where)
    return tuple(found)
