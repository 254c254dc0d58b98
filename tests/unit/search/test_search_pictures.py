"""Queries with a picture: by likeness, by the words in it, and by an embedder that sees."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.errors import Corrupt, MissingExtra, QueryError, UnsupportedModality
from mmrag.core.fields import search_text
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import OcrLine
from mmrag.core.types import Box, Item, Matches, Part, Query, Source, SourceId
from mmrag.index.exact import ExactIndex
from mmrag.index.okapi import OkapiOptions
from mmrag.search import (
    DenseLane,
    HybridRetriever,
    LexicalLane,
    MinMaxFusion,
    PictureLane,
    RrfFusion,
    WeightedFusion,
    why_not,
    words_for_pictures,
)
from mmrag.testing import FakeOcr, HashingEmbedder, SeeingEmbedder
from mmrag.testing.samples import WORDS_OF_A_MANUAL, picture_item, picture_of, text_item

TEXT = frozenset({"text"})
PUMP, RELAY = picture_of("PUMP"), picture_of("RELAY 7")
WEIGHTS = {"lexical": 0.5, "dense": 0.5}


@dataclass
class SameBytes:
    """Finds pictures by their bytes: what a perceptual hash does, without the hash."""

    rows: Mapping[bytes, Sequence[int]]
    score: float = 1.0

    def search(self, pictures, k, *, allow=None) -> Matches:
        rows = np.full((len(pictures), k), -1, np.int64)
        scores = np.full((len(pictures), k), -np.inf, np.float32)
        for i, picture in enumerate(pictures):
            if not picture.startswith(b"\x89PNG"):
                raise Corrupt("The picture is broken and cannot be opened.", fix="Restore it.")
            known = [row for row in self.rows.get(picture, ()) if allow is None or row in allow][:k]
            rows[i, : len(known)] = known
            scores[i, : len(known)] = self.score
        return Matches(rows, scores)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


@dataclass
class World:
    items: dict[int, Item]
    embedder: HashingEmbedder | SeeingEmbedder
    finder: SameBytes

    def retriever(self, fusion=None) -> HybridRetriever:
        rows = np.array(sorted(self.items))
        items = [self.items[row] for row in rows.tolist()]
        words = OkapiOptions().open(None)
        words.add(rows, [search_text(item) for item in items])
        words.commit()
        dense = ExactIndex.over(rows, self.embedder.embed_items(items))
        lanes = (LexicalLane(words), DenseLane(self.embedder, dense), PictureLane(self.finder))
        return HybridRetriever(lanes, fusion or MinMaxFusion(WEIGHTS), self.load)

    def load(self, rows):
        return {row: self.items[row] for row in rows if row in self.items}


@pytest.fixture
def world() -> World:
    items = dict(enumerate(text_item(text, source=f"m{i}.md") for i, text in enumerate(WORDS_OF_A_MANUAL)))
    items |= {20: picture_item(PUMP, source="a/pump.png"), 21: picture_item(RELAY, source="b/relay.png")}
    return World(items, HashingEmbedder(), SameBytes({PUMP: [20], RELAY: [21]}))


@pytest.fixture
def pump(tmp_path) -> Path:
    (tmp_path / "photo.png").write_bytes(PUMP)
    return tmp_path / "photo.png"


@pytest.fixture
def relay(tmp_path) -> Path:
    (tmp_path / "relay.png").write_bytes(RELAY)
    return tmp_path / "relay.png"


def ocr(words: str = "", confidence: float = 0.9) -> FakeOcr:
    line = OcrLine(words, Box(0, 0, 1, 1), confidence)
    return FakeOcr({digest_bytes(PUMP): (line,)} if words else {})


@pytest.mark.parametrize("fusion", [MinMaxFusion(WEIGHTS), RrfFusion(weights=WEIGHTS), RrfFusion(), None])
def test_a_picture_without_words_is_found_by_likeness_alone(world, pump, fusion):
    query, notes = words_for_pictures(Query.of(image=pump), TEXT, ocr, compared=True)
    told = world.retriever(fusion).explain(query, 5)
    assert [hit.item.source for hit in told.hits] == ["a/pump.png"]
    assert told.hits[0].ranks == {"pictures": 1}
    assert told.hits[0].scores == {"pictures": 1.0}
    assert notes == ("photo.png was searched by likeness alone. No text could be read in photo.png.",)
    assert told.notes == (), "lanes for words are not missed where there are none"


@pytest.mark.parametrize("fusion", [MinMaxFusion(WEIGHTS), RrfFusion(weights=WEIGHTS), RrfFusion()])
def test_a_picture_whose_words_are_elsewhere_too_comes_first(world, pump, fusion):
    words = "The pump delivers 12 litres per minute"
    query, notes = words_for_pictures(Query.of(image=pump), TEXT, lambda: ocr(words), compared=True)
    assert [(part.modality, part.role) for part in query.parts] == [("image", "body"), ("text", "ocr")]
    told = world.retriever(fusion).explain(query, 3)
    assert {told.hits[0].item.source, told.hits[1].item.source} == {"a/pump.png", "m4.md"}
    assert "by the text read in it and by likeness" in notes[0]
    assert told.notes == ()


def test_words_beside_a_picture_find_their_own(world, pump):
    told = world.retriever().explain(Query.of("Clean the lens with a dry cloth", image=pump), 3)
    assert {hit.item.source for hit in told.hits[:2]} == {"a/pump.png", "m3.md"}
    assert told.notes == (), "the picture was looked at"


def test_two_pictures_are_both_found(world, pump, relay):
    query = Query((*Query.of(image=relay).parts, *Query.of(image=pump).parts))
    hits = world.retriever().retrieve(query, 5)
    assert {hit.item.source for hit in hits} == {"a/pump.png", "b/relay.png"}
    assert [hit.ranks["pictures"] for hit in hits] == [1, 2]


def test_a_row_found_for_two_pictures_is_found_once(world, pump, relay):
    world.finder = SameBytes({PUMP: [20], RELAY: [20]})
    query = Query((*Query.of(image=relay).parts, *Query.of(image=pump).parts))
    found = PictureLane(world.finder).search(query, 4)
    assert found.rows.tolist() == [[20, -1, -1, -1]]
    assert found.scores[0, 0] == 1.0


def test_a_filter_holds_for_pictures(world, pump):
    assert world.retriever().retrieve(Query.of(image=pump), 5, allow=np.array([1, 21])) == []


def test_words_alone_do_not_miss_the_lane_of_pictures(world):
    told = world.retriever().explain(Query.of("warranty of the relay"), 3)
    assert told.notes == ()
    assert [(report.name, report.used, report.meant) for report in told.lanes] == [
        ("lexical", True, True),
        ("dense", True, True),
        ("pictures", False, False),
    ]


def test_why_not_speaks_of_the_lane_of_pictures_where_there_is_a_picture(world, pump):
    @dataclass
    class Record:
        source: Source
        reason: str = ""

    record = Record(Source(SourceId("a/pump.png"), "", 1, "image/png"))
    told = why_not(world.retriever(), Query.of("warranty", image=pump), np.array([20]), record, 3)
    assert told.outcome == "found"
    assert [(lane.name, lane.rank) for lane in told.lanes if lane.score is not None][-1] == ("pictures", 1)
    words = why_not(world.retriever(), Query.of("warranty"), np.array([20]), record, 3)
    assert [lane.name for lane in words.lanes] == ["lexical", "dense"]


def test_an_index_without_pictures_is_named(world, pump):
    world.finder = SameBytes({})
    told = world.retriever().explain(Query.of("warranty", image=pump), 3)
    assert told.notes[0] == (
        "Searched without the pictures lane. The index holds no picture to compare with."
    )
    assert any("image" in note for note in told.notes[1:]), "nobody looked at the picture"
    with pytest.raises(UnsupportedModality, match="no picture to compare"):
        world.retriever().retrieve(Query.of(image=pump), 3)


def test_an_embedder_that_sees_finds_by_what_is_shown(world, tmp_path):
    script = {digest_bytes(PUMP): "a pump", digest_bytes(RELAY): "a relay", "new.png": "another relay"}
    world.embedder = SeeingEmbedder(script)
    (tmp_path / "new.png").write_bytes(picture_of("unlike"))
    query = Query.of(image="new.png")
    assert words_for_pictures(query, world.embedder.modalities, ocr) == (query, ())
    world.finder = SameBytes({})
    hits = world.retriever().retrieve(query, 2)
    assert [hit.item.source for hit in hits] == ["b/relay.png", "m0.md"]
    words = "frost display"
    alone = world.retriever().retrieve(Query.of(words), 3)
    both = world.retriever().retrieve(Query.of(words, image="new.png"), 3)
    assert both[0].item.source == alone[0].item.source == "m7.md"
    assert "b/relay.png" in {hit.item.source for hit in both} - {hit.item.source for hit in alone}


class Reading(SeeingEmbedder):
    """Opens the pictures of a query, as real ones do."""

    def embed_queries(self, queries):
        for part in (part for query in queries for part in query.parts if part.modality == "image"):
            if not Path(part.media).read_bytes().startswith(b"\x89PNG"):
                raise Corrupt(
                    "The picture is broken and cannot be opened.", fix="Restore it.", where="picture"
                )
        return super().embed_queries(queries)


def test_a_picture_that_an_embedder_cannot_open_is_named(world, tmp_path):
    world.embedder, world.finder = Reading({}), SameBytes({})
    torn, pipe = tmp_path / "torn.png", tmp_path / "pipe.png"
    torn.write_text("no picture")
    os.mkfifo(pipe)
    for path in (torn, pipe, tmp_path):
        with pytest.raises(QueryError) as caught:
            world.retriever().retrieve(Query.of("words", image=path), 3)
        assert caught.value.where == str(path)


def test_without_a_lane_for_pictures_the_words_take_their_place(pump):
    query, notes = words_for_pictures(Query.of("where", image=pump), TEXT, lambda: ocr("PUMP"))
    assert query.parts == (Part("text", text="where"), Part("text", text="PUMP", role="ocr"))
    assert notes == ("photo.png was searched by the text read in it, since this recipe embeds no pictures.",)
    query, notes = words_for_pictures(Query.of("where", image=pump), TEXT, lambda: ocr("PUMP", 0.2))
    assert query.parts == (Part("text", text="where"),)
    assert "left out" in notes[0]


def test_a_picture_that_nothing_can_be_done_with_is_refused(pump):
    with pytest.raises(UnsupportedModality, match="No text could be read"):
        words_for_pictures(Query.of(image=pump), TEXT, ocr)
    with pytest.raises(UnsupportedModality, match="names no OCR"):
        words_for_pictures(Query.of("where", image=pump), TEXT, lambda: None)


def no_engine() -> None:
    raise MissingExtra("RapidOCR is not installed.", fix="pip install 'mmrag[ocr]'")


@pytest.mark.parametrize(("engine", "why"), [(lambda: None, "names no OCR"), (no_engine, "not installed")])
def test_without_ocr_a_picture_is_still_compared(pump, engine, why):
    query, notes = words_for_pictures(Query.of(image=pump), TEXT, engine, compared=True)
    assert query == Query.of(image=pump)
    assert "by likeness alone" in notes[0]
    assert why in notes[0]


def test_a_missing_engine_is_an_error_where_nothing_else_is_left(pump):
    with pytest.raises(MissingExtra):
        words_for_pictures(Query.of(image=pump), TEXT, no_engine)


@pytest.mark.parametrize("compared", [True, False])
def test_a_picture_that_cannot_be_opened_is_named(tmp_path, world, compared):
    (tmp_path / "text.png").write_text("no picture")
    for path in (tmp_path / "text.png", tmp_path / "missing.png", tmp_path, "a\0b.png"):
        query = Query.of(image=path)
        with pytest.raises(QueryError) as caught:
            words_for_pictures(query, TEXT, ocr, compared=compared)
        assert caught.value.where == str(path)
        with pytest.raises(QueryError):
            world.retriever().retrieve(query, 3)


def test_weights_need_not_name_the_lane_of_pictures_but_may(world, pump):
    query = Query.of("Clean the lens with a dry cloth", image=pump)
    for fusion in (MinMaxFusion(WEIGHTS), RrfFusion(weights=WEIGHTS), WeightedFusion(WEIGHTS)):
        assert "a/pump.png" in {hit.item.source for hit in world.retriever(fusion).retrieve(query, 2)}
    ignored = world.retriever(MinMaxFusion({**WEIGHTS, "pictures": 0.0})).retrieve(query, 1)
    assert ignored[0].item.source == "m3.md"
