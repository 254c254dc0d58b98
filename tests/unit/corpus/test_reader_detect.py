import io
from pathlib import Path

import pytest
from PIL import Image

from mmrag.core.errors import Corrupt, Empty, Encrypted, SourceError, Unsupported
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Format, Reading
from mmrag.core.types import Source
from mmrag.corpus.readers import READERS, Detector, formats_of, load_readers

detect = Detector(load_readers())
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


class _Taker:
    """Claims .xyz, and .md from the Markdown reader."""

    name, version = "taker", 1
    formats = (Format("text/x-taker", "a taken text", (".xyz", ".md")),)
    about = (About("Taken", "nothing"),)

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        raise NotImplementedError


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


def _write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("a.md", b"# A", "text/markdown"),
        ("a.HTML", b"<p>a", "text/html"),
        ("a.txt", b"words", "text/plain"),
        ("README", b"words", "text/plain"),
        ("walk.1", b".TH WALK 1", "text/plain"),
        ("notes", "w\u00f6rter".encode() * 3000, "text/plain"),
        ("flow.dot", b"digraph { a -> b }", "text/plain"),
        ("changelog.Debian", b"words", "text/plain"),
        ("wide.txt", "words".encode("utf-16"), "text/plain"),
        ("a.pdf", b"junk before\n%PDF-1.4\n", "application/pdf"),
        ("quote.txt", b"a PDF begins with %PDF-1.4", "text/plain"),
        ("a.png", _png(), "image/png"),
        ("a.jpeg", b"\xff\xd8\xff\xe0", "image/jpeg"),
    ],
)
def test_suffix_and_content_agree(tmp_path: Path, name: str, data: bytes, media_type: str) -> None:
    assert detect(_write(tmp_path, name, data)) == media_type
    assert media_type in formats_of(load_readers())


def test_a_package_may_take_over_a_suffix(tmp_path: Path) -> None:
    detect = Detector([*load_readers(), _Taker()])
    assert detect(_write(tmp_path, "a.xyz", b"words")) == "text/x-taker"
    assert detect(_write(tmp_path, "a.md", b"words")) == "text/x-taker"
    assert detect(_write(tmp_path, "a.txt", b"words")) == "text/plain"


def test_the_readers_come_in_the_order_of_the_table() -> None:
    assert [reader.name for reader in load_readers()][:4] == ["text", "markdown", "html", "pdf"]
    assert [reader.name for reader in load_readers()] == READERS.ordered()


@pytest.mark.parametrize(
    ("name", "data", "error", "said", "fix"),
    [
        ("a.png", b"%PDF-1.4\n", Corrupt, "a PDF, not a PNG picture", ".pdf"),
        ("a.pdf", _png(), Corrupt, "a PNG picture, not a PDF", ".png"),
        ("a.pdf", b"<html>404</html>", Corrupt, "web page", "Download it again"),
        ("a.pdf", b"nothing", Corrupt, "does not begin like", "Restore"),
        ("a.txt", _png(), Corrupt, "a PNG picture, but its name says text", ".png"),
        ("a.md", b"PK\x03\x04", Corrupt, "ZIP", "unpack"),
        ("a.txt", b"", Empty, "empty", ""),
        ("a.doc", OLE, Unsupported, "Old Word documents (.doc) are not read", ".docx"),
        ("a.pdf", OLE, Corrupt, "an old Office document, not a PDF", ".mmragignore"),
        (
            "a.pdf",
            OLE + "EncryptedPackage".encode("utf-16-le"),
            Encrypted,
            "needs a password",
            "without the password",
        ),
        ("a.pdf", b"PK\x03\x04", Corrupt, "a ZIP archive", "right suffix"),
        ("a.zip", b"PK\x03\x04", Unsupported, "Archives (.zip) are not read", "Unpack"),
        ("changelog.gz", b"\x1f\x8b", Unsupported, "Archives (.gz) are not read", "Unpack"),
        ("a.exe", b"MZ", Unsupported, "are not read", ".mmragignore"),
        ("a.heic", b"\x00\x00", Unsupported, "not read", "JPEG"),
        ("a.xyz", b"w\x01rds", Unsupported, "'.xyz' are read only if they hold plain text", ".mmragignore"),
        ("a.xyz", b"w\xe4rds", Unsupported, "'.xyz' are read only if they hold plain text", ".mmragignore"),
        ("thing", b"\x00\x01", Unsupported, "without a suffix", ".mmragignore"),
        ("photo", _png(), Unsupported, "without the right suffix", ".png"),
        (
            "a.pdf",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            Corrupt,
            "git-lfs pointer",
            "git lfs pull",
        ),
    ],
)
def test_refuses_with_reason_and_remedy(
    tmp_path: Path, name: str, data: bytes, error: type[SourceError], said: str, fix: str
) -> None:
    with pytest.raises(error) as caught:
        detect(_write(tmp_path, name, data))
    assert said in caught.value.message
    assert fix in caught.value.fix
    assert caught.value.where == name
