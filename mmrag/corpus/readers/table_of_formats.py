"""The table "what happens to my file", made from what the readers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable

from mmrag.core.protocols import Reader
from mmrag.core.reading import About
from mmrag.corpus.readers.detect import UNREAD


def rows_of(readers: Iterable[Reader]) -> list[About]:
    """Return a row for each kind of file: those that are read, then those that are only named."""
    claimed = {s for reader in readers for known in reader.formats for s in known.suffixes}
    rows = [row for reader in readers for row in reader.about]
    for family, (suffixes, fix) in UNREAD.items():
        left = [suffix for suffix in suffixes.split() if suffix not in claimed]
        if left:
            rows.append(
                About(f"{family[0].upper()}{family[1:]} ({' '.join(left)})", "", fix or "ignored, but named")
            )
    return rows


def as_markdown(readers: Iterable[Reader]) -> str:
    """Return what is read as a Markdown table, with the families that are only named below it."""
    lines = ["| Files | What is read | What is not | Extra |", "|:--|:--|:--|:--|"]
    lines += [
        f"| {row.files} | {row.reads} | {row.leaves} | {f'`{row.extra}`' if row.extra else ''} |"
        for reader in readers
        for row in reader.about
    ]
    return "\n".join([*lines, "", f"Named as not read, with what to do: {', '.join(UNREAD)}."]) + "\n"
