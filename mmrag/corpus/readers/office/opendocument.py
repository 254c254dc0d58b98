"""Read OpenDocument files of LibreOffice and others: texts, presentations, spreadsheets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from mmrag.core.errors import Empty, Encrypted
from mmrag.core.fields import PLACE
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Format, PageCoverage, Reading
from mmrag.core.types import Box, Page, Scalar, Source
from mmrag.corpus.readers.archive import wrong_container
from mmrag.corpus.readers.figures import with_neighbours
from mmrag.corpus.readers.flow import placed, put_at, text_block, with_captions
from mmrag.corpus.readers.office.open_sheets import open_sheets
from mmrag.corpus.readers.office.open_text import (
    DRAW,
    FO,
    OFFICE,
    PRESENTATION,
    STYLE,
    SVG,
    OpenStory,
    OpenWalk,
)
from mmrag.corpus.readers.office.package import Package, open_package, plain_title
from mmrag.corpus.readers.office.pictures import OfficePictures, coverage_of
from mmrag.corpus.readers.office.sheet import heading_of, not_repeated, rows_left_out
from mmrag.corpus.readers.office.sheet_cells import Budget
from mmrag.corpus.readers.office.slide_shapes import Shape, in_order
from mmrag.corpus.readers.sentences import counted

_TYPE = "application/vnd.oasis.opendocument."
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_DUBLIN = "{http://purl.org/dc/elements/1.1/}"
_LENGTH = re.compile(r"(-?[\d.]+)\s*(cm|mm|in|pt|pc|px)?$")
_CENTIMETRES = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6, "px": 2.54 / 96}
_USUAL_PAGE = (28.0, 15.75)
_FRAMES = ("header", "footer", "date-time", "page-number")


class OpenDocumentReader:
    """Reads the XML of OpenDocument files as it stands in them."""

    name = "opendocument"
    version = 1
    formats = (
        Format(f"{_TYPE}text", "an OpenDocument text", (".odt", ".ott"), rb"PK\x03\x04"),
        Format(f"{_TYPE}presentation", "an OpenDocument presentation", (".odp", ".otp"), rb"PK\x03\x04"),
        Format(f"{_TYPE}spreadsheet", "an OpenDocument spreadsheet", (".ods", ".ots"), rb"PK\x03\x04"),
    )
    about = (
        About(
            "OpenDocument (.odt, .odp, .ods)",
            "texts, lists, tables, notes, comments; slides with the places of their texts; sheets by rows; "
            "values of charts; pictures with alt text and the words in them",
            "deleted text of tracked changes, tables of contents, embedded OLE objects, headers and footers",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a text (spans), a presentation (a slide is a page) or a spreadsheet (rows of sheets).

        Raises:
            Corrupt: It is torn, or another kind of file.
            Encrypted: It needs a password.
            Empty: It holds no words and no pictures.
            TooLarge: It exceeds a limit.
        """
        with open_package(path, source, context.limits) as package:
            reading = _read(package, context)
        if not reading.blocks and not reading.problems:
            raise Empty(
                "The document holds no words.", fix="Nothing to do, or restore its content.", where=source.id
            )
        return reading


def _read(package: Package, context: ReadContext) -> Reading:
    known = next(f for f in OpenDocumentReader.formats if f.media_type == package.source.media_type)
    kind = known.media_type.removeprefix(_TYPE)
    names = package.archive.namelist()
    label = package.data("mimetype") if "mimetype" in names else b""
    if "content.xml" not in names or f"{_TYPE}{kind}".encode() not in label:
        raise wrong_container(package.archive, known.title, context.limits)
    if "META-INF/manifest.xml" in names and b"encryption-data" in package.data("META-INF/manifest.xml"):
        raise Encrypted(
            "The document needs a password.",
            fix="Open it in the program that wrote it, and save a copy without the password.",
        )
    story = OpenStory(package, OfficePictures(package, context))
    styles = package.optional("styles.xml") if "styles.xml" in names else None
    story.learn(styles)
    reading = {"text": _read_text, "presentation": _read_slides, "spreadsheet": _read_sheets}[kind](
        story, styles, context
    )
    said = [*reading.problems, *story.pictures.problems(), *package.problems]
    if story.left_out:
        said.append(counted("part", story.left_out))
    title, metadata = _properties(package, names)
    return replace(
        reading,
        title=title or reading.title,
        blobs=tuple(story.pictures.blobs.values()),
        problems=tuple(said),
        metadata=metadata,
    )


def _read_text(story: OpenStory, styles: Element | None, context: ReadContext) -> Reading:
    root = story.package.xml("content.xml")
    story.learn(root)
    blocks: list[Block] = []
    for body in root.iterfind(f"{OFFICE}body/{OFFICE}text"):
        blocks += OpenWalk(story).run(body, context.progress)
    blocks = with_neighbours(placed(with_captions(blocks)))
    first = next((b.text for b in blocks if b.kind == "heading"), "")
    return Reading(tuple(blocks), title=story.title or first)


