"""Write the evidence of an answer as files that a person can look at."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote as percent

from mmrag.answer.evidence_page import Exhibit, evidence_html
from mmrag.answer.locate import locators
from mmrag.answer.pictures import encode, media_picture, page_picture
from mmrag.answer.render import has_pages, is_picture, picture_of
from mmrag.core.errors import MmragError, OutOfSpace, StoreError
from mmrag.core.fields import ANCHOR
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.types import Answer, Box, Citation, Page, SourceId, TimeRange

OpenMedia = Callable[[SourceId], Path]
BlobOf = Callable[[str], bytes | None]
DigestOf = Callable[[SourceId], str | None]

_FRAGMENT_WORDS = 5
_TRANSCRIPTS = (".vtt", ".srt")


def write_evidence(
    answer: Answer,
    folder: Path,
    *,
    open_media: OpenMedia,
    blob: BlobOf,
    question: str = "",
    digest_of: DigestOf | None = None,
) -> list[Path]:
    """Write one picture a citation (PDF pages, pictures, figures) and `index.html` into a folder.

    File names depend on the answer alone, so that a second run overwrites the first. A source
    that is gone, changed or broken since it was indexed becomes a note beside its citation.

    Args:
        answer: What to show.
        folder: Where to write; made if it is not there.
        open_media: Gives the path of a source.
        blob: Gives the bytes of media by digest, None if the store has none.
        question: The question, shown on the page.
        digest_of: Gives a source's digest when it was indexed; without it only pictures are
            checked for changes.

    Returns:
        The files written, `index.html` first.

    Raises:
        StoreError: The folder cannot be written.
    """
    exhibits: list[Exhibit] = []
    files: dict[str, bytes] = {}
    for number, citation in enumerate(answer.citations, 1):
        found = _exhibit(citation, folder, open_media, blob, digest_of)
        name = ""
        if found.picture:
            name = _file_name(number, citation, "jpg" if found.format == "jpeg" else "png")
            files[name] = found.picture
        exhibits.append(Exhibit(citation, found.link, found.note, name, found.picture, found.format))
    files["index.html"] = evidence_html(answer, exhibits, question=question).encode("utf-8", "replace")
    _write(folder, files)
    return [folder / name for name in sorted(files, key=lambda name: (name != "index.html", name))]


@dataclass(frozen=True, slots=True)
class _Found:
    link: str = ""
    note: str = ""
    picture: bytes = b""
    format: str = ""


def _exhibit(
    citation: Citation, folder: Path, open_media: OpenMedia, blob: BlobOf, digest_of: DigestOf | None
) -> _Found:
    source = citation.item.source
    try:
        path = open_media(source)
    except (OSError, KeyError, MmragError):
        path = None
    if path is None or not path.is_file():
        return _Found(note=f"{source} is no longer there: this is what it said when it was indexed.")
    link = _link(path, folder, citation)
    try:
        changed = _changed(citation, path, digest_of)
        if changed:
            return _Found(link, f"{source} has changed since it was indexed: sync and ask again.")
        picture, kind = _picture(citation, path, blob)
        return _Found(link, picture=picture, format=kind)
    except (OSError, MmragError) as error:
        reason = error.message if isinstance(error, MmragError) else str(error)
        return _Found(link, f"No picture of {source} could be made. {reason}")


def _changed(citation: Citation, path: Path, digest_of: DigestOf | None) -> bool:
    digest = digest_of(citation.item.source) if digest_of else None
    if digest is None and is_picture(citation.item):
        part = picture_of(citation.item)
        digest = part.media if part else None
    return digest is not None and digest != digest_file(path)


def _picture(citation: Citation, path: Path, blob: BlobOf) -> tuple[bytes, str]:
    item = citation.item
    if is_picture(item):
        return encode(media_picture(path.read_bytes(), _boxes(citation)))
    if isinstance(citation.locator, Page) and path.suffix.lower() == ".pdf":
        return encode(page_picture(path, citation.locator.number, _boxes(citation)))
    part = picture_of(item)
    data = blob(part.media) if part and part.media else None
    if data is None or part is None or data.lstrip()[:1] == b"<":
        return b"", ""  # A drawing in SVG, which nothing here can paint: the link shows it.
    if part.media != digest_bytes(data):
        raise StoreError("The stored picture is damaged.", fix="Run mmrag verify.")
    return encode(media_picture(data, _boxes(citation)))


def _boxes(citation: Citation) -> list[Box]:
    """Return one box a line of the quote, else the citation's own."""
    if not isinstance(citation.locator, Page):
        return []
    number = citation.locator.number
    lines = [
        place.box
        for place in locators(citation.item, citation.start, citation.end)
        if isinstance(place, Page) and place.number == number and place.box
    ]
    if lines:
        return list(dict.fromkeys(lines))
    return [citation.locator.box] if citation.locator.box else []


def _link(path: Path, folder: Path, citation: Citation) -> str:
    try:
        relative = os.path.relpath(path.resolve(), folder.resolve())
        base = percent(Path(relative).as_posix(), safe="/.")
    except ValueError:  # another drive on Windows
        base = path.resolve().as_uri()
    suffix = path.suffix.lower()
    if suffix == ".pdf" and isinstance(citation.locator, Page):
        return f"{base}#page={citation.locator.number}"
    if isinstance(citation.locator, TimeRange) and citation.locator.start and suffix not in _TRANSCRIPTS:
        # Players and browsers begin there: W3C Media Fragments URI 1.0, section 4.2.1.
        return f"{base}#t={round(citation.locator.start, 3):.10g}"
    if suffix in (".html", ".htm", ".xhtml"):
        anchor = percent(str(citation.item.metadata.get(ANCHOR, "")), safe="")
        directive = _text_directive(citation.quote)
        return f"{base}#{anchor}{directive}" if anchor or directive else base
    return base


def _text_directive(quote: str) -> str:
    """Return a text fragment that browsers scroll to and mark; a table row has none."""
    words = quote.split()
    if not words or "|" in words:
        return ""
    if len(words) <= 2 * _FRAGMENT_WORDS and "\n" not in quote:
        return ":~:text=" + _fragment(words)
    return f":~:text={_fragment(words[:_FRAGMENT_WORDS])},{_fragment(words[-_FRAGMENT_WORDS:])}"


def _fragment(words: list[str]) -> str:
    """Percent-encode words; a bare hyphen or comma would be syntax."""
    return percent(" ".join(words), safe="").replace("-", "%2D")


def _file_name(number: int, citation: Citation, suffix: str) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", citation.item.source.rsplit(".", 1)[0].lower()).strip("-")[-60:]
    locator = citation.locator
    page = f"-page-{locator.number}" if isinstance(locator, Page) and has_pages(citation.item) else ""
    return f"citation-{number}-{stem or 'source'}{page}.{suffix}"


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        kind = OutOfSpace if error.errno == errno.ENOSPC else StoreError
        raise kind(
            f"The evidence cannot be written ({error.strerror or error}).",
            fix="Give another folder with --evidence.",
            where=str(folder),
        ) from error
