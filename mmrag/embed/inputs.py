"""Turn items and queries into contents: what of them an embedder sees."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from mmrag.core.errors import ConfigError, QueryError, SourceError, UnsupportedModality
from mmrag.core.fields import embedding_text
from mmrag.core.protocols import Media
from mmrag.core.types import Item, Modality, Part, Query
from mmrag.embed.content import Content, Picture, Sound
from mmrag.embed.sounds import open_wav


def item_content(item: Item, media: Media | None, takes: Collection[Modality], *, fused: bool) -> Content:
    """Return what is embedded of an item: its pictures where the embedder takes them, else its words.

    Args:
        item: The item.
        media: Opens its pictures.
        takes: What parts the embedder takes.
        fused: Whether its words are embedded together with its pictures.

    Raises:
        ConfigError: It has a picture, and nothing opens it.
    """
    pictures = [part for part in item.parts if part.modality == "image" and part.media]
    if not pictures or "image" not in takes:
        return Content((embedding_text(item),), "document")
    parts: list[str | Picture | Sound] = [_kept(item, part, media) for part in pictures]
    if fused and item.text.strip():
        parts.append(embedding_text(item))
    return Content(tuple(parts), "document")


def query_content(query: Query, takes: Collection[Modality], tasks: Collection[str]) -> Content:
    """Return what is embedded of a query.

    Raises:
        UnsupportedModality: It has parts that the embedder does not take.
        QueryError: There is no such task.
    """
    parts: list[str | Picture | Sound] = []
    for part in query.parts:
        if part.modality not in takes:
            raise UnsupportedModality(
                f"The embedder takes {' and '.join(sorted(takes))}, and the query has: {part.modality}.",
                fix="Ask otherwise, or use a recipe whose embedder takes it: mmrag recipe list",
            )
        parts.append(part.text or "" if part.modality == "text" else _asked(part))
    check_task(query.task, tasks)
    return Content(tuple(parts), "query", query.instruction, query.task)


def check_task(task: str | None, tasks: Collection[str]) -> None:
    """Refuse a task that the recipe does not have; None is no task.

    Raises:
        QueryError: There is no such task.
    """
    if task is not None and task not in tasks:
        known = ", ".join(sorted(tasks)) or "none"
        raise QueryError(f"The recipe has no task {task!r}.", fix=f"Known: {known}.")


def _asked(part: Part) -> Picture | Sound:
    read = _file(Path(part.media or ""))
    if part.modality == "audio":
        return Sound(lambda: open_wav(read(), name=str(part.media)))
    return Picture(read)


def _kept(item: Item, part: Part, media: Media | None) -> Picture:
    if media is None:
        raise ConfigError("An item has a picture, and nothing opens it.", fix="Give embed_items its `media`.")
    return Picture(lambda: media(item, part))


def _file(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.", fix="Check the path.") from error

    return read
