"""What workers say: only messages come through, and large ones wait for room."""

from __future__ import annotations

import io
import os
import pickle
import threading

import numpy as np
import pytest

from mmrag.core.reading import Blob, Block, Reading
from mmrag.core.types import Page, Part
from mmrag.corpus.read_file import Outcome
from mmrag.corpus.wire import Channel, Garbled, Packed, TooLong, pack
from mmrag.corpus.worker_process import Room


class Forged:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> object:
        return self.call[0], self.call[1:]


def through(message: object, max_bytes: int = 10_000, max_pickled_bytes: int | None = None) -> object:
    """Return what comes out at the other side."""
    pipe = io.BytesIO()
    Channel(io.BytesIO(), pipe, 0).send(message)
    pipe.seek(0)
    return Channel(pipe, io.BytesIO(), max_bytes, max_pickled_bytes).receive()


def test_a_reading_comes_through_with_plain_values() -> None:
    class Word(str):
        pass

    block = Block("paragraph", Page(1), (Part("text", text=Word("one")),), metadata={"n": np.float32(0.5)})
    reading = Reading((block,), blobs=(Blob("d", b"a", "image/png"), Blob("e", b"", "image/png")))
    outcome = through(Outcome("text/plain", "any/1", reading))
    assert isinstance(outcome, Outcome)
    assert outcome.result == reading
    assert isinstance(outcome.result, Reading)
    (came,) = outcome.result.blocks
    assert (type(came.parts[0].text), type(came.metadata["n"])) == (str, float)
    assert type(outcome.result.blobs[0].data) is bytes


@pytest.mark.parametrize(
    "call", [(os.system, "echo forged"), (eval, "1"), (bytes, 10**12), (getattr, 1, "real")]
)
def test_a_forged_message_is_refused(call: tuple[object, ...]) -> None:
    with pytest.raises(Garbled, match="is no part of a reading"):
        through(Packed(pickle.dumps(Forged(*call))))


def test_pictures_do_not_count_as_blocks() -> None:
    picture = Outcome("image/png", "any/1", Reading((), blobs=(Blob("d", bytes(5000), "image/png"),)))
    assert through(picture, 10_000, 2000) == picture
    with pytest.raises(TooLong):
        through(picture, 4000)
    with pytest.raises(TooLong):
        through(Outcome("text/plain", "any/1", Reading((), title="x" * 3000)), 10_000, 2000)


def test_a_message_waits_for_room_before_it_is_taken_from_the_pipe() -> None:
    pipe = io.BytesIO()
    Channel(io.BytesIO(), pipe, 0).send(Outcome("text/plain", "any/1", Reading((), title="x" * 3000)))
    length = pipe.tell()
    pipe.seek(0)
    seen: list[tuple[int, int]] = []
    channel = Channel(pipe, io.BytesIO(), 10_000, make_room=lambda size: seen.append((size, pipe.tell())))
    channel.receive()
    assert seen == [(length - 16, 16)]


def test_what_is_larger_than_the_room_comes_in_alone() -> None:
    room, came = Room(10), []

    def come(size: int) -> None:
        room.enter(size)
        came.append(size)

    room.enter(6)
    room.enter(4)
    thread = threading.Thread(target=come, args=(50,))
    thread.start()
    room.leave(6)
    thread.join(0.1)
    assert came == []
    room.leave(4)
    thread.join(5)
    assert came == [50]
    blocked = threading.Thread(target=come, args=(1,))
    blocked.start()
    blocked.join(0.1)
    assert came == [50]
    room.close()
    blocked.join(5)
    assert came == [50, 1]


def test_packed_messages_keep_pictures_beside_the_pickle() -> None:
    packed = pack(Reading((), blobs=(Blob("d", bytes(5000), "image/png"),)))
    assert len(packed.pickled) < 1000
    assert packed.size == len(packed.pickled) + 5000
