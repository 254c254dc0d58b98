"""Time the PDF reader against bare text and pdfplumber: python tests/bench/bench_pdf.py FILE... [--pages N].

Prints a Markdown table. Bare text is what pypdfium2 gives of each page without boxes, order or tables;
pdfplumber, if it is installed, finds the tables of the same pages, and the cells of both are compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mmrag.core.errors import SourceError
from mmrag.core.protocols import ReadContext, ReadLimits
from mmrag.core.types import Page, Source, SourceId
from mmrag.corpus.readers.pdf.reader import PdfReader

Cells = dict[tuple[str, int], Counter[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--pages", type=int, default=10_000, help="read so many pages of each file at most")
    args = parser.parse_args()
    ours: Cells = {}
    pages, seconds = measured(args.files, lambda path: read(path, args.pages, ours))
    rows = [("mmrag", pages, seconds)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(("bare text", *measured(args.files, lambda path: bare(path, args.pages))))
    theirs: Cells = {}
    if importlib.util.find_spec("pdfplumber"):
        rows.append(("pdfplumber", *measured(args.files, lambda path: plumbed(path, args.pages, theirs))))
    print("| what | pages | pages a CPU-second | mmrag is faster by |\n|:--|--:|--:|--:|")
    for name, count, used in rows:
        print(f"| {name} | {count} | {count / used:.1f} | {used / count / (seconds / pages):.2f} |")
    print(f"\nPeak memory of reading: {peak:.0f} MB.")
    whole = sum(cells.total() for cells in theirs.values())
    if whole:
        same = sum((cells & ours.get(key, Counter())).total() for key, cells in theirs.items())
        print(
            f"Of the {whole} cells that pdfplumber finds, mmrag has {same / whole:.1%} with the same words."
        )


def measured(files: Sequence[Path], work: Callable[[Path], int]) -> tuple[int, float]:
    start = time.process_time()
    pages = sum(work(path) for path in files)
    return pages, time.process_time() - start


def read(path: Path, limit: int, cells: Cells) -> int:
    source = Source(SourceId(path.name), "0" * 64, path.stat().st_size, "application/pdf")
    try:
        reading = PdfReader().read(path, source, ReadContext(path.parent, limits=ReadLimits(max_pages=limit)))
    except SourceError:
        return 0
    for block in reading.blocks:
        if block.kind == "table" and isinstance(block.locator, Page):
            words = re.split(r" \| |\n", block.text)
            cells.setdefault((str(path), block.locator.number), Counter()).update(
                filter(None, map(plain, words))
            )
    return len(reading.pages)


def bare(path: Path, limit: int) -> int:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(path)
    except PdfiumError:
        return 0
    count = min(len(document), limit)
    for i in range(count):
        page = document[i]
        text = page.get_textpage()
        text.get_text_range()
        text.close()
        page.close()
    document.close()
    return count


def plumbed(path: Path, limit: int, cells: Cells) -> int:
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import PdfminerException

    try:
        with pdfplumber.open(path) as document:
            for page in document.pages[:limit]:
                for table in page.extract_tables():
                    rich = [row for row in table if sum(bool(plain(cell)) for cell in row) > 1]
                    if len(rich) > 1:
                        found = [plain(cell) for row in table for cell in row]
                        cells.setdefault((str(path), page.page_number), Counter()).update(filter(None, found))
                page.close()
            return min(len(document.pages), limit)
    except (PdfminerException, PDFPasswordIncorrect):
        return 0


def plain(text: str | None) -> str:
    return re.sub(r"[\W_]+", "", text or "").casefold()


if __name__ == "__main__":
    main()
