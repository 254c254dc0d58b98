"""Turn a picture in a query into words for an embedder that reads only words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmrag.core.errors import MissingExtra, SourceError, UnsupportedModality
from mmrag.core.protocols import Ocr
from mmrag.core.types import Modality, Part, Query
from mmrag.search.picture_lane import read_picture, unopened

MIN_CONFIDENCE = 0.5
"""OCR lines below this are noise more often than words."""


def words_for_pictures(
    query: Query,
    modalities: frozenset[Modality],
    ocr: Callable[[], Ocr | None],
    *,
    compared: bool = False,
) -> tuple[Query, tuple[str, ...]]:
    """Put the text read in the pictures of a query beside them, where the embedder takes no pictures.

    Args:
        query: What was asked.
        modalities: What the embedder takes.
        ocr: Returns the engine; called only when it is needed.
        compared: Whether a lane compares pictures (`PictureLane`): they then stay in the query, and
            one without words is no error. Otherwise they are replaced by their words.

    Returns:
        The query, and notes that say what was done.

    Raises:
        QueryError: A picture cannot be opened.
        UnsupportedModality: No text can be read in a picture, it is compared with none, and there are
            no words beside it.
        MissingExtra: There is no OCR engine, and the picture is compared with none.
    """
    if "image" in modalities or "image" not in query.modalities:
        return query, ()
    parts: list[Part] = []
    notes: list[str] = []
    for part in query.parts:
        if part.modality != "image":
            parts.append(part)
            continue
        path = Path(part.media or "")
        words, why = _words(path, ocr, compared=compared)
        if compared:
            parts.append(part)
        if words:
            parts.append(Part("text", text=words, role="ocr"))
        elif not (compared or query.text):
            raise UnsupportedModality(
                f"No text could be read in {path.name}, and this recipe finds pictures only by their text.",
                fix="Add a question in words, or use a recipe whose embedder takes pictures.",
            )
        notes.append(_told(path.name, why, words=bool(words), compared=compared))
    return replace(query, parts=tuple(parts)), tuple(notes)


def _words(path: Path, ocr: Callable[[], Ocr | None], *, compared: bool) -> tuple[str, str]:
    """Return the text read in a picture, and why there is none."""
    picture = read_picture(path)
    try:
        engine = ocr()
    except MissingExtra as error:
        if not compared:
            raise
        return "", error.message
    if engine is None:
        if not compared:
            raise UnsupportedModality(
                "This recipe reads no text in pictures (it names no OCR).",
                fix="Use a recipe with `ocr: {type: rapidocr}`, such as `default`.",
            )
        return "", "This recipe reads no text in pictures (it names no OCR)."
    try:
        lines = engine.read(picture)
    except SourceError as error:
        raise unopened(path, error) from error
    words = " ".join(line.text for line in lines if line.confidence >= MIN_CONFIDENCE)
    return words, "" if words else f"No text could be read in {path.name}."


def _told(name: str, why: str, *, words: bool, compared: bool) -> str:
    if words:
        ways = "by the text read in it and by likeness" if compared else "by the text read in it"
        return f"{name} was searched {ways}, since this recipe embeds no pictures."
    if compared:
        return f"{name} was searched by likeness alone. {why}"
    return f"{name} was left out: no text could be read in it, and this recipe embeds no pictures."
