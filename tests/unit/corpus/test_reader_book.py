import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from mmrag.core.errors import Corrupt, Empty, Encrypted, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId, Span
from mmrag.corpus.readers.book.reader import BookReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

KIND = "application/epub+zip"
CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
PICTURE = picture_of("A2")
XHTML = "application/xhtml+xml"


def package(items: Mapping[str, str], *, more: str = "", spine: str = "", guide: str = "") -> str:
    manifest = "".join(
        f'<item id="{name}" href="{name}" media-type="{kind}"/>' for name, kind in items.items()
    )
    order = "".join(f'<itemref idref="{name}"/>' for name, kind in items.items() if kind == XHTML)
    return (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>The Relay</dc:title><dc:creator>Ann</dc:creator><dc:creator>Bob</dc:creator>"
        "<dc:language>en-GB</dc:language><dc:date>2020-05-06T00:00:00Z</dc:date></metadata>"
        f"<manifest>{manifest}{more}</manifest><spine>{order}{spine}</spine>{guide}</package>"
    )


def write(folder: Path, opf: str, members: Mapping[str, str | bytes], name: str = "a.epub") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", KIND)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", opf)
        for member, data in members.items():
            archive.writestr(member, data)
    return path


def read(path: Path, limits: ReadLimits | None = None) -> Reading:
    source = Source(SourceId(path.name), digest_file(path), path.stat().st_size, KIND)
    return BookReader().read(path, source, ReadContext(path.parent, FakeOcr(), limits or ReadLimits()))


def page(body: str) -> str:
    return f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{body}</body></html>'


class TestContract(ReaderContract):
    media_type = KIND
    words = ("warranty", "24 months", "Figure 1", "Second chapter")

    def make(self) -> Reader:
        return BookReader()

    def write_samples(self, folder: Path) -> list[Path]:
        one = page(
            "<h1>Halden</h1><p>The warranty lasts 24 months.</p>"
            '<figure><img src="../img/p.png" alt="plan"/><figcaption>Figure 1</figcaption></figure>'
        )
        members = {
            "OEBPS/text/1.xhtml": one,
            "OEBPS/text/2.xhtml": page("<h1>Second chapter</h1><p>End.</p>"),
            "OEBPS/img/p.png": PICTURE,
        }
        return [write(folder, package({"text/1.xhtml": XHTML, "text/2.xhtml": XHTML}), members)]


def test_chapters_in_the_order_of_the_spine(tmp_path: Path) -> None:
    members = {"OEBPS/b.xhtml": page("<h1>B</h1><p>two</p>"), "OEBPS/a.xhtml": page("<h1>A</h1><p>one</p>")}
    reading = read(write(tmp_path, package({"b.xhtml": XHTML, "a.xhtml": XHTML}), members))
    assert [(b.kind, b.text, b.metadata[PLACE]) for b in reading.blocks] == [
        ("heading", "B", "chapter 1"),
        ("paragraph", "two", "chapter 1"),
        ("heading", "A", "chapter 2"),
        ("paragraph", "one", "chapter 2"),
    ]
    assert reading.title == "The Relay"
    assert reading.metadata == {"author": "Ann, Bob", "language": "en", "created": "2020-05-06"}
    whole = "\n\n".join(b.text for b in reading.blocks)
    for block in reading.blocks:
        assert isinstance(block.locator, Span)
        assert whole[block.locator.start : block.locator.end] == block.text


def test_titles_of_the_contents_stand_above_their_chapters(tmp_path: Path) -> None:
    nav = page(
        '<nav><ol><li><a href="a.xhtml">Getting started</a></li>'
        '<li><a href="b.xhtml#x">2. Care</a></li></ol></nav>'
    )
    more = f'<item id="nav" href="nav.xhtml" media-type="{XHTML}" properties="nav"/>'
    opf = package({"a.xhtml": XHTML, "b.xhtml": XHTML}, more=more, spine='<itemref idref="nav"/>')
    members = {
        "OEBPS/nav.xhtml": nav,
        "OEBPS/a.xhtml": page("<h1>Unpack</h1><p>one</p>"),
        "OEBPS/b.xhtml": page("<h1>Care</h1><p>two</p>"),
    }
    reading = read(write(tmp_path, opf, members))
    assert [(b.level, b.text) for b in reading.blocks if b.kind == "heading"] == [
        (1, "Getting started"),
        (2, "Unpack"),
        (1, "Care"),
    ]
    assert reading.blocks[-1].metadata[PLACE] == "chapter 2: 2. Care"


