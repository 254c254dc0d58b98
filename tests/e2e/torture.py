"""A folder of everything that a corpus should not hold, and what must be said of each file."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

IGNORE = r".*\.mmragignore\."
LAUGHS = "".join(
    f'<!ENTITY l{i} "{"&l" + str(i - 1) + ";" if i else "ha"}{"&l" + str(i - 1) + ";" if i else "ha"}">'
    for i in range(64)
)
MAIN = "application/vnd.openxmlformats-officedocument."
MB = 1_000_000


@dataclass(frozen=True)
class Case:
    """A file, how to make it, and the line of the report: patterns that match as a whole."""

    name: str
    make: Callable[[Path], object]
    state: str = "indexed"
    reason: str = ""
    fix: str = ""


def build(root: Path, cases: Iterable[Case]) -> None:
    root.mkdir()
    for case in cases:
        path = root / case.name
        path.parent.mkdir(parents=True, exist_ok=True)
        case.make(path)


def wrong_lines(cases: Iterable[Case], found: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Return what is not as the cases say, for each source on both sides."""
    wanted = {case.name: case for case in cases}
    seen = {name: line for name, *line in found}
    wrong = [f"{name}: not in the report" for name in wanted.keys() - seen.keys()]
    for name, (state, reason, fix) in seen.items():
        case = wanted.get(name)
        if case is None:
            wrong.append(f"{name}: not expected: {state} {reason}")
        elif state != case.state or not re.fullmatch(case.reason, reason) or not re.fullmatch(case.fix, fix):
            wrong.append(f"{name}: {state} | {reason} | {fix}")
    return sorted(wrong)


def words(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def sparse(size: int) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.write_text("The first words of a very long log.\n" * 300)
        os.truncate(path, size)

    return make


def pages(count: int, *, password: str | None = None, keep: int | None = None) -> Callable[[Path], object]:
    """Make a PDF, or the first `keep` bytes of one."""

    def make(path: Path) -> None:
        out = io.BytesIO()
        canvas = Canvas(out, encrypt=StandardEncryption(password) if password else None, invariant=True)
        for number in range(1, count + 1):
            canvas.drawString(72, 760, f"Chapter {number}")
            for line in range(20):
                canvas.drawString(
                    72, 730 - 20 * line, f"Line {line} of page {number} tells how pump {number % 97} is kept."
                )
            canvas.showPage()
        canvas.save()
        path.write_bytes(out.getvalue()[:keep])

    return make


def png(width: int, height: int, *, real: bool) -> Callable[[Path], object]:
    """Make a one-bit picture, or only its header with a few bytes behind."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    def make(path: Path) -> None:
        packer = zlib.compressobj(1)
        row = bytes(1 + (width + 7) // 8)
        packed = b"".join(packer.compress(row) for _ in range(height if real else 1)) + packer.flush()
        header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
        )

    return make


def half_a_picture(path: Path) -> None:
    out = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(out, "PNG")
    path.write_bytes(out.getvalue()[: len(out.getvalue()) // 2])


def package(*, part: str, content_type: str, xml: str, padding: int = 0) -> Callable[[Path], object]:
    """Make an Office file of one part; `padding` zeros unpack from a thousandth of their size."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            archive.writestr(
                "[Content_Types].xml",
                '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
                '<Default Extension="rels" '
                'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                f'<Override PartName="/{part}" ContentType="{content_type}"/></Types>',
            )
            archive.writestr(
                "_rels/.rels",
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
                f'relationships/officeDocument" Target="{part}"/></Relationships>',
            )
            with archive.open(part, "w", force_zip64=True) as out:
                out.write(xml.encode())
                for _ in range(padding // MB):
                    out.write(b" " * MB)

    return make


def word(text: str, *, laughs: str = "", padding: int = 0) -> Callable[[Path], object]:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    head = f"<!DOCTYPE d [{laughs}]>" if laughs else ""
    return package(
        part="word/document.xml",
        content_type=f"{MAIN}wordprocessingml.document.main+xml",
        xml=f'<?xml version="1.0"?>{head}<w:document xmlns:w="{space}"><w:body><w:p><w:r>'
        f"<w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
        padding=padding,
    )


def sheet(text: str, *, laughs: str = "", padding: int = 0) -> Callable[[Path], object]:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    head = f"<!DOCTYPE d [{laughs}]>" if laughs else ""
    return package(
        part="xl/workbook.xml",
        content_type=f"{MAIN}spreadsheetml.sheet.main+xml",
        xml=f'<?xml version="1.0"?>{head}<workbook xmlns="{space}"><sheets>{text}</sheets></workbook>',
        padding=padding,
    )


def drawing(text: str, *, laughs: str = "") -> Callable[[Path], object]:
    head = f"<!DOCTYPE svg [{laughs}]>" if laughs else ""
    return words(f'{head}<svg xmlns="http://www.w3.org/2000/svg"><text x="9" y="9">{text}</text></svg>')


def deep(path: Path) -> None:
    """Make folders in each other until no path leads to the last one any more."""
    here = os.getcwd()
    path.mkdir()
    os.chdir(path)
    try:
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)


