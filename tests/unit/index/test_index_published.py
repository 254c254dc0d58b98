"""Derived indexes on disk, and what is newer than they are."""

import numpy as np
import pytest

from mmrag.core.fields import embedding_key
from mmrag.core.identity import item_id
from mmrag.core.types import Item, Part, Query, Source, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import DENSE, LEXICAL, Indexes, open_dense, open_lexical, publish
from mmrag.store import SourceRecord, Store
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()
WORDS = ["relay", "warranty", "filter", "fan", "duct", "alarm", "bracket", "nozzle", "gasket", "rotor"]


def _item(name: str, text: str) -> Item:
    parts = (Part("text", text=text),)
    locator = Span(0, len(text))
    id = item_id(parts, locator, reader="text/1", splitter="test")
    return Item(id, SourceId(name), locator, parts)


def _put(store: Store, texts: dict[str, str]) -> None:
    with store.writer() as writer:
        for name, text in texts.items():
            item = _item(name, text)
            keys = [embedding_key(item)]
            writer.add_vectors(keys, EMBEDDER.embed_items([item]))
            source = Source(SourceId(name), digest=text, size=len(text), media_type="text/plain")
            writer.put(SourceRecord(source, 0, "indexed"), [item], keys)
        writer.commit()


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "store", identity=EMBEDDER.identity)
    _put(store, {f"{word}.txt": f"The {word} is described here." for word in WORDS})
    with store:
        yield store


def _found(store: Store, word: str) -> list[str]:
    matches = open_lexical(store, LexicalOptions()).search([word], 3)
    items = store.items(matches.rows[0])
    return [items[row].source for row in matches.rows[0].tolist() if row >= 0]


def _nearest(store: Store, text: str, dense) -> str:
    queries = EMBEDDER.embed_queries([Query.of(text)])
    row = int(open_dense(store, dense, EMBEDDER.dim).search(queries, 1).rows[0, 0])
    return store.items([row])[row].source


@pytest.mark.parametrize("dense", [ExactOptions(), FaissOptions(kind="flat"), FaissOptions(kind="ivf-flat")])
def test_open_without_publishing_publishing_and_rows_newer_than_it(store, dense):
    def check(gone: str | None = None, new: str | None = None) -> None:
        for word in WORDS:
            assert _found(store, word) == ([] if word == gone else [f"{word}.txt"])
        assert _nearest(store, "The rotor is described here.", dense) == "rotor.txt"
        if new:
            assert _found(store, new) == [f"{new}.txt"]
            assert _nearest(store, f"The {new} is described here.", dense) == f"{new}.txt"

    check()
    publish(store, Indexes(dense, LexicalOptions()))
    check()
    _put(store, {"damper.txt": "The damper is described here."})
    with store.writer() as writer:
        writer.remove(SourceId("alarm.txt"))
        writer.commit()
    published = store.derived(LEXICAL)
    assert published is not None
    assert published.generation < store.generation
    check(gone="alarm", new="damper")
    publish(store, Indexes(dense, LexicalOptions()))
    published = store.derived(LEXICAL)
    assert published is not None
    assert published.generation == store.generation
    check(gone="alarm", new="damper")


def test_changed_text_replaces_the_old_one_in_the_tail(store):
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    _put(store, {"relay.txt": "Now about the thermostat."})
    rows = open_lexical(store, LexicalOptions()).search(["described"], 50).rows[0]
    assert sorted(rows[rows >= 0].tolist()) == sorted(set(store.rows()) - set(store.rows_of("relay.txt")))
    assert _found(store, "thermostat") == ["relay.txt"]


def test_tail_answers_with_filters_and_ranks_among_the_published(store):
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    _put(store, {"new.txt": "described described described"})
    index = open_lexical(store, LexicalOptions())
    assert len(index) == len(WORDS) + 1
    everything = index.search(["described"], 50)
    rows = everything.rows[0][everything.rows[0] >= 0]
    assert sorted(rows.tolist()) == store.rows().tolist()
    assert (np.diff(everything.scores[0][: len(rows)]) <= 0).all()
    allow = store.rows_of(SourceId("new.txt"))
    assert index.search(["described"], 5, allow=allow).rows[0].tolist()[:2] == [int(allow[0]), -1]


def test_a_new_item_ranks_as_if_it_were_published(store):
    _put(store, {f"fill{i}.txt": f"The relay and the fan, part {i}." for i in range(40)})
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    _put(store, {"new.txt": "A thermostat beside the gasket."})
    before = open_lexical(store, LexicalOptions()).search(["thermostat gasket"], 2)
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    after = open_lexical(store, LexicalOptions()).search(["thermostat gasket"], 2)
    assert before.rows.tolist() == after.rows.tolist()
    assert before.rows[0, 0] == store.rows_of(SourceId("new.txt"))[0]
    np.testing.assert_allclose(before.scores, after.scores, rtol=0.3)


def test_an_index_ahead_of_a_restored_catalog_is_built_anew(store):
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    stamp = LexicalOptions().identity
    store.publish(LEXICAL, stamp, store.generation + 5, lambda folder: LexicalOptions().open(folder).commit())
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    assert store.derived(LEXICAL).generation == store.generation
    assert _found(store, "relay") == ["relay.txt"]


def test_publishing_twice_writes_once(store):
    publish(store, Indexes(FaissOptions(kind="flat"), LexicalOptions()))
    before = store.derived(LEXICAL), store.derived(DENSE)
    publish(store, Indexes(FaissOptions(kind="flat"), LexicalOptions()))
    assert (store.derived(LEXICAL), store.derived(DENSE)) == before


def test_other_options_are_not_mistaken_for_the_published_ones(store):
    publish(store, Indexes(FaissOptions(kind="flat"), LexicalOptions(stemmer="english")))
    german = open_lexical(store, LexicalOptions(stemmer="german"))
    assert german.search(["relay"], 1).rows[0, 0] >= 0
    assert _nearest(store, "The fan is described here.", FaissOptions(kind="ivf-flat")) == "fan.txt"


def test_exact_index_is_not_kept_on_disk(store):
    publish(store, Indexes(ExactOptions(), LexicalOptions()))
    assert store.derived(DENSE) is None
