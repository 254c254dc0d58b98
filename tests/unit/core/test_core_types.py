import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.types import (
    Box,
    Cells,
    Embeddings,
    Item,
    ItemId,
    Page,
    Part,
    Query,
    Source,
    SourceId,
    Span,
    TimeRange,
    around,
)


def item(*parts: Part) -> Item:
    return Item(ItemId("i"), SourceId("a.md"), Span(0, 1), parts)


def test_a_box_around_boxes_holds_them_all() -> None:
    found = Box.around([Box(0.2, 0.3, 0.4, 0.5), Box(0.1, 0.4, 0.3, 0.9)])
    assert found == Box(0.1, 0.3, 0.4, 0.9)
    assert Box.around([found]) == found


@pytest.mark.parametrize(
    ("source", "name"), [("a.md", "a.md"), ("deep/er/b.tar.gz", "b.tar.gz"), ("no-suffix", "no-suffix")]
)
def test_a_source_has_a_name(source: str, name: str) -> None:
    assert Source(SourceId(source), "d", 1, "text/plain").name == name


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("text/plain", "text"),
        ("text/markdown", "markdown"),
        ("text/html", "html"),
        ("application/xhtml+xml", "html"),
        ("application/pdf", "pdf"),
        ("image/png", "image"),
        ("image/svg+xml", "image"),
        ("audio/wav", "audio"),
        ("video/mp4", "video"),
        ("application/zip", "other"),
        ("text/x-unknown", "other"),
    ],
)
def test_a_source_has_a_kind(media_type: str, kind: str) -> None:
    assert Source(SourceId("a"), "d", 1, media_type).kind == kind


def test_the_text_of_an_item_joins_its_text_parts() -> None:
    mixed = item(
        Part("text", text="one"), Part("image", media="d"), Part("text", text=""), Part("text", text="two")
    )
    assert mixed.text == "one\ntwo"
    assert item(Part("image", media="d")).text == ""


@pytest.mark.parametrize(
    ("modalities", "modality"),
    [
        (("text",), "text"),
        (("text", "image"), "image"),
        (("image", "text"), "image"),
        (("video",), "video"),
        ((), "text"),
    ],
)
def test_the_modality_of_an_item_is_that_of_its_media(modalities: tuple[str, ...], modality: str) -> None:
    assert item(*(Part(one) for one in modalities)).modality == modality  # type: ignore[arg-type]


def test_a_query_holds_words_and_pictures() -> None:
    query = Query.of("a relay", image=Path("photo.jpg"), instruction="find it")
    assert query.text == "a relay"
    assert query.modalities == {"text", "image"}
    assert query.parts[1].media == "photo.jpg"
    assert query.instruction == "find it"


def test_a_query_of_nothing_has_no_parts() -> None:
    assert Query.of().parts == Query.of("").parts == ()
    assert Query.of("").text == ""
    assert Query.of("").modalities == frozenset()


def test_queries_with_equal_parts_are_equal() -> None:
    assert Query.of("x") == Query.of("x")
    assert hash(Query.of("x")) == hash(Query.of("x"))


def test_dense_embeddings_have_one_vector_an_item() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = Embeddings.dense(vectors)
    assert len(found) == 3
    assert found.dim == 2
    assert found.is_dense
    assert found.offsets.dtype == np.int64
    np.testing.assert_array_equal(found[1], [[2, 3]])
    np.testing.assert_array_equal(np.vstack(list(found)), vectors)


def test_embeddings_may_be_ragged() -> None:
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    found = Embeddings(vectors, np.array([0, 1, 4], dtype=np.int64))
    assert len(found) == 2
    assert not found.is_dense
    assert [len(one) for one in found] == [1, 3]


def test_as_many_vectors_as_items_need_not_be_dense() -> None:
    assert not Embeddings(np.zeros((2, 3), np.float32), np.array([0, 0, 2], dtype=np.int64)).is_dense
    # Vectors that no item owns: a slice of a larger store.
    assert not Embeddings(np.zeros((3, 3), np.float32), np.array([0, 1, 2], dtype=np.int64)).is_dense


def test_no_items_are_dense_embeddings() -> None:
    found = Embeddings.dense(np.empty((0, 4), np.float32))
    assert len(found) == 0
    assert found.dim == 4
    assert found.is_dense
    assert list(found) == []


@pytest.mark.parametrize(
    "value", [Page(1), Span(0, 2), TimeRange(0.5, 1.5), Box(0, 0, 1, 1), Part("text", text="x")]
)
def test_nouns_cannot_be_changed(value: object) -> None:
    name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, 3)
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    ("places", "whole"),
    [
        ([Span(4, 9), Span(1, 2)], Span(1, 9)),
        ([TimeRange(4, 9), TimeRange(8, 12.5)], TimeRange(4, 12.5)),
        ([Cells("A", 7, 7), Cells("A", 2, 3), Cells("B", 1, 99)], Cells("A", 2, 7)),
        ([Page(2, Box(0, 0, 0.5, 0.5)), Page(2, Box(0.2, 0.2, 1, 0.9))], Page(2, Box(0, 0, 1, 0.9))),
        ([Page(2, Box(0, 0, 0.5, 0.5)), Page(2)], Page(2)),
    ],
)
def test_places_have_a_smallest_locator_around_them(places, whole) -> None:
    assert around(places) == whole
    assert around(places[:1]) == places[0]
