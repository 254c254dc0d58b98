"""Open the pictures of items, wherever they are: kept in the store, a file of the corpus, a page of a PDF."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

from mmrag.core.errors import Corrupt, Empty
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.media import page_of_media
from mmrag.core.types import Item, Part
from mmrag.media.pages import render_page
from mmrag.store import Store

PAGE_SIDE_PIXELS = 1600
"""The longest side of a page: 2.0 million pixels for A4, as many as the largest of the models sees."""


def _nothing(_: str) -> bytes | None:
    return None


class ItemPictures:
    """A `Media` over a store and its corpus; threads may share it.

    Args:
        store: Keeps the pictures that stand in documents.
        corpus: The folder of the sources, where picture files and PDFs are read; None for none.
        pending: Returns the bytes of a digest that is about to be stored, or None.
    """

    def __init__(
        self, store: Store, corpus: Path | None, pending: Callable[[str], bytes | None] = _nothing
    ) -> None:
        self._store, self._corpus, self._pending = store, corpus, pending
        self._known: dict[tuple[Path, int, int], str] = {}
        self._lock = threading.Lock()

    def __call__(self, item: Item, part: Part) -> bytes:
        """Return the encoded picture of an item's part.

        Raises:
            Empty: The part has no picture.
            Corrupt: It is gone, or its source has changed since it was indexed.
        """
        if part.media is None:
            raise Empty(f"An item of {item.source} has no picture.", fix="Nothing to do.", where=item.source)
        if (page := page_of_media(part.media)) is not None:
            return self._page(item, *page)
        data = self._pending(part.media) or self._store.blob(part.media) or self._file(item, part.media)
        if data is None:
            raise _gone(item)
        return data

    def _page(self, item: Item, digest: str, number: int) -> bytes:
        path = self._corpus / item.source if self._corpus is not None else None
        if path is None or self._digest(path) != digest:
            raise _gone(item)
        out = io.BytesIO()
        # Written to be read at once: BMP takes no time to encode.
        render_page(path, number, max_side=PAGE_SIDE_PIXELS).save(out, "BMP")
        return out.getvalue()

    def _file(self, item: Item, digest: str) -> bytes | None:
        try:
            data = (self._corpus / item.source).read_bytes() if self._corpus is not None else None
        except OSError:
            return None
        return data if data is not None and digest_bytes(data) == digest else None

    def _digest(self, path: Path) -> str | None:
        """Return the digest of a file, computed once for all of its pages."""
        try:
            stat = path.stat()
            key = path, stat.st_size, stat.st_mtime_ns
            with self._lock:
                known = self._known.get(key)
            if known is None:
                known = digest_file(path)
                with self._lock:
                    self._known[key] = known
        except OSError:
            return None
        return known


def _gone(item: Item) -> Corrupt:
    return Corrupt(
        "The picture is gone, or its file has changed since it was indexed.",
        fix="Run the sync again.",
        where=item.source,
    )
