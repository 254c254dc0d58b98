"""Tell what a file is: its suffix says, its first bytes must agree."""

from __future__ import annotations

from pathlib import Path

from mmrag.core.errors import Corrupt, Empty, Unsupported
from mmrag.corpus.readers.suffixes import LINES, NAMES, PROSE, TABLES

_HEAD_BYTES = 8192
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_IGNORE = "or leave it out with a line in .mmragignore."

_BINARY = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
}
_MARKUP = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".mdown": "text/markdown",
    ".mkd": "text/markdown",
}
_LATER = {
    "Word documents": (".doc .docx .odt .rtf .pages", "Save it as PDF"),
    "presentations": (".ppt .pptx .odp .key", "Save it as PDF"),
    "spreadsheets": (".xls .xlsx .ods .numbers", "Save it as CSV or PDF"),
    "notebooks": (".ipynb", "Export it as HTML"),
    "e-books": (".epub .mobi .azw3 .djvu", "Convert it to PDF or HTML"),
    "mails": (".eml .msg .mbox", "Save it as text or PDF"),
    "archives": (".zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .jar .whl .deb .rpm", "Unpack it"),
    "sound": (".mp3 .wav .flac .ogg .opus .m4a .aac .wma", "Put a transcript as text beside it"),
    "films": (".mp4 .mkv .mov .avi .webm .mpg .mpeg .wmv", "Put a transcript as text beside it"),
    "vector drawings": (".svg .svgz .eps .ai .ps .dxf .dwg .emf .wmf", "Export it as PNG or PDF"),
    "HEIF and raw pictures": (".heic .heif .avif .raw .cr2 .nef .arw .dng .jxl .jp2", "Export it as JPEG"),
    "databases": (".db .sqlite .sqlite3 .mdb .parquet .feather .h5 .npy .npz .pkl", "Export it as CSV"),
    "programs and fonts": (
        ".exe .dll .so .o .a .pyc .class .wasm .ttf .otf .woff .woff2 .bin .iso",
        "Ignore it",
    ),
}
_LATER_BY_SUFFIX = {
    suffix: (family, fix) for family, (suffixes, fix) in _LATER.items() for suffix in suffixes.split()
}
_NAMES = {
    "application/pdf": "a PDF",
    "image/png": "a PNG picture",
    "image/jpeg": "a JPEG picture",
    "image/gif": "a GIF picture",
    "image/webp": "a WebP picture",
    "image/tiff": "a TIFF picture",
    "image/bmp": "a BMP picture",
    "application/zip": "a ZIP archive (or an Office document)",
    "application/gzip": "a gzip archive",
}
_RIGHT_SUFFIX = {media_type: suffix for suffix, media_type in reversed(_BINARY.items())}


def detect(path: Path) -> str:
    """Return the media type of a file that a reader takes.

    Raises:
        Empty: The file has no bytes.
        Corrupt: The content is not what the suffix says, or only a git-lfs pointer.
        Unsupported: No reader takes this kind of file.
    """
    suffix = path.suffix.lower()
    if later := _LATER_BY_SUFFIX.get(suffix):
        family, fix = later
        fix = f"{fix}, {_IGNORE}" if fix != "Ignore it" else "Leave it out with a line in .mmragignore."
        raise Unsupported(f"{family.capitalize()} ({suffix}) are not read yet.", fix=fix, where=path.name)
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
    found = sniff(head)
    if suffix in _BINARY:
        _agree(path, suffix, _BINARY[suffix], found, head)
        return _BINARY[suffix]
    if suffix in _MARKUP or _is_plain(path):
        if found or (b"\x00" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff")):
            raise Corrupt(
                f"The file is {_NAMES.get(found, 'binary')}, but its name says text.",
                fix=_rename(found),
                where=path.name,
            )
        return _MARKUP.get(suffix, "text/plain")
    if found in _RIGHT_SUFFIX:
        raise Unsupported(
            f"The file is {_NAMES[found]} without the right suffix.", fix=_rename(found), where=path.name
        )
    kind = f"of type {path.suffix!r}" if suffix else "without a suffix"
    raise Unsupported(
        f"Files {kind} are not read.",
        fix=f"Convert it to PDF, HTML, Markdown or .txt, {_IGNORE}",
        where=path.name,
    )


def sniff(head: bytes) -> str:
    """Return the media type that the first bytes of a file show, or '' if they show none."""
    for magic, media_type in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"II*\x00", "image/tiff"),
        (b"MM\x00*", "image/tiff"),
        (b"II+\x00", "image/tiff"),
        (b"PK\x03\x04", "application/zip"),
        (b"\x1f\x8b", "application/gzip"),
    ):
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and len(head) >= 18 and head[6:10] == b"\x00\x00\x00\x00":
        return "image/bmp"
    # Readers of PDF accept the header anywhere in the first 1024 bytes; a text may quote it.
    where = head[:1024].find(b"%PDF-")
    return "application/pdf" if where == 0 or (where > 0 and b"\x00" in head) else ""


def _agree(path: Path, suffix: str, wanted: str, found: str, head: bytes) -> None:
    if found == wanted or (wanted == "application/pdf" and b"%PDF-" in head[:1024]):
        return
    if found:
        message, fix = f"The file is {_NAMES[found]}, not {_NAMES[wanted]}.", _rename(found)
    elif head.lstrip()[:1] == b"<":
        message = f"The file is a web page, not {_NAMES[wanted]}: often a download that failed."
        fix = "Download it again, or rename it to .html."
    else:
        message = f"The file does not begin like {_NAMES[wanted]}, which its suffix {suffix} says it is."
        fix = "Restore it from its source, " + _IGNORE
    raise Corrupt(message, fix=fix, where=path.name)


def _rename(found: str) -> str:
    suffix = _RIGHT_SUFFIX.get(found)
    return f"Rename it to end in {suffix}, {_IGNORE}" if suffix else f"Unpack or convert it, {_IGNORE}"


def _is_plain(path: Path) -> bool:
    name = path.name.lower()
    return (
        path.suffix.lower() in PROSE | LINES | TABLES or name.lstrip(".").split(".")[0].split("-")[0] in NAMES
    )
