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
        "markdown": "mmrag.corpus.readers.web.markdown:MarkdownReader",
        "html": "mmrag.corpus.readers.web.html:HtmlReader",
        "pdf": "mmrag.corpus.readers.pdf.reader:PdfReader",
        "word": "mmrag.corpus.readers.office.word:WordReader",
        "slides": "mmrag.corpus.readers.office.slides:SlidesReader",
        "sheet": "mmrag.corpus.readers.office.sheet:SheetReader",
        "opendocument": "mmrag.corpus.readers.office.opendocument:OpenDocumentReader",
        "table": "mmrag.corpus.readers.tables.reader:TableReader",
        "notebook": "mmrag.corpus.readers.notebook.reader:NotebookReader",
        "book": "mmrag.corpus.readers.book.reader:BookReader",
        "mail": "mmrag.corpus.readers.mail.reader:MailReader",
        "transcript": "mmrag.corpus.readers.recordings.transcript:TranscriptReader",
        "recording": "mmrag.corpus.readers.recordings.recording:RecordingReader",
        "drawing": "mmrag.corpus.readers.drawings.svg:DrawingReader",
        "image": "mmrag.corpus.readers.drawings.image:ImageReader",
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
