"""Media files by digest, in folders of two letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmrag.core.reading import Blob
from mmrag.store.disk import space_checked, write_whole

_DIGEST = re.compile(r"[0-9a-f]{16,128}")


class Blobs:
    """The blobs below a folder; `aside` takes drafts and is on the same disk."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder, self._aside = folder, aside

    def read(self, digest: str) -> bytes | None:
        """Return a blob, None if it is not there."""
        path = self.path(digest)
        try:
            return path.read_bytes() if path else None
        except FileNotFoundError:
            return None

    def write(self, blob: Blob) -> None:
        """Write a blob to the disk unless it is there."""
        path = self.path(blob.digest)
        if path is None:
            raise ValueError(f"{blob.digest!r} is not a hex digest")
        if not path.exists():
            with space_checked(self._folder):
                write_whole(path, blob.data, aside=self._aside)

    def delete(self, digest: str) -> None:
        """Delete a blob if it is there."""
        if path := self.path(digest):
            path.unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """List what is on the disk."""
        return (path.name for path in self._folder.glob("*/*"))

    def path(self, digest: str) -> Path | None:
        """Return where a blob lies or would lie, None if `digest` is none."""
        return self._folder / digest[:2] / digest if _DIGEST.fullmatch(digest) else None
