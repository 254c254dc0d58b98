from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.types import Embeddings, Modality, Query
from mmrag.index.exact import ExactIndex
from mmrag.index.okapi import OkapiOptions
from mmrag.search import DenseLane, LexicalLane
from mmrag.testing.fakes import HashingEmbedder

ENGLISH = "How long is the warranty of this relay?"
GERMAN = "Wie lange ist die Garantie auf dieses Relais?"


@dataclass(frozen=True)
class SeeingEmbedder(HashingEmbedder):
    """Also takes pictures, each the same vector."""

    @property
    def modalities(self) -> frozenset[Modality]:
        return frozenset({"text", "image"})

    def embed_queries(self, queries):
        return Embeddings.dense(np.eye(1, self.dim, dtype=np.float32))


def dense(embedder=None, **options) -> DenseLane:
    embedder = embedder or HashingEmbedder(languages=frozenset({"en"}))
    return DenseLane(embedder, ExactIndex(embedder.dim), **options)


def test_a_known_language_is_searched():
    assert dense().why_not_usable(Query.of(ENGLISH)) is None


def test_an_unknown_language_is_not():
    assert "(de)" in dense().why_not_usable(Query.of(GERMAN))


def test_a_text_whose_language_cannot_be_told_is_searched():
    assert dense().why_not_usable(Query.of("AX-200 relay")) is None


def test_an_embedder_of_all_languages_is_always_searched():
    assert dense(HashingEmbedder()).why_not_usable(Query.of(GERMAN)) is None


def test_a_corpus_in_unknown_languages_is_not_searched():
    reason = dense(corpus_languages=frozenset({"de", "fr"})).why_not_usable(Query.of(ENGLISH))
    assert "(de and fr)" in reason
    assert dense(corpus_languages=frozenset({"de", "en"})).why_not_usable(Query.of(ENGLISH)) is None


def test_a_picture_is_searched_only_by_an_embedder_that_sees():
    picture = Query.of(image="photo.jpg")
    assert "text, not image" in dense().why_not_usable(picture)
    seeing = dense(SeeingEmbedder(languages=frozenset({"en"})))
    assert seeing.why_not_usable(picture) is None
    assert seeing.limits(picture) is None
    assert seeing.why_not_usable(Query.of(GERMAN, image="photo.jpg")) is None
    assert seeing.search(picture, 2).rows.shape == (1, 2)


def test_what_a_lane_leaves_out_is_said():
    both = Query.of(ENGLISH, image="photo.jpg")
    assert "image" in dense().limits(both)
    assert "image" in LexicalLane(OkapiOptions().open(None)).limits(both)
    assert dense().limits(Query.of(ENGLISH)) is None


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_a_query_without_words_is_not_looked_up(text):
    assert "no words" in LexicalLane(OkapiOptions().open(None)).why_not_usable(Query.of(text))


@dataclass(frozen=True)
class ReadingEmbedder(SeeingEmbedder):
    """Gives a picture's file the unit vector of its length, and remembers what it was asked."""

    asked: list[Query] = field(default_factory=list)

    def embed_queries(self, queries):
        self.asked.extend(queries)
        return Embeddings.dense(
            np.stack(
                [
                    np.eye(self.dim, dtype=np.float32)[len(Path(q.parts[0].media).read_bytes())]
                    for q in queries
                ]
            )
        )


def test_a_picture_that_changed_is_embedded_again(tmp_path):
    embedder = ReadingEmbedder(dim=4)
    index = ExactIndex.over(np.arange(4), Embeddings.dense(np.eye(4, dtype=np.float32)))
    lane, picture = DenseLane(embedder, index), tmp_path / "query.png"
    for size in (1, 3):
        picture.write_bytes(b"x" * size)
        for _ in range(2):
            assert lane.search(Query.of(image=picture), 1).rows[0, 0] == size
    assert len(embedder.asked) == 2
