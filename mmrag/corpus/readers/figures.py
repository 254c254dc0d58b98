"""Figures of a document: find their files, read their words, put them in their context."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from mmrag.core.errors import SourceError
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.reading import Blob, Block
from mmrag.core.types import Box, Locator, Page, Part, Scalar, Source
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText
from mmrag.corpus.readers.pictures import MEDIA_TYPES, open_picture

MIN_SIDE_PX = 40
MIN_AREA_PX = 6000
"""Smaller pictures are icons, bullets and rules: 6000 is 100 x 60."""

_NEIGHBOUR_CHARS = 300
_CAPTION = re.compile(
    r"\s*(?:fig(?:ure|\.|\b)|abb(?:ildung|\.)|bild|image|photo|plate|diagram|图|図)\s*\.?\s*[\dIVX]", re.I
)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
_LISTED = 5
_SAME_ROW = 0.6


def is_caption(text: str) -> bool:
    """Whether a line begins like a figure's caption: 'Figure 3: ...'."""
    return _CAPTION.match(text) is not None


def worth_keeping(alt: str) -> bool:
    """Whether the alt text of a picture that is not there says something: badges and icons do not."""
    return len(alt.split()) >= 3


def no_ocr(count: int) -> str:
    """Return the sentence for pictures whose words nobody read."""
    pictures = "the picture" if count == 1 else f"{count} pictures"
    return f"The words of {pictures} were not read, because no OCR is installed: pip install 'mmrag[ocr]'"


def ocr_part(lines: Sequence[OcrLine], *, page: int = 1, within: Box | None = None) -> Part | None:
    """Join lines read out of a picture, those of one row as cells, each with its place on the page.

    `within` is where on the page the picture stands, if it is not the whole page.
    """
    made = PlacedText()
    last: Box | None = None
    for line in lines:
        words = " ".join(line.text.split())
        if not words:
            continue
        if last is not None:
            made.add(CELL_SEPARATOR if _follows(last, line.box) else "\n")
        last = line.box
        made.add(words, Page(page, inside(line.box, within) if within else line.box))
    return made.part("ocr") if made.length else None


def _follows(left: Box, right: Box) -> bool:
    """Whether a line stands to the right of another one, at the same height: cells of one row."""
    overlap = min(left.y1, right.y1) - max(left.y0, right.y0)
    low = min(left.y1 - left.y0, right.y1 - right.y0)
    return right.x0 >= left.x1 - 0.01 and overlap > _SAME_ROW * low


def inside(box: Box, outer: Box) -> Box:
    """Return a box given in fractions of `outer` in fractions of the page."""
    width, height = outer.x1 - outer.x0, outer.y1 - outer.y0
    return Box(
        outer.x0 + box.x0 * width,
        outer.y0 + box.y0 * height,
        outer.x0 + box.x1 * width,
        outer.y0 + box.y1 * height,
    )


def figure_block(
    digest: str,
    locator: Locator,
    *,
    alt: str = "",
    caption: Part | None = None,
    ocr: Part | None = None,
    metadata: dict[str, Scalar] | None = None,
) -> Block:
    """Make a figure: the picture first, then its caption, alternative text and own words."""
    parts = [Part("image", media=digest)]
    if caption and caption.text:
        parts.append(caption)
    if alt and not (caption and caption.text and alt.casefold() in caption.text.casefold()):
        parts.append(Part("text", text=alt, role="alt"))
    if ocr:
        parts.append(ocr)
    return Block("figure", locator, tuple(parts), metadata=metadata or {})


def with_neighbours(blocks: Sequence[Block]) -> list[Block]:
    """Give each figure the words before and after it."""

    def words(step: int, i: int) -> str:
        at = i + step
        while 0 <= at < len(blocks) and blocks[at].kind == "figure":
            at += step
        if not 0 <= at < len(blocks) or _page(blocks[at]) != _page(blocks[i]):
            return ""
        text = " ".join(blocks[at].text.split())
        if len(text) <= _NEIGHBOUR_CHARS:
            return text
        if step > 0:
            return text[:_NEIGHBOUR_CHARS].rsplit(" ", 1)[0]
        return text[-_NEIGHBOUR_CHARS:].split(" ", 1)[-1]

    return [
        replace(block, neighbours="\n".join(filter(None, (words(-1, i), words(1, i)))))
        if block.kind == "figure"
        else block
        for i, block in enumerate(blocks)
    ]


