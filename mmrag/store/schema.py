"""The tables of the catalog and the version of their format."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from mmrag.core.errors import Damaged, NeedsMigration

FORMAT = 2
"""Raised with every change of `SCHEMA` or of what its columns hold; `migrate` leads there from the others."""

OLDEST = 1
_APPLICATION = 0x6D6D7267  # "mmrg"

# Bodies stand apart so that scans of `items` stay narrow (60 bytes a row instead of 1,500).
# `metadata.value` has no type: SQLite then keeps and compares text, numbers and blobs as they are.
# SQLite has no checksums, but `PRAGMA integrity_check` compares each index with its table: the indexes
# of `meta`, `removed` and `blobs` hold more columns than searches need, so that a flipped bit is found.
# The seals of `sources`, `vectors` and `cache` are there for the same reason.
SCHEMA: Mapping[str, str] = MappingProxyType(
    {
        "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "meta_value": "CREATE INDEX meta_value ON meta (value)",
        "sources": """CREATE TABLE sources (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    digest TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT NOT NULL, modified INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, fix TEXT NOT NULL,
    reader TEXT NOT NULL, splitter TEXT NOT NULL, pages TEXT NOT NULL, depends TEXT NOT NULL,
    title TEXT NOT NULL, items INTEGER NOT NULL DEFAULT 0, root TEXT NOT NULL DEFAULT '',
    seal BLOB NOT NULL DEFAULT x''
)""",
        "segments": """CREATE TABLE segments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    dim INTEGER NOT NULL, vectors INTEGER NOT NULL, size INTEGER NOT NULL, digest TEXT NOT NULL
)""",
        "vectors": """CREATE TABLE vectors (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    segment INTEGER NOT NULL REFERENCES segments, first INTEGER NOT NULL, count INTEGER NOT NULL,
    seal BLOB NOT NULL
)""",
        "vectors_segment": "CREATE INDEX vectors_segment ON vectors (segment)",
        "items": """CREATE TABLE items (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL REFERENCES sources ON DELETE CASCADE,
    id TEXT NOT NULL, vector INTEGER NOT NULL REFERENCES vectors,
    added INTEGER NOT NULL, modality TEXT NOT NULL, page INTEGER,
    UNIQUE (source, id)
)""",
        "items_vector": "CREATE INDEX items_vector ON items (vector)",
        "items_added": "CREATE INDEX items_added ON items (added)",
        "items_modality": "CREATE INDEX items_modality ON items (modality)",
        "items_page": "CREATE INDEX items_page ON items (page)",
        "bodies": """CREATE TABLE bodies (
    row INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE ON UPDATE CASCADE, body BLOB NOT NULL
)""",
        "metadata": """CREATE TABLE metadata (
    row INTEGER NOT NULL REFERENCES items ON DELETE CASCADE ON UPDATE CASCADE, key TEXT NOT NULL, value,
    PRIMARY KEY (row, key)
) WITHOUT ROWID""",
        "metadata_value": "CREATE INDEX metadata_value ON metadata (key, value)",
        "removed": "CREATE TABLE removed"
        " (row INTEGER PRIMARY KEY, added INTEGER NOT NULL, generation INTEGER NOT NULL)",
        "removed_generation": "CREATE INDEX removed_generation ON removed (generation, added)",
        "blobs": """CREATE TABLE blobs (
    digest TEXT NOT NULL, source INTEGER NOT NULL REFERENCES sources ON DELETE CASCADE,
    media_type TEXT NOT NULL, PRIMARY KEY (digest, source)
) WITHOUT ROWID""",
        "blobs_source": "CREATE INDEX blobs_source ON blobs (source, media_type)",
        "cache": """CREATE TABLE cache (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, owned INTEGER NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (kind, key)
)""",
        # By the source's id, not its number: what is read out of a file is kept before the file's row is.
        "cache_uses": """CREATE TABLE cache_uses (
    source TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (source, kind, key)
) WITHOUT ROWID""",
        "cache_uses_key": "CREATE INDEX cache_uses_key ON cache_uses (kind, key)",
    }
)


def write_schema(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database, in the current transaction."""
    for sql in SCHEMA.values():
        db.execute(sql)
    db.execute("INSERT INTO meta VALUES ('generation', '0')")
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {FORMAT}")


def stored_format(db: sqlite3.Connection, path: Path, rebuild: str) -> int:
    """Return the format of a catalog.

    Raises:
        Damaged: It is no catalog of mmrag.
        NeedsMigration: No version of mmrag before this one wrote it.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise Damaged(f"{path} is not a catalog of mmrag.", fix=f"Run: {rebuild}")
    if version > FORMAT:
        raise NeedsMigration(
            f"{path} has format {version}, this mmrag reads {FORMAT}.", fix="Run: pip install -U mmrag"
        )
    if version < OLDEST:
        raise NeedsMigration(
            f"{path} has format {version}, which no mmrag has written.", fix=f"Run: {rebuild}"
        )
    return int(version)


def differences_of_schema(db: sqlite3.Connection) -> Iterator[str]:
    """Say which tables and indexes are not as this format has them."""
    found = dict(db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    found.pop("sqlite_sequence", None)
    for name in sorted(SCHEMA.keys() | found.keys()):
        if name not in found:
            yield f"{name} is missing"
        elif name not in SCHEMA:
            yield f"{name} is not of mmrag"
        elif found[name] != SCHEMA[name]:
            yield f"{name} has other columns"
