"""Read a description, and the list of objects after it, out of what a model answers."""

from __future__ import annotations

import json
import re

from mmrag.core.errors import Empty

_LIST = re.compile(r"(?:```(?:json)?\s*)?\[(?P<list>[^\[\]]*)(?:\](?:\s*```)?\s*|)\Z")
"""A list without lists inside at the very end; an answer that reached its length has no closing bracket."""

_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NAMES = ("name", "object", "label")


def read_caption(answer: str, *, objects: bool) -> str:
    """Return the words that are indexed for a picture.

    Args:
        answer: What the model said.
        objects: Whether a JSON list at its end is read: of words, or of objects with a name and more.

    Raises:
        Empty: There are no words.
    """
    words, named = _split(answer.strip()) if objects else (answer.strip(), [])
    if named:
        words = f"{words}\nObjects: {', '.join(dict.fromkeys(named))}." if words else f"{', '.join(named)}."
    if not words:
        raise Empty("The model said nothing about the picture.", fix="Try another prompt or model.")
    return words


def _split(answer: str) -> tuple[str, list[str]]:
    found = _LIST.search(answer)
    if found is None:
        return answer, []
    inner = found["list"]
    named: list[str] = []
    try:
        named = [name for entry in json.loads(f"[{inner}]") if (name := _name(entry))]
    except ValueError:
        # Half a list: what stands in quotes is whole.
        if "{" not in inner:
            named = [text for text in _TEXT.findall(inner) if text.strip()]
    if not named and inner.strip():
        return answer, []
    return answer[: found.start()].rstrip(), named


def _name(entry: object) -> str:
    """Return 'three red cubes' for {"name": "cubes", "colour": "red", "count": "three"}, a text as it is."""
    if isinstance(entry, str):
        return entry.strip()
    if not isinstance(entry, dict):
        return ""
    name = next((str(entry[key]).strip() for key in _NAMES if entry.get(key)), "")
    more = [str(value) for key, value in entry.items() if key not in _NAMES and isinstance(value, str | int)]
    return " ".join([*reversed(more), name]) if name else ""
