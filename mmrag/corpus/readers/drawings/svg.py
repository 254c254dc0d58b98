"""Read a vector drawing: one figure with the words in it and what it says about itself."""

from __future__ import annotations

from pathlib import Path

from mmrag.core.errors import Empty
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Format, PageCoverage, Reading
from mmrag.core.types import Page, Part, Scalar, Source
from mmrag.corpus.readers.decode import read_bytes
from mmrag.corpus.readers.drawings.svg_words import read_drawing
from mmrag.corpus.readers.figures import figure_block


class DrawingReader:
    """Reads SVG; it is not drawn, so words that are outlines stay unread."""

    name = "drawing"
    version = 1
    formats = (Format("image/svg+xml", "an SVG drawing", (".svg",)),)
    about = (
        About(
            "SVG",
            "labels with their places, title and description",
            "what the lines show; words drawn as outlines, except matplotlib's; drawings without words",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a drawing; boxes are worked out from coordinates, without the fonts.

        Raises:
            Corrupt: It is no well-formed SVG.
            Empty: It has no words.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        drawing = read_drawing(read_bytes(path, context.limits), name=source.id)
        about = "\n".join(dict.fromkeys(filter(None, (drawing.title, drawing.description))))
        if drawing.words is None and not about:
            raise Empty(
                "The drawing has no words: no label, no title, or all of them are outlines.",
                fix="Export it as PNG if it shows words, or give it a <title>; else there is nothing to do.",
                where=source.id,
            )
        caption = Part("text", text=about, role="caption") if about else None
        metadata: dict[str, Scalar] = {"author": drawing.author} if drawing.author else {}
        return Reading(
            (figure_block(source.digest, Page(1), caption=caption, ocr=drawing.words, metadata=metadata),),
            title=drawing.title,
            pages=(PageCoverage(1, text=drawing.words is not None, ocr=False, figures=1),),
        )
