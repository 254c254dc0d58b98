"""Figures of a document: find their files, read their words, put them in their context."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from mmrag.core.errors import SourceError
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine, ReadContext
from mmrag.core.reading import Blob, Block
from mmrag.core.types import Box, Locator, Page, Part, Scalar, Source
from mmrag.corpus.readers.drawings.svg_words import is_drawing, read_drawing
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText
from mmrag.corpus.readers.sentences import few_of
from mmrag.media.pictures import MEDIA_TYPES, open_picture

NO_OCR = "no OCR is installed (pip install 'mmrag[ocr]'), or the recipe names none."
_MIN_SIDE_PX, _MIN_AREA_PX = 40, 6000
"""Smaller pictures are icons, bullets and rules: 6000 is 100 x 60."""

_NEIGHBOUR_CHARS = 300
_CAPTION = re.compile(
    r"\s*(?:fig(?:ure|\.|\b)|abb(?:ildung|\.)|bild|image|photo|plate|diagram|图|図)\s*\.?\s*[\dIVX]", re.I
)
_ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
_TEMPLATE = re.compile(r"\{[{%]")
"""What Jinja and Django put in at the time of building stands for no file."""
_SAME_ROW = 0.6
_DRAWING = "image/svg+xml"
_ANY_FORMAT = ["svg", "png", "jpg", "jpeg", "gif", "webp"]


def is_caption(text: str) -> bool:
    """Whether a line begins like a figure's caption: 'Figure 3: ...'."""
    return _CAPTION.match(text) is not None


def worth_keeping(alt: str) -> bool:
    """Whether the alt text of a picture that is not there says something: badges and icons do not."""
    return len(alt.split()) >= 3


def is_elsewhere(link: str) -> bool:
    """Whether a link leads out of the corpus: it names a scheme or a host."""
    return _ELSEWHERE.match(link) is not None


def no_ocr(count: int) -> str:
    """Return the sentence for pictures whose words nobody read."""
    pictures = "the picture" if count == 1 else f"{count} pictures"
    return f"The words of {pictures} were not read: {NO_OCR}"


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
class PaintedPictures:
    """The pictures of one document that are made of pixels: each is kept once, and its words are read once.

    `unheard` gets the name of each picture whose words the OCR engine could not read.
    """

    context: ReadContext
    unheard: Callable[[str], None]
    blobs: dict[str, Blob]
    _lines: dict[str, tuple[OcrLine, ...]] = field(default_factory=dict)

    def figure(
        self, data: bytes, locator: Locator, *, name: str, alt: str = "", caption: str = ""
    ) -> Block | None:
        """Return the figure of an encoded picture, None for an icon.

        Args:
            data: The picture.
            locator: Where it stands; with a box on a page, its own words get their places on that page.
            name: What it is called in errors.
            alt: The alternative text.
            caption: What stands under it.

        Raises:
            SourceError: It is broken or too large, or no picture.
        """
        with open_picture(data, max_pixels=self.context.limits.max_pixels, name=name) as picture:
            width, height = picture.size
            media_type = MEDIA_TYPES[picture.format or "PNG"]
        if _is_icon(width, height):
            return None
        digest = digest_bytes(data)
        self.blobs.setdefault(digest, Blob(digest, data, media_type))
        page, box = (locator.number, locator.box) if isinstance(locator, Page) else (1, None)
        said = Part("text", text=caption, role="caption") if caption else None
        ocr = ocr_part(self._read(digest, data, name), page=page, within=box)
        return figure_block(digest, locator, alt=alt, caption=said, ocr=ocr)

    def _read(self, digest: str, data: bytes, name: str) -> tuple[OcrLine, ...]:
        if self.context.ocr is None:
            return ()
        if digest not in self._lines:
            try:
                self._lines[digest] = self.context.ocr.read(data)
            except SourceError:
                self._lines[digest] = ()
                self.unheard(name)
        return self._lines[digest]


