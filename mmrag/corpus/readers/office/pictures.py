"""Pictures of Office documents: what they show, their words, and which were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mmrag.core.errors import SourceError
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.reading import Blob, Block
from mmrag.core.types import Locator, Page
from mmrag.corpus.readers.figures import MIN_AREA_PX, MIN_SIDE_PX, figure_block, no_ocr, ocr_part
from mmrag.corpus.readers.flow import text_block
from mmrag.corpus.readers.office.package import Package
from mmrag.media.pictures import MEDIA_TYPES, open_picture

_DRAWINGS = ("EMF", "WMF", "SVG", "EMZ", "WMZ", "SVM", "PDF")


@dataclass(slots=True)
class OfficePictures:
    """The pictures of one document, each kept once and read once."""

    context: ReadContext
    blobs: dict[str, Blob] = field(default_factory=dict)
    _left_out: Counter[str] = field(default_factory=Counter)
    _lines: dict[str, tuple[OcrLine, ...]] = field(default_factory=dict)

    def blocks(
        self, package: Package, part: str | None, locator: Locator, *, alt: str = ""
    ) -> Iterator[Block]:
        """Yield a picture's figure, nothing for icons; one that cannot be read is counted, its alt text kept.

        Args:
            package: The document.
            part: Where in it the picture is, None when it is outside.
            locator: Where it stands; with a box on a page, its own words get their places on that page.
            alt: The author's words for those who cannot see it.
        """
        alt = " ".join(alt.split())
        left_out = self._left_out.total()
        figure = self._figure(package, part, locator, alt)
        if figure is not None:
            yield figure
        elif alt and self._left_out.total() > left_out:
            yield text_block("paragraph", alt)

    def _figure(self, package: Package, part: str | None, locator: Locator, alt: str) -> Block | None:
        if part is None:
            self.leave_out("linked, not embedded")
            return None
        try:
            data = package.data(part)
        except SourceError:
            self.leave_out("missing or torn")
            return None
        try:
            picture = open_picture(data, max_pixels=self.context.limits.max_pixels, name=part)
        except SourceError:
            self.leave_out(_what(part))
            return None
        with picture:
            width, height = picture.size
            media_type = MEDIA_TYPES[picture.format or "PNG"]
        if min(width, height) < MIN_SIDE_PX or width * height < MIN_AREA_PX:
            return None
        digest = digest_bytes(data)
        self.blobs.setdefault(digest, Blob(digest, data, media_type))
        page = locator.number if isinstance(locator, Page) else 1
        within = locator.box if isinstance(locator, Page) else None
        words = ocr_part(self._read(digest, data), page=page, within=within)
        return figure_block(digest, locator, alt=alt, ocr=words)

    def leave_out(self, what: str) -> None:
        """Count a picture that was left out, by what it is: 'EMF drawing'."""
        self._left_out[what] += 1

    def problems(self) -> tuple[str, ...]:
        """Return what was left out, a sentence a kind."""
        said = []
        if self._left_out:
            said.append(counted("picture", self._left_out))
        if self.blobs and self.context.ocr is None:
            said.append(no_ocr(len(self.blobs)))
        return tuple(said)

    def _read(self, digest: str, data: bytes) -> tuple[OcrLine, ...]:
        if self.context.ocr is None:
            return ()
        if digest not in self._lines:
            try:
                self._lines[digest] = self.context.ocr.read(data)
            except SourceError:
                self._lines[digest] = ()
                self.leave_out("failed OCR")
        return self._lines[digest]


def counted(thing: str, kinds: Counter[str]) -> str:
    """Return the sentence for things that could not be read: '3 shapes could not be read: 2 ..., 1 ...'."""
    count = kinds.total()
    listed = ", ".join(f"{n} {kind.removesuffix('.')}" for kind, n in sorted(kinds.items()))
    return f"{count} {thing}{'s' if count > 1 else ''} could not be read: {listed}."


def _what(name: str) -> str:
    suffix = name.rpartition(".")[2].upper() if "." in name else ""
    return f"{suffix} drawing" if suffix in _DRAWINGS else f"broken or unknown {suffix}".rstrip()
