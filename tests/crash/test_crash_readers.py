"""Readers of another process see one committed state at a time while a writer commits and packs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from mmrag.core.types import Embeddings, Item, ItemId, Part, Source, SourceId, Span
from mmrag.store import SourceRecord, Store, Writer, forget, verify

READER = """
import json, sys
from pathlib import Path
from mmrag.core.filters import parse
from mmrag.store import Store

with Store.open(Path(sys.argv[1])) as store:
    print(json.dumps("ready"), flush=True)
    last, seen = 0, set()
    while len(seen) < 25:
        with store.snapshot():
            generation = store.generation
            rows = store.rows()
            items = store.items(rows)
            vectors = store.embeddings(rows)
            filtered = store.rows(parse('meta.final == true'))
        assert generation >= last
        last = generation
        assert sorted(items) == rows.tolist()
        versions = {item.metadata["version"] for item in items.values()}
        versions |= set(vectors.vectors.ravel().tolist())
        assert len(versions) == 1, versions
        assert len(items) == 10 and len(filtered) == 2
        # Outside a snapshot, rows may go between two calls, but nothing breaks.
        assert len(store.items(rows)) in range(11)
        seen |= versions
    print(json.dumps(sorted(seen)), flush=True)
"""


def _put(writer: Writer, version: int) -> None:
    for name in ("a", "b"):
        keys = [f"{version} {name} {i}" for i in range(5)]
        writer.add_vectors(keys, Embeddings.dense(np.full((5, 8), version, dtype=np.float32)))
        items = [
            Item(
                *(ItemId(key), SourceId(name), Span(0, 1), (Part("text", text=key),)),
                {"version": version, "final": i == 4},
            )
            for i, key in enumerate(keys)
        ]
        record = SourceRecord(Source(SourceId(name), str(version), 1, "text/plain"), version, "indexed")
        writer.put(record, items, keys)
    writer.commit()


PATIENT = READER.replace("store.rows()", "store.rows(parse('folder == \"\"'))").replace("< 25", "< 4")


def test_eight_readers_see_whole_commits_while_the_store_is_packed_and_forgets(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", identity={"name": "fake"}) as store:
        with store.writer() as writer:
            _put(writer, 0)
        readers = [
            subprocess.Popen([sys.executable, "-c", PATIENT, str(store.path)], stdout=subprocess.PIPE)
            for _ in range(8)
        ]
        try:
            for reader in readers:
                assert json.loads(reader.stdout.readline()) == "ready"
            version = 0
            while any(reader.poll() is None for reader in readers):
                assert version < 5_000, "the readers make no progress"
                with store.writer() as writer:
                    version += 1
                    _put(writer, version)
                    secret = Item(
                        ItemId("s"), SourceId("x/secret"), Span(0, 1), (Part("text", text="secret"),)
                    )
                    writer.add_vectors(["s"], Embeddings.dense(np.full((1, 8), -1, dtype=np.float32)))
                    record = SourceRecord(Source(secret.source, "d", 1, "text/plain"), 0, "indexed")
                    writer.put(record, [secret], ["s"])
                    writer.commit()
                store.compact()
                report = forget(store, [secret.source], publish=lambda: None, patience_s=0.1)
                assert report.proof.findings == () or report.waiting
        finally:
            for reader in readers:
                reader.kill()
            said = [reader.communicate()[0] for reader in readers]
        assert [reader.returncode for reader in readers] == [0] * 8
        assert all(len(json.loads(line)) > 3 for line in said)
        with store.writer():
            pass
        report = verify(store)
        assert (report.problems, report.orphans) == ((), 0)
        assert not [
            path for path in store.path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()
        ]


def test_readers_of_other_processes_see_whole_commits(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", identity={"name": "fake"}) as store:
        with store.writer() as writer:
            _put(writer, 0)
        readers = [
            subprocess.Popen([sys.executable, "-c", READER, str(store.path)], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        try:
            for reader in readers:
                assert json.loads(reader.stdout.readline()) == "ready"
            version = 0
            while any(reader.poll() is None for reader in readers):
                assert version < 20_000, "the readers make no progress"
                with store.writer() as writer:
                    for _ in range(5):
                        version += 1
                        _put(writer, version)
        finally:
            for reader in readers:
                reader.kill()
            said = [reader.communicate()[0] for reader in readers]
        assert [reader.returncode for reader in readers] == [0, 0]
        assert all(len(json.loads(line)) >= 25 for line in said)
        assert verify(store).problems == ()