@dataclass(slots=True)
class PictureShelf:
    """The pictures that one document refers to or holds, and what became of them.

    `inside` gives the picture of a link into the document itself (an attachment, a member of its archive):
    None for a link to somewhere else, b'' for one that leads nowhere; a SourceError says that it is broken.
    `cut_tables` counts the tables of which not all wide cells were repeated.
    """

    source: Source
    context: ReadContext
    inside: Callable[[str], bytes | None] | None = None
    blobs: dict[str, Blob] = field(default_factory=dict)
    depends: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    cut_tables: int = 0
    _painted: PaintedPictures = field(init=False)

    def __post_init__(self) -> None:
        self._painted = PaintedPictures(self.context, self.unread.append, self.blobs)

    def figure(
        self, link: str, locator: Locator, *, alt: str = "", caption: str = "", in_vault: bool = False
    ) -> Block | None:
        """Return the figure that a document's link shows; None if there is no such local picture.

        Args:
            link: A path relative to the document, or a data URI.
            locator: Where the link stands.
            alt: The alternative text.
            caption: What stands under the picture.
            in_vault: Whether the picture may also lie in a folder above the document's.
        """
        name = _short(link.strip())
        try:
            data = self._load(link.strip(), in_vault=in_vault)
        except SourceError:
            self.unread.append(name)
            return None
        return None if data is None else self.picture(data, locator, name=name, alt=alt, caption=caption)

    def picture(
        self, data: bytes, locator: Locator, *, name: str, alt: str = "", caption: str = ""
    ) -> Block | None:
        """Return the figure of an encoded picture; None if it is an icon, or broken."""
        try:
            if is_drawing(data):
                return self._drawing(data, locator, name, alt, caption)
            return self._painted.figure(data, locator, name=name, alt=alt, caption=caption)
        except SourceError:
            self.unread.append(name)
            return None

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
                said.append(f"{len(unique)} pictures {many}: {few_of(unique)}.")
        if self.cut_tables:
            tables = "a table" if self.cut_tables == 1 else f"{self.cut_tables} tables"
            said.append(
                f"The cells of {tables} span so much that they are not repeated in all rows and columns."
            )
        painted = sum(blob.media_type != _DRAWING for blob in self.blobs.values())
        if painted and self.context.ocr is None:
            said.append(no_ocr(painted))
        return tuple(said)

    def _drawing(self, data: bytes, locator: Locator, name: str, alt: str, caption: str) -> Block | None:
        drawing = read_drawing(data, name=name)
        if drawing.size and _is_icon(*drawing.size):
            return None
        # Most drawings without words are logos and parts of the page's frame.
        if drawing.words is None and not caption and not worth_keeping(alt):
            return None
        digest = digest_bytes(data)
        self.blobs.setdefault(digest, Blob(digest, data, _DRAWING))
        said = "\n".join(dict.fromkeys(filter(None, (caption, drawing.title, drawing.description))))
        words = Part("text", text=said, role="caption") if said else None
        return figure_block(digest, locator, alt=alt, caption=words, ocr=drawing.words)

    def _load(self, link: str, *, in_vault: bool) -> bytes | None:
        if link[:5].lower() == "data:":
            return _data_uri(link)
        if _TEMPLATE.search(link) or _TEMPLATE.search(unquote(link)):
            return None
        if self.inside is not None and (data := self.inside(link)) is not None:
            return data or None
        if not link or is_elsewhere(link):
            return None
        name = unquote(re.split(r"[?#]", link, maxsplit=1)[0]).replace("\\", "/")
        path = self._find(name, in_vault=in_vault)
        if path is None:
            return None
        if path.stat().st_size > self.context.limits.max_bytes:
            self.unread.append(_short(name))
            return None
        return path.read_bytes()

    def _find(self, name: str, *, in_vault: bool) -> Path | None:
        root = self.context.root.resolve()
        folder = root / Path(self.source.id).parent
        # A leading slash means the folder of Sphinx' conf.py, which need not be the top of the corpus.
        bases = [root, folder] if name.startswith("/") else [folder]
        if in_vault or name.startswith("/"):
            bases += [base for base in folder.parents if base == root or root in base.parents]
        names = [name]
        if name.endswith(".*"):
            # Sphinx takes the format that suits the output.
            names = [name[:-1] + suffix for suffix in _ANY_FORMAT]
        try:
            paths = [(base / one.lstrip("/")).resolve() for base in bases for one in names]
            found = next((path for path in paths if path.is_file()), None)
        except (OSError, ValueError, RuntimeError):
            self.missing.append(_short(name))
            return None
        if not (found or paths[0]).is_relative_to(root):
            self.outside.append(_short(name))
            return None
        # A missing picture is a dependency as well: when it appears, the document is read again.
        wanted = [found] if found == paths[0] else paths
        self.depends.update(p.relative_to(root).as_posix() for p in wanted if p.is_relative_to(root))
        if found is None:
            self.missing.append(_short(name))
        return found


def _is_icon(width: float, height: float) -> bool:
    return min(width, height) < _MIN_SIDE_PX or width * height < _MIN_AREA_PX


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