def bytes_name(name: bytes) -> Callable[[Path], object]:
    return lambda path: Path(os.fsdecode(os.fsencode(path.parent) + b"/" + name)).write_text("x")


def closed(path: Path) -> None:
    path.write_text("secret")
    path.chmod(0)


PLAIN = (
    Case("fine.md", words("# Pump\n\nThe pump is kept dry.\n")),
    Case("zero.md", data(b""), "skipped", r"The file is empty\.", "Nothing to do, or .*"),
    Case("spaces.txt", words("  \n \n"), "skipped", r"The file holds only spaces\.", "Nothing to do, or .*"),
    Case(
        "nulls.txt",
        data(b"text" + bytes(100)),
        "failed",
        "The file is binary, but its name says text.",
        IGNORE,
    ),
    Case("archive.zip", data(b"PK\x03\x04"), "skipped", r"Archives \(\.zip\) are not read\.", "Unpack it.*"),
    Case(
        "letter.doc", data(b"\xd0\xcf\x11\xe0"), "skipped", r"Old Word documents .*", r"Save it as \.docx.*"
    ),
    Case("thing.xyz", words("x"), "indexed"),
    Case(
        "noise.xyz",
        data(bytes(range(256))),
        "skipped",
        r"Files of type '\.xyz' are read only if they hold plain text\.",
        "Convert it .*",
    ),
    Case(
        "pointer.png",
        words("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "failed",
        r"The file is a git-lfs pointer; the real content was not fetched\.",
        "Run: git lfs pull",
    ),
    Case("locked.pdf", pages(1, password="secret"), "failed", r"The PDF needs a password\.", ".*qpdf.*"),
    Case("torn.pdf", pages(3, keep=600), "failed", r"The PDF is broken and cannot be opened\.", ".*qpdf.*"),
    Case(
        "page.pdf",
        words("<!doctype html><p>404"),
        "failed",
        "The file is a web page, not a PDF.*",
        r"Download it again, or rename it to \.html\.",
    ),
    Case(
        "picture.txt",
        png(8, 8, real=True),
        "failed",
        "The file is .*, but its name says text.",
        r"Rename it to end in \.png, .*",
    ),
    Case("torn.png", half_a_picture, "failed", "The picture is broken .*", r"Restore it from its source\."),
    Case(
        "bomb.png",
        png(100_000, 100_000, real=False),
        "failed",
        "The picture has (100000 x 100000|too many) pixels, more than the limit of 170000000.",
        r"Scale it down.*",
    ),
    Case(
        "many-pages.pdf",
        pages(20),
        "partial",
        r"Pages 11 to 20 were left out: the limit is 10 pages\.",
    ),
    Case("log.txt", sparse(2 * MB), "failed", "The text has 2000000 bytes, more than the limit.*", "Split.*"),
    Case("deep/" + "d/" * 200 + "note.txt", words("deep down")),
)
"""Anywhere; to be read with `max_pages=10` and `max_text_bytes` of a megabyte."""

MEAN = (
    Case(
        "hang.mean",
        words("sleep 60"),
        "failed",
        r"The reader mean/1 gave no sign of life for 2 s and was stopped\.",
        "Repair or split the file, .*",
    ),
    Case("abort.mean", words("abort"), "failed", r"The reader mean/1 crashed \(SIGABRT\)\.", "Report it.*"),
    Case("bug.mean", words("panic"), "failed", "The reader mean/1 broke: Panic: .*", "Report it.*"),
    Case("deep.mean", words("recurse"), "failed", "The reader mean/1 gave up: .* nested.*", "Simplify.*"),
    Case(
        "loud.mean",
        words("blob 30000000"),
        "failed",
        r"The reader mean/1 gave 30 MB, more than the limit of 20 MB\.",
        "Split.*",
    ),
    Case(
        "extra.mean",
        words("extra mmrag_no_such_package"),
        "skipped",
        "Reading magic needs the package 'mmrag_no_such_package', which is not installed.",
        r"Run: pip install 'mmrag\[magic\]'",
    ),
    Case("grows.mean", words("grow "), "partial", r"It changed while it was read\.", r"Run the sync again\."),
    Case(
        "goes.mean",
        words("vanish "),
        "failed",
        r"It was deleted while it was read\.",
        r"Run the sync again\.",
    ),
    Case("prints.mean", words("print")),
    Case("quiet.mean", words("tell 30")),
)
"""For `unruly.MeanReader`, with `max_idle_s=2` and `max_output_bytes` of 20 MB."""

LINUX = (
    Case(
        "eats.mean",
        words(f"allocate {2000 * MB}"),
        "failed",
        r"The reader mean/1 needed more memory than the limit of 1 GB\.",
        "Split.*",
    ),
    Case("self.md", link("self.md"), "skipped", "The link cannot be followed: .*", "Remove the link.*"),
    Case("gone.md", link("nowhere.md"), "skipped", r"The link points to nothing\.", "Remove the link.*"),
    Case("up", link(".."), "skipped", r"The link leads to a folder around the corpus\.", "Remove the link.*"),
    Case("pipe.md", lambda path: os.mkfifo(path), "skipped", r"It is not a regular file\.", IGNORE),
)

if not hasattr(os, "geteuid") or os.geteuid() != 0:
    LINUX += (
        Case("closed.txt", closed, "failed", r"It cannot be read: permission denied\.", "Make it readable.*"),
    )


def office(limit: int) -> tuple[Case, ...]:
    """Return files that unpack to more than `limit`, or that multiply what they hold."""
    large, again = (
        rf"The file unpacks to \d+ bytes, more than the limit of {limit}\.",
        "Open it in .* again.*",
    )
    laughs = "It declares (XML entities|the XML entity).*"
    return (
        Case("fine.docx", word("The pump is kept dry.")),
        Case("bomb.docx", word("x", padding=limit + MB), "failed", large, "Split it.*"),
        Case("bomb.xlsx", sheet("", padding=limit + MB), "failed", large, "Split it.*"),
        Case("laughs.docx", word("&l63;", laughs=LAUGHS), "failed", laughs, again),
        Case("laughs.xlsx", sheet("&l63;", laughs=LAUGHS), "failed", laughs, again),
        Case("laughs.svg", drawing("&l63;", laughs=LAUGHS), "failed", laughs, again),
        Case(
            "workbook.docx",
            sheet(""),
            "failed",
            r"The file is a workbook, not a Word document\.",
            r"Rename it to end in \.xlsx\.",
        ),
    )


def as_read(cases: Iterable[Case], suffixes: set[str]) -> list[Case]:
    """Expect a plain skip of files whose suffix no reader takes."""
    reason, fix = "Files of type .* are not read\\.|The file is a ZIP archive.*", "(Convert|Give) it .*"
    return [
        case if Path(case.name).suffix in suffixes else Case(case.name, case.make, "skipped", reason, fix)
        for case in cases
    ]


def odd_names() -> tuple[tuple[str, Case], ...]:
    """Return names that the system takes and no text is: what the report calls them, and the case."""
    if sys.platform != "linux":
        return ()
    case = Case(
        "latin.md", bytes_name(b"caf\xe9.md"), "skipped", r"Its name is not valid UTF-8\.", r"Rename it\."
    )
    return ((r"caf\xe9.md", case),)
