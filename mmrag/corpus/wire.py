"""What a sync and its worker processes say to each other: pickles, each behind its length."""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import IO, Any

from mmrag.core.reading import Block
from mmrag.core.types import Box, Cells, Page, Part, Place, Span, TimeRange
from mmrag.corpus.plan import Hashed

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker waits for files."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The worker could not load its readers."""

    said: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Files to read one after another; each is answered by an `Outcome`."""

    files: tuple[Hashed, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The worker knows what the file is, and begins to read it."""

    media_type: str
    reader: str


@dataclass(frozen=True, slots=True)
class Step:
    """The worker has read so many pages."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The worker wants what is kept under a key; a `Known` answers."""

    key: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept under the key that was asked for."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class Learned:
    """The worker has a result that is worth keeping."""

    key: str
    value: bytes


class TooLong(Exception):
    """A message is longer than the channel carries."""


class Garbled(Exception):
    """A message cannot be unpickled."""


class Channel:
    """Two ends of pipes; any thread may send, one receives; `received_bytes` had the last message.

    Units:
        max_bytes of a message that is received.
    """

    def __init__(self, source: IO[bytes], sink: IO[bytes], max_bytes: int) -> None:
        self._source, self._sink, self._max_bytes = source, sink, max_bytes
        self._sending = threading.Lock()
        self.received_bytes = 0

    def send(self, message: object) -> None:
        """Send a message, or what `pack` made of one.

        Raises:
            OSError: The other side is gone.
        """
        data = message if isinstance(message, bytes) else pack(message)
        with self._sending:
            self._sink.write(_LENGTH.pack(len(data)))
            self._sink.write(data)
            self._sink.flush()

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            EOFError: The other side is gone.
            TooLong: The message is not read; the channel is of no use any more.
            Garbled: The message was read, but not understood.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > self._max_bytes:
            raise TooLong
        data = self._exactly(length)
        self.received_bytes = length
        try:
            return pickle.loads(data)
        except Exception as error:
            raise Garbled(f"{type(error).__name__}: {error}") from error

    def _exactly(self, length: int) -> bytes:
        data = self._source.read(length)
        if len(data) < length:
            raise EOFError
        return data


def pack(message: object) -> bytes:
    """Pickle a message: places by their constructor, 4 times as fast as dataclasses do by themselves."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=5)
    pickler.dispatch_table = {**copyreg.dispatch_table, **_REDUCERS}
    pickler.dump(message)
    return out.getvalue()


def _by_constructor(kind: type[Any]) -> Callable[[Any], tuple[type[Any], tuple[Any, ...]]]:
    values = attrgetter(*(field.name for field in fields(kind)))
    return lambda thing: (kind, values(thing))


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    kind: _by_constructor(kind) for kind in (Block, Box, Cells, Page, Part, Place, Span, TimeRange)
}
