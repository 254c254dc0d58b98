"""Say what of an index is not as the folder is now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mmrag.core.types import SourceId
from mmrag.corpus.scan import scan
from mmrag.corpus.sync import is_complete
from mmrag.store import SourceRecord, Store

_NAMED = 3


def lag(folder: Path, store: Store, sources: Iterable[SourceId] | None = None) -> list[str]:
    """Return a sentence for each thing that a sync would mend; none when the index is as the folder.

    Args:
        folder: The corpus.
        store: Its store.
        sources: Only these files are looked at; unless given, all that are known, and new ones too,
            which takes a walk through the folder.
    """
    if sources is None:
        records = store.sources()
        told = _new(folder, store, {record.source.id for record in records})
    else:
        records = [record for id in sorted(set(sources)) if (record := store.source(id))]
        told = []
    told += [said for record in records if (said := _staleness(folder, record))]
    if not is_complete(store):
        told.append("Not all files are indexed yet: a sync is at work, or was stopped before its end.")
    return told


def _new(folder: Path, store: Store, known: set[SourceId]) -> list[str]:
    new = [file.id for file in scan(folder, exclude=(store.path,)) if file.id not in known]
    if not new:
        return []
    named = ", ".join(new[:_NAMED]) + (f" and {len(new) - _NAMED} more" if len(new) > _NAMED else "")
    are = "is 1 new file" if len(new) == 1 else f"are {len(new)} new files"
    return [f"There {are} since the last sync: {named}."]


def _staleness(folder: Path, record: SourceRecord) -> str:
    if not record.source.digest:
        return ""  # The scan could not reach it: its own record says why.
    try:
        status = os.stat(folder / record.source.id)
    except OSError:
        return f"{record.source.id} is no longer there, or cannot be read."
    if (status.st_size, status.st_mtime_ns) != (record.source.size, record.mtime_ns):
        return f"{record.source.id} was written to after it was indexed."
    return ""
