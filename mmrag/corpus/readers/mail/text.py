"""Write a mail as blocks: paragraphs without their line breaks, quotes apart, attachments under a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from mmrag.core.fields import ANCHOR
from mmrag.core.reading import Block
from mmrag.core.types import Scalar
from mmrag.corpus.readers.figures import PictureShelf
from mmrag.corpus.readers.flow import NOWHERE, text_block
from mmrag.corpus.readers.mail.parts import Envelope, Piece
from mmrag.corpus.readers.web.html import fragment_blocks

_QUOTE = re.compile(r"(?:[>|]\s?)+(?=\S|$)")
_SIGNATURE = "-- "
_ITEM = re.compile(r"\s*(?:[-*+•]|\(?\d{1,3}[.)])\s+\S")
_DRAWN = re.compile(r"\S(?:\s{3,}|\t)\S|\|.*\|")
_SHORT_LINE, _WRAPPED_CHARS = 0.6, 40
_MAX_LEVEL = 6


def mail_blocks(
    envelope: Envelope, pieces: Sequence[Piece], shelf: PictureShelf, metadata: Mapping[str, Scalar]
) -> list[Block]:
    """Return a mail's subject, who wrote to whom and when, and its content, each block with `metadata`."""
    pictures = {piece.link: piece for piece in pieces if piece.kind == "picture" and piece.link}
    shown: set[str] = set()

    def inside(link: str) -> bytes | None:
        if link not in pictures:
            return None
        shown.add(link)
        return pictures[link].data

    shelf.inside = inside
    made = [text_block("heading", envelope.subject, level=1)] if envelope.subject else []
    if lines := envelope.lines():
        made.append(text_block("paragraph", lines))
    for piece in pieces:
        level = min(piece.level + 1, _MAX_LEVEL)
        if piece.kind == "picture":
            found = shelf.picture(piece.data, NOWHERE, name=piece.name, alt=piece.name)
            made += [found] if found and piece.link not in shown else []
            continue
        if piece.name:
            made.append(text_block("heading", f"Attachment: {piece.name}", level=min(level + 1, _MAX_LEVEL)))
        made += _of_piece(piece, level, shelf)
    return [replace(block, metadata={**metadata, **block.metadata}) for block in made]


def _of_piece(piece: Piece, level: int, shelf: PictureShelf) -> Iterator[Block]:
    if piece.kind == "html":
        yield from (_unplaced(block) for block in fragment_blocks(piece.text, shelf))
    elif piece.kind == "heading":
        yield text_block("heading", piece.text, level=level)
    elif piece.kind == "lines":
        yield text_block("code" if piece.name else "paragraph", piece.text.strip("\r\n"))
    else:
        yield from (text_block("paragraph", text) for text in _paragraphs(piece))


def _unplaced(block: Block) -> Block:
    """Forget where a block stands in its HTML: the mail counts its own characters."""
    parts = tuple(replace(part, places=()) if part.role != "ocr" else part for part in block.parts)
    metadata = {key: value for key, value in block.metadata.items() if key != ANCHOR}
    return replace(block, parts=parts, metadata=metadata)


def _paragraphs(piece: Piece) -> Iterator[str]:
    """Yield the paragraphs of a plain text; a quoted one begins with '> '."""
    lines = [line.rstrip("\r") for line in piece.text.split("\n")]
    group: list[str] = []
    depth, is_signature = 0, False
    for line in _unflowed(lines, piece.joint) if piece.flowed else lines:
        quote = _QUOTE.match(line)
        own = len(re.sub(r"\s", "", quote.group())) if quote else 0
        words = line[quote.end() :] if quote else line
        starts_signature = line.rstrip() == "--" and not own
        if group and (not words.strip() or own != depth or starts_signature):
            yield _joined(group, depth=depth, keep=is_signature)
            group = []
        depth = own
        if starts_signature:
            is_signature = True
        elif words.strip():
            group.append(words.rstrip())
    if group:
        yield _joined(group, depth=depth, keep=is_signature)


def _unflowed(lines: Sequence[str], joint: str) -> Iterator[str]:
    """Join the lines of a text with format=flowed.

    Source: RFC 3676, section 4.
    """
    held, held_quote = "", ""
    for line in lines:
        quote = line[: len(line) - len(line.lstrip(">"))]
        words = line[len(quote) :]
        words = words.removeprefix(" ")
        if held and quote != held_quote:
            yield f"{held_quote} {held}" if held_quote else held
            held = ""
        held_quote = quote
        if words.endswith(" ") and words != _SIGNATURE:
            held += words if joint else words[:-1]
            continue
        words = held + words
        held = ""
        yield f"{quote} {words}" if quote else words
    if held:
        yield f"{held_quote} {held}" if held_quote else held


def _joined(lines: Sequence[str], *, depth: int, keep: bool) -> str:
    """Join wrapped lines by spaces; a line that ends early, an item or a drawing keeps its line end."""
    widest = max(map(len, lines))
    keep = keep or 2 * sum(_DRAWN.search(line) is not None for line in lines) > len(lines)
    made = lines[0] if keep else lines[0].strip()
    for before, line in pairwise(lines):
        is_short = widest < _WRAPPED_CHARS or len(before) < _SHORT_LINE * widest
        separator = "\n" if keep or is_short or _ITEM.match(line) else " "
        made += separator + (line if keep else line.strip())
    return f"> {made}" if depth else made
