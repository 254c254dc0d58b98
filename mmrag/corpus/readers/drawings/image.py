"""Read a picture file: one figure with its own words and what its header says about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.core.errors import TooLarge
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Format, PageCoverage, Reading
from mmrag.core.types import Page, Part, Scalar, Source
from mmrag.corpus.readers.figures import figure_block, no_ocr, ocr_part
from mmrag.media.pictures import exif_of, open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

_DESCRIPTION, _MAKE, _MODEL, _DATE, _TAKEN = 0x010E, 0x010F, 0x0110, 0x0132, 0x9003
_CAMERA_NAMES = re.compile(
    r"(?:olympus digital camera|sony dsc|dcim|default|screenshot|created with .*)$", re.I
)


class ImageReader:
    """Reads PNG, JPEG, GIF, WebP, TIFF and BMP; of many frames the first."""

    name = "image"
    version = 1
    formats = (
        Format("image/png", "a PNG picture", (".png",), rb"\x89PNG\r\n\x1a\n"),
        Format("image/jpeg", "a JPEG picture", (".jpg", ".jpeg", ".jpe"), rb"\xff\xd8\xff"),
        Format("image/gif", "a GIF picture", (".gif",), rb"GIF8[79]a"),
        Format("image/webp", "a WebP picture", (".webp",), rb"RIFF.{4}WEBP"),
        Format("image/tiff", "a TIFF picture", (".tif", ".tiff"), rb"II[*+]\x00|MM\x00[*+]"),
        Format("image/bmp", "a BMP picture", (".bmp",), rb"BM.{4}\x00{4}.{8}"),
    )
    about = (
        About(
            "PNG, JPEG, WebP, TIFF, GIF, BMP",
            "the words in the picture by OCR, with their places; descriptions, date and camera in its header",
            "what it shows; all but the first frame",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a picture; boxes count on the picture turned upright.

        Raises:
            Corrupt: It cannot be decoded.
            TooLarge: It exceeds `limits.max_bytes` or `limits.max_pixels`.
        """
        if source.size > context.limits.max_bytes:
            raise TooLarge(
                f"The picture has {source.size} bytes, more than the limit of {context.limits.max_bytes}.",
                fix="Scale it down, or leave it out with a line in .mmragignore.",
                where=source.id,
            )
        with open_picture(path, max_pixels=context.limits.max_pixels, name=source.id) as picture:
            frames = int(getattr(picture, "n_frames", 1))
            is_tiff = picture.format == "TIFF"
            # Decoded also without OCR: a torn picture must not become an item.
            width, height = upright(picture, name=source.id).size
            metadata, description = _said(picture)
        metadata |= {"width": width, "height": height}
        words = ocr_part(context.ocr.read(path.read_bytes())) if context.ocr else None
        caption = Part("text", text=description, role="caption") if description else None
        block = figure_block(source.digest, Page(1), caption=caption, ocr=words, metadata=metadata)
        problems = [] if context.ocr else [no_ocr(1)]
        if frames > 1 and is_tiff:
            problems.append(f"Only the first of {frames} pages was read.")
        return Reading(
            (block,),
            title=str(metadata.get("picture_title", "")),
            pages=(PageCoverage(1, text=False, ocr=words is not None, figures=1),),
            problems=tuple(problems),
        )


def _said(picture: Image) -> tuple[dict[str, Scalar], str]:
    """Return what EXIF and PNG texts say: date, camera, title as metadata, and the description."""
    exif = exif_of(picture)
    said: dict[str, Scalar] = {}
    taken = _words(exif.get(_TAKEN) or exif.get(_DATE))
    if date := re.match(r"(\d{4}):(\d\d):(\d\d)", taken):
        said["taken"] = "-".join(date.groups())
    make, model = _words(exif.get(_MAKE)), _words(exif.get(_MODEL))
    if make or model:
        said["camera"] = model if model.casefold().startswith(make.casefold()) else f"{make} {model}".strip()
    if title := _words(picture.info.get("Title")):
        said["picture_title"] = title
    comment = picture.info.get("Description") or picture.info.get("comment")
    description = _words(exif.get(_DESCRIPTION)) or _words(comment)
    return said, "" if _CAMERA_NAMES.match(description) else description


def _words(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c for c in value if c.isprintable() or c.isspace()).split())[:2000]
