"""Turn the bytes of a text file into characters: spans of text and Markdown count these."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from mmrag.core.errors import Corrupt, Empty, TooLarge
from mmrag.core.protocols import ReadLimits

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD_BYTES = 1024
_XML_DECLARATION = re.compile(rb"""\s*<\?xml[^>]{0,80}encoding\s*=\s*["']([A-Za-z0-9_.-]{1,40})""")
_CODING = re.compile(rb"coding[:=]\s*([A-Za-z0-9_.-]{1,40})")
_C1_CONTROLS = dict.fromkeys(range(0x80, 0xA0), " ")


@dataclass(frozen=True, slots=True)
class Decoded:
    """The characters of a file; line ends stay as they are."""

    text: str
    encoding: str
    problems: tuple[str, ...] = ()


def read_bytes(path: Path, limits: ReadLimits) -> bytes:
    """Return the bytes of a text file within the limits.

    Raises:
        TooLarge: The file exceeds `limits.max_text_bytes`.
        Empty: The file has no bytes.
    """
    size = path.stat().st_size
    if size > limits.max_text_bytes:
        raise TooLarge(
            f"The text has {size} bytes, more than the limit of {limits.max_text_bytes}.",
            fix="Split the file, or leave it out with a line in .mmragignore.",
            where=path.name,
        )
    if not size:
        raise Empty("The file is empty.", fix="Nothing to do, or restore its content.", where=path.name)
    return path.read_bytes()


def decode(data: bytes, *, name: str, declared: str = "") -> Decoded:
    """Decode by byte order mark, then `declared` or what the text says of itself, UTF-8, Windows-1252.

    A text says its encoding in an XML declaration, or by `coding: latin2` in one of its first two lines, as
    Python, Emacs and reStructuredText have it.

    Raises:
        Corrupt: The bytes are no text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _with_replacements(data, encoding)
    if b"\x00" in data:
        raise Corrupt(
            "The file holds binary data, not text.",
            fix="Give it the suffix of its real type, or leave it out with a line in .mmragignore.",
            where=name,
        )
    declared = declared or _declared_in(data[:_HEAD_BYTES])
    if declared and (found := _strict(data, declared)) is not None:
        return Decoded(found, declared)
    if (found := _strict(data, "utf-8")) is not None:
        return Decoded(found, "utf-8")
    guess = _strict(data, "cp1252")
    if guess is not None:
        encoding = "cp1252"
    else:
        encoding, guess = "latin-1", data.decode("latin-1").translate(_C1_CONTROLS)
    note = (
        f"The encoding is not given and not UTF-8: read as {encoding}, so some letters may be wrong. "
        "Save it as UTF-8."
    )
    return Decoded(guess, encoding, (note,))


def _declared_in(head: bytes) -> str:
    found = _XML_DECLARATION.match(head) or next(
        filter(None, map(_CODING.search, head.split(b"\n")[:2])), None
    )
    encoding = found[1].decode("ascii").lower() if found else ""
    # A declaration that can be read as ASCII is not in UTF-16.
    return "" if encoding.startswith(("utf-16", "utf16", "utf-32", "utf32")) else encoding


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _with_replacements(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, errors="replace")
    if "\ufffd" not in text:
        return Decoded(text, encoding)
    count = text.count("\ufffd")
    return Decoded(text, encoding, (f"{count} characters are not valid {encoding} and were replaced.",))
