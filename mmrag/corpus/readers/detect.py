"""Tell what a file is: its name says, its first bytes must agree."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

from mmrag.core.errors import Corrupt, Empty, Encrypted, Unsupported
from mmrag.core.protocols import Reader
from mmrag.core.reading import Format

_HEAD_BYTES = 8192
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_BYTES = 1 << 20
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
"""The stream in which Office keeps a document with a password."""
PLAIN_TEXT = "text/plain"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_IGNORE = "or leave it out with a line in .mmragignore."

UNREAD = {
    "old Word documents": (".doc .rtf .pages .wpd", "Save it as .docx or PDF"),
    "old presentations": (".ppt .pps .pot .key", "Save it as .pptx or PDF"),
    "old spreadsheets": (".xls .xlsb .numbers", "Save it as .xlsx or CSV"),
    "Outlook mails": (".msg .pst", "Save it as .eml"),
    "other e-books": (".mobi .azw .azw3 .djvu .fb2 .chm", "Convert it to EPUB or PDF"),
    "archives": (
        ".zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .jar .whl .deb .rpm .dmg .iso .cab .lz4 .ar",
        "Unpack it",
    ),
    "vector drawings": (".svgz .eps .ai .ps .dxf .dwg .emf .wmf .vsd .vsdx", "Export it as SVG, PNG or PDF"),
    "HEIF and raw pictures": (
        ".heic .heif .avif .raw .cr2 .cr3 .nef .arw .dng .jxl .jp2 .psd .xcf .ico .tga",
        "Export it as JPEG or PNG",
    ),
    "databases and arrays": (
        ".db .sqlite .sqlite3 .mdb .accdb .feather .arrow .h5 .hdf5 .npy .npz .pkl .pickle .orc .avro .mat",
        "Export it as CSV or Parquet",
    ),
    "models and weights": (".onnx .safetensors .pt .pth .gguf .tflite .pb", ""),
    "programs, objects and fonts": (
        ".exe .dll .so .dylib .o .a .lib .pyc .pyd .class .wasm .ttf .otf .woff .woff2 .eot"
        " .bin .dat .apk .msi",
        "",
    ),
}
"""Families of files that no reader of mmrag takes: their suffixes, and what a person can do."""
_UNREAD_BY_SUFFIX = {
    suffix: (family, fix) for family, (suffixes, fix) in UNREAD.items() for suffix in suffixes.split()
}
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive (or an Office document)"),
    (b"\x1f\x8b", "a gzip archive"),
    (_OLE, "an old Office document"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
)


class Detector:
    """Tells the media type of a file that one of the readers takes.

    Args:
        readers: Of two that claim a suffix, the later one gets it.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        formats = [known for reader in readers for known in reader.formats]
        self._by_suffix = {suffix: known for known in formats for suffix in known.suffixes}
        self._by_name = {name: known for known in formats for name in known.names}
        self._media_types = {known.media_type for known in formats}
        self._with_magic = [(re.compile(known.magic, re.DOTALL), known) for known in formats if known.magic]

    def __call__(self, path: Path) -> str:
        """Return the media type of a file.

        Raises:
            Empty: The file has no bytes.
            Corrupt: The content is not what the suffix says, or only a git-lfs pointer.
            Encrypted: It is an Office document with a password.
            Unsupported: No reader takes this kind of file.
        """
        suffix = path.suffix.lower()
        wanted = self._by_suffix.get(suffix)
        if wanted is None and suffix in _UNREAD_BY_SUFFIX:
            family, fix = _UNREAD_BY_SUFFIX[suffix]
            fix = f"{fix}, {_IGNORE}" if fix else "Leave it out with a line in .mmragignore."
            raise Unsupported(
                f"{family[0].upper()}{family[1:]} ({suffix}) are not read.", fix=fix, where=path.name
            )
        wanted = wanted or self._by_name.get(_stem(path))
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head:
            raise Empty("The file is empty.", fix="Nothing to do, or restore its content.", where=path.name)
        if head.startswith(_LFS_POINTER):
            raise Corrupt(
                "The file is a git-lfs pointer; the real content was not fetched.",
                fix="Run: git lfs pull",
                where=path.name,
            )
        found = [known for magic, known in self._with_magic if magic.match(head)]
        if wanted is None and not found and PLAIN_TEXT in self._media_types and _is_text(head):
            return PLAIN_TEXT
        if wanted is None:
            raise _nameless(path, suffix, found, head)
        if wanted.magic and wanted not in found and not _is_late_pdf(wanted, head):
            raise _mislabelled(path, suffix, wanted, found, head)
        name = _name_of(found, head)
        if not wanted.magic and (name or _is_binary(head)):
            raise Corrupt(
                f"The file is {name or 'binary'}, but its name says text.",
                fix=_rename(found, head),
                where=path.name,
            )
        return wanted.media_type


