"""Fills the small disk that a store is on, and tells what was committed when it was full."""

from __future__ import annotations

import json
import random
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from mmrag.core.errors import OutOfSpace
from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store, forget, verify


def main(path: Path, kind: str) -> None:
    rng = random.Random(kind)
    committed, n, error = 0, 0, ""
    with Store.create(path, identity={"name": "fake"}) as store:
        try:
            with store.writer() as writer:
                while True:
                    n += 1
                    id, count = SourceId(f"{n}.txt"), 5_000 if kind == "vectors" else 1
                    vectors = np.full((count, 4), n, dtype=np.float32)
                    writer.add_vectors([id], Embeddings(vectors, np.array([0, count])))
                    text = rng.randbytes(5_000).hex() if kind == "catalog" else "short"
                    item = Item(ItemId(id), id, Span(0, 1), (Part("text", text=text),))
                    data = rng.randbytes(20_000) if kind == "blobs" else b"small"
                    blob = Blob(digest_bytes(data), data, "image/png")
                    record = SourceRecord(Source(id, "d", 1, "text/plain"), 0, "indexed")
                    writer.put(record, [item], [id], [blob])
                    if n % 4 == 0:
                        writer.commit()
                        committed = n
        except OutOfSpace as full:
            error = type(full).__name__
        for tidy in (store.compact, lambda: forget(store, [SourceId("1.txt")], publish=lambda: None)):
            # Both need room before they give some back; they find it, or leave the store as it is.
            with suppress(OutOfSpace):
                tidy()
        with store.writer():
            pass
        report = verify(store)
        read = len(store.embeddings(store.rows()))
        known = [number + 1 for number in range(committed) if store.source(SourceId(f"{number + 1}.txt"))]
        print(json.dumps([error, committed, store.count(), read, known, list(report.problems)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
