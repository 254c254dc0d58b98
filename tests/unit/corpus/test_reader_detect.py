import io
from pathlib import Path

import pytest
from PIL import Image

from mmrag.core.errors import Corrupt, Empty, SourceError, Unsupported
from mmrag.corpus.readers import READERS, detect


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
    assert any(media_type in reader.media_types for reader in READERS)


@pytest.mark.parametrize(
    ("name", "data", "error", "said", "fix"),
    [
        ("a.png", b"%PDF-1.4\n", Corrupt, "a PDF, not a PNG picture", ".pdf"),
        ("a.pdf", _png(), Corrupt, "a PNG picture, not a PDF", ".png"),
        ("a.pdf", b"<html>404</html>", Corrupt, "web page", "Download it again"),
        ("a.pdf", b"nothing", Corrupt, "does not begin like", "Restore"),
        ("a.txt", _png(), Corrupt, "a PNG picture, but its name says text", ".png"),
        ("a.md", b"PK\x03\x04", Corrupt, "ZIP", "Unpack"),
        ("a.txt", b"", Empty, "empty", ""),
        ("a.docx", b"PK\x03\x04", Unsupported, "Word documents (.docx) are not read yet", "PDF"),
        ("a.zip", b"PK\x03\x04", Unsupported, "not read yet", "Unpack"),
        ("a.mp3", b"ID3", Unsupported, "not read yet", "transcript"),
        ("a.svg", b"<svg/>", Unsupported, "not read yet", "PNG"),
        ("a.heic", b"\x00\x00", Unsupported, "not read yet", "JPEG"),
        ("a.xyz", b"words", Unsupported, "'.xyz'", ".mmragignore"),
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
