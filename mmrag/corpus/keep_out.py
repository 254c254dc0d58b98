"""Make sure that files which are to be forgotten do not come back with the next sync."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmrag.core.errors import ConfigError
from mmrag.core.types import SourceId
from mmrag.corpus.ignore import IGNORE_FILE
from mmrag.corpus.scan import scan

_SPECIAL = re.compile(r"([\\*?\[\]!# ])")


@contextmanager
def kept_out(
    folder: Path, sources: Sequence[SourceId], *, exclude: Sequence[Path] = (), ignore: bool = False
) -> Iterator[None]:
    """Forget sources inside the block: their files are gone, or are listed in the folder's ignore file.

    When the block fails, the ignore file is as it was before.

    Args:
        folder: The corpus.
        sources: What is to be forgotten.
        exclude: As in `scan`: the store.
        ignore: Append files that are still there to `.mmragignore` at the root of the folder.

    Raises:
        ConfigError: A file is still there and `ignore` is not set, or its name fits no ignore pattern.
    """
    before = {file.id for file in scan(folder, exclude=exclude)}
    present = [source for source in sources if source in before]
    if not present:
        yield
        return
    if not ignore:
        others = f" and {len(present) - 1} more are" if len(present) > 1 else " is"
        raise ConfigError(
            f"{present[0]}{others} still in the folder: the next sync would read it again.",
            fix="Delete or move the file first, or add --ignore to list it in .mmragignore.",
        )
    path = folder / IGNORE_FILE
    old = path.read_bytes() if path.exists() else None
    try:
        _append(path, old or b"", present)
        if {file.id for file in scan(folder, exclude=exclude)} != before - set(present):
            raise ConfigError(
                f"{', '.join(map(repr, present[:5]))} cannot be told apart in an ignore file.",
                fix="Delete, move or rename the file first.",
            )
        yield
    except BaseException:
        # Nothing was kept out, even when a KeyboardInterrupt ended it.
        if old is None:
            path.unlink(missing_ok=True)
        else:
            _write(path, old)
        raise


def _append(path: Path, old: bytes, sources: Sequence[SourceId]) -> None:
    lines = "".join("/" + _SPECIAL.sub(r"\\\1", source) + "\n" for source in sources)
    _write(path, old + b"\n" * (bool(old) and not old.endswith(b"\n")) + lines.encode())


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(data)
    os.replace(draft, path)
