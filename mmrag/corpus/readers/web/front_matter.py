"""Read what stands above a Markdown text about it: YAML between dashes, TOML between plus signs."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping

from mmrag.core.types import Scalar

_YAML = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)(?:\r?\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\A\ufeff?\+\+\+[ \t]*\r?\n(.*?)(?:\r?\n)\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LINE = re.compile(r"([A-Za-z][\w-]*)[ \t]*[:=][ \t]*(\S.*)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MAX_CHARS = 100_000
_KEYS = {
    "title": "title",
    "author": "author",
    "authors": "author",
    "date": "created",
    "description": "description",
    "tags": "keywords",
    "keywords": "keywords",
}


def front_matter(text: str) -> tuple[str, dict[str, Scalar]]:
    """Return a text with its front matter blanked out, and what that said.

    The keys are title, author, created (YYYY-MM-DD), description and keywords.
    """
    yaml, toml = _YAML.match(text), _TOML.match(text)
    match = yaml or toml
    if match is None or not re.search(":" if yaml else "=", match.group(1)):
        return text, {}
    given = (_yaml if yaml else _toml)(match.group(1))
    if given is None:
        # A colon within a title is no YAML, but it is what people write.
        lines = (_LINE.match(line) for line in match.group(1).splitlines())
        given = {line.group(1): line.group(2).strip().strip("\"'[]") for line in lines if line}
    said: dict[str, Scalar] = {}
    for name, value in given.items():
        key = _KEYS.get(str(name).lower())
        if key and (words := _words(value)):
            said.setdefault(key, words)
    if "created" in said:
        date = _DATE.search(str(said.pop("created")))
        said |= {"created": date.group()} if date else {}
    return re.sub(r"[^\r\n]", " ", match.group()) + text[match.end() :], said


def _yaml(text: str) -> Mapping[object, object] | None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(text) > _MAX_CHARS:
        return None
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError, ValueError, TypeError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def _toml(text: str) -> Mapping[str, object] | None:
    try:
        return tomllib.loads(text[:_MAX_CHARS])
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _words(value: object, *, depth: int = 0) -> str:
    """Return a value as words: 'Ann, Bob' for a list, the name of someone with an address."""
    if isinstance(value, str | int | float | datetime.date):
        return " ".join(str(value).split())
    if isinstance(value, list) and not depth:
        return ", ".join(filter(None, (_words(one, depth=1) for one in value[:50])))
    return _words(value["name"], depth=1) if isinstance(value, dict) and "name" in value and depth < 2 else ""
