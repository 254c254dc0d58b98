"""Write answers as plain data and places as words."""

from __future__ import annotations

from typing import Any

from mmrag.core.fields import ANCHOR, HEADING, PLACE, TITLE
from mmrag.core.types import Answer, Cells, Citation, Hit, Item, Locator, Page, Part, Span

SCHEMA = 1
"""The version of `answer_to_dict`; it grows only when a field changes its meaning."""

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic")
_PAGES = (".html", ".htm", ".xhtml")


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON values.

    Keys: schema; status (answered, partial, no_evidence); text; citations, each {source, label,
    locator, quote, support, start, end, item, title, heading}; evidence, each {source, label,
    locator, text, modality, score, scores, ranks, also_in, item}; notes; trace, each {name, ms,
    detail}; root. start and end are characters of the item's text. A locator is one of
    {"page", "box": [x0, y0, x1, y1] | null} with fractions of the page from its top left corner,
    {"span": [start, end]} in characters of the source's text, {"time": [start, end]} in seconds,
    {"sheet", "rows": [first, last]} counted from 1.
    """
    return {
        "schema": SCHEMA,
        "status": answer.status,
        "text": answer.text,
        "citations": [_citation(citation) for citation in answer.citations],
        "evidence": [hit_to_dict(hit) for hit in answer.evidence],
        "notes": list(answer.notes),
        "trace": [{"name": s.name, "ms": round(s.ms, 3), "detail": dict(s.detail)} for s in answer.trace],
        "root": answer.root,
    }


def hit_to_dict(hit: Hit) -> dict[str, Any]:
    """Return a hit as JSON values, as in the evidence of `answer_to_dict`."""
    return {
        "source": hit.item.source,
        "label": describe_locator(hit.item, hit.item.locator),
        "locator": locator_to_dict(hit.item.locator),
        "text": hit.item.text,
        "modality": hit.item.modality,
        "score": round(hit.score, 6),
        "scores": {name: round(score, 6) for name, score in hit.scores.items()},
        "ranks": dict(hit.ranks),
        "also_in": list(hit.also_in),
        "item": hit.item.id,
    }


def locator_to_dict(locator: Locator) -> dict[str, Any]:
    """Return a locator as JSON values, as in `answer_to_dict`."""
    if isinstance(locator, Page):
        box = locator.box
        corners = [round(value, 5) for value in (box.x0, box.y0, box.x1, box.y1)] if box else None
        return {"page": locator.number, "box": corners}
    if isinstance(locator, Span):
        return {"span": [locator.start, locator.end]}
    if isinstance(locator, Cells):
        return {"sheet": locator.sheet, "rows": [locator.first, locator.last]}
    return {"time": [locator.start, locator.end]}


def describe_locator(item: Item, locator: Locator) -> str:
    """Say where something stands: 'manual.pdf, page 3', 'faq.html#warranty' or 'notes.md, characters 1-9'.

    Words in a figure of a text have a box of that figure: 'notes.md, figure'. A reader may say the
    place in the words of the program that shows the file: 'talk.pptx, slide 3'.
    """
    name = item.source
    if PLACE in item.metadata:
        place = item.metadata[PLACE] or _last_heading(item)
        return f"{name}, {place}" if place else name
    if isinstance(locator, Page):
        if is_picture(item) or name.lower().endswith(".svg"):
            return name
        return f"{name}, page {locator.number}" if has_pages(item) else f"{name}, figure"
    if isinstance(locator, Span):
        anchor = item.metadata.get(ANCHOR)
        if name.lower().endswith(_PAGES):
            return f"{name}#{anchor}" if anchor else name
        return f"{name}, characters {locator.start}-{locator.end}"
    if isinstance(locator, Cells):
        one = locator.first == locator.last
        rows = f"row {locator.first}" if one else f"rows {locator.first}-{locator.last}"
        return f"{name}, sheet {locator.sheet}, {rows}" if locator.sheet else f"{name}, {rows}"
    return f"{name}, {_clock(locator.start)}-{_clock(locator.end)}"


def describe_hit(hit: Hit) -> str:
    """Say where a hit stands, and which heading it is under: 'manual.pdf, page 3 (Care > Cleaning)'."""
    label = describe_locator(hit.item, hit.item.locator)
    heading = hit.item.metadata.get(HEADING)
    return f"{label} ({heading})" if heading else label


def _last_heading(item: Item) -> str:
    """Return the heading that an item stands under, in quotation marks: all that a Word document offers."""
    heading = str(item.metadata.get(HEADING, "")).rpartition(" > ")[2]
    return f"under “{heading}”" if heading else ""


def is_picture(item: Item) -> bool:
    """Whether an item's source is a picture file."""
    return item.source.lower().endswith(_PICTURES)


def has_pages(item: Item) -> bool:
    """Whether an item's page number is one of its source, not of a figure in a text."""
    return isinstance(item.locator, Page) and not is_picture(item)


def picture_of(item: Item) -> Part | None:
    """Return the item's first image part that has media."""
    return next((part for part in item.parts if part.modality == "image" and part.media), None)


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "source": citation.item.source,
        "label": describe_locator(citation.item, citation.locator),
        "locator": locator_to_dict(citation.locator),
        "quote": citation.quote,
        "support": round(citation.support, 4),
        "start": citation.start,
        "end": citation.end,
        "item": citation.item.id,
        "title": str(citation.item.metadata.get(TITLE, "")),
        "heading": str(citation.item.metadata.get(HEADING, "")),
    }


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    tail = f"{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
    return f"{hours}:{tail}" if hours else tail
