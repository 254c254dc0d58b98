from itertools import pairwise

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, QueryError, UnsupportedModality
from mmrag.core.types import Query
from mmrag.search import HybridRetriever, MinMaxFusion

WARRANTY = Query.of("How long is the warranty of the relay?")


def test_hits_carry_the_raw_score_and_rank_of_each_lane(world):
    hit = world.retriever().retrieve(WARRANTY, 3)[0]
    assert hit.item.source == "m0.md"
    assert set(hit.scores) == {"dense", "lexical"}
    query = world.embedder.embed_texts([WARRANTY.text])[0]
    item = world.embedder.embed_items([hit.item]).vectors[0]
    assert hit.scores["dense"] == pytest.approx(float(query @ item), abs=1e-5)
    assert hit.ranks["dense"] == 1
    assert 0 <= hit.score <= 1


def test_a_row_that_one_lane_did_not_find_has_no_score_there(world):
    hits = world.retriever().retrieve(WARRANTY, 20)
    assert any("lexical" not in hit.scores and hit.ranks["dense"] > 1 for hit in hits)


def test_copies_are_one_hit_that_names_the_others(world):
    hits = world.retriever().retrieve(WARRANTY, 20)
    assert len({hit.item.id for hit in hits}) == len(hits) == 9
    assert hits[0].also_in == ("copy/m0.md",)


def test_one_picture_in_two_places_is_one_hit(world):
    hits = world.retriever().retrieve(Query.of("wiring diagram of the relay"), 20)
    pictures = [hit for hit in hits if hit.item.modality == "image"]
    assert len(pictures) == 1
    assert {pictures[0].item.source, *pictures[0].also_in} == {"relay.png", "guide.html"}


def test_copies_do_not_use_up_the_result(world):
    assert len(world.retriever(depth=2).retrieve(WARRANTY, 9)) == 9


def test_rows_that_vanished_are_dropped_and_made_up_for(world):
    full = world.retriever().retrieve(WARRANTY, 9)
    world.gone = {0, 20, 23}
    hits = world.retriever(depth=2).retrieve(WARRANTY, 8)
    assert len(hits) == 8
    assert full[0].item.id not in {hit.item.id for hit in hits}


@pytest.mark.parametrize("depth", [1, 2, 3, 100])
def test_a_short_result_is_the_beginning_of_a_long_one(world, depth):
    retriever = world.retriever(depth=depth)
    whole = retriever.retrieve(WARRANTY, 12)
    assert len(whole) == 9
    assert all(a.score >= b.score for a, b in pairwise(whole))
    for k in range(1, 9):
        short = retriever.retrieve(WARRANTY, k)
        assert [(h.item, h.score, h.scores, h.ranks) for h in short] == [
            (h.item, h.score, h.scores, h.ranks) for h in whole[:k]
        ]


def test_allow_restricts_every_lane(world):
    hits = world.retriever().retrieve(WARRANTY, 20, allow=np.array([1, 3, 21]))
    assert {hit.item.source for hit in hits} == {"m1.md", "m3.md", "relay.png"}


def test_nothing_allowed_is_said(world):
    told = world.retriever().explain(WARRANTY, 5, allow=np.empty(0, np.int64))
    assert told.hits == ()
    assert told.notes == ("The filter leaves no item to search.",)


def test_a_question_in_an_unknown_language_is_searched_by_words_and_that_is_said(world):
    query = Query.of("Wie lange ist die Garantie auf das Relais, und wer bezahlt die warranty?")
    told = world.retriever().explain(query, 3)
    assert [(report.name, report.used) for report in told.lanes] == [("lexical", True), ("dense", False)]
    assert len(told.notes) == 1
    assert "dense" in told.notes[0]
    assert "(de)" in told.notes[0]
    assert told.hits[0].item.source == "m0.md"
    assert set(told.hits[0].scores) == {"lexical"}


def test_a_query_without_words_to_look_for_is_still_embedded(world):
    told = world.retriever().explain(Query.of("?!"), 3)
    assert [report.used for report in told.lanes] == [False, True]
    assert len(told.hits) == 3


def test_a_picture_beside_words_is_left_out_and_that_is_said(world):
    told = world.retriever().explain(Query.of("the warranty of the relay", image="photo.jpg"), 3)
    assert told.hits[0].item.source == "m0.md"
    assert all("image" in note for note in told.notes)
    assert len(told.notes) == 2


def test_a_picture_alone_is_refused_when_no_lane_takes_it(world):
    with pytest.raises(UnsupportedModality, match="image"):
        world.retriever().retrieve(Query.of(image="photo.jpg"), 3)


@pytest.mark.parametrize("query", [Query.of(""), Query.of("   "), Query(())])
def test_an_empty_query_is_refused(world, query):
    with pytest.raises(QueryError, match="nothing"):
        world.retriever().retrieve(query, 3)


def test_k_below_one_is_refused(world):
    with pytest.raises(QueryError, match="k=0"):
        world.retriever().retrieve(WARRANTY, 0)


def test_steps_say_what_was_done(world):
    told = world.retriever().explain(WARRANTY, 3)
    assert [step.name for step in told.steps] == ["lexical", "dense", "fuse", "load"]
    assert all(step.ms >= 0 for step in told.steps)


def test_few_items_are_loaded(world):
    world.retriever().retrieve(WARRANTY, 3)
    assert sum(world.loads) <= 40


def test_lanes_of_one_name_are_refused(world):
    lane = world.retriever().lanes[0]
    with pytest.raises(ConfigError):
        HybridRetriever([lane, lane], MinMaxFusion(), world.load)
    with pytest.raises(ConfigError):
        HybridRetriever([], MinMaxFusion(), world.load)
    with pytest.raises(ConfigError):
        HybridRetriever([lane], MinMaxFusion(), world.load, depth=0)
