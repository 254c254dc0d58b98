"""Pages of a PDF as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.core.errors import Corrupt
from mmrag.core.pdfium import PDFIUM_LOCK

if TYPE_CHECKING:
    from PIL.Image import Image


def render_page(path: Path, number: int, *, max_side: int) -> Image:
    """Render page `number` (1-based) of a PDF as RGB, at most twice its size in points.

    Args:
        path: The PDF.
        number: The page.
        max_side: The longest side.

    Units:
        max_side in pixels.

    Raises:
        Corrupt: The file is no readable PDF, or has no such page.
    """
    import pypdfium2

    with PDFIUM_LOCK:
        try:
            document = pypdfium2.PdfDocument(path)
        except (pypdfium2.PdfiumError, OSError) as error:
            raise Corrupt(
                f"The PDF cannot be opened ({error}).",
                fix="Restore the file and sync again.",
                where=str(path),
            ) from error
        try:
            if not 1 <= number <= len(document):
                raise Corrupt(
                    f"The PDF has {len(document)} pages, page {number} is not among them.",
                    fix="Sync again.",
                    where=str(path),
                )
            page = document[number - 1]
            width, height = page.get_size()
            scale = min(2.0, max_side / max(width, height, 1.0))
            image: Image = page.render(scale=scale).to_pil().convert("RGB")
        finally:
            document.close()
    return image
