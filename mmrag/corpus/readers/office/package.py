"""The parts of an Office Open XML file, how they refer to each other, and what it says of itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element
from zipfile import ZipFile, ZipInfo

from mmrag.core.errors import Corrupt, TooLarge
from mmrag.core.protocols import ReadLimits
from mmrag.core.types import Scalar, Source
from mmrag.corpus.readers.archive import RESTORE_FIX, open_archive, parse_xml, read_member, wrong_container

_OFFICE = "http://schemas.openxmlformats.org/"
W = f"{{{_OFFICE}wordprocessingml/2006/main}}"
P = f"{{{_OFFICE}presentationml/2006/main}}"
X = f"{{{_OFFICE}spreadsheetml/2006/main}}"
A = f"{{{_OFFICE}drawingml/2006/main}}"
C = f"{{{_OFFICE}drawingml/2006/chart}}"
DGM = f"{{{_OFFICE}drawingml/2006/diagram}}"
M = f"{{{_OFFICE}officeDocument/2006/math}}"
R = f"{{{_OFFICE}officeDocument/2006/relationships}}"
MC = f"{{{_OFFICE}markup-compatibility/2006}}"
"""Namespaces in the notation of ElementTree; those of the Strict variant are read as these."""

_DUBLIN = "{http://purl.org/dc/elements/1.1/}"
_TERMS = "{http://purl.org/dc/terms/}"
_AUTOMATIC = re.compile(r" ?(?:Description|Beschreibung) automati\w+ (?:generated|generiert).*")
_MAX_ALT_CHARS = 2000
"""Authors are told to describe a picture in two sentences; what is longer was pasted."""
_SAYS_NOTHING = re.compile(
    r"\S.{0,200}\.(?:png|jpe?g|gif|bmp|tiff?|emf|wmf|svg|webp)|(?:picture|image|grafik|bild|chart)\s?\d*",
    re.IGNORECASE,
)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)")
_NO_TITLE = re.compile(
    r"(?:untitled|document|word document|powerpoint.pr\w+|presentation|slide|pr\wsentation|folie|title|"
    r"microsoft word - .*|.*\.(?:docx?|pptx?|xlsx?|od[tps]|rtf))\s?\d*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Relation:
    """What a part refers to by an id: another part, or an address outside of the file."""

    kind: str
    target: str
    is_external: bool


@dataclass(slots=True)
class Package:
    """An opened file. `problems` gets a sentence for each part that was left out, once."""

    archive: ZipFile
    source: Source
    limits: ReadLimits
    problems: dict[str, None] = field(default_factory=dict)
    _members: dict[str, ZipInfo] = field(default_factory=dict)
    _relations: dict[str, dict[str, Relation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Names differ in case and slashes between writers; the standard compares them without case.
        self._members = {_key(member.filename): member for member in self.archive.infolist()}

    def main(self, root: str, wanted: str) -> tuple[str, Element]:
        """Return the name and the root element of the part that everything starts from.

        Args:
            root: Which element it must be.
            wanted: What the file should be, for people: "a Word document".

        Raises:
            Corrupt: The file is something else, or that part is torn.
            TooLarge: That part exceeds `limits.max_text_bytes`.
        """
        for name in self.related("", "officeDocument"):
            if (found := self.xml(name)).tag == root:
                return name, found
        raise wrong_container(self.archive, wanted, self.limits)

    def member(self, name: str) -> ZipInfo:
        """Return the entry of a part.

        Raises:
            Corrupt: There is no such part.
        """
        for key in (_key(name), _key(unquote(name))):
            if key in self._members:
                return self._members[key]
        raise Corrupt(f"The part {name[-80:]} is missing.", fix="Restore the file from its source.")

    def data(self, name: str) -> bytes:
        """Return the bytes of a part.

        Raises:
            Corrupt: It is missing or torn.
        """
        return read_member(self.archive, self.member(name), self.limits)

    def xml(self, name: str) -> Element:
        """Return the root element of a part.

        Raises:
            Corrupt: It is missing or torn.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        member = self.member(name)
        if member.file_size > self.limits.max_text_bytes:
            raise TooLarge(
                f"The part {name} has {member.file_size} bytes, "
                f"more than the limit of {self.limits.max_text_bytes}.",
                fix="Split the document, or leave it out with a line in .mmragignore.",
                where=self.source.id,
            )
        return parse_xml(self.data(name), self.source, part=name)

    def optional(self, name: str | None) -> Element | None:
        """Return the root element of a part that the rest can be read without; what is wrong is noted."""
        if not name:
            return None
        try:
            return self.xml(name)
        except (Corrupt, TooLarge) as error:
            self.problems[error.message] = None
            return None

    def relations(self, part: str) -> dict[str, Relation]:
        """Return what a part ('' for the file itself) refers to, by id."""
        if part not in self._relations:
            folder, name = posixpath.split(part)
            rels = posixpath.join(folder, "_rels", f"{name}.rels")
            root = self.optional(rels) if _key(rels) in self._members else None
            self._relations[part] = {} if root is None else dict(_relations(root, folder))
        return self._relations[part]

    def target(self, part: str, relation: str | None) -> str | None:
        """Return the part that another one refers to by an id, None if there is none in this file."""
        found = self.relations(part).get(relation or "")
        return found.target if found and not found.is_external else None

    def related(self, part: str, kind: str) -> list[str]:
        """Return the parts of one kind ("header") that a part refers to."""
        found = self.relations(part).values()
        return [r.target for r in found if r.kind == kind and not r.is_external]

    def properties(self) -> tuple[str, dict[str, Scalar]]:
        """Return the title ('' for none that says something) and the metadata of the document."""
        root = self.optional(next(iter(self.related("", "core-properties")), None))
        if root is None:
            return "", {}
        said = {
            "author": _words(root.findtext(f"{_DUBLIN}creator")),
            "created": _date(root.findtext(f"{_TERMS}created")),
        }
        return plain_title(root.findtext(f"{_DUBLIN}title")), {k: v for k, v in said.items() if v}


