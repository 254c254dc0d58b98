"""Directives of reStructuredText and MyST: what their names, options and bodies mean for a reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmrag.corpus.readers.lines import SourceLine


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_OPTION = re.compile(r"\s*:([A-Za-z][\w-]*):(?:[ \t]+(.*))?$")

_BULLETS = re.compile(r"\s*(?:(?:[-*+•]|\(?(?:\d{1,3}|#|[a-zA-Z])[.)])\s+)*")
_RST_LITERAL = re.compile(
    r"\.\.\s+(?:code|code-block|sourcecode|parsed-literal|literalinclude|raw|math|prompt|doctest|testcode|"
    r"testsetup|testoutput|graphviz|productionlist)::"
)
_RST_PICTURE = re.compile(r"(\s*)\.\.\s+(?:\|[^|]+\|\s+)?(?:image|figure)::[ \t]*(\S.*)$")

PICTURES = frozenset({"figure", "image"})
PROSE = _set(
    """
    admonition attention caution danger error hint important note tip warning seealso versionadded
    versionchanged deprecated todo info success topic sidebar margin epigraph dropdown details card grid
    grid-item grid-item-card tab-set tab-item table list-table container exercise solution definition theorem
    proof example question abstract summary quote bug
    """
)
"""Their bodies are text like that around them."""
UNSEEN = _set("toctree contents index bibliography include tableofcontents meta")
"""They stand for words from elsewhere."""
_WITHOUT_LABEL = _set("container grid grid-item table list-table tab-set sidebar margin epigraph")


@dataclass(frozen=True, slots=True)
class Pictured:
    """A picture with the lines under it; `end` is the line after all of them."""

    link: str
    alt: str
    caption: Sequence[SourceLine]
    legend: Sequence[SourceLine]
    end: int


def options_of(lines: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return the options ':name: value' that a body begins with, and where its words begin."""
    said: dict[str, str] = {}
    last = ""
    i = 0
    while i < len(lines):
        found = _OPTION.match(lines[i])
        if found:
            last = found.group(1).lower()
            said[last] = (found.group(2) or "").strip()
        elif last and lines[i].strip() and lines[i][:1].isspace() and said[last]:
            said[last] += " " + lines[i].strip()
        else:
            break
        i += 1
    while i < len(lines) and not lines[i].strip():
        i += 1
    return said, i


def label_of(name: str, title: str) -> str:
    """Return the line that a directive shows above its body: 'Warning', or its own title."""
    if title or name in _WITHOUT_LABEL or name not in PROSE:
        return title
    return name.replace("-", " ").capitalize()


def pictured(lines: Sequence[SourceLine], i: int) -> Pictured | None:
    """Return the picture that a directive of reStructuredText at line `i` shows, if there is one."""
    match = _RST_PICTURE.match(lines[i].text)
    if match is None:
        return None
    indent, link = len(match.group(1)), match.group(2).strip()
    end = i + 1
    while end < len(lines) and (lines[end].is_blank or _indent(lines[end]) > indent):
        end += 1
    while lines[end - 1].is_blank:
        end -= 1
    body = lines[i + 1 : end]
    said, first = options_of([line.text for line in body])
    words = body[first:]
    blank = next((n for n, line in enumerate(words) if line.is_blank), len(words))
    return Pictured(link, said.get("alt", ""), words[:blank], words[blank:], end)


def literal_lines(lines: Sequence[SourceLine]) -> set[int]:
    """Return which lines of a reStructuredText are of examples, in which nothing is a directive."""
    found: set[int] = set()
    i = 0
    while i < len(lines):
        text = lines[i].text.rstrip()
        match = _BULLETS.match(text)
        indent = match.end() if match else 0
        i += 1
        is_marked = text.startswith("..", indent)
        if not (_RST_LITERAL.match(text, indent) if is_marked else text.endswith("::")):
            continue
        while i < len(lines) and (lines[i].is_blank or _indent(lines[i]) > indent):
            found.add(i)
            i += 1
    return found


def _indent(line: SourceLine) -> int:
    return len(line.text) - len(line.text.lstrip())
