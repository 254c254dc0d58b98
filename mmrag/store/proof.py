"""What a source left in the store as byte strings, and the search of every file for them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mmrag.store.blobs import Blobs
from mmrag.store.codec import unpack_item
from mmrag.store.needles import Needles
from mmrag.store.records import Proof
from mmrag.store.store import Store
from mmrag.store.vectors import SegmentReader

_STRIDE = 8
_MOST_WINDOWS = 2_000_000
"""32 MB of them; with more, windows are taken further apart."""
_NAMED_FINDINGS = 20

_OWN = "SELECT number FROM sources WHERE id IN (SELECT value FROM json_each(?))"
_OWN_VECTORS = f"""
    SELECT DISTINCT v.key, v.seal, v.segment, v.first, v.count
    FROM vectors v JOIN items i ON i.vector = v.number
    WHERE i.source IN ({_OWN}) AND NOT EXISTS
        (SELECT 1 FROM items o WHERE o.vector = v.number AND o.source NOT IN ({_OWN}))
"""
_OWN_BLOBS = f"""
    SELECT DISTINCT digest FROM blobs b WHERE source IN ({_OWN}) AND NOT EXISTS
        (SELECT 1 FROM blobs o WHERE o.digest = b.digest AND o.source NOT IN ({_OWN}))
"""
_OWN_CACHE = """
    SELECT c.kind, c.key, c.value FROM cache c WHERE c.owned AND NOT EXISTS
        (SELECT 1 FROM cache_uses u WHERE u.kind = c.kind AND u.key = c.key
            AND u.source NOT IN (SELECT value FROM json_each(?)))
