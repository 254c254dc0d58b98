"""Read what an EPUB says of itself: its chapters in reading order, their titles, and who wrote it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from mmrag.core.errors import Corrupt, Encrypted, SourceError
from mmrag.core.fields import LANGUAGE
from mmrag.core.protocols import ReadLimits
from mmrag.core.types import Scalar, Source
from mmrag.corpus.readers.archive import parse_xml, read_member, wrong_container
from mmrag.corpus.readers.web.html import as_html, decode_html
from mmrag.corpus.readers.web.html_text import attribute, squeeze
from mmrag.corpus.readers.web.html_tree import parse_page

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_FONTS = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
"""They hide fonts only: the words stay readable."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})


@dataclass(frozen=True, slots=True)
class Package:
    """The chapters are members of the archive; `titles` are theirs as far as the contents name them."""

    title: str
    metadata: dict[str, Scalar]
    chapters: tuple[str, ...]
    titles: dict[str, str]


def read_package(archive: ZipFile, source: Source, limits: ReadLimits) -> Package:
    """Read the package document and the table of contents.

    Raises:
        Corrupt: The archive is no EPUB, or what it says of itself is broken.
        Encrypted: The chapters are encrypted (DRM).
    """
    names = set(archive.namelist())
    if _CONTAINER not in names:
        raise wrong_container(archive, "an EPUB", limits)
    if _ENCRYPTION in names:
        _check_rights(parse_xml(read_member(archive, _ENCRYPTION, limits), source, part=_ENCRYPTION), source)
    container = parse_xml(read_member(archive, _CONTAINER, limits), source, part=_CONTAINER)
    path = next((e.get("full-path", "") for e in _all(container, "rootfile")), "")
    if path not in names:
        raise Corrupt(
            "The EPUB does not say where its contents are.",
            fix="Restore it from its source.",
            where=source.id,
        )
    package = parse_xml(read_member(archive, path, limits), source, part=path)
    items = {item.get("id", ""): item for item in _all(package, "item")}
    contents = [item for item in items.values() if "nav" in item.get("properties", "").split()]
    guides = [ref for ref in _all(package, "reference") if ref.get("type", "").lower() == "toc"]
    left_out = {member_of(path, e.get("href", "")) for e in (*contents, *guides)}
    spine = [items[ref.get("idref", "")] for ref in _all(package, "itemref") if ref.get("idref", "") in items]
    chapters = [
        member_of(path, item.get("href", "")) for item in spine if item.get("media-type", "") in _PAGES
    ]
    ncx = [i for i in items.values() if i.get("media-type") == "application/x-dtbncx+xml"]
    titles: dict[str, str] = {}
    for item, read in (*((item, _nav_titles) for item in contents), *((item, _ncx_titles) for item in ncx)):
        member = member_of(path, item.get("href", ""))
        try:
            found = list(read(read_member(archive, member, limits), member, source))
        except SourceError:
            continue  # a book without its contents still has chapters
        for link, title in found:
            titles.setdefault(member_of(member, link), title)
    return Package(
        _said(package, "title"),
        _described(package),
        tuple(dict.fromkeys(name for name in chapters if name not in left_out)),
        titles,
    )


def member_of(base: str, link: str) -> str:
    """Return the member that a link in member `base` leads to."""
    path = unquote(link.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path)).lstrip("/") if path else base


def _check_rights(root: Element, source: Source) -> None:
    methods = {method.get("Algorithm", "") for method in _all(root, "EncryptionMethod")}
    # Keys are encrypted too, within an EncryptedKey: then so is something that they open.
    if methods - _FONTS:
        raise Encrypted(
            "The book is protected by digital rights management: its chapters are encrypted.",
            fix="Use a copy without protection, or leave it out with a line in .mmragignore.",
            where=source.id,
        )


def _described(package: Element) -> dict[str, Scalar]:
    metadata: dict[str, Scalar] = {}
    authors = [squeeze("".join(e.itertext())) for e in _all(package, "creator")]
    if names := ", ".join(dict.fromkeys(filter(None, authors))):
        metadata["author"] = names
    if re.match(r"[a-zA-Z]{2}(?:-|$)", language := _said(package, "language")):
        metadata[LANGUAGE] = language[:2].lower()
    if date := _DATE.match(_said(package, "date")):
        metadata["created"] = date.group()
    if description := _said(package, "description"):
        metadata["description"] = description
    return metadata


def _said(package: Element, name: str) -> str:
    metadata = next(_all(package, "metadata"), package)
    found = (squeeze("".join(e.itertext())) for e in _all(metadata, name))
    return next(filter(None, found), "")


def _nav_titles(data: bytes, name: str, _source: Source) -> Iterator[tuple[str, str]]:
    tree = parse_page(as_html(decode_html(data, name).text))
    for node in tree.css("nav a[href]"):
        if title := squeeze(node.text()):
            yield attribute(node, "href"), title


def _ncx_titles(data: bytes, name: str, source: Source) -> Iterator[tuple[str, str]]:
    for point in _all(parse_xml(data, source, part=name), "navPoint"):
        label = next(_all(point, "navLabel"), None)
        content = next(_all(point, "content"), None)
        title = squeeze("".join(label.itertext())) if label is not None else ""
        if title and content is not None:
            yield content.get("src", ""), title


def _all(root: Element, name: str) -> Iterator[Element]:
    """Yield the elements of a local name, whatever the namespace."""
    return (e for e in root.iter() if isinstance(e.tag, str) and e.tag.rpartition("}")[2] == name)
