"""Embed passages, questions and sentences with the model that ships inside mmrag."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError, UnsupportedModality
from mmrag.core.fields import embedding_text
from mmrag.core.protocols import Media
from mmrag.core.types import Embeddings, Item, Modality, Query
from mmrag.embed.minilm.files import ModelFiles

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

_SPECIALS = 2
"""[CLS] and [SEP] stand around every text."""


@dataclass(frozen=True, slots=True)
class MiniLMOptions:
    """Options of the embedded embedder.

    Args:
        threads: How many texts are embedded at once; 0 is one a core. It changes no vector.
    """

    threads: int = 0

    @property
    def offers(self) -> tuple[str, ...]:
        """What a vector can be of."""
        return ("text",)

    @property
    def dims(self) -> tuple[int, ...]:
        """The lengths that a vector can have."""
        return (384,)

    def build(self) -> MiniLMEmbedder:
        """Return the embedder; the model is loaded on first use."""
        return MiniLMEmbedder(threads=self.threads)


class MiniLMEmbedder:
    """all-MiniLM-L6-v2, 384 dimensions, English, in 8 bits, on the CPU, without torch or network.

    Texts are run one at a time, so that a vector depends on its own text alone: 8-bit ranges are
    taken from everything in a run. Threads run texts side by side. A text over `max_tokens` word
    pieces is cut into windows of equal length, and its vector is the mean of theirs: nothing
    is left out. An item is embedded by its words, a picture by those that stand in and around it.

    Args:
        threads: How many texts are embedded at once; 0 is one a core.
        folder: Where the model's files are; None is the package itself.

    Raises:
        ConfigError: `threads` is negative.
        ModelError: The model's files are missing or damaged.
    """

    def __init__(self, *, threads: int = 0, folder: Path | None = None) -> None:
        if threads < 0:
            raise ConfigError(f"threads is {threads}.", fix="Give 0 for one a core, or a positive number.")
        self._files = ModelFiles.in_folder(folder or Path(__file__).parent)
        self._threads = threads or _cores()
        self._loading = threading.Lock()
        self._loaded_tokenizer: Tokenizer | None = None
        self._loaded_session: onnxruntime.InferenceSession | None = None

    @property
    def identity(self) -> Mapping[str, str]:
        """What the vectors depend on."""
        return {
            "embedder": "minilm",
            "model": self._files.name,
            "revision": self._files.sha256["model.onnx"][:16],
            "dtype": self._files.dtype,
            "pooling": self._files.pooling,
            "dim": str(self.dim),
            "max_tokens": str(self._files.max_tokens),
            "longer": "mean of equal windows",
        }

    @property
    def modalities(self) -> frozenset[Modality]:
        """Text only: pictures come as the words that were found in and around them."""
        return frozenset({"text"})

    @property
    def languages(self) -> frozenset[str] | None:
        """English."""
        return frozenset({"en"})

    @property
    def dim(self) -> int:
        """The length of a vector: 384."""
        return self._files.dim

    @property
    def max_tokens(self) -> int:
        """How many word pieces the model reads at once; a longer text is read in windows."""
        return self._files.max_tokens - _SPECIALS

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Embed items by `mmrag.core.fields.embedding_text`."""
        return Embeddings.dense(self.embed_texts([embedding_text(item) for item in items]))

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Embed questions; the model knows no instructions, so `Query.instruction` has no effect.

        Raises:
            UnsupportedModality: A query has a part that is not text.
        """
        for query in queries:
            if foreign := query.modalities - self.modalities:
                raise UnsupportedModality(
                    f"The embedder minilm takes text, and the query has: {', '.join(sorted(foreign))}.",
                    fix="Ask in words, or use an index whose embedder takes pictures: mmrag recipe list",
                )
        return Embeddings.dense(self.embed_texts([query.text for query in queries]))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed bare texts; the empty text has a vector too.

        Shapes:
            -> float32 [n_texts, 384], unit vectors
        """
        vectors = np.empty((len(texts), self.dim), np.float32)
        if not len(texts):
            return vectors
        tokenizer, session = self._tokenizer(), self._session()

        def embed(i: int) -> None:
            vectors[i] = self._embed(texts[i], tokenizer, session)

        workers = min(self._threads, len(texts))
        if workers == 1:
            for i in range(len(texts)):
                embed(i)
        else:
            with ThreadPoolExecutor(workers, "mmrag-embed") as pool:
                for _ in pool.map(embed, range(len(texts))):
                    pass
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the word pieces of each text."""
        tokenizer = self._tokenizer()
        return [len(_word_pieces(tokenizer, text)) - _SPECIALS for text in texts]

    def _embed(
        self, text: str, tokenizer: Tokenizer, session: onnxruntime.InferenceSession
    ) -> NDArray[np.float32]:
        ids = np.array(_word_pieces(tokenizer, text), np.int64)
        if len(ids) <= self._files.max_tokens:
            return _run(session, ids)
        start, words, end = ids[:1], ids[1:-1], ids[-1:]
        windows = np.array_split(words, -(-len(words) // self.max_tokens))
        total = np.sum([_run(session, np.concatenate([start, w, end])) for w in windows], axis=0)
        mean: NDArray[np.float32] = total / np.linalg.norm(total)
        return mean

    def _tokenizer(self) -> Tokenizer:
        with self._loading:
            if self._loaded_tokenizer is None:
                self._loaded_tokenizer = self._files.tokenizer()
            return self._loaded_tokenizer

    def _session(self) -> onnxruntime.InferenceSession:
        with self._loading:
            if self._loaded_session is None:
                self._loaded_session = self._files.session()
            return self._loaded_session


def _word_pieces(tokenizer: Tokenizer, text: str) -> list[int]:
    # One text a call: batches would start the library's own threads, which warn after a fork.
    # A file name that is not UTF-8 brings lone surrogates, which the library refuses.
    ids: list[int] = tokenizer.encode(text.encode("utf-8", "replace").decode()).ids
    return ids


def _run(session: onnxruntime.InferenceSession, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = session.run(["embedding"], {"input_ids": ids[None]})[0][0]
    return vector


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
