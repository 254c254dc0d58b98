"""Open the ZIP containers of documents, and the XML in them, without trusting either."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from mmrag.core.errors import Corrupt, Encrypted, SourceError, TooLarge
from mmrag.core.protocols import ReadLimits
from mmrag.core.types import Source

_MAX_MEMBERS = 100_000
_MAX_RATIO, _RATIO_BYTES = 400, 50_000_000
"""Deflate packs zeros 1030 times, but sheets of empty cells 60 times; small members may be of zeros."""
_IS_ENCRYPTED = 0x1
_TORN = (BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError)
"""What `zipfile` raises on broken containers."""

_CHUNK = 1 << 16
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_USUAL = re.compile(r"http://schemas\.openxmlformats\.org/(\w+)/2006/")
_LABELS = ("mimetype", "[Content_Types].xml")
_LABEL_BYTES = 1_000_000
_KINDS = tuple(
    (re.compile(label), title, suffix)
    for label, title, suffix in (
        (
            rb"wordprocessingml\.\w+\.main\+xml|ms-word\.\w+\.macroEnabled\w*\.main",
            "a Word document",
            ".docx",
        ),
        (
            rb"presentationml\.\w+\.main\+xml|ms-powerpoint\.\w+\.macroEnabled\.main",
            "a presentation",
            ".pptx",
        ),
        (rb"spreadsheetml\.\w+\.main|ms-excel\.\w+\.macroEnabled", "a workbook", ".xlsx"),
        (rb"ms-excel\.sheet\.binary", "a binary workbook", ".xlsb"),
        (rb"ms-visio", "a Visio drawing", ".vsdx"),
        (rb"application/epub\+zip", "an EPUB", ".epub"),
        (rb"opendocument\.text", "an OpenDocument text", ".odt"),
        (rb"opendocument\.presentation", "an OpenDocument presentation", ".odp"),
        (rb"opendocument\.spreadsheet", "an OpenDocument spreadsheet", ".ods"),
        (rb"opendocument\.graphics", "an OpenDocument drawing", ".odg"),
    )
)
RESTORE_FIX = "Restore it from its source, or leave it out with a line in .mmragignore."


@contextmanager
def open_archive(path: Path, source: Source, limits: ReadLimits) -> Iterator[ZipFile]:
    """Open a ZIP container after a look at its table of contents; nothing is ever written to disk.

    Errors of the other functions here that pass through get the source's name.

    Raises:
        TooLarge: The file, what it unpacks to or its number of members exceeds a limit.
        Encrypted: A member needs a password.
        Corrupt: It is no ZIP container, or torn.
    """
    if source.size > limits.max_bytes:
        raise _too_large(f"The file has {source.size} bytes", limits.max_bytes, source.id)
    try:
        archive = ZipFile(path)
    except _TORN as error:
        raise Corrupt(
            "The file is broken: it does not hold a whole ZIP container, as its format needs.",
            fix=RESTORE_FIX,
            where=source.id,
        ) from error
    with archive:
        _check(archive.infolist(), source, limits)
        try:
            yield archive
        except SourceError as error:
            error.where = error.where or source.id
            raise


def wrong_container(archive: ZipFile, wanted: str, limits: ReadLimits) -> Corrupt:
    """Return the error for a container that is not `wanted` ("a Word document"): it says what it is."""
    names = set(archive.namelist())
    for label in (read_member(archive, name, limits)[:_LABEL_BYTES] for name in _LABELS if name in names):
        for pattern, title, suffix in _KINDS:
            if pattern.search(label) and title != wanted:
                return Corrupt(f"The file is {title}, not {wanted}.", fix=f"Rename it to end in {suffix}.")
    return Corrupt(
        f"The file is a ZIP archive without {wanted} in it.",
        fix="Give it its right suffix, or unpack it, or leave it out with a line in .mmragignore.",
    )


def read_member(archive: ZipFile, name: str | ZipInfo, limits: ReadLimits) -> bytes:
    """Return the bytes of a member: never more than the table of contents says.

    Raises:
        Corrupt: It is not there, torn, or its checksum is wrong.
        TooLarge: It unpacks to more than `limits.max_unpacked_bytes`.
    """
    try:
        member = archive.getinfo(name) if isinstance(name, str) else name
    except KeyError:
        raise Corrupt(f"The part {_short(str(name))} is missing.", fix=RESTORE_FIX) from None
    if member.file_size > limits.max_unpacked_bytes:
        said = f"The part {_short(member.filename)} unpacks to {member.file_size} bytes"
        raise _too_large(said, limits.max_unpacked_bytes)
    try:
        return archive.read(member)
    except _TORN as error:
        raise Corrupt(f"The part {_short(member.filename)} is torn.", fix=RESTORE_FIX) from error


def parse_xml(data: bytes, source: Source, *, part: str = "") -> Element:
    """Parse XML; the namespaces of Strict Office Open XML become the usual ones.

    Args:
        data: With an encoding that expat knows.
        source: Where it comes from, for errors.
        part: The member of a container that it is, for errors.

    Raises:
        Corrupt: It is not well formed, or declares entities, which no document needs.
    """
    with _parsing(part, source):
        _refuse_entities(data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
        if b"//purl.oclc.org/ooxml/" in data:
            data = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", data)
        return ElementTree.fromstring(data)


def walk_xml(archive: ZipFile, member: ZipInfo, source: Source, tags: Collection[str]) -> Iterator[Element]:
    """Parse a member that is too large for a tree: yield each element of these tags, then empty it.

    Those of Strict Office Open XML count as the usual ones. Of two such elements one in the other, the inner
    comes first.

    Raises:
        Corrupt: It is torn, not well formed, or declares entities.
    """
    wanted = {*tags, *(_USUAL.sub(r"http://purl.oclc.org/ooxml/\1/", tag) for tag in tags)}
    with _parsing(member.filename, source):
        with archive.open(member) as file:
            _refuse_entities(iter(lambda: file.read(_CHUNK), b""))
        with archive.open(member) as file:
            for _, element in ElementTree.iterparse(file):
                if element.tag in wanted:
                    yield element
                    element.clear()


class _RootBegins(Exception):
    pass


def _refuse_entities(chunks: Iterator[bytes]) -> None:
    """Look at what stands before the root element: the only place where XML declares entities."""

    def refuse(*declaration: object) -> None:
        raise Corrupt(
            "It declares XML entities, which can be made to fill the memory or to read other files.",
            fix="Open it in the program that wrote it, and save it again.",
        )

    def end(name: str, attributes: dict[str, str]) -> None:
        raise _RootBegins

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = end
    # What is not well formed is for the real parser to say.
    with suppress(_RootBegins, expat.ExpatError):
        for chunk in chunks:
            parser.Parse(chunk)


@contextmanager
def _parsing(part: str, source: Source) -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        error.where = error.where or source.id
        raise
    except (ElementTree.ParseError, LookupError, *_TORN) as error:
        what = f"The part {_short(part)}" if part else "The file"
        raise Corrupt(
            f"{what} is torn, or not the XML it should be.", fix=RESTORE_FIX, where=source.id
        ) from error


def _check(members: Sequence[ZipInfo], source: Source, limits: ReadLimits) -> None:
    if len(members) > _MAX_MEMBERS:
        raise _too_large(f"The file has {len(members)} parts", _MAX_MEMBERS, source.id)
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.max_unpacked_bytes:
        raise _too_large(f"The file unpacks to {unpacked} bytes", limits.max_unpacked_bytes, source.id)
    for member in members:
        if member.flag_bits & _IS_ENCRYPTED:
            raise Encrypted(
                "The file needs a password.",
                fix="Open it in the program that wrote it, and save a copy without the password.",
                where=source.id,
            )
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise Corrupt(
                f"The part {_short(member.filename)} is packed in a way that documents do not use.",
                fix="Unpack it and pack it again as ZIP, or save it again in the program that wrote it.",
                where=source.id,
            )
        if member.file_size > max(_RATIO_BYTES, _MAX_RATIO * member.compress_size):
            said = f"The part {_short(member.filename)} unpacks to {member.file_size} bytes"
            raise TooLarge(
                f"{said}, more than {_MAX_RATIO} times its packed size: a ZIP bomb.",
                fix="Leave it out with a line in .mmragignore.",
                where=source.id,
            )


def _too_large(said: str, limit: int, where: str | None = None) -> TooLarge:
    fix = "Split it, or leave it out with a line in .mmragignore."
    return TooLarge(f"{said}, more than the limit of {limit}.", fix=fix, where=where)


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"...{name[-60:]}"
