"""Fusion of texts and pictures in a space where the two lie apart."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.types import Embeddings, Matches, Part, Query
from mmrag.evaluate import recall_by_modality
from mmrag.index.exact import ExactIndex
from mmrag.search import (
    Background,
    CalibratedFusion,
    Calibration,
    DenseLane,
    HybridRetriever,
    MinMaxFusion,
    PartLane,
    Probe,
    RrfFusion,
    learn_calibration,
    make_probes,
    split_by_modality,
)
from mmrag.testing.samples import manual_items, picture_item, text_item

MIX = ((10, 0), (0, 10), (5, 5), (8, 2), (2, 8))
"""How many texts and pictures are relevant to a query, in turn."""


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@dataclass
class Space:
    """Unit vectors of texts and pictures, pushed apart by `gap`; a query in words lies with the texts.

    To be as near, relevant pictures and texts of a query are drawn around it alike before that.
    """

    gap: float
    queries: int = 60
    texts: int = 4000
    pictures: int = 800
    dim: int = 64
    probes: int = 100
    modalities = frozenset({"text"})
    languages = None

    @cached_property
    def drawn(self) -> tuple[np.ndarray, np.ndarray, dict[int, set[int]], dict[int, str]]:
        rng = np.random.default_rng(0)

        def draw(count: int) -> np.ndarray:
            return unit(rng.standard_normal((count, self.dim)))

        asked, apart = draw(self.queries), draw(1)[0] * self.gap
        vectors, modality, relevant = [], [], {}
        for i, query in enumerate(asked):
            relevant[i] = set()
            for kind, count in zip(("text", "image"), MIX[i % len(MIX)], strict=True):
                relevant[i] |= set(range(len(modality), len(modality) + count))
                vectors.append(unit(query + 0.9 * draw(count)))
                modality += [kind] * count
        topics = draw(200)
        for kind, count in (("text", self.texts), ("image", self.pictures)):
            vectors.append(unit(topics[rng.integers(0, 200, count)] + draw(count)))
            modality += [kind] * count
        side = np.where(np.array(modality) == "text", 1.0, -1.0)[:, None]
        items = unit(np.concatenate(vectors) + side * apart)
        return unit(asked + apart), items, relevant, dict(enumerate(modality))

    def embed_queries(self, queries) -> Embeddings:
        """A query is the number of a question, or `row` and the number of an item."""
        asked, items, _, _ = self.drawn
        words = [query.text.split() for query in queries]
        return Embeddings.dense(np.stack([(items if len(w) > 1 else asked)[int(w[-1])] for w in words]))

    @cached_property
    def lane(self) -> DenseLane:
        _, items, _, _ = self.drawn
        return DenseLane(self, ExactIndex.over(np.arange(len(items)), Embeddings.dense(items)))

    @cached_property
    def rows_by_modality(self) -> dict[str, np.ndarray]:
        modality = np.array(list(self.drawn[3].values()))
        return {kind: np.flatnonzero(modality == kind) for kind in ("text", "image")}

    @cached_property
    def parts(self):
        return split_by_modality(self.lane, self.rows_by_modality)

    @cached_property
    def calibration(self) -> Calibration:
        texts = self.rows_by_modality["text"]
        rows = np.random.default_rng(1).choice(texts, self.probes, replace=False).tolist()
        return learn_calibration(self.parts, [Probe(Query.of(f"row {row}"), row) for row in rows])

    def recalls(self, lanes, fusion, k: int = 10) -> dict[str, float]:
        _, _, relevant, modality = self.drawn
        rankings = {}
        for i in relevant:
            query = Query.of(str(i))
            matches = {lane.name: lane.search(query, 100) for lane in lanes}
            chosen = fusion.for_query(query) if hasattr(fusion, "for_query") else fusion
            rankings[str(i)] = [str(row) for row in chosen(matches, k).rows[0].tolist()]
        judged = {str(i): {str(row) for row in rows} for i, rows in relevant.items()}
        return recall_by_modality(rankings, judged, {str(row): kind for row, kind in modality.items()}, k)


@pytest.fixture(scope="module")
def apart() -> Space:
    return Space(gap=0.6)


@pytest.fixture(scope="module")
def together() -> Space:
    return Space(gap=0.0)


@pytest.mark.parametrize("fusion", [MinMaxFusion(), RrfFusion()])
def test_one_lane_over_both_starves_the_pictures(apart, fusion):
    recalls = apart.recalls([apart.lane], fusion)
    assert recalls["image"] < 0.1
    assert recalls["text"] > 0.95


@pytest.mark.parametrize(("fusion", "most"), [(RrfFusion(), 0.8), (MinMaxFusion(), 0.97)])
def test_a_lane_each_without_calibration_gives_places_to_unrelated_items(apart, fusion, most):
    recalls = apart.recalls(apart.parts, fusion)
    assert min(recalls.values()) < most
    calibrated = apart.recalls(apart.parts, CalibratedFusion().with_calibration(apart.calibration))
    assert all(calibrated[kind] > recalls[kind] for kind in recalls)


def test_the_calibrated_fusion_starves_neither(apart):
    recalls = apart.recalls(apart.parts, CalibratedFusion().with_calibration(apart.calibration))
    assert min(recalls.values()) >= 0.95


def test_where_there_is_no_gap_the_calibration_does_no_harm(together):
    plain = together.recalls([together.lane], MinMaxFusion())
    calibrated = together.recalls(together.parts, CalibratedFusion().with_calibration(together.calibration))
    assert min(plain.values()) > 0.95
    assert all(calibrated[kind] >= plain[kind] - 0.01 for kind in plain)


def test_a_calibration_without_anything_learned_is_min_max_of_each_part(apart):
    query = Query.of("0")
    matches = {lane.name: lane.search(query, 50) for lane in apart.parts}
    bare, empty = CalibratedFusion(), CalibratedFusion().with_calibration(Calibration())
    np.testing.assert_array_equal(bare(matches, 20).rows, empty.for_query(query)(matches, 20).rows)
    wanted = MinMaxFusion()(matches, 20)
    np.testing.assert_array_equal(bare(matches, 20).rows, wanted.rows)


def matches(rows: list[int], scores: list[float]) -> Matches:
    return Matches(np.array([rows], np.int64), np.array([scores], np.float32))


LEARNED = Calibration(
    {"text": {"dense:text": Background(0.4, 0.1, 99), "dense:image": Background(0.1, 0.05, 99)}}
)


def test_parts_are_stretched_together_on_their_common_scale():
    lanes = {
        "lexical": matches([1, 2], [8.0, 4.0]),
        "dense:text": matches([1, 3], [0.8, 0.6]),
        "dense:image": matches([7, 8], [0.3, 0.15]),
    }
    found = CalibratedFusion({"lexical": 1, "dense": 3}).with_calibration(LEARNED)(lanes, 9)
    # Deviations: 1 and 7 stand out by 4, 3 by 2, 8 by 1.
    assert found.rows[0, :5].tolist() == [1, 7, 3, 2, 8]
    np.testing.assert_allclose(found.scores[0, :5], [1.0, 0.75, 0.25, 0.0, 0.0], atol=1e-6)


def test_queries_that_nothing_was_learned_on_stretch_each_part_alone():
    lanes = {"dense:text": matches([1, 3], [0.3, 0.2]), "dense:image": matches([7, 8], [0.9, 0.5])}
    fusion = CalibratedFusion().with_calibration(LEARNED)
    picture = Query.of(image="photo.jpg")
    found = fusion.for_query(picture)(lanes, 4)
    assert found.rows[0].tolist() == [1, 7, 3, 8]
    assert fusion.told(picture) == {}
    assert "0.400" in fusion.told(Query.of("words"))["dense:text"]


def test_a_part_with_a_weight_of_its_own_stands_alone():
    lanes = {"dense:text": matches([1, 3], [0.8, 0.6]), "dense:image": matches([7], [0.1])}
    fusion = CalibratedFusion({"dense": 1, "dense:image": 3}).with_calibration(LEARNED)
    assert fusion(lanes, 3).rows[0].tolist() == [7, 1, 3]


def test_an_explanation_tells_what_the_calibration_did(apart):
    items = {row: text_item(f"item {row}", start=row) for row in range(len(apart.drawn[1]))}
    fusion = CalibratedFusion().with_calibration(apart.calibration)
    retriever = HybridRetriever(apart.parts, fusion, lambda rows: {row: items[row] for row in rows})
    told = retriever.explain(Query.of("2"), 5)
    fuse = next(step for step in told.steps if step.name == "fuse")
    assert set(fuse.detail) == {"dense:image", "dense:text"}
    assert {name for hit in told.hits for name in hit.ranks} == {"dense:image", "dense:text"}


def test_a_lane_of_one_modality_is_not_split(apart):
    everything = np.arange(10)
    nothing = np.empty(0, np.int64)
    assert split_by_modality(apart.lane, {"text": everything, "image": nothing}) == (apart.lane,)
    assert [lane.name for lane in apart.parts] == ["dense:image", "dense:text"]
    assert sum(map(len, apart.parts)) == len(apart.lane)


def test_a_part_keeps_to_its_rows_and_to_the_filter(apart):
    pictures = apart.rows_by_modality["image"]
    lane = PartLane(apart.lane, "image", pictures)
    allow = np.sort(np.concatenate([pictures[:3], apart.rows_by_modality["text"][:5]]))
    found = lane.search(Query.of("0"), 9, allow=allow).rows[0]
    assert sorted(found[found >= 0].tolist()) == pictures[:3].tolist()


def test_the_query_is_embedded_once_for_all_parts(apart, monkeypatch):
    asked = []
    embed = apart.embed_queries
    monkeypatch.setattr(apart, "embed_queries", lambda queries: asked.append(1) or embed(queries))
    for lane in apart.parts:
        lane.search(Query.of("7"), 3)
        lane.search(Query.of("7"), 30)
    assert len(asked) == 1


def test_what_was_learned_is_the_mean_and_deviation_of_unrelated_items(apart):
    own = apart.calibration.backgrounds["text"]
    _, items, _, _ = apart.drawn
    texts = items[apart.rows_by_modality["text"]]
    pictures = items[apart.rows_by_modality["image"]]
    assert own["dense:image"].mean == pytest.approx(float((texts @ pictures.T).mean()), abs=0.02)
    assert own["dense:image"].std == pytest.approx(float((texts @ pictures.T).std()), rel=0.1)
    assert own["dense:text"].mean - own["dense:image"].mean > 0.3
    assert own["dense:text"].count >= 99 * 256


def test_learning_is_deterministic_and_leaves_the_probe_itself_out(apart):
    probes = [Probe(Query.of(f"row {row}"), row) for row in range(40)]
    lane = PartLane(apart.lane, "first", np.arange(40))
    one, same = (learn_calibration([lane], probes, learned_on={"root": "r"}) for _ in range(2))
    assert one == same
    assert one.learned_on == {"root": "r"}
    assert one.backgrounds["text"]["dense:first"].count == 40 * 39
    other = learn_calibration([lane], probes, sample=20, seed=1)
    assert other.backgrounds["text"]["dense:first"].count == 20 * 20 + 20 * 19


def test_too_little_to_learn_from_is_no_background(apart):
    lane = PartLane(apart.lane, "few", np.arange(4))
    assert learn_calibration([lane], [Probe(Query.of("row 9"), 9)]).backgrounds == {"text": {}}
    assert learn_calibration([lane], []).backgrounds == {}


def test_a_calibration_survives_json(apart):
    text = apart.calibration.to_json()
    assert Calibration.from_json(text) == apart.calibration
    assert Calibration.from_json(text).to_json() == text


BAD = '{"backgrounds": {"text": {"dense": {"mean": 0, "std": 0, "count": 1}}}, "learned_on": {}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"backgrounds": 3, "learned_on": {}}', BAD])
def test_what_is_no_calibration_is_refused(text):
    with pytest.raises(ConfigError, match="no calibration"):
        Calibration.from_json(text)


def test_probes_are_the_words_that_say_most():
    picture = picture_item(b"x", alt="Wiring of the relay")
    silent = picture_item(b"y")
    captioned = text_item("body words")
    captioned = captioned.__class__(
        captioned.id,
        captioned.source,
        captioned.locator,
        (*captioned.parts, Part("text", text="Figure 1", role="caption")),
    )
    items = {
        1: picture,
        2: silent,
        3: captioned,
        4: text_item("word " * 50),
        **dict(enumerate(manual_items(), 10)),
    }

    def load(rows):
        return {row: items[row] for row in rows if row in items}

    probes = {probe.row: probe.query.text for probe in make_probes(load, np.array([*sorted(items), 99]))}
    assert probes[1] == "Wiring of the relay"
    assert probes[3] == "Figure 1"
    assert probes[4].split() == ["word"] * 16
    assert 2 not in probes
    assert 99 not in probes
    few = make_probes(load, np.array(sorted(items)), most=3)
    assert len(few) <= 3
    assert few == make_probes(load, np.array(sorted(items)), most=3)
