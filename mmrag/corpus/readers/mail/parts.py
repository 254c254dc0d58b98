"""Take a mail apart: its headers, its bodies, its pictures and texts, and what cannot be read."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Literal, TypeVar

from mmrag.core.errors import Corrupt
from mmrag.corpus.readers.decode import decode
from mmrag.corpus.readers.web.html import fragment_blocks

PieceKind = Literal["heading", "lines", "plain", "html", "picture"]
T = TypeVar("T")

_MAX_DEPTH = 50
"""Mails inside of mails: each level takes some of the thousand calls within calls that Python allows."""
_MAX_PARTS = 2000
"""A guess well above digests of mailing lists; an empty part takes five bytes: a mail can hold millions."""
_MAX_HEADER_CHARS = 1000
_STUB = 4
"""Some plain texts only say where to see the real mail: so many times more words in the HTML tell.

A guess between the two: HTML adds the frame of a newsletter to the same words, a stub is one line of a page.
"""

_BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MessageError, RecursionError)
"""What the standard library raises on broken headers, charsets, dates and file names."""

_OWN_HEADERS = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "received",
    "return-path",
    "sender",
    "reply-to",
    "delivered-to",
    "mime-version",
    "content-type",
)
_SIGNATURES = frozenset(
    {
        "application/pgp-signature",
        "application/pgp-keys",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
    }
)
_ENCRYPTED = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_REPORTS = frozenset(
    {
        "message/delivery-status",
        "message/global-delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
    }
)
"""They hold nothing but fields."""
_ELSEWHERE = frozenset({"message/external-body", "message/partial"})
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".md"})
_LINE_SUFFIXES = frozenset({".csv", ".tsv", ".log", ".json", ".xml", ".yaml", ".yml", ".ics", ".vcf"})
_LINE_KINDS = frozenset({"text/csv", "text/tab-separated-values", "text/calendar", "text/vcard"})
_RICH_TEXTS = ("text/rtf", "text/richtext", "text/enriched")
_PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"})
_BODY = re.compile(r"<body\b", re.IGNORECASE)
_CHARSET = re.compile(r"[\w.:+-]{1,40}")
_PGP = re.compile(r"-----BEGIN PGP MESSAGE-----.*?(?:-----END PGP MESSAGE-----|\Z)", re.DOTALL)
_PGP_FRAME = re.compile(
    r"-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:Hash:[^\n]*\n)?"
    r"|-----BEGIN PGP SIGNATURE-----.*?(?:-----END PGP SIGNATURE-----|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing in a mail, in reading order.

    Args:
        kind: A heading; lines that stay lines; a plain or HTML text; a picture.
        name: What an attachment is called; '' for what belongs to the mail's own text.
        link: By what an HTML text refers to a picture: "cid:part1@example.org".
        level: How deep the mail is inside others, from 0.
        flowed: A plain text whose lines end in a space where they go on.
        joint: What stands between such lines.
    """

    kind: PieceKind
    text: str = ""
    data: bytes = b""
    name: str = ""
    link: str = ""
    level: int = 0
    flowed: bool = False
    joint: str = " "


@dataclass(frozen=True, slots=True)
class Envelope:
    """The headers that people look for; `date` is as the sender's clock had it, None if it is broken."""

    subject: str = ""
    sender: str = ""
    to: str = ""
    cc: str = ""
    date: datetime | None = None

    def lines(self) -> str:
        """Return the headers but the subject, a line each."""
        date = self.date.isoformat(" ", "minutes") if self.date else ""
        named = (("From", self.sender), ("To", self.to), ("Cc", self.cc), ("Date", date))
        return "\n".join(f"{name}: {value}" for name, value in named if value)


@dataclass(slots=True)
class Leftovers:
    """What was not read of one mail or many: names of attachments, counts of the rest."""

    attachments: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)


def open_mail(data: bytes, left: Leftovers, *, name: str) -> tuple[Envelope, list[Piece]]:
    """Return a mail's headers and pieces; what cannot be read goes to `left`.

    Raises:
        Corrupt: There are no headers of a mail.
    """
    data = data.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n\t ")
    # The parser of the older policy: the newer one parses headers when they are looked at, which takes
    # 0.9 s for 5000 addresses and a RecursionError for a row of brackets.
    parser = BytesParser()
    try:
        message = parser.parsebytes(data)
    except RecursionError:
        message = parser.parsebytes(data, headersonly=True)
        del message["content-type"]
        message.set_payload("")
        left.kinds["its parts are nested too deeply"] += 1
    if all(message.get(name) is None for name in _OWN_HEADERS):
        raise Corrupt(
            "The file is no mail: it does not begin with headers such as From: or Subject:.",
            fix="Restore it from its source, or rename it to .txt.",
            where=name,
        )
    taker = _Taker(left)
    return envelope_of(message), list(taker.take(message, 0))


