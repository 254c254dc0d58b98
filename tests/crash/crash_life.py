"""Does all that is done to a store, without end, and says before and after each commit what it holds."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Item, ItemId, Part, Source, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import Indexes, publish
from mmrag.index.upkeep import leftovers, reindex
from mmrag.store import SourceRecord, Store, Writer, export_store, forget, import_store
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()
DENSE, WORDS = FaissOptions(kind="flat"), LexicalOptions()
INDEXES = Indexes(DENSE, WORDS)
State = dict[str, list[str]]


def say(word: str, state: State) -> None:
    print(json.dumps([word, state]), flush=True)


def open_store(path: Path) -> Store:
    return Store.open(path) if Store.exists(path) else Store.create(path, identity=EMBEDDER.identity)


def state_of(store: Store) -> State:
    state: State = {record.source.id: [] for record in store.sources()}
    for item in store.items(store.rows()).values():
        state[item.source].append(item.text)
    return {id: sorted(texts) for id, texts in state.items()}


def put(writer: Writer, id: str, texts: list[str]) -> None:
    """Make a source hold texts; what is made of them depends on them alone."""
    items = [
        Item(ItemId(digest_bytes(t.encode())[:32]), SourceId(id), Span(0, len(t)), (Part("text", text=t),))
        for t in texts
    ]
    writer.add_vectors(texts, EMBEDDER.embed_items(items))
    data = f"picture of {texts[0]} ".encode() * 20
    source = Source(SourceId(id), digest_bytes(json.dumps(texts).encode()), 1, "text/plain")
    writer.cache("ocr", digest_bytes(data), data, SourceId(id))
    writer.put(
        SourceRecord(source, 0, "indexed"), items, texts, [Blob(digest_bytes(data), data, "image/png")]
    )


def write(store: Store, state: State, rng: random.Random) -> None:
    with store.writer() as writer:
        for _ in range(rng.randint(1, 5)):
            for _ in range(rng.randint(1, 4)):
                id = f"folder{rng.randint(0, 2)}/file{rng.randint(0, 9)}.txt"
                if id in state and rng.random() < 0.4:
                    writer.remove(SourceId(id))
                    del state[id]
                else:
                    # Each text has a word that no other text ever has.
                    state[id] = sorted(f"common word of {id} u{rng.getrandbits(60):015x}" for _ in range(4))
                    put(writer, id, state[id])
            say("committing", state)
            writer.commit()
            say("committed", state)


def publish_now(store: Store) -> None:
    publish(store, INDEXES)


def forget_some(store: Store, state: State, rng: random.Random) -> None:
    gone = rng.sample(sorted(state), min(len(state), rng.randint(1, 3)))
    for id in gone:
        del state[id]
    say("forgetting", state)
    report = forget(
        store,
        [SourceId(id) for id in gone],
        publish=lambda: publish_now(store),
        leftovers=leftovers(store, WORDS),
    )
    assert report.clean, report
    say("committed", state)


def move_house(store: Store, scratch: Path) -> None:
    """Export the store and make another one of it."""
    for name in ("export", "copy"):
        shutil.rmtree(scratch / name, ignore_errors=True)
    export_store(store, scratch / "export")
    with import_store(scratch / "export", scratch / "copy") as copy:
        assert copy.root == store.root


def live(path: Path, scratch: Path, seed: int) -> None:
    rng = random.Random(seed)
    with open_store(path) as store:
        state = state_of(store)
        say("committed", state)
        while True:
            what = rng.choice(["write"] * 4 + ["publish", "publish", "reindex", "compact", "forget", "move"])
            say(what, state)
            if what == "write":
                write(store, state, rng)
            elif what == "publish":
                publish_now(store)
            elif what == "reindex":
                reindex(store, INDEXES)
            elif what == "compact":
                store.compact()
            elif what == "forget":
                forget_some(store, state, rng)
            else:
                move_house(store, scratch)


def main(what: str, path: Path, scratch: Path, seed: int) -> None:
    if what == "live":
        live(path, scratch, seed)
    say("ready", {})
    if what == "migrate":
        Store.open(path).close()
    else:
        import_store(scratch / "export", path).close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
