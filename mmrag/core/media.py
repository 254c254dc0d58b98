"""Media types and the short names of file families that people filter by."""

from __future__ import annotations

import re

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
_KINDS = {
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    f"{_OFFICE}wordprocessingml.document": "word",
    f"{_OPEN}text": "word",
    f"{_OFFICE}presentationml.presentation": "slides",
    f"{_OPEN}presentation": "slides",
    f"{_OFFICE}spreadsheetml.sheet": "sheet",
    f"{_OPEN}spreadsheet": "sheet",
    "text/csv": "table",
    "text/tab-separated-values": "table",
    "application/vnd.apache.parquet": "table",
    "application/x-ipynb+json": "notebook",
    "application/epub+zip": "book",
    "message/rfc822": "mail",
    "application/mbox": "mail",
    "text/vtt": "transcript",
    "application/x-subrip": "transcript",
}


def kind_of(media_type: str) -> str:
    """Return the family of a media type: text, pdf, word, mail, image, audio, video, ... or other."""
    family = media_type.split("/", 1)[0]
    return _KINDS.get(media_type) or (family if family in ("image", "audio", "video") else "other")


def page_media(digest: str, number: int) -> str:
    """Return the media of a part that is page `number` (1-based) of the source of that digest."""
    return f"{digest}#page={number}"


def page_of_media(media: str) -> tuple[str, int] | None:
    """Return digest and page number of a page, None for a picture of its own."""
    found = re.fullmatch(r"([0-9a-f]+)#page=([0-9]+)", media)
    return (found[1], int(found[2])) if found else None
