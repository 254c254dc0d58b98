"""A corpus is embedded once, whatever stops the run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import SourceError
from mmrag.core.protocols import Embedded, Media
from mmrag.core.types import Embeddings, Item, ItemId, Part, SourceId, Span
from mmrag.embed.encode import encode
from mmrag.embed.engine.cache import EmbeddingCache


class Streaming:
    """Embeds by the length of a text; counts what it embeds and how far it reads ahead."""

    dim = 3

    def __init__(self) -> None:
        self.embedded = 0
        self.read = 0

    def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Iterator[Embedded]:
        for position, item in enumerate(items):
            self.embedded += 1
            if "gone" in item.text:
                yield Embedded(position, error=SourceError("It is gone.", fix="Look for it."))
            else:
                yield Embedded(position, vector(item)[None], notes=("made",))


class Whole:
    """Embeds lists only."""

    dim = 3

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        return Embeddings.dense(np.stack([vector(item) for item in items]))


def vector(item: Item) -> np.ndarray:
    return np.array([len(item.text), len(item.text) % 7, 1], np.float32)


def items_of(texts: Iterable[str]) -> Iterator[Item]:
    for i, text in enumerate(texts):
        yield Item(ItemId(str(i)), SourceId("a.txt"), Span(0, 1), (Part("text", text=text),))


def texts_of(count: int) -> list[str]:
    return [f"{i} " + "a" * (i % 13) for i in range(count)]


@pytest.fixture
def cache_in(tmp_path: Path) -> Callable[[], EmbeddingCache]:
    return lambda: EmbeddingCache(tmp_path / "cache", {"embedder": "fake"}, 3)


def check(found: list[Embedded], texts: list[str]) -> None:
    assert [one.position for one in found] == list(range(len(texts)))
    for one, item in zip(found, items_of(texts), strict=True):
        assert np.array_equal(one.vectors, vector(item)[None])


@pytest.mark.parametrize("embedder", [Streaming, Whole])
@pytest.mark.parametrize("count", [0, 1, 700])
def test_items_come_in_order(embedder, count: int, cache_in) -> None:
    texts = texts_of(count)
    check(list(encode(embedder(), items_of(texts))), texts)
    for _ in range(2):
        with cache_in() as cache:
            check(list(encode(embedder(), items_of(texts), cache=cache)), texts)


def test_only_what_is_missing_is_embedded(cache_in) -> None:
    texts = texts_of(600)
    for chosen, expected in ((texts[::3], 200), (texts, 400), (texts, 0)):
        embedder = Streaming()
        with cache_in() as cache:
            check(list(encode(embedder, items_of(chosen), cache=cache)), chosen)
        assert embedder.embedded == expected


def test_an_error_is_not_kept(cache_in) -> None:
    for _ in range(2):
        embedder = Streaming()
        with cache_in() as cache:
            found = list(encode(embedder, items_of(["a", "gone", "b"]), cache=cache))
        assert [one.error is None for one in found] == [True, False, True]
    assert embedder.embedded == 1


def test_a_long_stretch_of_known_items_is_not_read_ahead(cache_in) -> None:
    texts = texts_of(20_000)
    with cache_in() as cache:
        list(encode(Streaming(), items_of(texts[1:]), cache=cache))
    read = 0

    def counted() -> Iterator[Item]:
        nonlocal read
        for item in items_of(texts):
            read += 1
            yield item

    class Ahead(Streaming):
        def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Iterator[Embedded]:
            return super().embed_stream(iter(list(items)), media)

    with cache_in() as cache:
        for one in encode(Ahead(), counted(), cache=cache):
            assert read - one.position <= 4096 + 256


def test_a_run_that_is_closed_keeps_what_was_taken(cache_in) -> None:
    with cache_in() as cache:
        run = encode(Streaming(), items_of(texts_of(100)), cache=cache)
        for _ in range(10):
            next(run)
        run.close()
    embedder = Streaming()
    with cache_in() as cache:
        list(encode(embedder, items_of(texts_of(100)), cache=cache))
    assert embedder.embedded == 90


SCRIPT = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("helpers", sys.argv[1])
helpers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(helpers)
from pathlib import Path
from mmrag.embed.encode import encode
from mmrag.embed.engine.cache import EmbeddingCache

cache = EmbeddingCache(Path(sys.argv[2]), {"embedder": "fake"}, 3)
for one in encode(helpers.Streaming(), helpers.items_of(helpers.texts_of(100_000)), cache=cache):
    print(one.position, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_run_that_is_killed_goes_on(tmp_path: Path, cache_in) -> None:
    done = 0
    for stop in (500, 1300):
        command = [sys.executable, "-c", SCRIPT, __file__, str(tmp_path / "cache")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= stop:
                break
        process.send_signal(signal.SIGKILL)
        rest = [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        process.stdout.close()
        done = max([stop, *rest]) + 1
    texts = texts_of(done + 100)
    embedder = Streaming()
    with cache_in() as cache:
        check(list(encode(embedder, items_of(texts), cache=cache)), texts)
    # At most what was not yet kept, 64, is embedded again.
    assert 0 <= embedder.embedded <= 100 + 64 + 64
