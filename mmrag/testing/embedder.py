"""What every embedder must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrag.core.errors import MmragError, UnsupportedModality
from mmrag.core.fields import embedding_key
from mmrag.core.protocols import Embedder, StreamEmbedder, TextEmbedder
from mmrag.core.types import Embeddings, Item, ItemId, Query, SourceId
from mmrag.testing.samples import WORDS_OF_A_MANUAL, manual_items, picture_item, picture_of, text_item

ODD_TEXTS = ("", " \n\t", "\x00", "🛠️ 👩‍🔧", "ضمان المضخة", "継電器の保証期間", "a" * 5000, "pump " * 4000)


class EmbedderContract(ABC):
    """Subclass it as `Test...` and say how to make the embedder.

    `batch_tolerance` is the largest difference of a vector's component between batches: rounding
    in float32, more where activations are quantised by batch. `norm_tolerance` bounds |length - 1|.
    """

    batch_tolerance: float = 1e-5
    norm_tolerance: float = 1e-3

    @abstractmethod
    def make(self) -> Embedder:
        """Make the embedder under test."""

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Embedder:
        return cls().make()

    def test_it_implements_the_protocol(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)

    def test_identity_is_words_and_repeatable(self, embedder: Embedder) -> None:
        identity = dict(embedder.identity)
        assert identity, "an embedder without identity cannot be told from another"
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in identity.items())
        assert identity == dict(self.make().identity)

    def test_properties_are_well_formed(self, embedder: Embedder) -> None:
        assert isinstance(embedder.dim, int)
        assert embedder.dim > 0
        assert embedder.modalities
        assert embedder.modalities <= {"text", "image", "audio", "video"}
        assert embedder.languages is None or all(len(code) == 2 for code in embedder.languages)

    def test_items_give_well_formed_embeddings(self, embedder: Embedder) -> None:
        items = manual_items()
        _check_shape(embedder.embed_items(items), len(items), embedder.dim)

    def test_queries_give_well_formed_embeddings(self, embedder: Embedder) -> None:
        queries = [Query.of(text) for text in WORDS_OF_A_MANUAL]
        _check_shape(embedder.embed_queries(queries), len(queries), embedder.dim)

    def test_vectors_have_length_one(self, embedder: Embedder) -> None:
        for found in (
            embedder.embed_items(manual_items()),
            embedder.embed_queries([Query.of("How long is the warranty?")]),
        ):
            lengths = np.linalg.norm(found.vectors, axis=1)
            np.testing.assert_allclose(lengths, 1.0, atol=self.norm_tolerance)

    def test_nothing_gives_no_vectors(self, embedder: Embedder) -> None:
        _check_shape(embedder.embed_items([]), 0, embedder.dim)
        _check_shape(embedder.embed_queries([]), 0, embedder.dim)

    def test_row_i_belongs_to_item_i(self, embedder: Embedder) -> None:
        items = manual_items()
        order = np.random.default_rng(0).permutation(len(items))
        straight = embedder.embed_items(items)
        shuffled = embedder.embed_items([items[i] for i in order])
        for place, i in enumerate(order):
            self._same(shuffled[place], straight[int(i)])

    def test_the_batch_does_not_matter(self, embedder: Embedder) -> None:
        items = [*manual_items(), text_item("Short."), text_item("relay " * 300)]
        together = embedder.embed_items(items)
        for i, item in enumerate(items):
            self._same(embedder.embed_items([item])[0], together[i])

    def test_the_batch_of_queries_does_not_matter(self, embedder: Embedder) -> None:
        queries = [Query.of(text) for text in (*WORDS_OF_A_MANUAL, "warranty?")]
        together = embedder.embed_queries(queries)
        for i, query in enumerate(queries):
            self._same(embedder.embed_queries([query])[0], together[i])

    def test_the_same_call_gives_the_same_bits(self, embedder: Embedder) -> None:
        items = manual_items()
        once, again = embedder.embed_items(items), embedder.embed_items(items)
        np.testing.assert_array_equal(once.vectors, again.vectors)

    def test_another_instance_gives_the_same_vectors(self, embedder: Embedder) -> None:
        items = manual_items()
        other = self.make().embed_items(items)
        np.testing.assert_allclose(other.vectors, embedder.embed_items(items).vectors, atol=1e-6)

    def test_only_the_embedding_key_matters(self, embedder: Embedder) -> None:
        item = manual_items()[0]
        moved = replace(item, id=ItemId("0" * 32), source=SourceId("archive/2019/warranty.md"))
        assert embedding_key(item) == embedding_key(moved)
        self._same(embedder.embed_items([moved])[0], embedder.embed_items([item])[0])

    def test_a_query_finds_the_item_with_its_words(self, embedder: Embedder) -> None:
        found = embedder.embed_items(manual_items())
        queries = embedder.embed_queries([Query.of(text) for text in WORDS_OF_A_MANUAL])
        for i, query in enumerate(queries):
            # MaxSim is the inner product where both sides have one vector.
            scores = [float((query @ vectors.T).max(axis=1).sum()) for vectors in found]
            assert int(np.argmax(scores)) == i, WORDS_OF_A_MANUAL[i]

    def test_any_text_gets_a_finite_vector(self, embedder: Embedder) -> None:
        items = [text_item(text) for text in ODD_TEXTS]
        _check_shape(embedder.embed_items(items), len(items), embedder.dim)
        queries = [Query.of("x"), *(Query.of(text) for text in ODD_TEXTS if text)]
        _check_shape(embedder.embed_queries(queries), len(queries), embedder.dim)

    def test_a_picture_in_words_is_found_by_an_embedder_of_text(self, embedder: Embedder) -> None:
        if "image" in embedder.modalities:
            pytest.skip("it sees pictures; its own tests have some")
        item = picture_item(picture_of("A2"), alt="Wiring of the blue wire to terminal A2")
        found = embedder.embed_items([*manual_items(), item])
        _check_shape(found, len(WORDS_OF_A_MANUAL) + 1, embedder.dim)
        query = embedder.embed_queries([Query.of("Wiring of the blue wire to terminal A2")])[0]
        assert int(np.argmax([float((query @ vectors.T).max()) for vectors in found])) == len(found) - 1

    @pytest.mark.parametrize("modality", ["image"])
    def test_a_query_of_another_modality_is_refused(self, embedder: Embedder, modality: str) -> None:
        if modality in embedder.modalities:
            pytest.skip(f"it takes {modality} queries")
        with pytest.raises(UnsupportedModality) as caught:
            embedder.embed_queries([Query.of("What is this?"), Query.of("This?", image="photo.jpg")])
        assert modality in str(caught.value)
        assert caught.value.fix

    def _same(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        np.testing.assert_allclose(one, other, atol=self.batch_tolerance)


class StreamEmbedderContract(ABC):
    """Subclass it as `Test...` for an embedder that takes items of any number and sees pictures."""

    batch_tolerance: float = 1e-5

    @abstractmethod
    def make(self) -> StreamEmbedder:
        """Make the embedder under test."""

    @pytest.fixture(scope="class")
    @classmethod
    def stream_embedder(cls) -> StreamEmbedder:
        return cls().make()

    def test_it_implements_the_protocol_for_streams(self, stream_embedder: StreamEmbedder) -> None:
        assert isinstance(stream_embedder, StreamEmbedder)

    def test_results_come_in_order_one_an_item(self, stream_embedder: StreamEmbedder) -> None:
        items = [text_item("relay " * (1 + 7 * i % 40)) for i in range(25)]
        found = list(stream_embedder.embed_stream(iter(items)))
        assert [one.position for one in found] == list(range(len(items)))
        for i in (0, 11, 24):
            alone, together = next(iter(stream_embedder.embed_stream([items[i]]))).vectors, found[i].vectors
            assert alone is not None
            assert together is not None
            np.testing.assert_allclose(together, alone, atol=self.batch_tolerance)

    def test_a_bad_picture_costs_one_item(self, stream_embedder: StreamEmbedder) -> None:
        pictures = [_png((200, 30, 30)), b"\x89PNG\r\n\x1a\n torn", _png((30, 30, 200))]
        items = [*map(picture_item, pictures), text_item("relay")]
        shown = {item.parts[0].media: data for item, data in zip(items, pictures, strict=False)}
        found = list(stream_embedder.embed_stream(items, lambda _, part: shown[part.media]))
        assert [one.error is None for one in found] == [True, False, True, True]
        assert found[1].vectors is None
        assert isinstance(found[1].error, MmragError)

    def test_items_are_taken_as_they_are_wanted(self, stream_embedder: StreamEmbedder) -> None:
        taken = 0

        def items() -> Iterator[Item]:
            nonlocal taken
            for _ in range(100_000):
                taken += 1
                yield text_item("relay")

        stream = iter(stream_embedder.embed_stream(items()))
        assert next(stream).position == 0
        assert taken < 100_000, "all of the stream was read before the first result"
        if close := getattr(stream, "close", None):
            close()

    def test_nothing_gives_nothing(self, stream_embedder: StreamEmbedder) -> None:
        assert list(stream_embedder.embed_stream([])) == []


class TextEmbedderContract(ABC):
    """Subclass it as `Test...` for an embedder that compares bare texts too."""

    batch_tolerance: float = 1e-5
    norm_tolerance: float = 1e-3

    @abstractmethod
    def make(self) -> TextEmbedder:
        """Make the embedder under test."""

    @pytest.fixture(scope="class")
    @classmethod
    def texts_embedder(cls) -> TextEmbedder:
        return cls().make()

    def test_it_implements_the_protocol_for_texts(self, texts_embedder: TextEmbedder) -> None:
        assert isinstance(texts_embedder, TextEmbedder)

    def test_texts_give_unit_vectors(self, texts_embedder: TextEmbedder) -> None:
        vectors = texts_embedder.embed_texts(WORDS_OF_A_MANUAL)
        assert vectors.dtype == np.float32
        assert vectors.ndim == 2
        assert len(vectors) == len(WORDS_OF_A_MANUAL)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=self.norm_tolerance)

    def test_no_texts_give_an_empty_matrix(self, texts_embedder: TextEmbedder) -> None:
        width = texts_embedder.embed_texts(["x"]).shape[1]
        assert texts_embedder.embed_texts([]).shape == (0, width)

    def test_row_i_belongs_to_text_i(self, texts_embedder: TextEmbedder) -> None:
        together = texts_embedder.embed_texts(WORDS_OF_A_MANUAL)
        for i, text in enumerate(WORDS_OF_A_MANUAL):
            alone = texts_embedder.embed_texts([text])[0]
            np.testing.assert_allclose(alone, together[i], atol=self.batch_tolerance)

    def test_any_text_gets_a_finite_unit_vector(self, texts_embedder: TextEmbedder) -> None:
        vectors = texts_embedder.embed_texts(ODD_TEXTS)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=self.norm_tolerance)

    def test_near_texts_are_nearer_than_far_ones(self, texts_embedder: TextEmbedder) -> None:
        question, near, far = texts_embedder.embed_texts(
            ["warranty of the relay", WORDS_OF_A_MANUAL[0], WORDS_OF_A_MANUAL[3]]
        )
        assert float(question @ near) > float(question @ far)


def _png(colour: tuple[int, int, int]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "PNG")
    return out.getvalue()


def _check_shape(found: Embeddings, items: int, dim: int) -> None:
    assert found.vectors.dtype == np.float32
    assert found.offsets.dtype == np.int64
    assert len(found) == items
    assert found.vectors.shape == (int(found.offsets[-1]), dim)
    assert found.offsets[0] == 0
    assert (np.diff(found.offsets) >= 1).all(), "an item has no vector"
    assert np.isfinite(found.vectors).all()
