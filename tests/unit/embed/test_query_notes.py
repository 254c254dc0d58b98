"""What becomes of a query is told: in Python by the embedder, to a person by the search."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmrag.core.types import Query
from mmrag.embed.dual.options import DualOptions
from mmrag.index.exact import ExactIndex
from mmrag.search import DenseLane, HybridRetriever, RrfFusion
from mmrag.testing.samples import text_item

LONG = "relay " * 200


def test_a_cut_query_and_an_instruction_that_is_not_known_are_told(tiny: Callable[[str], Path]) -> None:
    embedder = DualOptions(str(tiny("clip")), "clip").build()
    short, long = Query.of("relay"), Query.of(LONG)
    told = Query.of("relay", instruction="Find it.")
    embedder.embed_queries([short, long, told])
    assert embedder.notes_on(short) == ()
    assert "cut" in embedder.notes_on(long)[0]
    assert "instruction" in embedder.notes_on(told)[0]


def test_a_search_says_that_words_were_cut(tiny: Callable[[str], Path]) -> None:
    embedder = DualOptions(str(tiny("clip")), "clip").build()
    items = [text_item("relay"), text_item("pump")]
    rows = np.arange(len(items))
    index = ExactIndex(embedder.dim)
    index.add(rows, embedder.embed_items(items))
    lanes = (DenseLane(embedder, index),)
    retriever = HybridRetriever(lanes, RrfFusion(), lambda wanted: {int(r): items[int(r)] for r in wanted})
    found = retriever.explain(Query.of(LONG), 2)
    assert len(found.hits) == 2
    assert any("cut" in note for note in found.notes)
    assert retriever.explain(Query.of("relay"), 2).notes == ()


def test_notes_are_of_the_last_queries_only() -> None:
    from mmrag.embed.outputs import QueryNotes

    notes = QueryNotes()
    for i in range(100):
        notes.keep(Query.of(str(i)), ("cut",))
    assert notes.of(Query.of("99")) == ("cut",)
    assert notes.of(Query.of("0")) == ()
    notes.keep(Query.of("99"), ())
    assert notes.of(Query.of("99")) == ()
