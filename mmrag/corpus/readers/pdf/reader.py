"""Read PDF: text with boxes, headings, tables, figures; pages without text through OCR."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.core.errors import Corrupt, Empty, Encrypted, SourceError, TooLarge
from mmrag.core.pdfium import PDFIUM_LOCK
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Blob, Block, Format, PageCoverage, Reading
from mmrag.core.types import Page, Scalar, Source
from mmrag.corpus.readers.figures import NO_OCR, no_ocr, with_neighbours
from mmrag.corpus.readers.pdf.blocks import page_blocks
from mmrag.corpus.readers.pdf.page import SeenPage, look, read_pictures
from mmrag.corpus.readers.pdf.series import TableSeries
from mmrag.corpus.readers.pdf.style import DocumentStyle, plain_title, style_of

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_PASSWORD_ERROR = 4
_MAX_BOOKMARKS = 20_000
_NO_TITLE = re.compile(
    r"\(?(?:untitled|anonymous|unspecified)|microsoft word - |document\d*$|"
    r".*\.(?:docx?|dvi|indd|qxd|tex|ps|pdf|odt|xlsx?)$",
    re.I,
)


class PdfReader:
    """Reads PDF with pdfium."""

    name = "pdf"
    version = 2
    formats = (Format("application/pdf", "a PDF", (".pdf",), rb"%PDF-|(?=.{0,1019}%PDF-).*\x00"),)
    about = (
        About(
            "PDF",
            "text with its place, headings, tables also over pages, figures with captions; scans by OCR",
            "forms and annotations; documents with a password",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a PDF.

        Raises:
            Encrypted: It needs a password.
            Corrupt: pdfium cannot open it.
            Empty: It has no pages.
            TooLarge: It exceeds `limits.max_bytes`.
        """
        if source.size > context.limits.max_bytes:
            raise TooLarge(
                f"The PDF has {source.size} bytes, more than the limit of {context.limits.max_bytes}.",
                fix="Split it, or leave it out with a line in .mmragignore.",
                where=source.id,
            )
        document = _open(path, source)
        try:
            with PDFIUM_LOCK:
                count = len(document)
                information = document.get_metadata_dict()
                outline = list(_outline(document))
            if not count:
                raise Empty("The PDF has no pages.", fix="Restore it from its source.", where=source.id)
            seen, problems = _see(document, count, context)
        finally:
            with PDFIUM_LOCK:
                document.close()
        style = style_of([page.lines for page in seen], outline)
        return _assemble(seen, style, information, problems)


def _open(path: Path, source: Source) -> PdfDocument:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        with PDFIUM_LOCK:
            return PdfDocument(path)
    except PdfiumError as error:
        if error.err_code == _PASSWORD_ERROR:
            raise Encrypted(
                "The PDF needs a password.",
                fix="Save a copy without one: qpdf --decrypt --password=SECRET IN.pdf OUT.pdf",
                where=source.id,
            ) from error
        raise Corrupt(
            "The PDF is broken and cannot be opened.",
            fix="Restore it from its source, or repair it with: qpdf IN.pdf OUT.pdf",
            where=source.id,
        ) from error


