"""Read Word documents: all their texts in order, tables, pictures, charts, notes and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from mmrag.core.errors import Empty
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Format, Reading
from mmrag.core.types import Source
from mmrag.corpus.readers.figures import with_neighbours
from mmrag.corpus.readers.flow import placed, with_captions
from mmrag.corpus.readers.office.package import Package, W, open_package
from mmrag.corpus.readers.office.pictures import OfficePictures
from mmrag.corpus.readers.office.word_blocks import BodyWalk, Story
from mmrag.corpus.readers.office.word_styles import Numbering, Styles
from mmrag.corpus.readers.sentences import counted

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SEPARATORS = ("separator", "continuationSeparator", "continuationNotice")
_PAGE_NUMBER = re.compile(
    r"\W*(?:(?:page|seite|p\.|pagina|página)?\s*\d*\s*(?:/|of|von|de|di|sur)?\s*\d*)\W*", re.I
)


class WordReader:
    """Reads the XML of Word documents as it stands in them."""

    name = "word"
    version = 1
    formats = (Format(_MEDIA_TYPE, "a Word document", (".docx", ".docm", ".dotx", ".dotm"), rb"PK\x03\x04"),)
    about = (
        About(
            "Word (.docx, .docm, .dotx)",
            "headings, numbered lists, tables, text boxes, footnotes, comments, headers and footers; "
            "pictures with caption, alt text and the words in them; charts' values; SmartArt; equations",
            "deleted text of tracked changes, tables of contents, embedded files and EMF drawings; "
            "pages are not known, so headings say where",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a Word document; spans count the characters of the blocks' texts, two more between blocks.

        Raises:
            Corrupt: It is torn, or another kind of file.
            Encrypted: It needs a password.
            Empty: It holds no words and no pictures.
            TooLarge: It exceeds a limit.
        """
        with open_package(path, source, context.limits) as package:
            return _read(package, context)


def _read(package: Package, context: ReadContext) -> Reading:
    name, document = package.main(f"{W}document", "a Word document")
    story = _story(package, name, OfficePictures(package, context))
    walk = BodyWalk(story, name)
    blocks = _frames(story, name, "header")
    for body in document.findall(f"{W}body"):
        blocks += walk.run(body, context.progress)
    # Comments on what was deleted are still shown in the margin.
    for kind, ident in list(story.notes):
        blocks += walk.note_blocks(kind, ident) if kind == "comment" else []
    blocks += _frames(story, name, "footer")
    blocks = with_neighbours(placed(with_captions(blocks)))
    problems = tuple(_problems(story))
    if not blocks and not problems:
        raise Empty(
            "The document holds no words.",
            fix="Nothing to do, or restore its content.",
            where=package.source.id,
        )
    title, metadata = package.properties()
    first = next((b.text for b in blocks if b.kind == "heading"), "")
    return Reading(
        tuple(blocks),
        title=title or story.title or first,
        blobs=tuple(story.pictures.blobs.values()),
        problems=problems,
        metadata=metadata,
    )


def _story(package: Package, name: str, pictures: OfficePictures) -> Story:
    def part(kind: str) -> Element | None:
        return package.optional(next(iter(package.related(name, kind)), None))

    story = Story(package, Styles(part("styles")), Numbering(part("numbering")), pictures)
    for kind in ("footnote", "endnote", "comment"):
        for where in package.related(name, f"{kind}s"):
            root = package.optional(where)
            for note in root.iter(f"{W}{kind}") if root is not None else ():
                if note.get(f"{W}type") not in _SEPARATORS:
                    story.notes[kind, note.get(f"{W}id", "")] = (where, note)
    return story


def _frames(story: Story, name: str, kind: str) -> list[Block]:
    """Return what stands above or below every page, each text once, without mere page numbers."""
    found: list[Block] = []
    seen: set[tuple[object, ...]] = set()
    for part in story.package.related(name, kind):
        root = story.package.optional(part)
        for block in BodyWalk(story, part).run(root) if root is not None else ():
            key = tuple((part.text, part.media) for part in block.parts)
            if key not in seen and not (block.kind != "figure" and _PAGE_NUMBER.fullmatch(block.text)):
                seen.add(key)
                found.append(block)
    return found


def _problems(story: Story) -> Iterator[str]:
    yield from story.pictures.problems()
    yield from story.package.problems
    if story.left_out:
        yield counted("part", story.left_out)
