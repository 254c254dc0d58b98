"""Small inputs that the contract suites share, and that a third party's tests may use."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from mmrag.core.fields import HEADING, SearchText
from mmrag.core.identity import digest_bytes, item_id
from mmrag.core.types import Embeddings, Item, Page, Part, Scalar, SourceId, Span

WORDS_OF_A_MANUAL = (
    "The warranty of the Halden relay lasts 24 months from the day of purchase.",
    "Connect the blue wire to terminal A2 before you switch on the mains.",
    "The housing is made of recycled aluminium and weighs 310 grams.",
    "Clean the lens with a dry cloth; never use solvents.",
    "The pump delivers 12 litres per minute at a pressure of 3 bar.",
    "Spare fuses are kept in the lid of the battery compartment.",
    "Technical support answers on weekdays between eight and five.",
    "Frost below minus ten degrees can damage the display.",
)
"""Eight passages that share few words."""


def text_item(text: str, *, source: str = "manual.md", heading: str = "", start: int = 0) -> Item:
    """Make a passage of a text file."""
    parts = (Part("text", text=text),)
    locator = Span(start, start + len(text))
    metadata: dict[str, Scalar] = {HEADING: heading} if heading else {}
    name = item_id(parts, locator, reader="sample/1", splitter="sample/1")
    return Item(name, SourceId(source), locator, parts, metadata)


def picture_item(image: bytes, *, alt: str = "", source: str = "figure.png") -> Item:
    """Make an item of an encoded picture, with the words that stand in for it."""
    words = (Part("text", text=alt, role="alt"),) if alt else ()
    parts = (Part("image", media=digest_bytes(image)), *words)
    name = item_id(parts, Page(1), reader="sample/1", splitter="sample/1")
    return Item(name, SourceId(source), Page(1), parts)


def manual_items() -> list[Item]:
    """Make one item of each of `WORDS_OF_A_MANUAL`."""
    return [text_item(text, start=1000 * i) for i, text in enumerate(WORDS_OF_A_MANUAL)]


def body(text: str) -> SearchText:
    """Make the words of an item that has a body only."""
    return SearchText(title="", heading="", body=text, context="", name="")


def unit_vectors(count: int, dim: int, *, seed: int) -> NDArray[np.float32]:
    """Draw unit vectors, float32 [count, dim]."""
    drawn = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    unit: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def unit_embeddings(count: int, dim: int, *, seed: int) -> Embeddings:
    """Draw dense embeddings of length 1."""
    return Embeddings.dense(unit_vectors(count, dim, seed=seed))


def picture_of(*lines: str, width: int = 800, height: int = 400, encoding: str = "PNG") -> bytes:
    """Draw lines of black text on white, evenly spread from top to bottom, and encode the picture."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=40)
    for i, line in enumerate(lines):
        draw.text((40, (i + 0.5) * height / len(lines)), line, fill="black", font=font, anchor="lm")
    buffer = io.BytesIO()
    picture.save(buffer, encoding)
    return buffer.getvalue()
