"""Pictures of Office documents: what they show, their words, and which were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mmrag.core.errors import SourceError
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Blob, Block, PageCoverage
from mmrag.core.types import Locator
from mmrag.corpus.readers.figures import PaintedPictures, no_ocr
from mmrag.corpus.readers.flow import text_block
from mmrag.corpus.readers.office.package import Package
from mmrag.corpus.readers.sentences import counted

_DRAWINGS = ("EMF", "WMF", "SVG", "EMZ", "WMZ", "SVM", "PDF")


@dataclass(slots=True)
class OfficePictures:
    """The pictures in one document."""

    package: Package
    context: ReadContext
    blobs: dict[str, Blob] = field(default_factory=dict)
    _left_out: Counter[str] = field(default_factory=Counter)
    _painted: PaintedPictures = field(init=False)

    def __post_init__(self) -> None:
        self._painted = PaintedPictures(self.context, lambda _: self._leave_out("failed OCR"), self.blobs)

    def blocks(self, part: str | None, locator: Locator, *, alt: str = "") -> Iterator[Block]:
        """Yield a picture's figure, nothing for icons; one that cannot be read is counted, its alt text kept.

        Args:
            part: Where in the document the picture is, None when it is outside.
            locator: Where it stands; with a box on a page, its own words get their places on that page.
            alt: The author's words for those who cannot see it.
        """
        alt = " ".join(alt.split())
        left_out = self._left_out.total()
        figure = self._figure(part, locator, alt)
        if figure is not None:
            yield figure
        elif alt and self._left_out.total() > left_out:
            yield text_block("paragraph", alt)

    def problems(self) -> tuple[str, ...]:
        """Return what was left out, a sentence a kind."""
        said = []
        if self._left_out:
            said.append(counted("picture", self._left_out))
        if self.blobs and self.context.ocr is None:
            said.append(no_ocr(len(self.blobs)))
        return tuple(said)

    def _figure(self, part: str | None, locator: Locator, alt: str) -> Block | None:
        if part is None:
            self._leave_out("linked, not embedded")
            return None
        try:
            data = self.package.data(part)
        except SourceError:
            self._leave_out("missing or torn")
            return None
        try:
            return self._painted.figure(data, locator, name=part, alt=alt)
        except SourceError:
            self._leave_out(_what(part))
            return None

    def _leave_out(self, what: str) -> None:
        self._left_out[what] += 1


def coverage_of(number: int, blocks: Sequence[Block]) -> PageCoverage:
    """Return what a slide or sheet gave: words beside its figures, and words in them."""
    figures = [block for block in blocks if block.kind == "figure"]
    read = any(part.role == "ocr" for block in figures for part in block.parts)
    return PageCoverage(number, len(blocks) > len(figures), read, len(figures))


def _what(name: str) -> str:
    suffix = name.rpartition(".")[2].upper() if "." in name else ""
    return f"{suffix} drawing" if suffix in _DRAWINGS else f"broken or unknown {suffix}".rstrip()
