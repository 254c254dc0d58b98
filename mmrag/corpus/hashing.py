"""Digests of the files of a corpus, taken again only where size or time say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mmrag.core.identity import digest_file
from mmrag.core.types import SourceId
from mmrag.corpus.plan import Hashed
from mmrag.corpus.scan import Found, unreadable
from mmrag.store import SourceRecord

RACY_NS = 2_000_000_000
"""A file written this close to the last look at it may have changed again within one tick of its
time stamp: FAT keeps 2 s, network file systems 1 s."""


def hash_files(
    found: Sequence[Found],
    records: Mapping[SourceId, SourceRecord],
    looked_ns: int | None,
    on_file: Callable[[int], None],
) -> tuple[list[Hashed], bool]:
    """Return the files with digests, and whether the time of this look must be kept.

    Args:
        found: What the scan saw.
        records: What the store holds, by id.
        looked_ns: When the files behind `records` were last looked at; None rehashes all.
        on_file: Called with the number of files done.
    """
    files: list[Hashed] = []
    racy = False
    for file in found:
        record = records.get(file.id)
        same = record is not None and (record.source.size, record.mtime_ns) == (file.size, file.mtime_ns)
        # A file that took another one's place keeps the size and time it came with, but its status
        # is as new as its arrival.
        written_ns = max(file.mtime_ns, file.status_ns)
        settled = looked_ns is not None and written_ns < looked_ns - RACY_NS
        if file.problem:
            files.append(Hashed(file, ""))
        elif record is not None and record.source.digest and same and settled:
            files.append(Hashed(file, record.source.digest))
        else:
            racy = racy or (same and not settled)
            hashed = _hash(file)
            files.extend([hashed] if hashed else [])
        on_file(len(files))
    return files, racy


def _hash(file: Found) -> Hashed | None:
    try:
        return Hashed(file, digest_file(file.path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return Hashed(replace(file, problem=unreadable(error)), "")