def envelope_of(message: Message) -> Envelope:
    """Return the headers of a message, each decoded as well as it can be."""
    date = _raw(message, "date")
    return Envelope(
        subject=_header(message, "subject"),
        sender=_header(message, "from"),
        to=_header(message, "to"),
        cc=_header(message, "cc"),
        date=_try(lambda: parsedate_to_datetime(date), None) if date else None,
    )


class _Taker:
    """Takes parts in reading order."""

    def __init__(self, left: Leftovers) -> None:
        self._left = left
        self._parts = 0
        self._counts: dict[int, tuple[Piece, int]] = {}

    def take(self, part: Message, level: int, depth: int = 0) -> Iterator[Piece]:
        kind = part.get_content_type()
        self._parts += 1
        if depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            # Once is enough: what is inside of these parts is not even counted.
            self._left.kinds["it has too many parts inside of parts"] = 1
        elif kind in _ENCRYPTED:
            self._left.kinds["a part is encrypted or wrapped (S/MIME, PGP)"] += 1
        elif kind in _ELSEWHERE:
            self._left.kinds["a part of it is kept elsewhere"] += 1
        elif kind in _REPORTS and part.is_multipart():
            fields = ("\n".join(f"{k}: {_decoded(v)}" for k, v in m.raw_items()) for m in _children(part))
            if lines := "\n".join(filter(None, fields)):
                yield Piece("lines", lines, level=level)
        elif part.get_content_maintype() == "message" and _children(part):
            yield from self._mail(_children(part)[0], level + 1, depth)
        elif kind == "multipart/alternative":
            yield from self._best([list(self.take(c, level, depth + 1)) for c in _children(part)])
        elif part.is_multipart():
            for child in _children(part):
                yield from self.take(child, level, depth + 1)
        else:
            yield from self._leaf(part, kind, level)

    def _mail(self, message: Message, level: int, depth: int) -> Iterator[Piece]:
        envelope = envelope_of(message)
        yield Piece("heading", envelope.subject or "(no subject)", level=level)
        if lines := envelope.lines():
            yield Piece("lines", lines, level=level)
        yield from self.take(message, level, depth + 1)

    def _best(self, versions: list[list[Piece]]) -> Iterator[Piece]:
        """Yield the words of one version, the plain one if it says it all, and what others have beside."""
        counts = [sum(self._words(p) for p in pieces if _is_body(p)) for pieces in versions]
        plain = next((i for i, ps in enumerate(versions) if counts[i] and _is_plain(ps)), None)
        richest = max(range(len(counts)), key=lambda i: counts[i], default=None)
        chosen = plain
        if plain is None or (richest is not None and counts[richest] > _STUB * counts[plain]):
            chosen = richest
        for i, pieces in enumerate(versions):
            yield from (piece for piece in pieces if i == chosen or not _is_body(piece))

    def _words(self, piece: Piece) -> int:
        """Count a piece's words, once: alternatives within alternatives compare the same pieces again."""
        if id(piece) not in self._counts:
            texts = (
                (block.text for block in fragment_blocks(piece.text))
                if piece.kind == "html"
                else [piece.text]
            )
            # The piece is held with its count, so that no other one gets its id.
            self._counts[id(piece)] = piece, sum(len(text.split()) for text in texts)
        return self._counts[id(piece)][1]

    def _leaf(self, part: Message, kind: str, level: int) -> Iterator[Piece]:
        if kind.startswith("multipart/"):
            kind = "text/plain"  # Its boundary is missing: what follows are the words.
        name = _decoded(_try(part.get_filename, None) or "")[:100]
        suffix = PurePosixPath(name.lower()).suffix
        text_kind = _text_kind(kind, suffix)
        if kind in _SIGNATURES:
            return
        if kind == "application/ms-tnef" or name.lower() == "winmail.dat":
            self._left.kinds["its attachments are in Outlook's own format (winmail.dat)"] += 1
        elif kind.startswith("image/") or suffix in _PICTURE_SUFFIXES:
            name = name or f"picture {self._parts}"
            yield Piece("picture", data=_payload(part), name=name, link=_link(part), level=level)
        elif text_kind is None:
            self._left.attachments.append(name or f"without a name ({kind})")
        else:
            # An invitation is a third version of its mail that says more than the others: never its body.
            name = name or ("invitation" if kind == "text/calendar" else "")
            yield from self._text(part, text_kind, name, level)

    def _text(self, part: Message, kind: PieceKind, name: str, level: int) -> Iterator[Piece]:
        try:
            decoded = decode(_payload(part), name=name or "body", declared=_charset(part))
        except Corrupt:
            self._left.attachments.append(name or "without a name (binary)")
            return
        self._left.doubts.update(decoded.problems)
        text = _PGP_FRAME.sub("", decoded.text)
        if _PGP.search(text):
            self._left.kinds["a part is encrypted or wrapped (S/MIME, PGP)"] += 1
            text = _PGP.sub("", text)
        if kind == "html":
            text = _within_body(text)
        if text.strip():
            flowed = _parameter(part, "format") == "flowed"
            joint = "" if _parameter(part, "delsp") == "yes" else " "
            yield Piece(kind, text, name=name, level=level, flowed=flowed, joint=joint)