@contextmanager
def open_package(path: Path, source: Source, limits: ReadLimits) -> Iterator[Package]:
    """Open an Office file; errors that pass through get its name.

    Raises:
        Corrupt: It is torn, or its parts nest so deeply that reading them runs out of stack.
        Encrypted: It needs a password.
        TooLarge: It exceeds a limit.
    """
    with open_archive(path, source, limits) as archive:
        try:
            yield Package(archive, source, limits)
        except RecursionError as error:
            said = "Its parts nest deeper than any program writes them."
            raise Corrupt(said, fix=RESTORE_FIX) from error


def plain_title(title: str | None) -> str:
    """Return a document's own title in one line, '' if a program or template made it up."""
    words = _words(title)
    return "" if len(words) < 3 or _NO_TITLE.match(words) else words


def number(element: Element | None, name: str, default: int = 0) -> int:
    """Return a whole number from an attribute; writers that should know better write 12.0 or nothing."""
    value = "" if element is None else element.get(name, "")
    try:
        return int(value)
    except ValueError:
        try:
            return int(float(value))
        except (ValueError, OverflowError):
            return default


def is_on(element: Element | None, name: str, *, default: bool = True) -> bool:
    """Whether a switch is on: one that is there without a value is."""
    if element is None:
        return False
    value = element.get(name)
    return default if value is None else value not in ("0", "false", "off", "none")


def alt_of(properties: Element | None) -> str:
    """Return the author's words for a drawing, from its properties; those of programs say nothing."""
    if properties is None:
        return ""
    said = properties.get("descr") or properties.get("title") or ""
    words = _AUTOMATIC.sub("", " ".join(said.split())[:_MAX_ALT_CHARS])
    return "" if _SAYS_NOTHING.fullmatch(words) else words


@lru_cache(maxsize=4096)
def local(tag: str) -> str:
    """Return an element's name without its namespace."""
    return tag.rpartition("}")[2]


def _relations(root: Element, folder: str) -> list[tuple[str, Relation]]:
    found = []
    for element in root:
        target = element.get("Target", "").replace("\\", "/")
        is_external = element.get("TargetMode") == "External"
        if not is_external:
            target = target.partition("#")[0]
            target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
        kind = element.get("Type", "").rpartition("/")[2]
        found.append((element.get("Id", ""), Relation(kind, target, is_external)))
    return found


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _date(text: str | None) -> str:
    found = _DATE.match((text or "").strip())
    return found.group(1) if found else ""
