"""The one lock around PDFium: the library is not thread-safe, not even across documents."""

from __future__ import annotations

import threading

PDFIUM_LOCK = threading.RLock()
"""Hold it for every call into pypdfium2, from opening a document to closing it."""
