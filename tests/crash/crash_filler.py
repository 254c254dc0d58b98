"""Fills the small disk that a store is on, and tells what was committed when it was full."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np

from mmrag.core.errors import OutOfSpace
from mmrag.core.identity import digest_bytes
from mmrag.core.reading import Blob
from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store, verify


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
        report = verify(store)
        read = len(store.embeddings(store.rows()))
        print(json.dumps([error, committed, store.count(), read, list(report.problems)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
