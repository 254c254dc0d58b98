"""What a sync and its worker processes say to each other: pickles, each behind its length."""

from __future__ import annotations

import io
import pickle
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import IO, Any, NamedTuple

import numpy as np

from mmrag.core.reading import Blob, Block, PageCoverage, Reading
from mmrag.core.types import Box, Cells, Page, Part, Place, Span, TimeRange
from mmrag.corpus.plan import Hashed
from mmrag.corpus.read_file import Failure, Outcome

_LENGTHS = struct.Struct("<QQ")
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


class Packed(NamedTuple):
    """A message ready to send: its pickle, and beside it the bytes of pictures."""

    pickled: bytes
    media: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """How many bytes it has in all."""
        return len(self.pickled) + sum(map(len, self.media))


def load_message(pickled: bytes, *, buffers: Iterable[bytes] = ()) -> Any:
    """Unpickle what a worker may say, and nothing else: its parsers read hostile files.

    Raises:
        UnpicklingError: It names something that is no part of a message.
    """
    return _Unpickler(io.BytesIO(pickled), buffers=buffers).load()


class Channel:
    """Two ends of pipes; any thread may send, one receives; `received_bytes` had the last message.

    Args:
        load: Unpickles what is received.
        make_room: Hears the length of a message before it is taken from the pipe; may wait.

    Units:
        max_bytes of a message that is received, max_pickled_bytes of it without its pictures.
    """

    def __init__(
        self,
        source: IO[bytes],
        sink: IO[bytes],
        max_bytes: int,
        max_pickled_bytes: int | None = None,
        *,
        load: Callable[..., Any] = load_message,
        make_room: Callable[[int], None] | None = None,
    ) -> None:
        self._source, self._sink, self._max_bytes = source, sink, max_bytes
        self._max_pickled_bytes = max_bytes if max_pickled_bytes is None else max_pickled_bytes
        self._load, self._make_room = load, make_room
        self._sending = threading.Lock()
        self.received_bytes = 0

    def send(self, message: object) -> None:
        """Send a message, or what `pack` made of one.

        Raises:
            OSError: The other side is gone.
        """
        pickled, media = message if isinstance(message, Packed) else pack(message)
        with self._sending:
            self._sink.write(_LENGTHS.pack(len(pickled), sum(len(data) + _LENGTH.size for data in media)))
            self._sink.write(pickled)
            for data in media:
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
        pickled_bytes, left = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        length = pickled_bytes + left
        if length > self._max_bytes or pickled_bytes > self._max_pickled_bytes:
            raise TooLong
        if self._make_room:
            self._make_room(length)
        pickled = self._exactly(pickled_bytes)
        media = []
        while left > 0:
            (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
            left -= size + _LENGTH.size
            if left < 0:
                raise TooLong
            media.append(self._exactly(size))
        self.received_bytes = length
        try:
            return self._load(pickled, buffers=media)
        except Exception as error:  # Broken pickles raise anything.
            raise Garbled(f"{type(error).__name__}: {error}") from error

    def _exactly(self, length: int) -> bytes:
        data = self._source.read(length)
        if len(data) < length:
            raise EOFError
        return data


def pack(message: object) -> Packed:
    """Pickle a message: places by their constructor, 4 times as fast as dataclasses do by themselves."""
    out = io.BytesIO()
    media: list[bytes] = []
    _Pickler(out, protocol=5, buffer_callback=lambda buffer: media.append(bytes(buffer))).dump(message)
    return Packed(out.getvalue(), tuple(media))


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if reduce := _REDUCERS.get(type(thing)):
            return reduce(thing)
        # Parsers give words and numbers of types of their own, which the other side does not take.
        if isinstance(thing, np.generic):
            return type(thing.item()), (thing.item(),)
        for plain, value in _PLAIN.items():
            if isinstance(thing, plain) and type(thing) not in (plain, bool):
                return plain, (value(thing),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _MAY_ARRIVE[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a reading") from None


def _by_constructor(kind: type[Any]) -> Callable[[Any], tuple[type[Any], tuple[Any, ...]]]:
    values = attrgetter(*(field.name for field in fields(kind)))
    return lambda thing: (kind, values(thing))


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    kind: _by_constructor(kind) for kind in (Block, Box, Cells, Page, Part, Place, Span, TimeRange)
} | {Blob: lambda blob: (Blob, (blob.digest, pickle.PickleBuffer(blob.data), blob.media_type))}
_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__index__,
    float: float.__float__,
}
_MAY_ARRIVE = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (
        *(Asked, Chosen, Learned, Ready, Step, Unusable, Outcome, Failure, Reading, PageCoverage),
        *_REDUCERS,
        *_PLAIN,
    )
}
