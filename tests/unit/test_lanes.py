"""Lanes over an opened store, and the calibration that is learned, kept and learned again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mmrag.core.fields import embedding_key
from mmrag.core.filters import Compare
from mmrag.core.reading import Blob
from mmrag.core.types import Query, Source, SourceId
from mmrag.index.exact import ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.pictures import PictureOptions
from mmrag.index.published import Indexes, Opened, open_indexes
from mmrag.lanes import CALIBRATION, join_lanes, publish_calibration
from mmrag.search import Calibrated, CalibratedFusion, Calibration, MinMaxFusion
from mmrag.store import SourceRecord, Store
from mmrag.testing import HashingEmbedder, SeeingEmbedder
from mmrag.testing.samples import picture_item, picture_of, text_item

WORDS = ["relay", "warranty", "filter", "fan", "duct", "alarm", "bracket", "nozzle", "gasket", "rotor"]
TEXTS, PICTURES = 40, 24
INDEXES = Indexes(ExactOptions(), LexicalOptions(), PictureOptions())
FILE = "calibration.json"


@dataclass(frozen=True)
class Corpus:
    """A store with what embeds it."""

    store: Store
    embedder: SeeingEmbedder

    def put(self, *texts: str, pictures: tuple[bytes, ...] = ()) -> None:
        items = [text_item(text, source=f"{text}.txt") for text in texts]
        items += [picture_item(data, source=f"{i}.png") for i, data in enumerate(pictures)]
        data = {f"{i}.png": data for i, data in enumerate(pictures)}
        with self.store.writer() as writer:
            for item in items:
                writer.add_vectors([embedding_key(item)], self.embedder.embed_items([item]))
                source = Source(item.source, item.id, 1, "text/plain")
                media = [part.media for part in item.parts if part.media]
                blobs = [Blob(digest, data[item.source], "image/png") for digest in media]
                writer.put(SourceRecord(source, 0, "indexed"), [item], [embedding_key(item)], blobs)
            writer.commit()

    def remove(self, count: int) -> None:
        with self.store.writer() as writer:
            for record in sorted(self.store.sources(), key=lambda one: one.source.id)[:count]:
                writer.remove(SourceId(record.source.id))
            writer.commit()

    def opened(self) -> Opened:
        with self.store.snapshot():
            return open_indexes(self.store, INDEXES, self.embedder.dim)

    def publish(self) -> None:
        publish_calibration(self.store, self.opened(), self.embedder)

    def calibration(self) -> Calibration:
        """Return the calibration that searches are given."""
        fusion = join_lanes(self.store, self.opened(), self.embedder, CalibratedFusion()).fusion
        assert isinstance(fusion, Calibrated)
        return fusion.calibration


def _drawings() -> tuple[tuple[bytes, ...], SeeingEmbedder]:
    drawn = tuple(picture_of(f"{WORDS[i % 10]} {i}", width=200, height=100) for i in range(PICTURES))
    shown = {
        str(picture_item(data).parts[0].media): f"{WORDS[i % 10]} drawing {i}" for i, data in enumerate(drawn)
    }
    return drawn, SeeingEmbedder(shown, gap=0.8, dim=64)


def _texts() -> list[str]:
    return [f"The {WORDS[i % 10]} number {i} beside the {WORDS[(i // 3) % 10]}" for i in range(TEXTS)]


@pytest.fixture
def corpus(tmp_path: Path):
    drawn, embedder = _drawings()
    with Store.create(tmp_path / "store", identity=embedder.identity) as store:
        corpus = Corpus(store, embedder)
        corpus.put(*_texts(), pictures=drawn)
        yield corpus


def test_a_plain_fusion_searches_the_dense_index_as_one_lane(corpus: Corpus) -> None:
    fusion = MinMaxFusion()
    joined = join_lanes(corpus.store, corpus.opened(), corpus.embedder, fusion)
    assert [lane.name for lane in joined.lanes] == ["lexical", "dense", "pictures"]
    assert joined.fusion is fusion


def test_a_calibrated_fusion_searches_each_modality_on_the_scale_that_it_learned(corpus: Corpus) -> None:
    joined = join_lanes(corpus.store, corpus.opened(), corpus.embedder, CalibratedFusion())
    assert [lane.name for lane in joined.lanes] == ["lexical", "dense:image", "dense:text", "pictures"]
    query = Query.of("the relay")
    found = corpus.calibration().for_query(query)
    assert set(found) == {"dense:image", "dense:text"}
    # The gap of the embedder: every text is nearer to a question in words than any picture.
    assert found["dense:image"].mean < 0 < found["dense:text"].mean
    lists = {lane.name: lane.search(query, 10) for lane in joined.lanes if "dense:" in lane.name}
    pictures = set(corpus.opened().columns.rows(Compare("modality", "==", "image")).tolist())
    best = joined.fusion.for_query(query)(lists, 10).rows[0].tolist()
    assert set(best) & pictures
    assert not set(CalibratedFusion()({"dense": _whole(corpus, query)}, 10).rows[0].tolist()) & pictures


def test_one_modality_alone_is_one_lane_without_a_calibration(tmp_path: Path) -> None:
    embedder = HashingEmbedder(64)
    with Store.create(tmp_path / "store", identity=embedder.identity) as store:
        corpus = Corpus(store, embedder)
        corpus.put(*_texts())
        joined = join_lanes(store, corpus.opened(), embedder, CalibratedFusion())
        assert [lane.name for lane in joined.lanes] == ["lexical", "dense", "pictures"]
        assert corpus.calibration().backgrounds == {}


def test_a_published_calibration_is_the_one_that_is_learned(corpus: Corpus) -> None:
    learned = corpus.calibration()
    corpus.publish()
    assert corpus.calibration() == learned
    assert learned.learned_on == {
        **corpus.embedder.identity,
        "root": corpus.store.root,
        "lanes": "dense:image dense:text",
    }


def test_a_calibration_is_kept_until_a_tenth_of_the_rows_has_changed(corpus: Corpus) -> None:
    corpus.publish()
    first = corpus.calibration()
    corpus.put(*(f"new text {i}" for i in range(6)))
    corpus.publish()
    assert corpus.calibration() == first
    corpus.remove(2)
    corpus.publish()
    second = corpus.calibration()
    assert second != first
    assert second.learned_on["root"] == corpus.store.root


def test_publishing_a_calibration_twice_writes_once(corpus: Corpus) -> None:
    corpus.publish()
    before = corpus.store.derived(CALIBRATION)
    corpus.publish()
    assert corpus.store.derived(CALIBRATION) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"learned_on": {}, "backgrounds": {"text": {"dense:text": {"mean": 1, "std": 0, "count": 9}}}}',
    ],
)
def test_a_torn_calibration_is_learned_again(corpus: Corpus, text: str) -> None:
    learned = corpus.calibration()
    corpus.store.publish(
        *(CALIBRATION, corpus.store.identity, corpus.store.generation),
        lambda folder: (folder / FILE).write_text(text, "utf-8"),
    )
    assert corpus.calibration() == learned


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_torn_calibration_is_published_anew(corpus: Corpus, is_cut: bool) -> None:
    corpus.publish()
    learned = corpus.calibration()
    file = corpus.store.derived(CALIBRATION).path / FILE
    whole = file.read_text("utf-8")
    file.write_text("{" if is_cut else "x" * len(whole), "utf-8")
    assert (corpus.store.derived(CALIBRATION) is None) is is_cut
    corpus.publish()
    assert (corpus.store.derived(CALIBRATION).path / FILE).read_text("utf-8") == whole
    assert corpus.calibration() == learned


def test_a_calibration_of_other_vectors_is_not_used(corpus: Corpus) -> None:
    learned = corpus.calibration()
    stamp = {**corpus.store.identity, "revision": "0"}
    other = Calibration().to_json()
    corpus.store.publish(
        *(CALIBRATION, stamp, corpus.store.generation),
        lambda folder: (folder / FILE).write_text(other, "utf-8"),
    )
    assert corpus.calibration() == learned
    corpus.publish()
    assert corpus.store.derived(CALIBRATION).stamp == corpus.store.identity


def test_the_first_pictures_of_a_store_get_a_scale_though_they_are_few(tmp_path: Path) -> None:
    drawn, embedder = _drawings()
    with Store.create(tmp_path / "texts", identity=embedder.identity) as store:
        other = Corpus(store, embedder)
        other.put(*(f"{text} {i}" for text in _texts() for i in range(3)))
        other.publish()
        other.put(pictures=drawn[:5])
        other.publish()
        assert "dense:image" in other.calibration().for_query(Query.of("the relay"))


def _whole(corpus: Corpus, query: Query):
    lane = join_lanes(corpus.store, corpus.opened(), corpus.embedder, MinMaxFusion()).lanes[1]
    return lane.search(query, 10)
