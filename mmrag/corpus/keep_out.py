"""Make sure that files which are to be forgotten do not come back with the next sync."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mmrag.core.errors import ConfigError
from mmrag.core.types import SourceId
from mmrag.corpus.ignore import IGNORE_FILE
from mmrag.corpus.scan import scan

_SPECIAL = re.compile(r"([\\*?\[\]!# ])")


def keep_out(
    folder: Path, sources: Sequence[SourceId], *, exclude: Sequence[Path] = (), ignore: bool = False
) -> None:
    """Refuse sources whose files a sync would find; or list them in the folder's ignore file first.

    Args:
        folder: The corpus.
        sources: What is to be forgotten.
        exclude: As in `scan`: the store.
        ignore: Append them to `.mmragignore` at the root of the folder.

    Raises:
        ConfigError: A file is still there, and not ignored.
    """
    if not (present := _present(folder, sources, exclude)):
        return
    if ignore:
        path = folder / IGNORE_FILE
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = "".join("/" + _SPECIAL.sub(r"\\\1", source) + "\n" for source in present)
        path.write_text(text + "\n" * (not text.endswith("\n") and bool(text)) + lines, encoding="utf-8")
        present = _present(folder, sources, exclude)
    if present:
        others = f" and {len(present) - 1} more are" if len(present) > 1 else " is"
        raise ConfigError(
            f"{present[0]}{others} still in the folder: the next sync would read it again.",
            fix="Delete or move the file first, or add --ignore to list it in .mmragignore.",
        )


def _present(folder: Path, sources: Sequence[SourceId], exclude: Sequence[Path]) -> list[SourceId]:
    found = {file.id for file in scan(folder, exclude=exclude)}
    return [source for source in sources if source in found]
