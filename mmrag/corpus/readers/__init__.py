"""Readers: one family of files each, by media type."""

from __future__ import annotations

from mmrag.core.protocols import Reader
from mmrag.corpus.readers.detect import detect
from mmrag.corpus.readers.html import HtmlReader
from mmrag.corpus.readers.image import ImageReader
from mmrag.corpus.readers.markdown import MarkdownReader
from mmrag.corpus.readers.pdf import PdfReader
from mmrag.corpus.readers.text import TextReader

READERS: tuple[Reader, ...] = (TextReader(), MarkdownReader(), HtmlReader(), PdfReader(), ImageReader())
"""All readers. They hold no state: one may serve many threads."""

__all__ = ["READERS", "detect"]
