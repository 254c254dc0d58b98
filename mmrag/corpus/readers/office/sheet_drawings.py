"""What lies over the cells of a sheet: charts, pictures, text boxes, comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from mmrag.core.errors import SourceError
from mmrag.core.reading import Block
from mmrag.core.types import Cells
from mmrag.corpus.readers.flow import put_at, text_block
from mmrag.corpus.readers.office.charts import chart_blocks, diagram_lines
from mmrag.corpus.readers.office.package import DGM, MC, A, Package, R, X, alt_of, local, number
from mmrag.corpus.readers.office.pictures import OfficePictures
from mmrag.corpus.readers.office.sheet_cells import area_of, rich_text
from mmrag.corpus.readers.office.slide_blocks import text_lines

_ANCHORS = ("twoCellAnchor", "oneCellAnchor", "absoluteAnchor")
_THREAD = "Comment:"
"""What programs that know no threads of comments show before the first one's words."""


@dataclass(slots=True)
class SheetDrawings:
    """Reads what lies over one sheet."""

    package: Package
    sheet: str
    pictures: OfficePictures
    left_out: Counter[str]

    def of(self, part: str) -> Iterator[Block]:
        """Yield what a drawing part shows, each block with the rows it covers."""
        root = self.package.optional(part)
        for anchor in root if root is not None else ():
            if local(anchor.tag) not in _ANCHORS:
                continue
            where = _rows(anchor, self.sheet)
            try:
                for block in self._shown(anchor, part, where):
                    yield put_at(block, where)
            except (SourceError, RecursionError) as error:
                reason = error.message if isinstance(error, SourceError) else "nested too deeply"
                self.left_out[reason] += 1

    def comments(self, part: str) -> Iterator[Block]:
        """Yield the comments on cells: 'Comment on B3 by Ann: ...'."""
        for name in self.package.related(part, "comments"):
            root = self.package.optional(name)
            if root is None:
                continue
            authors = [" ".join((author.text or "").split()) for author in root.iter(f"{X}author")]
            for comment in root.iter(f"{X}comment"):
                cell = comment.get("ref", "")
                area = area_of(cell)
                text = comment.find(f"{X}text")
                words = rich_text(text).strip() if text is not None else ""
                at = number(comment, "authorId", -1)
                author = authors[at] if 0 <= at < len(authors) else ""
                if words.startswith("[Threaded comment]"):
                    words, author = words.partition(_THREAD)[2].strip(), ""
                words = words.removeprefix(f"{author}:").strip()
                if words and area is not None:
                    by = f" by {author}" if author and not author.startswith("tc=") else ""
                    block = text_block("paragraph", f"Comment on {cell}{by}: {words}")
                    yield put_at(block, Cells(self.sheet, area.first_row, area.first_row))

    def _shown(self, element: Element, part: str, where: Cells, alt: str = "") -> Iterator[Block]:
        for child in element:
            tag, name = child.tag, local(child.tag)
            if name in ("nvPicPr", "nvGraphicFramePr", "nvSpPr"):
                alt = alt_of(next((e for e in child if local(e.tag) == "cNvPr"), None))
            elif tag == f"{A}blip":
                picture = self.package.target(part, child.get(f"{R}embed"))
                yield from self.pictures.blocks(picture, where, alt=alt)
            elif name == "txBody":
                if lines := text_lines(child):
                    yield text_block("paragraph", "\n".join(line for _, line in lines))
            elif name == "chart" and child.get(f"{R}id"):
                root = self.package.optional(self.package.target(part, child.get(f"{R}id")))
                yield from chart_blocks(root, alt) if root is not None else ()
            elif tag == f"{DGM}relIds":
                root = self.package.optional(self.package.target(part, child.get(f"{R}dm")))
                if root is not None and (lines_of := diagram_lines(root)):
                    yield text_block("list", "\n".join(lines_of))
            elif tag == f"{MC}AlternateContent":
                copies = (list(self._shown(copy, part, where, alt)) for copy in child)
                yield from next(filter(None, copies), ())
            else:
                yield from self._shown(child, part, where, alt)


def _rows(anchor: Element, sheet: str) -> Cells:
    """Return the rows that a drawing covers."""
    found = {}
    for corner in anchor:
        row = next((e for e in corner if local(e.tag) == "row"), None)
        if row is not None and (row.text or "").strip().isdecimal():
            found[local(corner.tag)] = int((row.text or "0").strip()) + 1
    first = found.get("from", 1)
    return Cells(sheet, first, max(found.get("to", first), first))
