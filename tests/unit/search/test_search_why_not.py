from dataclasses import dataclass

import numpy as np
import pytest

from mmrag.core.types import Query, Source, SourceId
from mmrag.search import why_not
from mmrag.testing.samples import text_item

WARRANTY = Query.of("How long is the warranty of the relay?")


@dataclass(frozen=True)
class Record:
    source: Source
    reason: str = ""


def record(name: str, reason: str = "") -> Record:
    return Record(Source(SourceId(name), "0" * 64, 1, "text/markdown"), reason)


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_a_source_that_was_never_indexed(world):
    told = why_not(world.retriever(), WARRANTY, rows(), record("x.pdf", "The file needs a password."), 5)
    assert told.outcome == "not_indexed"
    assert told.sentences() == ["x.pdf has nothing in the index.", "The file needs a password."]


def test_a_source_that_the_filter_removes(world):
    told = why_not(world.retriever(), WARRANTY, rows(0), record("m0.md"), 5, allow=rows(1, 2))
    assert told.outcome == "filtered"
    assert "filter removes" in told.sentences()[0]


def test_a_source_that_is_there(world):
    told = why_not(world.retriever(), WARRANTY, rows(0), record("m0.md"), 5)
    assert (told.outcome, told.rank) == ("found", 1)
    assert told.sentences()[0] == "m0.md is there, at rank 1 of 5."


def test_a_source_that_was_cut_and_by_how_much(world):
    retriever = world.retriever()
    hits = retriever.retrieve(WARRANTY, 9)
    last = hits[-1]
    row = next(row for row, item in world.items.items() if item == last.item)
    told = why_not(retriever, WARRANTY, rows(row), record(last.item.source), 2)
    assert (told.outcome, told.rank, told.k) == ("cut", 9, 2)
    assert told.score == pytest.approx(last.score)
    assert told.gap == pytest.approx(hits[1].score - last.score)
    assert f"{told.gap:.3f}" in told.sentences()[0]
    standing = {lane.name: lane for lane in told.lanes}
    assert standing["dense"].rank == last.ranks["dense"]
    assert standing["dense"].score == pytest.approx(last.scores["dense"], abs=1e-5)


def test_a_copy_counts_as_its_source(world):
    told = why_not(world.retriever(), WARRANTY, rows(20), record("copy/m0.md"), 5)
    assert told.outcome == "found" or told.rank == 1


def test_a_lane_without_the_source_says_so(world):
    told = why_not(world.retriever(), Query.of("zeppelin"), rows(3), record("m3.md"), 1)
    standing = {lane.name: lane for lane in told.lanes}
    assert standing["lexical"].score is None
    assert "Nothing in it matches" in standing["lexical"].reason
    assert standing["dense"].rank >= 1


def test_a_lane_that_was_not_used_says_why(world):
    query = Query.of("Wie lange ist die Garantie auf das Relais, und wer bezahlt die warranty?")
    told = why_not(world.retriever(), query, rows(3), record("m3.md"), 1)
    assert told.outcome == "no_match"
    assert "(de)" in " ".join(told.sentences())


def test_deep_ranks_are_found(world):
    retriever = world.retriever(depth=1)
    last = retriever.retrieve(WARRANTY, 9)[-1]
    row = next(row for row, item in world.items.items() if item == last.item)
    told = why_not(retriever, WARRANTY, rows(row), record(last.item.source), 1)
    assert told.outcome == "cut"
    assert told.rank == 9


def test_ranks_beyond_the_first_look_into_a_lane_are_found(world):
    filler = [text_item(f"The relay has part number {i}.", source=f"p{i}.md") for i in range(300)]
    world.items |= {100 + i: item for i, item in enumerate(filler)}
    query = Query.of("Which part number has the relay?")
    retriever = world.retriever()
    told = why_not(retriever, query, rows(0), record("m0.md"), 5)
    standing = {lane.name: lane for lane in told.lanes}
    for lane in retriever.lanes:
        listed = lane.search(query, 400).rows[0].tolist()
        assert standing[lane.name].rank == listed.index(0) + 1 > 100
    assert told.outcome == "cut"
    assert told.rank > 100
