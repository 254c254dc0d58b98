"""The questions that the store asks its catalog, and rows as records and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from mmrag.core.errors import Unsupported
from mmrag.core.protocols import Rows
from mmrag.core.types import Source, SourceId
from mmrag.store.codec import pack_json, unpack_integers, unpack_pages, unpack_strings, whole
from mmrag.store.records import SourceRecord
from mmrag.store.seals import seal, store_root, values_seal

_SOURCE_COLUMNS = (
    "id, folder, name, kind, digest, size, media_type, modified, state, reason, fix, reader, splitter,"
    " pages, depends, title"
)
UPSERT_SOURCE = (
    f"INSERT INTO sources ({_SOURCE_COLUMNS}) VALUES ({', '.join('?' * 16)}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _SOURCE_COLUMNS.split(", ")[1:])
)
UPDATE_SOURCE = (
    f"UPDATE sources SET {', '.join(f'{name} = ?' for name in _SOURCE_COLUMNS.split(', '))} WHERE id = ?"
)
SELECT_SOURCE = (
    "SELECT id, digest, size, media_type, modified, state, reason, fix, reader, splitter, pages, depends,"
    " items, title FROM sources"
)
_SEALED = f"{_SOURCE_COLUMNS}, items, root"


def generation(db: sqlite3.Connection) -> int:
    """Return the number of the state that `db` sees."""
    return msgspec.json.decode(get_meta(db, "generation") or "0", type=int)


def get_meta(db: sqlite3.Connection, key: str) -> str | None:
    """Return a value about the whole store."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else None


def set_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    """Set a value about the whole store."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def note_key(key: str) -> str:
    """Return where the catalog keeps what `Writer.note` is given."""
    return f"note:{key}"


def fetch_rows(db: sqlite3.Connection, sql: str, values: Iterable[object] = ()) -> Rows:
    """Return the row numbers that a query selects as `row`, sorted."""
    # One string of 100,000 numbers takes 10 ms, as many tuples take 45.
    (found,) = db.execute(f"SELECT json_group_array(row) FROM ({sql})", tuple(values)).fetchone()
    rows = np.array(unpack_integers(found), dtype=np.int64)
    rows.sort()
    return rows


def source_values(record: SourceRecord) -> tuple[object, ...]:
    """Return what UPSERT_SOURCE and UPDATE_SOURCE take.

    Raises:
        Unsupported: The source's name is not valid Unicode.
    """
    source = record.source
    if whole(source.id) != source.id:
        raise Unsupported(
            "The file's name is not valid UTF-8.", fix="Rename the file.", where=ascii(source.id)
        )
    return (
        *(source.id, source.id.rpartition("/")[0], source.name, source.kind, source.digest, source.size),
        *(source.media_type, record.mtime_ns, record.state, whole(record.reason), whole(record.fix)),
        *(record.reader, record.splitter, pack_json(record.pages)),
        *(pack_json(whole(dict(record.depends))), whole(record.title)),
    )


def source_record(found: tuple[Any, ...]) -> SourceRecord:
    """Return the record of a row of SELECT_SOURCE."""
    id, digest, size, media_type, *said, pages, depends, items, title = found
    mtime_ns, state, reason, fix, reader, splitter = said
    return SourceRecord(
        source=Source(SourceId(id), digest, size, media_type),
        mtime_ns=mtime_ns,
        state=state,
        reason=reason,
        fix=fix,
        reader=reader,
        splitter=splitter,
        pages=unpack_pages(pages),
        depends=unpack_strings(depends),
        items=items,
        title=title,
    )


def seal_source(db: sqlite3.Connection, number: int) -> None:
    """Note the digest of all that a source's row holds; call it after every change of that row."""
    values = db.execute(f"SELECT {_SEALED} FROM sources WHERE number = ?", (number,)).fetchone()
    db.execute("UPDATE sources SET seal = ? WHERE number = ?", (values_seal(values), number))


def unsealed_sources(db: sqlite3.Connection) -> list[str]:
    """Return the ids of sources whose rows are not what was written."""
    found = db.execute(f"SELECT seal, {_SEALED} FROM sources")
    return [str(values[0]) for kept, *values in found if kept != values_seal(values)]


def cached(db: sqlite3.Connection, kind: str, key: str) -> bytes | None:
    """Return what `Writer.cache` keeps."""
    found = db.execute("SELECT value FROM cache WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    return bytes(found[0]) if found else None


def cache_seal(owned: int, value: bytes) -> bytes:
    """Return the digest of what a cache entry holds; `owned` tells that it belongs to sources."""
    return seal(b"%d" % owned + value)


def dim(db: sqlite3.Connection) -> int:
    """Return the length of the vectors; before the first one, what the identity says, or 0."""
    found = db.execute("SELECT dim FROM segments LIMIT 1").fetchone()
    if found:
        return int(found[0])
    told = unpack_strings(get_meta(db, "identity") or "{}").get("dim", "")
    return int(told) if told.isdecimal() else 0


def horizon(db: sqlite3.Connection) -> int:
    """Return the generation since which all removals are known."""
    return int(get_meta(db, "horizon") or 0)


def root(db: sqlite3.Connection) -> str:
    """Return the digest of what is indexed: sources, their states, their items and vectors.

    A writer keeps it for readers.
    """
    return get_meta(db, "root") or store_root(db)
