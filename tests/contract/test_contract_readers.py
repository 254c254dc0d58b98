from pathlib import Path

from reportlab.lib.utils import ImageReader as Picture
from reportlab.pdfgen.canvas import Canvas

from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Ocr, OcrLine, Reader
from mmrag.core.types import Box
from mmrag.corpus.readers import load_readers
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

HTML = """\
<!doctype html><html><head><title>Relay</title></head><body>
<h1 id="top">Halden relay</h1><p>The warranty lasts <b>24</b> months.</p>
<h2>Wiring</h2><p>Before.</p>
<figure><img src="wiring.png" alt="Terminals"><figcaption>Figure 1</figcaption></figure>
<table><tr><th>Part</th><th>Price</th></tr><tr><td>Fuse</td><td>4.20</td></tr></table>
<ul><li>First</li><li>Second</li></ul><script>never()</script></body></html>
"""

MARKDOWN = """\
# Halden relay

The warranty lasts **24** months.

## Wiring

See the picture.

![Terminals](wiring.png "Figure 1")

| Part | Price |
|------|-------|
| Fuse | 4.20  |

- First
- Second
"""


BY_NAME = {reader.name: reader for reader in load_readers()}
TESTS = Path(__file__).parents[1]


def test_every_reader_passes_the_suite_somewhere() -> None:
    suites = "".join(
        path.read_text(encoding="utf-8")
        for path in TESTS.rglob("test_*reader*.py")
        if "(ReaderContract)" in path.read_text(encoding="utf-8")
    )
    for reader in BY_NAME.values():
        assert any(f'"{known.media_type}"' in suites for known in reader.formats), reader.name


class TestText(ReaderContract):
    media_type = "text/plain"
    reads_any_bytes = True
    words = ("warranty", "Prüfung", "継電器")

    def make(self) -> Reader:
        return BY_NAME["text"]

    def write_samples(self, folder: Path) -> list[Path]:
        text = "The warranty lasts 24 months.\nSee below.\n\nDie Prüfung der Pumpe.\n\n継電器の保証期間\n"
        paths = []
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            paths.append(folder / f"{encoding}.txt")
            paths[-1].write_text(text, encoding=encoding)
        return paths


class TestMarkdown(ReaderContract):
    media_type = "text/markdown"
    reads_any_bytes = True
    words = ("warranty", "months", "Terminals", "Fuse", "4.20", "Second")

    def make(self) -> Reader:
        return BY_NAME["markdown"]

    def write_samples(self, folder: Path) -> list[Path]:
        (folder / "wiring.png").write_bytes(picture_of("A2"))
        path = folder / "manual.md"
        path.write_text(MARKDOWN, encoding="utf-8")
        return [path]


class TestHtml(ReaderContract):
    media_type = "text/html"
    reads_any_bytes = True
    words = ("warranty", "months", "Terminals", "Fuse", "4.20", "Second")

    def make(self) -> Reader:
        return BY_NAME["html"]

    def write_samples(self, folder: Path) -> list[Path]:
        (folder / "wiring.png").write_bytes(picture_of("A2"))
        path = folder / "manual.html"
        path.write_text(HTML, encoding="utf-8")
        return [path]


class TestPdf(ReaderContract):
    media_type = "application/pdf"
    words = ("warranty", "24 months", "terminal A2")

    def make(self) -> Reader:
        return BY_NAME["pdf"]

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "manual.pdf"
        picture = folder / "wiring.png"
        picture.write_bytes(picture_of("A2"))
        canvas = Canvas(str(path), pagesize=(400, 600))
        canvas.setTitle("Halden relay")
        canvas.drawString(40, 540, "The warranty of the Halden relay lasts 24 months.")
        canvas.drawImage(Picture(str(picture)), 40, 300, 300, 150)
        canvas.drawString(40, 280, "Figure 1: where the blue wire goes")
        canvas.showPage()
        canvas.drawString(40, 540, "Connect the blue wire to terminal A2.")
        canvas.showPage()
        canvas.save()
        return [path]


class TestImage(ReaderContract):
    media_type = "image/png"
    words = ("Warranty 24 months",)
    picture = picture_of("Warranty 24 months")

    def make(self) -> Reader:
        return BY_NAME["image"]

    def ocr(self) -> Ocr:
        line = OcrLine("Warranty 24 months", Box(0.05, 0.4, 0.6, 0.6), 0.9)
        return FakeOcr({digest_bytes(self.picture): (line,)})

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "label.png"
        path.write_bytes(self.picture)
        return [path]
