"""Read mails, one (.eml) or a box of them (.mbox)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from mmrag.core.errors import Corrupt, Empty, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Format, Reading
from mmrag.core.types import Scalar, Source
from mmrag.corpus.readers.decode import read_bytes
from mmrag.corpus.readers.figures import PictureShelf, with_neighbours
from mmrag.corpus.readers.flow import placed
from mmrag.corpus.readers.mail.parts import Envelope, Leftovers, open_mail
from mmrag.corpus.readers.mail.text import mail_blocks
from mmrag.corpus.readers.sentences import few_of

_CHUNK_BYTES = 1 << 16
_STAMP = re.compile(rb"From .*\d\d?:\d\d.*\b\d{4}\b")
_MAX_STAMP_BYTES = 200
"""Senders and dates are shorter; the pattern takes the square of a line's length."""
_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_NO_SUBJECT = "(no subject)"


class MailReader:
    """Reads mails with the standard library; nothing in them is ever fetched or run."""

    name = "mail"
    version = 2
    formats = (
        Format("message/rfc822", "a mail", (".eml",)),
        Format("application/mbox", "a mailbox", (".mbox", ".mbx")),
    )
    about = (
        About(
            "Mails (.eml) and mailboxes (.mbox)",
            "subject, sender, recipients, date, the text or else the HTML, quotes, mails inside of mails, "
            "attached texts, pictures and the words in them",
            "other attachments (named), encrypted parts (named), winmail.dat",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a mail or mailbox; spans count the characters of the blocks' texts.

        Raises:
            Corrupt: It is no mail, or no mailbox.
            Empty: It has no bytes.
            TooLarge: A mail exceeds `limits.max_text_bytes`, or a mailbox `limits.max_bytes`.
        """
        shelf = PictureShelf(source, context)
        left = Leftovers()
        title, metadata, cut = "", dict[str, Scalar](), tuple[str, ...]()
        if source.media_type == "application/mbox":
            blocks, cut = _read_box(path, source, shelf, left)
        else:
            envelope, pieces = open_mail(read_bytes(path, context.limits), left, name=source.id)
            context.progress(0, 1)
            blocks = mail_blocks(envelope, pieces, shelf, {})
            title, metadata = envelope.subject, _metadata(envelope)
        return Reading(
            tuple(with_neighbours(placed(blocks))),
            title=title,
            blobs=tuple(shelf.blobs.values()),
            problems=(*cut, *_problems(left), *shelf.problems()),
            depends=tuple(sorted(shelf.depends)),
            metadata=metadata,
        )


def _read_box(
    path: Path, source: Source, shelf: PictureShelf, left: Leftovers
) -> tuple[list[Block], tuple[str, ...]]:
    """Return the blocks of all mails of a box, and what of it was left out."""
    context = shelf.context
    limits = context.limits
    if source.size > limits.max_bytes:
        raise TooLarge(
            f"The mailbox has {source.size} bytes, more than the limit of {limits.max_bytes}.",
            fix="Split it by year or folder.",
            where=source.id,
        )
    blocks: list[Block] = []
    seen = read = big = broken = chars = held = 0
    most = limits.max_output_bytes // 2
    with path.open("rb") as file:
        for data in _mails(file, limits.max_text_bytes):
            seen += 1
            context.progress(seen, max(seen, seen * source.size // max(file.tell(), 1)))
            if data is None:
                big += 1
            elif read < limits.max_pages and chars < limits.max_text_bytes and held < most:
                try:
                    envelope, pieces = open_mail(data, left, name=source.id)
                except Corrupt:
                    broken += 1
                    continue
                read += 1
                metadata = {PLACE: f"message {seen}", **_metadata(envelope)}
                named = envelope if envelope.subject else replace(envelope, subject=_NO_SUBJECT)
                made = mail_blocks(named, pieces, shelf, metadata)
                chars += sum(len(block.text) for block in made)
                held += sum(len(piece.data) for piece in pieces)
                blocks += made
    if not seen:
        kind = Empty if not source.size else Corrupt
        raise kind(
            "The file is no mailbox: it does not begin with a line such as 'From ann@example.org Mon ...'.",
            fix="Restore it from its source, or rename a single mail to .eml.",
            where=source.id,
        )
    left_out = seen - read - big - broken
    counted = ((big, "exceed the limit of a text"), (broken, "have no headers"), (left_out, "were not read"))
    return blocks, tuple(f"Of {seen} messages, {count} {what}." for count, what in counted if count)


def _mails(file: BinaryIO, max_bytes: int) -> Iterator[bytes | None]:
    """Yield the mails of a box, None for one that is too large to be held.

    The standard library's mailbox takes every line that begins with "From " for a new mail, and opens
    the file for writing. Here a header must follow, and a date or the empty line before must tell.
    """
    held: list[bytes] | None = None
    size, at_line_start, after_blank = 0, True, True
    line = file.readline(_CHUNK_BYTES)
    while line:
        after = file.readline(_CHUNK_BYTES)
        is_from = at_line_start and line.startswith(b"From ")
        if is_from and _begins_mail(line, after, after_blank=after_blank):
            if held is not None:
                yield _whole(held, size, max_bytes)
            held, size = [], 0
        elif held is not None:
            size += len(line)
            if size <= max_bytes:
                held.append(line)
            else:
                held.clear()
        elif line.strip():
            return
        after_blank = at_line_start and not line.strip()
        at_line_start = line.endswith(b"\n")
        line = after
    if held is not None:
        yield _whole(held, size, max_bytes)


def _begins_mail(line: bytes, after: bytes, *, after_blank: bool) -> bool:
    is_stamp = _STAMP.match(line[:_MAX_STAMP_BYTES]) is not None
    return (_HEADER.match(after) is not None and (is_stamp or after_blank)) or (
        is_stamp and not after.strip()
    )


def _whole(lines: list[bytes], size: int, max_bytes: int) -> bytes | None:
    return None if size > max_bytes else _QUOTED_FROM.sub(rb"\1", b"".join(lines))


def _metadata(envelope: Envelope) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {
        "subject": envelope.subject,
        "from": envelope.sender,
        "to": envelope.to,
        "date": envelope.date.date().isoformat() if envelope.date else "",
    }
    return {key: value for key, value in found.items() if value}


def _problems(left: Leftovers) -> Iterator[str]:
    names = list(dict.fromkeys(left.attachments))
    if len(names) == 1:
        yield f"The attachment {names[0]} was not read: save it beside the mail."
    elif names:
        count = len(left.attachments)
        yield f"{count} attachments were not read: {few_of(names)}: save them beside the mail."
    for what, count in left.kinds.items():
        times = f" ({count} times)" if count > 1 else ""
        yield f"Not all was read, because {what}{times}."
    for doubt, count in left.doubts.items():
        yield doubt if count == 1 else f"In {count} texts: {doubt}"
