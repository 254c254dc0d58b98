"""Changes a store and publishes all its indexes, without end; it may kill itself at a step of its own."""

from __future__ import annotations

import io
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
from crash_life import State, say, state_of
from PIL import Image

from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Item, ItemId, Page, Part, Source, SourceId, Span
from mmrag.index import columns
from mmrag.index.ann.options import FaissOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.pictures import PictureOptions
from mmrag.index.published import COLUMNS, Indexes, open_indexes, publish
from mmrag.index.upkeep import leftovers, reindex
from mmrag.lanes import publish_calibration
from mmrag.store import SourceRecord, Store, Writer, forget
from mmrag.testing import SeeingEmbedder

EMBEDDER = SeeingEmbedder(dim=32)
DENSE, WORDS = FaissOptions(kind="ivf-pq", lists=8), LexicalOptions()
INDEXES = Indexes(DENSE, WORDS, PictureOptions())
FILES, TEXTS_A_FILE, PICTURES = 20, 36, 6
STEPS = frozenset({"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"})


def open_store(path: Path) -> Store:
    return Store.open(path) if Store.exists(path) else Store.create(path, identity=EMBEDDER.identity)


def picture(name: str) -> bytes:
    """Draw noise that depends on a name alone."""
    drawn = np.random.default_rng(list(name.encode())).integers(0, 255, (6, 8), np.uint8)
    out = io.BytesIO()
    Image.fromarray(drawn).resize((160, 120)).save(out, "PNG")
    return out.getvalue()


def put(writer: Writer, id: str, texts: list[str]) -> None:
    """Make a source hold texts; one whose name ends in .png holds the picture of its only text."""
    blobs = []
    if id.endswith(".png"):
        data = picture(texts[0])
        blobs = [Blob(digest_bytes(data), data, "image/png")]
    items = []
    for text in texts:
        words = Part("text", text=text, role="alt" if blobs else "body")
        parts = (Part("image", media=blobs[0].digest), words) if blobs else (words,)
        locator = Page(1) if blobs else Span(0, len(text))
        items.append(Item(ItemId(digest_bytes(text.encode())[:32]), SourceId(id), locator, parts))
    writer.add_vectors(texts, EMBEDDER.embed_items(items))
    source = Source(SourceId(id), digest_bytes("".join(texts).encode()), 1, "text/plain")
    writer.put(SourceRecord(source, 0, "indexed"), items, texts, blobs)


def texts_for(id: str, rng: random.Random) -> list[str]:
    """Make up texts; each has words that no other text ever has."""
    if id.endswith(".png"):
        return [f"picture u{rng.getrandbits(60):015x}"]
    return sorted(
        " ".join(["common", *(f"u{rng.getrandbits(60):015x}" for _ in range(9))]) for _ in range(TEXTS_A_FILE)
    )


def fill(store: Store, rng: random.Random) -> State:
    """Write the first files."""
    ids = [f"file{i}.txt" for i in range(FILES)] + [f"picture{i}.png" for i in range(PICTURES)]
    state = {id: texts_for(id, rng) for id in ids}
    with store.writer() as writer:
        for id, texts in state.items():
            put(writer, id, texts)
        writer.commit()
    return state


def change(store: Store, state: State, rng: random.Random, share: float) -> None:
    """Replace some of the files, add others and remove some."""
    with store.writer() as writer:
        for id in [*state, *(f"more{i}.txt" for i in range(3))]:
            if rng.random() >= share:
                continue
            if id in state and rng.random() < 0.3 and len(state) > FILES:
                writer.remove(SourceId(id))
                del state[id]
            else:
                state[id] = texts_for(id, rng)
                put(writer, id, state[id])
        say("committing", state)
        writer.commit()
        say("committed", state)


def publish_all(store: Store) -> None:
    """Publish every index, the columns too, which small stores have none of."""
    publish(store, INDEXES)
    generation, old = store.generation, store.derived(COLUMNS)
    if old is None or old.generation < store.horizon:
        store.publish(COLUMNS, columns.IDENTITY, generation, lambda folder: columns.write(folder, store))
    elif old.generation < generation:
        changes = store.changes(old.generation)
        store.publish(
            *(COLUMNS, columns.IDENTITY, generation),
            lambda folder: columns.update(old.path, folder, store, *changes),
        )
    with store.snapshot():
        publish_calibration(store, open_indexes(store, INDEXES, EMBEDDER.dim), EMBEDDER)


def forget_one(store: Store, state: State, rng: random.Random) -> None:
    gone = rng.choice(sorted(state))
    del state[gone]
    say("forgetting", state)
    report = forget(
        store,
        [SourceId(gone)],
        publish=lambda: publish_all(store),
        leftovers=leftovers(store, WORDS),
    )
    assert report.clean, report
    say("committed", state)


def die_at(step: int, folder: Path) -> None:
    """Let the process kill itself at so many steps on the files of the derived indexes."""
    left, place = step, str(folder)

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS and any(isinstance(arg, str | Path) and place in str(arg) for arg in args):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def live(path: Path, seed: int, part: str, step: int) -> None:
    rng = random.Random(seed)
    with open_store(path) as store:
        state = state_of(store)
        say("committed", state)
        if step:
            die_at(step, path / "derived" / part)
        while True:
            if rng.random() < 0.6:
                change(store, state, rng, rng.choice([0.05, 0.2, 0.6]))
            what = rng.choice(["publish"] * 5 + ["reindex", "forget", "compact"])
            say(what, state)
            if what == "publish":
                publish_all(store)
            elif what == "reindex":
                reindex(store, INDEXES)
            elif what == "compact":
                store.compact()
            else:
                forget_one(store, state, rng)


if __name__ == "__main__":
    live(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
