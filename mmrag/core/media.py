"""Media types and the short names of file families that people filter by."""

from __future__ import annotations

_KINDS = {
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
}


def kind_of(media_type: str) -> str:
    """Return the family of a media type: text, markdown, html, pdf, image, audio, video or other."""
    family = media_type.split("/", 1)[0]
    return _KINDS.get(media_type) or (family if family in ("image", "audio", "video") else "other")