"""


def stride_for(db: sqlite3.Connection, path: Path, wanted: str) -> int:
    """Return how far apart windows must be taken for all of some sources' bytes to fit in memory."""
    blobs = Blobs(path / "blobs", path / "tmp")
    (words,) = db.execute(
        f"SELECT coalesce(sum(length(body)), 0) FROM bodies JOIN items USING (row) WHERE source IN ({_OWN})",
        (wanted,),
    ).fetchone()
    total = int(words)
    (numbers,) = db.execute(
        f"SELECT coalesce(sum(count * dim), 0) FROM ({_OWN_VECTORS}) v"
        " JOIN segments s ON s.number = v.segment",
        (wanted, wanted),
    ).fetchone()
    total += 4 * int(numbers)
    for (digest,) in db.execute(_OWN_BLOBS, (wanted, wanted)):
        if file := blobs.path(digest):
            with suppress(FileNotFoundError):
                total += file.stat().st_size
    return max(_STRIDE, total // _MOST_WINDOWS)


def collect(db: sqlite3.Connection, store: Store, sources: Sequence[str], needles: Needles) -> None:
    """Add all that some sources, and no others, left in the store."""
    wanted = json.dumps(sources)
    for source in sources:
        for name in dict.fromkeys((source, source.rpartition("/")[2])):
            _add_name(needles, name, f"the name of {source}")
    for id, *words in db.execute(
        f"SELECT id, title, reason, depends, digest, root FROM sources WHERE number IN ({_OWN})",
        (wanted,),
    ):
        for word in words:
            _add_text(needles, word, f"what is known of {id}")
    for id, source, body in db.execute(
        "SELECT i.id, s.id, b.body FROM items i JOIN bodies b USING (row)"
        f" JOIN sources s ON s.number = i.source WHERE i.source IN ({_OWN})",
        (wanted,),
    ):
        item = unpack_item(id, source, body)
        needles.add(id.encode(), f"an item's id of {source}")
        texts = [part.text for part in item.parts if part.text]
        texts += [value for value in item.metadata.values() if isinstance(value, str)]
        for text in texts:
            _add_text(needles, text, f"text of {source}")
    _collect_bytes(db, store, wanted, needles)


def _collect_bytes(db: sqlite3.Connection, store: Store, wanted: str, needles: Needles) -> None:
    segments = SegmentReader(store.path / "vectors", store.rebuild_command)
    for key, seal, segment, first, count in db.execute(_OWN_VECTORS, (wanted, wanted)):
        needles.add(key.encode(), "a vector's key")
        needles.add(seal, "a vector's digest")
        needles.add(segments.run(segment, first, count).tobytes(), "a vector")
    segments.close()
    for (digest,) in db.execute(_OWN_BLOBS, (wanted, wanted)):
        needles.add(digest.encode(), "a blob's digest")
        needles.add(store.blob(digest) or b"", f"blob {digest[:8]}")
    for kind, key, value in db.execute(_OWN_CACHE, (wanted,)):
        needles.add(key.encode(), f"a key of kept {kind}")
        needles.add(value, f"kept {kind}")


def prove(
    db: sqlite3.Connection, store: Store, sources: Sequence[str], needles: Needles, found: Iterable[str]
) -> Proof:
    """Search every file of a store for needles; those that it rightly holds are no findings.

    Args:
        db: The catalog, to know what the store rightly holds.
        store: The store.
        sources: The ids of what was forgotten.
        needles: What must not be left.
        found: Findings of other searches.
    """
    haystack = needles.ready()
    files, size = 0, 0
    hits: dict[bytes, str] = {}
    for path in sorted(store.path.rglob("*")):
        if not path.is_file():
            continue
        read, places = haystack.find_in_file(path)
        files, size = files + 1, size + read
        for needle, place in places.items():
            hits.setdefault(needle, f"{path.relative_to(store.path).as_posix()}, byte {place}")
    shared = haystack.only(hits).find_in(_rightful(db, store, sources)) if hits else set()
    left = [f"{where}: {haystack.label(needle)}" for needle, where in hits.items() if needle not in shared]
    if len(left) > _NAMED_FINDINGS:
        left = [*left[:_NAMED_FINDINGS], f"{len(left) - _NAMED_FINDINGS} more"]
    return Proof(files, size, len(haystack), needles.reach, len(shared), needles.short, (*found, *left))


def _rightful(db: sqlite3.Connection, store: Store, sources: Sequence[str]) -> Iterator[bytes]:
    """List all that other sources hold, and the store's own words, as they stand on the disk."""
    for sql in (
        *("SELECT sql FROM sqlite_schema", "SELECT value FROM meta", "SELECT digest FROM segments"),
        "SELECT id || char(10) || reason || char(10) || fix || char(10) || title FROM sources",
        *("SELECT pages FROM sources", "SELECT depends FROM sources", "SELECT digest || root FROM sources"),
        *(
            "SELECT reader || splitter || media_type FROM sources",
            "SELECT id FROM items",
            "SELECT body FROM bodies",
        ),
        *("SELECT key FROM metadata", "SELECT value FROM metadata WHERE typeof(value) = 'text'"),
        "SELECT digest FROM blobs",
        "SELECT key FROM vectors WHERE number IN (SELECT vector FROM items)",
        "SELECT seal FROM vectors WHERE number IN (SELECT vector FROM items)",
        *("SELECT kind || key FROM cache", "SELECT value FROM cache WHERE NOT owned"),
    ):
        for (value,) in db.execute(sql):
            if value is not None:
                yield value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    # Also of sources that a sync has removed: their results stay until the store is compacted.
    others = "source NOT IN (SELECT value FROM json_each(?))"
    for use in db.execute(
        f"SELECT source, kind, value FROM cache JOIN cache_uses USING (kind, key) WHERE {others}",
        (json.dumps(sources),),
    ):
        yield from (word if isinstance(word, bytes) else word.encode() for word in use)
    segments = SegmentReader(store.path / "vectors", store.rebuild_command)
    for place in db.execute(
        "SELECT segment, first, count FROM vectors WHERE number IN (SELECT vector FROM items)"
    ):
        yield segments.run(*place).tobytes()
    segments.close()
    for (digest,) in db.execute("SELECT DISTINCT digest FROM blobs"):
        yield store.blob(digest) or b""
    # Who writes now, and since when: a document may bear the same date.
    yield (store.path / "lock").read_bytes()
    # How an index was made, in the words of its engine: nothing of any item.
    for path in (store.path / "derived").rglob("*.json"):
        yield path.read_bytes()


def _add_name(needles: Needles, name: str, label: str) -> None:
    for form in _forms(name):
        needles.add_whole(form, label)


def _add_text(needles: Needles, text: str, label: str) -> None:
    for form in _forms(text):
        needles.add(form, label)


def _forms(text: str) -> Iterator[bytes]:
    """Return a text as the store may hold it: as UTF-8, and inside JSON with and without escapes."""
    spelled = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
    return (form.encode("utf-8", "surrogatepass") for form in dict.fromkeys((text, *spelled)))
