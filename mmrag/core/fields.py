"""The words by which an item can be found, each with its kind: one meaning for every lane."""

from __future__ import annotations

from dataclasses import dataclass

from mmrag.core.identity import digest_json
from mmrag.core.types import ITEM_SEPARATOR, Item

TITLE, HEADING, CONTEXT, LANGUAGE, ANCHOR = "title", "heading", "context", "language", "anchor"
"""Metadata keys that readers and the splitter fill: the source's title, the path of headings
above the item ("A > B"), the lines around a figure, ISO 639-1 code, HTML element id."""

PLACE = "place"
"""Metadata of blocks whose locator a person cannot look up: where to look instead ("slide 3",
"message 14"), or '' when the file's name and the heading must do, as in a Word document."""


FIELDS = ("title", "heading", "body", "ocr", "context", "name")
"""The fields of `SearchText` that hold words."""


@dataclass(frozen=True, slots=True)
class SearchText:
    """An item's words by field, which a lexical index weighs, and their language (ISO 639-1) if it is known.

    `ocr` are words that were read out of a picture: they have more mistakes than those of `body`.
    """

    title: str
    heading: str
    body: str
    context: str
    name: str
    ocr: str = ""
    language: str = ""


def search_text(item: Item) -> SearchText:
    """Sort an item's words into fields."""

    def meta(key: str) -> str:
        return str(item.metadata.get(key, ""))

    def text(*, ocr: bool) -> str:
        return ITEM_SEPARATOR.join(
            part.text for part in item.parts if part.text and (part.role == "ocr") == ocr
        )

    return SearchText(
        meta(TITLE),
        meta(HEADING),
        text(ocr=False),
        meta(CONTEXT),
        spoken_name(item.source),
        text(ocr=True),
        meta(LANGUAGE),
    )


def embedding_text(item: Item) -> str:
    """Return the words that a text-only embedder sees for an item.

    A passage is read under its headings. A picture is read with everything that says what it
    shows, its file's name included; the name of a text's file is left out, so that a renamed
    manual keeps its vectors.
    """
    words = search_text(item)
    if item.modality == "text":
        pieces = [words.heading or words.title, item.text]
    else:
        pieces = [words.heading or words.title, words.name, item.text, words.context]
    return "\n".join(piece for piece in pieces if piece)


def embedding_key(item: Item) -> str:
    """Return the digest of all that an item's vectors can depend on: equal keys share vectors."""
    media = [[part.modality, part.media] for part in item.parts if part.media]
    return digest_json([embedding_text(item), media])


def spoken_name(source: str) -> str:
    """Return a file's name as words: 'figures/relay_wiring-2.png' becomes 'relay wiring 2'."""
    stem = source.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return " ".join("".join(c if c.isalnum() else " " for c in stem).split())