def _read_sheets(story: OpenStory, styles: Element | None, context: ReadContext) -> Reading:
    limits = context.limits
    budget = Budget(limits.max_rows, limits.max_text_bytes)
    blocks: list[Block] = []
    coverage: list[PageCoverage] = []
    problems: list[str] = []
    sheets = open_sheets(story, budget, lambda: context.progress(len(coverage), 0))
    for at, sheet in enumerate(sheets, 1):
        if at > limits.max_pages:
            problems.append(f"Sheets from {at} on were left out: the limit is {limits.max_pages}.")
            break
        if sheet.blocks:
            blocks += [heading_of(sheet.name, is_hidden=False), *sheet.blocks]
        if sheet.cut_at:
            problems.append(rows_left_out(sheet.cut_at, sheet.name, budget, limits))
        if sheet.unfilled_at:
            problems.append(not_repeated(sheet.unfilled_at, sheet.name))
        if sheet.blocks or sheet.cut_at:
            coverage.append(coverage_of(at, sheet.blocks))
        context.progress(at, at)
    return Reading(tuple(blocks), pages=tuple(coverage), problems=tuple(problems))


def _read_slides(story: OpenStory, styles: Element | None, context: ReadContext) -> Reading:
    root = story.package.xml("content.xml")
    story.learn(root)
    hidden = {
        style.get(f"{STYLE}name", "")
        for style in root.iter(f"{STYLE}style")
        if any(e.get(f"{PRESENTATION}visibility") == "hidden" for e in style)
    }
    size = _page_size(styles)
    slides = root.findall(f"{OFFICE}body/{OFFICE}presentation/{DRAW}page")
    limit = context.limits.max_pages
    problems = []
    if len(slides) > limit:
        problems.append(f"Slides from {limit + 1} on were left out: the limit is {limit}.")
    title = ""
    blocks: list[Block] = []
    coverage: list[PageCoverage] = []
    for at, slide in enumerate(slides[:limit], 1):
        is_hidden = slide.get(f"{DRAW}style-name", "") in hidden
        place = f"slide {at} (hidden)" if is_hidden else f"slide {at}"
        made = list(_slide(slide, at, story, size))
        coverage.append(coverage_of(at, made))
        title = title or next((b.text for b in made if b.kind == "heading"), "")
        if not any(block.kind == "heading" for block in made):
            made.insert(0, put_at(text_block("heading", f"Slide {at}", level=1), Page(at)))
        blocks += [replace(block, metadata={PLACE: place, **block.metadata}) for block in made]
        context.progress(at, len(slides))
    return Reading(
        tuple(with_neighbours(blocks)), title=title, pages=tuple(coverage), problems=tuple(problems)
    )


def _slide(slide: Element, at: int, story: OpenStory, size: tuple[float, float]) -> Iterator[Block]:
    shapes = [
        Shape(element, _box(element, size), element.get(f"{PRESENTATION}class", ""), "")
        for element in slide
        if element.tag.startswith(DRAW)
    ]
    titles = [shape for shape in shapes if shape.is_title]
    for shape in titles + in_order([shape for shape in shapes if not shape.is_title]):
        if shape.role in _FRAMES:
            continue
        where = Page(at, shape.box)
        for block in OpenWalk(story, where).run([shape.element]):
            if shape.is_title and block.kind in ("paragraph", "heading"):
                yield put_at(text_block("heading", " ".join(block.text.split()), level=1), where)
            else:
                yield put_at(block, where)
    for notes in slide.iterfind(f"{PRESENTATION}notes"):
        said = [b.text for b in OpenWalk(story, Page(at)).run(notes) if b.kind != "figure"]
        if any(said):
            yield put_at(text_block("paragraph", "Notes: " + "\n".join(said)), Page(at))


def _page_size(styles: Element | None) -> tuple[float, float]:
    """Return the width and height of a slide in centimetres, as the first master page has them."""
    for page in styles.iter(f"{STYLE}page-layout-properties") if styles is not None else ():
        width, height = _length(page.get(f"{FO}page-width")), _length(page.get(f"{FO}page-height"))
        if width > height > 0:
            return width, height
    return _USUAL_PAGE


def _box(element: Element, size: tuple[float, float]) -> Box | None:
    left, top, width, height = (
        _length(element.get(f"{SVG}{name}")) for name in ("x", "y", "width", "height")
    )
    if width <= 0 or height <= 0:
        return None

    def share(length: float, whole: float) -> float:
        return min(max(length / whole, 0.0), 1.0)

    right, bottom = share(left + width, size[0]), share(top + height, size[1])
    return Box(share(left, size[0]), share(top, size[1]), right, bottom)


def _length(text: str | None) -> float:
    match = _LENGTH.match((text or "").strip())
    if match is None:
        return 0.0
    try:
        return float(match.group(1)) * _CENTIMETRES[match.group(2) or "cm"]
    except ValueError:
        return 0.0


def _properties(package: Package, names: list[str]) -> tuple[str, dict[str, Scalar]]:
    root = package.optional("meta.xml") if "meta.xml" in names else None
    meta = root.find(f"{OFFICE}meta") if root is not None else None
    if meta is None:
        return "", {}
    author = meta.findtext(f"{_META}initial-creator") or meta.findtext(f"{_DUBLIN}creator") or ""
    said = {
        "author": " ".join(author.split()),
        "created": (meta.findtext(f"{_META}creation-date") or "").strip()[:10],
    }
    return plain_title(meta.findtext(f"{_DUBLIN}title")), {k: v for k, v in said.items() if v}
