"""Turn a picture in a query into words for an embedder that reads only words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mmrag.core.errors import QueryError, SourceError, UnsupportedModality
from mmrag.core.protocols import Ocr
from mmrag.core.types import Modality, Part, Query

MIN_CONFIDENCE = 0.5
"""OCR lines below this are noise more often than words."""


def words_for_pictures(
    query: Query, modalities: frozenset[Modality], ocr: Callable[[], Ocr | None]
) -> tuple[Query, tuple[str, ...]]:
    """Replace the pictures of a query by the text read in them, where the embedder takes no pictures.

    Returns the query and notes that say what was done. `ocr` is called only when it is needed.

    Raises:
        QueryError: A picture cannot be opened.
        UnsupportedModality: No text can be read in a picture, and there are no words beside it.
        MissingExtra: There is no OCR engine.
    """
    if "image" in modalities or "image" not in query.modalities:
        return query, ()
    parts: list[Part] = []
    notes: list[str] = []
    for part in query.parts:
        if part.modality != "image":
            parts.append(part)
            continue
        words = _read(Path(part.media or ""), ocr())
        name = Path(part.media or "").name
        if words:
            parts.append(Part("text", text=words))
            notes.append(f"{name} was searched by the text read in it, since this recipe embeds no pictures.")
        elif query.text:
            notes.append(
                f"{name} was left out: no text could be read in it, and this recipe embeds no pictures."
            )
        else:
            raise UnsupportedModality(
                f"No text could be read in {name}, and this recipe finds pictures only by their text.",
                fix="Add a question in words, or use a recipe whose embedder takes pictures.",
            )
    return Query(tuple(parts), query.instruction), tuple(notes)


def _read(path: Path, ocr: Ocr | None) -> str:
    if ocr is None:
        raise UnsupportedModality(
            "This recipe reads no text in pictures (it names no OCR).",
            fix="Use a recipe with `ocr: {type: rapidocr}`, such as `default`.",
        )
    # A pipe or device would be waited for, or read, without end.
    if "\0" in str(path) or (os.path.exists(path) and not path.is_file()):
        raise QueryError("The picture is not a file.", fix="Check the path.", where=str(path))
    try:
        lines = ocr.read(path.read_bytes())
    except (OSError, SourceError) as error:
        reason = error.message if isinstance(error, SourceError) else f"{error.strerror}."
        raise QueryError(
            f"The picture cannot be opened: {reason}",
            fix="Give the path of a PNG, JPEG, WebP, TIFF, GIF or BMP file.",
            where=str(path),
        ) from error
    return " ".join(line.text for line in lines if line.confidence >= MIN_CONFIDENCE)