def _nameless(path: Path, suffix: str, found: Sequence[Format], head: bytes) -> Unsupported:
    if found:
        return Unsupported(
            f"The file is {_name_of(found, head) or found[0].title} without the right suffix.",
            fix=_rename(found, head),
            where=path.name,
        )
    kind = f"Files of type {path.suffix!r}" if suffix else "Files without a suffix"
    return Unsupported(
        f"{kind} are read only if they hold plain text.",
        fix=f"Convert it to PDF, HTML, Markdown or .txt, {_IGNORE}",
        where=path.name,
    )


def _mislabelled(
    path: Path, suffix: str, wanted: Format, found: Sequence[Format], head: bytes
) -> Corrupt | Encrypted:
    if head.startswith(_OLE) and _has_password(path):
        return Encrypted(
            "The document needs a password.",
            fix="Open it in the program that wrote it, and save a copy without the password.",
            where=path.name,
        )
    if name := _name_of(found, head):
        message, fix = f"The file is {name}, not {wanted.title}.", _rename(found, head)
    elif head.lstrip()[:1] == b"<":
        message = f"The file is a web page, not {wanted.title}: often a download that failed."
        fix = "Download it again, or rename it to .html."
    else:
        message = f"The file does not begin like {wanted.title}, which its suffix {suffix} says it is."
        fix = "Restore it from its source, " + _IGNORE
    return Corrupt(message, fix=fix, where=path.name)


def _stem(path: Path) -> str:
    """Return what a file without a telling suffix is called: 'readme' of README-de, LICENSE.MIT."""
    return path.name.lower().lstrip(".").split(".")[0].split("-")[0]


def _is_binary(head: bytes) -> bool:
    return b"\x00" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff") and head[:4] != b"\x00\x00\xfe\xff"


def _is_text(head: bytes) -> bool:
    """Tell whether a file without a telling name holds text: valid UTF-8 without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return not _CONTROL.search(text)


def _is_late_pdf(wanted: Format, head: bytes) -> bool:
    # Readers of PDF accept the header anywhere in the first 1024 bytes; a text may quote it.
    return wanted.media_type == "application/pdf" and b"%PDF-" in head[:1024]


def _has_password(path: Path) -> bool:
    with path.open("rb") as file:
        return _ENCRYPTED in file.read(_OLE_BYTES)


def _name_of(found: Sequence[Format], head: bytes) -> str:
    """Return what a file is; of a container that several formats share, the container's name."""
    foreign = next((title for magic, title in _FOREIGN if head.startswith(magic)), "")
    return foreign or (found[0].title if found else "")


def _rename(found: Sequence[Format], head: bytes) -> str:
    if found and not any(head.startswith(magic) for magic, _ in _FOREIGN):
        return f"Rename it to end in {found[0].suffixes[0]}, {_IGNORE}"
    return f"Give it its right suffix, or unpack or convert it, {_IGNORE}"
