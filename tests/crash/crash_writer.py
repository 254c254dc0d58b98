"""Writes to a store without end, and says before and after each commit what it should hold."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np

from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store, Writer

DIM = 16


def say(word: str, state: dict[str, list[str]]) -> None:
    print(json.dumps([word, state]), flush=True)


def vector(text: str) -> list[float]:
    return [byte / 255 for byte in digest_bytes(text.encode())[:DIM].encode()]


def record(id: str) -> SourceRecord:
    return SourceRecord(Source(SourceId(id), digest_bytes(id.encode()), 1, "text/plain"), 0, "indexed")


def put(writer: Writer, id: str, texts: list[str]) -> None:
    writer.add_vectors(texts, Embeddings.dense(np.array([vector(t) for t in texts], dtype=np.float32)))
    items = [
        Item(ItemId(digest_bytes(t.encode())[:32]), SourceId(id), Span(0, 1), (Part("text", text=t),))
        for t in texts
    ]
    data = f"picture of {texts[0]}".encode()
    writer.put(record(id), items, texts, [Blob(digest_bytes(data), data, "image/png")])


def build(folder: Path) -> None:
    for i in range(3):
        (folder / f"{i}.bin").write_bytes(b"x" * 10_000)


def main(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    store = Store.open(path) if Store.exists(path) else Store.create(path, identity={"name": "fake"})
    state = {
        r.source.id: sorted(i.text for i in store.items(store.rows_of(r.source.id)).values())
        for r in store.sources()
    }
    say("committed", state)
    while True:
        with store.writer() as writer:
            for _ in range(rng.randint(1, 12)):
                for _ in range(rng.randint(1, 4)):
                    id = f"{rng.choice('xyz')}/{rng.randint(0, 9)}.txt"
                    if id in state and rng.random() < 0.3:
                        writer.remove(SourceId(id))
                        del state[id]
                    elif id in state and rng.random() < 0.3:
                        new = f"moved/{rng.randint(0, 9)}.txt"
                        writer.move(SourceId(id), record(new))
                        state[new] = state.pop(id)
                    else:
                        texts = sorted({f"{id} {rng.randint(0, 99)}" for _ in range(rng.randint(1, 8))})
                        put(writer, id, texts)
                        state[id] = texts
                say("committing", state)
                writer.commit()
                say("committed", state)
        store.publish("dense", {"index": "fake"}, store.generation, build)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