def _page(block: Block) -> int:
    return block.locator.number if isinstance(block.locator, Page) else 0


@dataclass(slots=True)
class PictureShelf:
    """The pictures that one document refers to, and what became of them."""

    source: Source
    context: ReadContext
    blobs: dict[str, Blob] = field(default_factory=dict)
    depends: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    _ocr: dict[str, Part | None] = field(default_factory=dict)

    def figure(self, link: str, locator: Locator, *, alt: str, caption: str) -> Block | None:
        """Return the figure that a document's link shows; None if there is no such local picture."""
        data = self._load(link.strip(), says_something=bool(caption) or worth_keeping(alt))
        if data is None:
            return None
        name = _short(link)
        try:
            picture = open_picture(data, max_pixels=self.context.limits.max_pixels, name=name)
        except SourceError:
            self.unread.append(name)
            return None
        if min(picture.size) < MIN_SIDE_PX or picture.width * picture.height < MIN_AREA_PX:
            return None
        digest = digest_bytes(data)
        self.blobs.setdefault(digest, Blob(digest, data, MEDIA_TYPES[picture.format or "PNG"]))
        words = Part("text", text=caption, role="caption") if caption else None
        return figure_block(digest, locator, alt=alt, caption=words, ocr=self._words(digest, data, name))

    def problems(self) -> tuple[str, ...]:
        """Return what was left out, a sentence a kind."""
        said = []
        for names, one, many in (
            (self.missing, "is missing", "are missing"),
            (self.outside, "lies outside of the folder", "lie outside of the folder"),
            (self.unread, "cannot be read", "cannot be read"),
        ):
            unique = list(dict.fromkeys(names))
            if len(unique) == 1:
                said.append(f"The picture {unique[0]} {one}.")
            elif unique:
                more = ", ..." if len(unique) > _LISTED else ""
                said.append(f"{len(unique)} pictures {many}: {', '.join(unique[:_LISTED])}{more}.")
        if self.blobs and self.context.ocr is None:
            said.append(no_ocr(len(self.blobs)))
        return tuple(said)

    def _words(self, digest: str, data: bytes, name: str) -> Part | None:
        if self.context.ocr is None:
            return None
        if digest not in self._ocr:
            try:
                self._ocr[digest] = ocr_part(self.context.ocr.read(data))
            except SourceError:
                self._ocr[digest] = None
                self.unread.append(name)
        return self._ocr[digest]

    def _load(self, link: str, *, says_something: bool) -> bytes | None:
        if link[:5].lower() == "data:":
            return _data_uri(link)
        if not link or _SCHEME.match(link):
            return None
        name = unquote(re.split(r"[?#]", link, maxsplit=1)[0]).replace("\\", "/")
        path = self._find(name)
        if path is None:
            return None
        if path.suffix.lower() in (".svg", ".svgz"):
            # Most are logos and icons of the page's frame; those with words are figures that we miss.
            if says_something:
                self.unread.append(f"{_short(name)} (SVG is not read yet)")
            return None
        if path.stat().st_size > self.context.limits.max_bytes:
            self.unread.append(_short(name))
            return None
        return path.read_bytes()

    def _find(self, name: str) -> Path | None:
        root = self.context.root.resolve()
        base = root if name.startswith("/") else root / Path(self.source.id).parent
        try:
            path = (base / name.lstrip("/")).resolve()
            exists = path.is_file()
        except (OSError, ValueError, RuntimeError):
            self.missing.append(_short(name))
            return None
        if not path.is_relative_to(root):
            self.outside.append(_short(name))
            return None
        # A missing picture is a dependency as well: when it appears, the document is read again.
        self.depends.add(path.relative_to(root).as_posix())
        if not exists:
            self.missing.append(_short(name))
            return None
        return path


def _data_uri(link: str) -> bytes | None:
    head, _, body = link[5:].partition(",")
    if not head.lower().startswith("image/"):
        return None
    try:
        if head.lower().endswith(";base64"):
            return base64.b64decode(unquote(body))
        return unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        return None


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:40]}..."
