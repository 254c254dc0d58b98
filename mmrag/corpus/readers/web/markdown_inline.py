"""Read a line of Markdown: its words with their places, and the pictures among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

from mmrag.core.types import Span
from mmrag.corpus.readers.lines import PlacedText
from mmrag.corpus.readers.web.markdown_dialects import VAULT, attributes_of

_TAG_IMG = re.compile(r"<img\b(?:[^<>]|<(?!img\b))*+>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ALERT = re.compile(r"\[!([A-Za-z]+)\][+-]?\s*")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a text shows it; `title` stands under it."""

    link: str
    alt: str
    title: str = ""
    in_vault: bool = False


@dataclass(slots=True)
class Inline:
    """The words of one inline token and the pictures among them."""

    text: PlacedText
    pictures: list[Picture] = field(default_factory=list)
    is_emphasis: bool = False
    has_words: bool = False


def render_inline(token: Token, span_of: Callable[[Sequence[int] | None], Span]) -> Inline:
    """Render an inline token; each of its lines keeps its own span where they can be told apart."""
    children = token.children or []
    breaks = sum(child.type in ("softbreak", "hardbreak") for child in children)
    by_line = token.map is not None and breaks == token.map[1] - token.map[0] - 1
    whole = span_of(token.map) if token.map else None
    made = Inline(PlacedText(), is_emphasis=_all_emphasis(children))
    at = token.map[0] if token.map else 0
    for child in children:
        place = span_of([at, at + 1]) if by_line else whole
        if child.type in ("text", "code_inline", "text_special"):
            words = child.content
            if child is children[0] and (alert := _ALERT.match(words)):
                words = f"{alert.group(1).capitalize()}: {words[alert.end() :]}".rstrip()
            made.text.add(words, place)
            made.has_words = made.has_words or bool(words.strip())
        elif child.type in ("softbreak", "hardbreak"):
            made.text.add("\n" if child.type == "hardbreak" else " ")
            at += 1
        elif child.type == "image":
            link, title = str(child.attrGet("src") or ""), str(child.attrGet("title") or "")
            made.pictures.append(Picture(link, _alt(child), title, VAULT in child.meta))
            made.text.add(_alt(child), place)
        elif child.type == "html_inline":
            if _BREAK.match(child.content):
                made.text.add("\n")
            for picture in html_pictures(child.content):
                made.pictures.append(picture)
                made.text.add(picture.alt, place)
    return made


def html_pictures(html: str) -> list[Picture]:
    """Return the pictures in a piece of HTML."""
    tags = (attributes_of(tag) for tag in _TAG_IMG.findall(html))
    return [
        Picture(said["src"], said.get("alt", ""), said.get("title", "")) for said in tags if said.get("src")
    ]


def _all_emphasis(children: Sequence[Token]) -> bool:
    return len(children) >= 3 and children[0].type == "em_open" and children[-1].type == "em_close"


def _alt(token: Token) -> str:
    def words(children: Sequence[Token]) -> Iterator[str]:
        for child in children:
            if child.type.endswith("break"):
                yield " "
            else:
                yield _alt(child) if child.type == "image" else child.content

    return " ".join("".join(words(token.children or [])).split())
