"""Find a source by what a person calls it."""

from __future__ import annotations

from pathlib import Path

from mmrag.core.errors import QueryError, did_you_mean
from mmrag.core.types import SourceId
from mmrag.store.records import SourceRecord
from mmrag.store.store import Store


def find_source(store: Store, name: str, folder: Path) -> SourceRecord:
    """Return the source of that name; a file's name without its folder will do if there is only one.

    Args:
        store: Where to look.
        name: What a person gave.
        folder: The corpus, for the error message.

    Raises:
        QueryError: It was never seen; the fix suggests a near name.
    """
    if not isinstance(name, str):
        raise QueryError(f"{name!r} names no source.", fix="Give the name that `status` shows.")
    name = name.encode("utf-8", "replace").decode()  # SQLite takes no half characters.
    record = store.source(SourceId(name))
    if record is not None:
        return record
    records = store.sources()
    same_name = [record for record in records if record.source.name == name]
    if len(same_name) == 1:
        return same_name[0]
    near = did_you_mean(name, [record.source.id for record in records])
    raise QueryError(
        f"{name!r} was never seen in {str(folder)!r}.", fix=f"{near} If it is new: mmrag sync {folder}"
    )
