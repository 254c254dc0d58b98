"""Readers: one family of files each; packages add theirs by an entry point."""

from __future__ import annotations

from collections.abc import Iterable

from mmrag.core.protocols import Reader
from mmrag.core.reading import Format
from mmrag.core.registry import Registry
from mmrag.corpus.readers.detect import Detector

READERS = Registry(
    "reader",
    {
        "text": "mmrag.corpus.readers.text:TextReader",
        "markdown": "mmrag.corpus.readers.markdown:MarkdownReader",
        "html": "mmrag.corpus.readers.html:HtmlReader",
        "pdf": "mmrag.corpus.readers.pdf:PdfReader",
        "word": "mmrag.corpus.readers.word:WordReader",
        "slides": "mmrag.corpus.readers.slides:SlidesReader",
        "sheet": "mmrag.corpus.readers.sheet:SheetReader",
        "opendocument": "mmrag.corpus.readers.opendocument:OpenDocumentReader",
        "table": "mmrag.corpus.readers.table:TableReader",
        "notebook": "mmrag.corpus.readers.notebook:NotebookReader",
        "book": "mmrag.corpus.readers.book:BookReader",
        "mail": "mmrag.corpus.readers.mail:MailReader",
        "transcript": "mmrag.corpus.readers.transcript:TranscriptReader",
        "recording": "mmrag.corpus.readers.recording:RecordingReader",
        "drawing": "mmrag.corpus.readers.drawing:DrawingReader",
        "image": "mmrag.corpus.readers.image:ImageReader",
    },
)
"""All readers by name, in the order of the table of formats.

A package adds one by an entry point in group `mmrag.reader` whose object makes the reader.
"""


def load_readers(registry: Registry = READERS) -> tuple[Reader, ...]:
    """Return every reader: mmrag's own first, so that one of a package may take over a suffix."""
    return tuple(registry.get(name)() for name in registry.ordered())


def formats_of(readers: Iterable[Reader]) -> dict[str, tuple[Reader, Format]]:
    """Return the formats by media type with the reader that takes each: the last one that claims it."""
    return {known.media_type: (reader, known) for reader in readers for known in reader.formats}


__all__ = ["READERS", "Detector", "formats_of", "load_readers"]