def _text_kind(kind: str, suffix: str) -> PieceKind | None:
    """Return how to read a part as text; None if it is no text."""
    if kind == "text/html" or suffix in (".html", ".htm"):
        return "html"
    if kind in _LINE_KINDS or suffix in _LINE_SUFFIXES:
        return "lines"
    if suffix in _TEXT_SUFFIXES or (kind.startswith("text/") and kind not in _RICH_TEXTS):
        return "plain"
    return None


def _within_body(html: str) -> str:
    """Return what follows the tag that opens the body, all if there is none."""
    body = _BODY.search(html)
    end = html.find(">", body.end()) if body else -1
    return html[end + 1 :]


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _is_body(piece: Piece) -> bool:
    return piece.kind in ("plain", "html", "lines") and not piece.name


def _is_plain(pieces: Iterable[Piece]) -> bool:
    return all(piece.kind == "plain" for piece in pieces if _is_body(piece))


def _payload(part: Message) -> bytes:
    data = _try(lambda: part.get_payload(decode=True), None)
    return data if isinstance(data, bytes) else b""


def _parameter(part: Message, name: str) -> str:
    return _try(lambda: str(part.get_param(name, "")), "").lower()


def _link(part: Message) -> str:
    ident = _raw(part, "content-id").strip().strip("<>")
    return f"cid:{ident}" if ident else _raw(part, "content-location").strip()


def _charset(part: Message) -> str:
    """Return the charset that a part declares, '' if it is none that Python can read text with."""
    declared = _try(part.get_content_charset, None) or ""
    if not _CHARSET.fullmatch(declared):
        return ""
    # As browsers do: what says latin-1 or ASCII is written in Windows-1252.
    name = "cp1252" if declared in ("iso-8859-1", "latin1") else declared
    return name if _try(lambda: isinstance(b"a".decode(name), str), False) and name != "us-ascii" else ""


def _raw(message: Message, name: str) -> str:
    return next((str(value) for key, value in message.raw_items() if key.lower() == name), "")


def _header(message: Message, name: str) -> str:
    value = _decoded(_raw(message, name)[: 8 * _MAX_HEADER_CHARS])
    return value if len(value) <= _MAX_HEADER_CHARS else value[:_MAX_HEADER_CHARS].rsplit(" ", 1)[0] + " ..."


def _decoded(raw: str) -> str:
    """Decode the encoded words of a header; bytes beyond ASCII are UTF-8 or Windows-1252."""
    if not raw.isascii():
        data = raw.encode("utf-8", "surrogateescape").replace(b"\x00", b"")
        raw = _try(lambda: decode(data, name="header").text, raw.encode("ascii", "replace").decode("ascii"))
    pieces = _try(lambda: decode_header(raw), [(raw, None)])
    words = "".join(_word(data, charset) for data, charset in pieces)
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _word(data: bytes | str, charset: str | None) -> str:
    if isinstance(data, str):
        return data
    if charset is None:
        return data.decode("raw-unicode-escape", "replace")
    return _try(lambda: decode(data, name="header", declared=charset).text, data.decode("latin-1"))


def _try(call: Callable[[], T], default: T) -> T:
    try:
        return call()
    except _BROKEN:
        return default