def _see(document: PdfDocument, count: int, context: ReadContext) -> tuple[list[SeenPage], list[str]]:
    from pypdfium2 import PdfiumError

    seen: list[SeenPage] = []
    problems: list[str] = []
    broken: list[int] = []
    unheard: list[int] = []
    limit = context.limits.max_pages
    if count > limit:
        problems.append(f"Pages {limit + 1} to {count} were left out: the limit is {limit} pages.")
    total = min(count, limit)
    for index in range(total):
        context.progress(index, total)
        try:
            page, scan = look(document, index, context)
        except PdfiumError:
            broken.append(index + 1)
            continue
        try:
            read_pictures(page, scan, context)
        except SourceError:
            unheard.append(index + 1)
        seen.append(page)
    context.progress(total, total)
    if broken:
        problems.append(f"{_pages(broken)} broken and could not be read.")
    if unheard:
        problems.append(f"OCR failed on {_pages(unheard).rsplit(' ', 1)[0].lower()}.")
    cut = [page.lines.number for page in seen if page.is_cut]
    if cut:
        crowded = _pages(cut).replace(" is", " has").replace(" are", " have")
        problems.append(
            f"{crowded} more drawn parts than are looked at: tables and figures may be missing there."
        )
    unread = [page.lines.number for page in seen if page.is_scan_unread]
    if unread:
        kind = "a scan" if len(unread) == 1 else "scans"
        problems.append(f"{_pages(unread)} {kind}: {NO_OCR}")
    pictures = sum(not figure.is_drawing for page in seen for figure in page.figures)
    if pictures and context.ocr is None:
        problems.append(no_ocr(pictures))
    return seen, problems


def _assemble(
    seen: Sequence[SeenPage], style: DocumentStyle, information: dict[str, str], problems: Sequence[str]
) -> Reading:
    blobs: dict[str, Blob] = {}
    coverage: list[PageCoverage] = []
    series = TableSeries()
    for page in seen:
        made = page_blocks(page, style, blobs)
        series.add(made)
        shown = sum(block.kind == "figure" for block in made.blocks)
        words = any(block.kind != "figure" for block in made.blocks)
        read = page.role == "ocr" or any(f.ocr for f in page.figures)
        coverage.append(PageCoverage(page.lines.number, words and page.role == "body", read, shown))
    metadata: dict[str, Scalar] = {}
    author = " ".join(information.get("Author", "").split())
    if author and author.casefold().strip("()") not in ("anonymous", "unknown", "unspecified"):
        metadata["author"] = author
    if date := re.match(r"D:(\d{4})(\d\d)(\d\d)", information.get("CreationDate", "")):
        metadata["created"] = "-".join(date.groups())
    return Reading(
        tuple(with_neighbours(series.blocks)),
        title=_title(information.get("Title", ""), series.blocks),
        blobs=tuple(blobs.values()),
        pages=tuple(coverage),
        problems=tuple(problems),
        metadata=metadata,
    )


def _title(given: str, blocks: Sequence[Block]) -> str:
    given = " ".join(given.split())
    is_file_name = " " not in given and any(c.isdecimal() or c in "_." for c in given)
    if len(given) > 3 and not is_file_name and not _NO_TITLE.match(given):
        return given
    first = [
        b for b in blocks if b.kind == "heading" and isinstance(b.locator, Page) and b.locator.number == 1
    ]
    best = min(first, key=lambda b: b.level, default=None)
    return " ".join(best.text.split()) if best else ""


def _outline(document: PdfDocument) -> Iterator[tuple[int, int, str]]:
    """Return page, level from 1 and title of each bookmark; outlines of broken files run in circles."""
    import pypdfium2.raw as raw
    from pypdfium2 import PdfBookmark

    waiting = [(raw.FPDFBookmark_GetFirstChild(document.raw, None), 1)]
    seen = set[int]()
    while waiting and len(seen) < _MAX_BOOKMARKS:
        handle, level = waiting.pop()
        address = ctypes.cast(handle, ctypes.c_void_p).value
        if address is None or address in seen:
            continue
        seen.add(address)
        waiting.append((raw.FPDFBookmark_GetNextSibling(document.raw, handle), level))
        waiting.append((raw.FPDFBookmark_GetFirstChild(document.raw, handle), level + 1))
        mark = PdfBookmark(handle, document, level)
        target = mark.get_dest()
        index = target.get_index() if target else None
        title = mark.get_title()
        if index is not None and plain_title(title):
            yield index + 1, level, title


def _pages(numbers: Sequence[int]) -> str:
    """Write 'Page 3 is' or 'Pages 3-5 and 9 are'."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    if len(numbers) == 1:
        return f"Page {words[0]} is"
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"Pages {listed} are"
