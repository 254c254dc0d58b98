"""A question as a person gave it, checked before anything is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmrag.core.errors import QueryError
from mmrag.core.protocols import Embedder
from mmrag.core.types import Part, Query

MAX_QUESTION_CHARACTERS = 20_000
"""Some 10 pages; a longer one takes many seconds and is a file given by mistake."""

Images = str | Path | Sequence[str | Path]
"""The path of a picture, or of several."""


def as_asked(query: str | Query, image: Images | None, embedder: Embedder) -> tuple[Query, tuple[str, ...]]:
    """Return a question with the pictures beside it, and notes on what its embedder does not know.

    Raises:
        QueryError: It is empty, too long, or no question at all, or the embedder has no such task.
    """
    if not isinstance(query, str | Query):
        raise QueryError(f"A question is no {type(query).__name__}.", fix="Ask in words, or a Query.")
    images = [image] if image is None or isinstance(image, str | Path) else image
    if not isinstance(images, list | tuple) or not all(isinstance(one, str | Path | None) for one in images):
        raise QueryError(f"{image!r} is no picture.", fix="Give the path of a picture, or a list of them.")
    if isinstance(query, str):
        wanted = Query.of(query.strip(), image=image)
    else:
        wanted = replace(query, parts=(*query.parts, *Query.of(image=image).parts))
    wanted = replace(wanted, parts=tuple(map(_encodable, wanted.parts)))
    if wanted.instruction is not None:
        wanted = replace(wanted, instruction=_whole(wanted.instruction))
    if not wanted.parts:
        raise QueryError("The question is empty.", fix="Ask in words, or give an image.")
    if len(wanted.text) > MAX_QUESTION_CHARACTERS:
        raise QueryError(
            f"The question has {len(wanted.text)} characters, more than {MAX_QUESTION_CHARACTERS}.",
            fix="Ask in fewer words.",
        )
    return _known(wanted, embedder)


def _encodable(part: Part) -> Part:
    return part if part.text is None else replace(part, text=_whole(part.text))


def _whole(text: str) -> str:
    # A shell hands over bytes that are no UTF-8 as halves of surrogate pairs, which no tokenizer takes.
    return text.encode("utf-8", "replace").decode()


def _known(query: Query, embedder: Embedder) -> tuple[Query, tuple[str, ...]]:
    tasks: frozenset[str] | None = getattr(embedder, "tasks", None)
    if query.task is not None and query.task not in (tasks or ()):
        known = ", ".join(sorted(tasks or ())) or "none"
        raise QueryError(f"The recipe has no task {query.task!r}.", fix=f"Known: {known}.")
    if query.instruction is None or tasks is not None:
        return query, ()
    who = embedder.identity.get("embedder", "of this recipe")
    return replace(query, instruction=None), (f"The embedder {who} knows no instructions; it was left out.",)
