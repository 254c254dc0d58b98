"""Write contents as requests for `/embeddings`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmrag.core.errors import UnsupportedModality
from mmrag.embed.content import Content, Picture
from mmrag.embed.inputs import check_task
from mmrag.embed.remote.options import OpenAiOptions
from mmrag.media.urls import data_url

PICTURE_TOKENS = 1500
"""What a picture counts in a request's budget: about what models of 2025 make of `max_side` pixels, and so
that its megabytes bound the request."""

_BYTES_A_TOKEN = 4
_PLACE = re.compile(r"\{(text|instruction)\}")
_NO_WORDS = "."
"""What is sent for an input without words: OpenAI, TEI and others refuse an empty one."""


@dataclass(frozen=True, slots=True)
class Input:
    """A content as it is sent: its words in their template, its pictures unopened."""

    content: Content
    words: str
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """What it counts in a request's budget."""
        return guess_tokens(self.words) + PICTURE_TOKENS * len(self.pictures)

    @property
    def kind(self) -> str:
        """Inputs of one kind may share a request, if the server takes pictures as one more kind of input."""
        return f"{self.content.role} {'image' if self.pictures else 'text'}"


def guess_tokens(text: str) -> int:
    """Guess how many tokens a text takes: its UTF-8 bytes by four, rounded up.

    English has 4 to 5 letters a token; other scripts take two or three bytes a letter, and fewer letters a
    token. A server's own count would be one request a text.
    """
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN)


def write_input(content: Content, options: OpenAiOptions) -> Input:
    """Put a content's words into the recipe's template.

    Raises:
        UnsupportedModality: The server takes no words beside pictures.
        QueryError: The recipe has no such task.
    """
    pictures = tuple(part for part in content.parts if isinstance(part, Picture))
    # A lone surrogate, as broken files have them, is no UTF-8.
    text = " ".join(part for part in content.parts if isinstance(part, str))
    text, notes = _cut(text.encode("utf-8", "replace").decode(), options.max_tokens)
    notes += _left_out(content, options, has_words=bool(text.strip()))
    if not pictures:
        return Input(content, _filled(content, text, options) if text.strip() else _NO_WORDS, (), notes)
    if options.images != "messages" and (text.strip() or len(pictures) > 1):
        raise UnsupportedModality(
            f"With images: {options.images}, one picture alone is embedded, not pictures with words.",
            fix="Ask with words or with one picture, or use a server that takes messages.",
        )
    words = _filled(content, text, options) if text.strip() else options.image_words
    return Input(content, words, pictures, notes)


def write_payload(one: Input, options: OpenAiOptions) -> Any:
    """Return what stands for an input in a request; its pictures are opened now.

    Raises:
        SourceError: A picture cannot be opened.
    """
    if options.images == "messages":
        return _messages(one, options)
    objects = options.images == "objects"
    if not one.pictures:
        return {"text": one.words} if objects else one.words
    url = data_url(one.pictures[0].open(), max_side=options.max_side)
    return {"image": url} if objects else url


def write_body(kind: Input, payloads: Sequence[Any], options: OpenAiOptions) -> dict[str, Any]:
    """Return the request for some payloads of one kind; `kind` is any of their inputs."""
    query = kind.content.role == "query"
    fields = options.query_fields if query else options.document_fields
    body: dict[str, Any] = {"model": options.model, "encoding_format": options.encoding, **fields}
    if options.dim_by == "server":
        body["dimensions"] = options.dim
    if options.images == "messages":
        (messages,) = payloads
        return {**body, "messages": messages}
    if options.images == "modality" and kind.pictures:
        body["modality"] = "image"
    return {**body, "input": list(payloads)}


def _messages(one: Input, options: OpenAiOptions) -> list[dict[str, Any]]:
    urls = [data_url(picture.open(), max_side=options.max_side) for picture in one.pictures]
    user: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    if one.words:
        user.append({"type": "text", "text": one.words})
    turns: list[dict[str, Any]] = []
    if options.system:
        said = options.system.replace("{instruction}", _instruction(one.content, options))
        turns.append({"role": "system", "content": [{"type": "text", "text": said}]})
    return [*turns, {"role": "user", "content": user}]


def _filled(content: Content, text: str, options: OpenAiOptions) -> str:
    values = {"text": text, "instruction": _instruction(content, options)}
    form = options.query if content.role == "query" else options.document
    # One pass: a text that says {instruction} stays as it is.
    return _PLACE.sub(lambda found: values[found[1]], form)


def _left_out(content: Content, options: OpenAiOptions, *, has_words: bool) -> tuple[str, ...]:
    """Tell of an instruction that has no place in the request."""
    form = options.query if content.role == "query" else options.document
    has_place = "{instruction}" in options.system or (has_words and "{instruction}" in form)
    if not (content.instruction or "").strip() or has_place:
        return ()
    return (f"{options.model} takes no instruction here: it was left out.",)


def _instruction(content: Content, options: OpenAiOptions) -> str:
    if content.instruction is not None:
        return content.instruction
    if content.role == "document":
        return options.document_instruction
    check_task(content.task, options.tasks)
    return options.tasks[content.task] if content.task is not None else options.instruction


def _cut(text: str, max_tokens: int | None) -> tuple[str, tuple[str, ...]]:
    if max_tokens is None or guess_tokens(text) <= max_tokens:
        return text, ()
    kept = text.encode()[: max_tokens * _BYTES_A_TOKEN].decode("utf-8", "ignore")
    return kept, (f"Of {len(text)} characters the first {len(kept)} were embedded.",)
