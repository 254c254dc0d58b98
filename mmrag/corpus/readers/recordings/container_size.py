"""How long a container says that it is: a download that stopped half-way still opens."""

from __future__ import annotations

from typing import BinaryIO

_MAX_BOXES = 100_000
_ISO = frozenset({"video/mp4", "video/quicktime", "audio/mp4"})
_MATROSKA = frozenset({"video/x-matroska", "video/webm"})


def declared_size(file: BinaryIO, media_type: str, size: int) -> int:
    """Return how many bytes an MP4, QuickTime or Matroska file should have, 0 when it does not say."""
    file.seek(0)
    if media_type in _ISO:
        return _boxes_end(file, size)
    if media_type in _MATROSKA:
        return _segment_end(file)
    return 0


def _boxes_end(file: BinaryIO, size: int) -> int:
    at = 0
    for _ in range(_MAX_BOXES):
        if at >= size:
            return at
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or len(head) < 8:
            break  # 0 means: until the end of the file. What is smaller is no box.
        at += length
    return 0


def _segment_end(file: BinaryIO) -> int:
    """Return where the one segment after the header ends.

    Source: RFC 8794, section 4 (variable-size integers), and RFC 9559, section 5.1.
    """
    file.seek(4)
    if (header := _number(file)) is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != b"\x18\x53\x80\x67" or (segment := _number(file)) is None:
        return 0
    return file.tell() + segment


def _number(file: BinaryIO) -> int | None:
    """Return a number with a length marker; None if it is torn, or says that nobody knows."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    value = int.from_bytes(first + rest, "big") & ((1 << 7 * length) - 1)
    return None if len(rest) < length - 1 or value == (1 << 7 * length) - 1 else value
