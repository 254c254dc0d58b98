"""Read workbooks: the tables on each sheet with their values as shown, charts, pictures, comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from mmrag.core.errors import Empty, SourceError
from mmrag.core.protocols import ReadContext, ReadLimits
from mmrag.core.reading import About, Block, Format, PageCoverage, Reading
from mmrag.core.types import Cells, Part, Place, Source
from mmrag.corpus.readers.figures import with_neighbours
from mmrag.corpus.readers.office.package import Package, R, X, is_on, number, open_package
from mmrag.corpus.readers.office.pictures import OfficePictures, coverage_of
from mmrag.corpus.readers.office.sheet_cells import (
    MAX_SHEET_ROWS,
    Budget,
    CellFormats,
    area_of,
    read_strings,
    read_worksheet,
)
from mmrag.corpus.readers.office.sheet_drawings import SheetDrawings
from mmrag.corpus.readers.office.sheet_tables import Region, sheet_blocks
from mmrag.corpus.readers.sentences import counted

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class SheetReader:
    """Reads the XML of Excel workbooks as it stands in them."""

    name = "sheet"
    version = 1
    formats = (Format(_MEDIA_TYPE, "a workbook", (".xlsx", ".xlsm", ".xltx", ".xltm"), rb"PK\x03\x04"),)
    about = (
        About(
            "Excel (.xlsx, .xlsm)",
            "each sheet's tables, row by row under their headers, with values as shown; values of charts; "
            "comments, text boxes; pictures with alt text and the words in them; hidden sheets too",
            "formulas themselves (their last results are read), pivot definitions, macros",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a workbook; places are rows of its sheets.

        Raises:
            Corrupt: It is torn, or another kind of file.
            Encrypted: It needs a password.
            Empty: Its cells are empty.
            TooLarge: It exceeds a limit.
        """
        with open_package(path, source, context.limits) as package:
            return _Workbook(package, context).read()


@dataclass(slots=True)
class _Workbook:
    package: Package
    context: ReadContext
    pictures: OfficePictures = field(init=False)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _strings: list[str] = field(default_factory=list)
    _formulas: int = 0
    _uncalculated: int = 0

    def __post_init__(self) -> None:
        self.pictures = OfficePictures(self.package, self.context)

    def read(self) -> Reading:
        name, root = self.package.main(f"{X}workbook", "a workbook")
        sheets = root.findall(f"{X}sheets/{X}sheet")
        limits = self.context.limits
        if len(sheets) > limits.max_pages:
            first = limits.max_pages + 1
            self.problems.append(f"Sheets from {first} on were left out: the limit is {limits.max_pages}.")
            sheets = sheets[: limits.max_pages]
        self._strings = self._shared_strings(name)
        styles = self.package.optional(next(iter(self.package.related(name, "styles")), None))
        is_1904 = is_on(root.find(f"{X}workbookPr"), "date1904", default=False)
        formats = CellFormats(styles, is_1904=is_1904)
        budget = Budget(limits.max_rows, limits.max_text_bytes)
        blocks: list[Block] = []
        coverage: list[PageCoverage] = []
        for at, entry in enumerate(sheets, 1):

            def report(at: int = at) -> None:
                self.context.progress(at - 1, len(sheets))

            known = len(self.problems)
            made = list(self._sheet(name, entry, formats, budget, report))
            if made or len(self.problems) > known:
                # A sheet that nobody filled is no page that gave nothing.
                coverage.append(coverage_of(at, made))
            if made:
                is_hidden = entry.get("state", "visible") != "visible"
                blocks += [heading_of(_title(entry), is_hidden=is_hidden), *with_neighbours(made)]
            self.context.progress(at, len(sheets))
        problems = (*self.problems, *self._said())
        if not blocks and not problems:
            raise Empty(
                "All cells are empty.",
                fix="Nothing to do, or restore its content.",
                where=self.package.source.id,
            )
        title, metadata = self.package.properties()
        return Reading(
            tuple(blocks),
            title=title,
            blobs=tuple(self.pictures.blobs.values()),
            pages=tuple(coverage),
            problems=problems,
            metadata=metadata,
        )

    def _shared_strings(self, workbook: str) -> list[str]:
        return read_strings(self.package, next(iter(self.package.related(workbook, "sharedStrings")), None))

    def _sheet(
        self,
        workbook: str,
        entry: Element,
        formats: CellFormats,
        budget: Budget,
        report: Callable[[], None],
    ) -> Iterator[Block]:
        title = _title(entry)
        part = self.package.target(workbook, entry.get(f"{R}id"))
        relation = self.package.relations(workbook).get(entry.get(f"{R}id", ""))
        if part is None or relation is None:
            self.left_out["sheet without content"] += 1
            return
        drawings = SheetDrawings(self.package, title, self.pictures, self.left_out)
        names: list[str | None] = list(self.package.related(part, "drawing"))
        if relation.kind != "chartsheet":
            try:
                sheet = read_worksheet(self.package, part, self._strings, formats, budget, report)
            except SourceError as error:
                self.problems.append(f"The sheet {title!r} could not be read: {error.message}")
                return
            self._formulas += sheet.formulas
            self._uncalculated += sheet.uncalculated
            if sheet.cut_at:
                self.problems.append(rows_left_out(sheet.cut_at, title, budget, self.context.limits))
            if sheet.unfilled_at:
                self.problems.append(not_repeated(sheet.unfilled_at, title))
            yield from sheet_blocks(sheet.grid, sheet.merged, list(self._tables(part)), title)
            yield from drawings.comments(part)
        for name in names:
            yield from drawings.of(name or "")

    def _tables(self, part: str) -> Iterator[Region]:
        for name in self.package.related(part, "table"):
            root = self.package.optional(name)
            area = area_of(root.get("ref", "")) if root is not None else None
            if root is not None and area is not None:
                yield Region(area, number(root, "headerRowCount", 1))

    def _said(self) -> Iterator[str]:
        yield from self.pictures.problems()
        yield from self.package.problems
        if self.left_out:
            yield counted("part", self.left_out)
        if self._uncalculated and self._uncalculated == self._formulas:
            count = f"{self._formulas} formulas have" if self._formulas > 1 else "The formula has"
            yield (
                f"{count} no value, because no spreadsheet program has calculated the workbook: "
                "open it in one and save it."
            )


def rows_left_out(first: int, sheet: str, budget: Budget, limits: ReadLimits) -> str:
    """Return the sentence for the rows that exceeded a limit."""
    limit = f"{limits.max_rows} rows" if budget.rows <= 0 else f"{limits.max_text_bytes} bytes of text"
    if not budget.is_spent:
        limit = f"{MAX_SHEET_ROWS} rows of a sheet, empty ones too"
    return f"Rows from {first} of the sheet {sheet!r} were left out: the limit is {limit}."


def not_repeated(first: int, sheet: str) -> str:
    """Return the sentence for the merged cells of a sheet that has too many."""
    return f"Merged cells of the sheet {sheet!r} are not repeated in all of their rows, from row {first} on."


def heading_of(sheet: str, *, is_hidden: bool) -> Block:
    """Return the heading that tells a sheet's blocks from those of the one before."""
    words = f"{sheet} (hidden sheet)" if is_hidden else sheet or "Sheet"
    where = Cells(sheet, 1, 1)
    part = Part("text", text=words, places=(Place(0, len(words), where),))
    return Block("heading", where, (part,), level=1)


def _title(entry: Element) -> str:
    return " ".join(entry.get("name", "").split())
