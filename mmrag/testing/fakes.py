"""Stand-ins for models: deterministic, fast, and honest implementations of the protocols."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import Corrupt, UnsupportedModality
from mmrag.core.fields import embedding_text
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import Media, OcrLine
from mmrag.core.types import Embeddings, Item, Modality, Part, Query

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class HashingEmbedder:
    """An embedder without a model: texts that share words are near each other.

    Each word adds +1 or -1 at a place that its hash chooses; the sum is scaled to length 1.
    A text without words gets the first unit vector. It takes text only.

    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009.
    """

    dim: int = 256
    languages: frozenset[str] | None = None

    @property
    def identity(self) -> Mapping[str, str]:
        """Name and dim: all that the vectors depend on."""
        return {"embedder": "hashing", "revision": "1", "dim": str(self.dim)}

    @property
    def modalities(self) -> frozenset[Modality]:
        """Text only."""
        return frozenset({"text"})

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Embed the words of items."""
        return Embeddings.dense(self.embed_texts([embedding_text(item) for item in items]))

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Embed the words of queries.

        Raises:
            UnsupportedModality: A part is not text.
        """
        for query in queries:
            if others := query.modalities - self.modalities:
                raise UnsupportedModality(
                    f"The hashing embedder takes text, not {', '.join(sorted(others))}.",
                    fix="Ask in words.",
                )
        return Embeddings.dense(self.embed_texts([query.text for query in queries]))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 [n_texts, dim]."""
        sums = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(sums, texts, strict=True):
            for word in _WORD.findall(text.casefold()):
                bits = int(digest_bytes(word.encode("utf-8", "surrogatepass"))[:16], 16)
                row[(bits >> 1) % self.dim] += 1.0 if bits & 1 else -1.0
            if not row.any():
                row[0] = 1.0
        unit: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return unit

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the words of each text."""
        return [len(_WORD.findall(text)) for text in texts]


@dataclass(frozen=True, slots=True)
class HashingOptions:
    """Options of the hashing embedder, so that a recipe can name it.

    Args:
        dim: The length of a vector.
    """

    dim: int = 256

    def build(self) -> HashingEmbedder:
        """Make the embedder."""
        return HashingEmbedder(self.dim)


@dataclass(frozen=True, slots=True)
class SeeingEmbedder:
    """A hashing embedder that takes pictures too, and knows by heart what some of them show.

    Args:
        script: Words by the media of a part: a digest in an item, a path in a query.
        gap: How far the vectors of pictures lie from those of words, as in models of both: the last
            coordinate is `gap` for words and `-gap` for pictures before all is scaled to length 1.
        dim: The length of a vector.
    """

    script: Mapping[str, str] = field(default_factory=dict, hash=False)
    gap: float = 0.0
    dim: int = 256
    languages: frozenset[str] | None = None

    @property
    def identity(self) -> Mapping[str, str]:
        """Name, dim and gap."""
        return {"embedder": "seeing", "revision": "1", "dim": str(self.dim), "gap": str(self.gap)}

    @property
    def modalities(self) -> frozenset[Modality]:
        """Text and pictures."""
        return frozenset({"text", "image"})

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        """Embed the words of texts, and what pictures show."""
        return self._embedded([item.parts for item in items], [embedding_text(item) for item in items])

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        """Embed words, pictures, or both at once."""
        return self._embedded([query.parts for query in queries], [query.text for query in queries])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the words of each text."""
        return [len(_WORD.findall(text)) for text in texts]

    def _embedded(self, parts: Sequence[Sequence[Part]], texts: Sequence[str]) -> Embeddings:
        shown = [[self.script.get(part.media or "", "") for part in own if part.media] for own in parts]
        words = [" ".join([text, *more]) for text, more in zip(texts, shown, strict=True)]
        seen = np.array([bool(more) for more in shown], bool)
        hashed = HashingEmbedder(self.dim - 1).embed_texts(words).reshape(len(words), self.dim - 1)
        side = np.where(seen, -self.gap, self.gap).astype(np.float32)
        vectors = np.hstack([hashed, side[:, None]])
        return Embeddings.dense(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@dataclass(slots=True)
class FakeOcr:
    """An OCR engine that knows the lines of some pictures by heart.

    Args:
        script: Lines by the BLAKE2b-256 digest of the picture's bytes; any other picture has none.
    """

    script: Mapping[str, tuple[OcrLine, ...]] = field(default_factory=dict)
    identity: str = "fake/1"

    def read(self, image: bytes) -> tuple[OcrLine, ...]:
        """Return the scripted lines of a picture.

        Raises:
            Corrupt: The bytes are not a PNG or JPEG.
        """
        if not image.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
            raise Corrupt("The picture is neither PNG nor JPEG.", fix="Convert it to PNG.")
        return self.script.get(digest_bytes(image), ())