def test_titles_of_an_older_book(tmp_path: Path) -> None:
    point = '<navPoint><navLabel><text>Start</text></navLabel><content src="a.xhtml"/></navPoint>'
    ncx = f"<ncx><navMap>{point}</navMap></ncx>"
    more = '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    guide = '<guide><reference type="toc" href="toc.xhtml"/></guide>'
    opf = package({"toc.xhtml": XHTML, "a.xhtml": XHTML}, more=more, guide=guide)
    members = {
        "OEBPS/toc.ncx": ncx,
        "OEBPS/toc.xhtml": page("<p>Contents</p>"),
        "OEBPS/a.xhtml": page("<p>one</p>"),
    }
    reading = read(write(tmp_path, opf, members))
    assert [b.text for b in reading.blocks] == ["Start", "one"]


def test_pictures_come_out_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "gone.png").write_bytes(PICTURE)
    body = (
        '<p>Before.</p><img src="my%20p.png" alt="plan"/><img src="gone.png"/><img src="http://a.b/c.png"/>'
        '<svg xmlns:xlink="x"><image xlink:href="my p.png"/></svg>'
    )
    opf = package({"a.xhtml": XHTML})
    reading = read(write(tmp_path, opf, {"OEBPS/a.xhtml": page(body), "OEBPS/my p.png": PICTURE}))
    figures = [b for b in reading.blocks if b.kind == "figure"]
    assert [f.parts[0].media for f in figures] == [digest_bytes(PICTURE)] * 2
    assert figures[0].neighbours == "Before."
    assert reading.problems == ("The picture OEBPS/gone.png is missing.",)
    assert reading.depends == ()


def test_missing_and_broken_chapters_are_counted(tmp_path: Path) -> None:
    opf = package({"a.xhtml": XHTML, "b.xhtml": XHTML, "c.xhtml": XHTML})
    reading = read(
        write(tmp_path, opf, {"OEBPS/a.xhtml": page("<p>one</p>"), "OEBPS/b.xhtml": b"\x00\x01\x02"})
    )
    assert [b.text for b in reading.blocks] == ["one"]
    assert reading.problems == (
        "The chapter OEBPS/c.xhtml is missing.",
        "The chapter OEBPS/b.xhtml is broken.",
    )


@pytest.mark.parametrize(
    ("algorithm", "is_refused"),
    [("http://www.idpf.org/2008/embedding", False), ("http://www.w3.org/2001/04/xmlenc#aes256-cbc", True)],
)
def test_protected_books_are_named(tmp_path: Path, algorithm: str, is_refused: bool) -> None:
    rights = (
        f'<encryption><EncryptedData><EncryptionMethod Algorithm="{algorithm}"/></EncryptedData></encryption>'
    )
    members = {"META-INF/encryption.xml": rights, "OEBPS/a.xhtml": page("<p>one</p>")}
    path = write(tmp_path, package({"a.xhtml": XHTML}), members)
    if is_refused:
        with pytest.raises(Encrypted, match="rights"):
            read(path)
    else:
        assert read(path).blocks[0].text == "one"


def test_limits_are_said(tmp_path: Path) -> None:
    opf = package({f"{i}.xhtml": XHTML for i in range(5)})
    path = write(tmp_path, opf, {f"OEBPS/{i}.xhtml": page(f"<p>chapter {i}</p>") for i in range(5)})
    assert read(path, ReadLimits(max_pages=2)).problems == (
        "The last 3 chapters were left out: the limit is 2 chapters.",
    )
    assert read(path, ReadLimits(max_text_bytes=200)).problems == (
        "The last 3 chapters were left out: the limit is 200 bytes.",
    )


def test_hostile_books(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + package({"a.xhtml": XHTML})
    with pytest.raises(Corrupt, match="entities"):
        read(write(tmp_path, laughs, {"OEBPS/a.xhtml": page("&b;")}))
    with pytest.raises(TooLarge, match="bomb"):
        read(write(tmp_path, package({"a.xhtml": XHTML}), {"OEBPS/a.xhtml": bytes(60_000_000)}))


def test_what_is_no_book(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
    with pytest.raises(Corrupt, match="OpenDocument") as caught:
        read(path)
    assert ".odt" in caught.value.fix
    with pytest.raises(Empty):
        read(write(tmp_path, package({"a.xhtml": XHTML}), {"OEBPS/a.xhtml": page("")}))


def test_only_the_contents_of_a_book_are_left_out_of_a_chapter(tmp_path: Path) -> None:
    words = "Words that matter. " * 20
    chapter = page(
        f"<header>Head</header><article><p>{words}</p></article>"
        '<nav epub:type="toc">Contents</nav><nav>See also</nav>'
        '<aside epub:type="footnote">Note 1</aside><aside>Box</aside>'
        "<table><tr><th>Part</th><td><footer>Source</footer></td></tr></table><footer>Colophon</footer>"
    )
    reading = read(write(tmp_path, package({"a.xhtml": XHTML}), {"OEBPS/a.xhtml": chapter}))
    assert [b.text for b in reading.blocks] == [
        "Head",
        words.strip(),
        "See also",
        "Note 1",
        "Box",
        "Part | Source",
        "Colophon",
    ]
