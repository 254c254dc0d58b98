"""A model whose vectors can be told from its inputs, and whose troubles can be chosen."""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrag.core.errors import OutOfMemory, SourceError
from mmrag.embed.content import Content, Prepared


class Data:
    """What a model keeps of an input; it can be counted while it is alive."""

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass
class FakeModel:
    """Text of n characters takes n tokens, of which those that are `#` are a picture's.

    Words with a meaning: `gone` cannot be prepared, `buggy` fails in `prepare` with a bug, `cursed` in `run`,
    `nan` has no numbers. More than `memory` positions, padding counted, are too much.
    """

    dim: int = 8
    memory: int = 1_000_000_000
    prepare_s: float = 0.0
    run_s: float = 0.0
    broken: bool = False
    batches: list[list[str]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    live: "weakref.WeakSet[Data]" = field(default_factory=weakref.WeakSet)
    most_live: int = 0
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, content: Content) -> Prepared:
        (text,) = content.parts
        assert isinstance(text, str)
        time.sleep(self.prepare_s)
        if "gone" in text:
            raise SourceError("It is gone.", fix="Look for it.")
        if "buggy" in text:
            raise ValueError("what a picture library says")
        pictures = text.count("#")
        data = Data(text)
        with self.lock:
            self.threads.add(threading.get_ident())
            self.live.add(data)
            self.most_live = max(self.most_live, len(self.live))
        return Prepared(len(text) - pictures, pictures, data, ("cut",) if "long" in text else ())

    def run(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        texts = [one.data.text for one in batch]
        with self.lock:
            self.running += 1
            assert self.running == 1, "two threads run one model at a time"
            self.batches.append(texts)
        try:
            time.sleep(self.run_s)
            if self.broken:
                raise RuntimeError("CUDA error: unspecified launch failure")
            if len(texts) * max(map(len, texts)) > self.memory:
                raise OutOfMemory("It does not fit.", fix="Take a smaller batch.")
            if any("cursed" in text for text in texts):
                raise RuntimeError("shapes do not match")
            return np.stack([vector(text, self.dim) for text in texts])
        finally:
            with self.lock:
                self.running -= 1

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]


def vector(text: str, dim: int = 8) -> NDArray[np.float32]:
    if "nan" in text:
        return np.full(dim, np.nan, np.float32)
    found = np.random.default_rng(list(text.encode())).standard_normal(dim).astype(np.float32)
    return found / np.linalg.norm(found)


def contents(texts: Sequence[str]) -> list[Content]:
    return [Content((text,), "document") for text in texts]


@pytest.fixture
def fake() -> type[FakeModel]:
    return FakeModel


@pytest.fixture
def vector_of() -> Callable[[str], NDArray[np.float32]]:
    return vector


@pytest.fixture
def contents_of() -> Callable[[Sequence[str]], list[Content]]:
    return contents
