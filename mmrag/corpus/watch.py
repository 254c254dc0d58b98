"""Follow a folder: say when something in it may have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mmrag.core.errors import ConfigError
from mmrag.corpus.ignore import IGNORE_FILE, IgnoreRules

SETTLE_MS = 800
"""Changes that come closer together than this are one: a copied folder, an editor's save."""

_TICK_MS = 500


class Stop(Protocol):
    """What ends a watch: a `threading.Event`."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...


def changes(
    folder: Path,
    *,
    exclude: Sequence[Path] = (),
    every_s: float = 600.0,
    stop: Stop | None = None,
    again: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Yield at once, and again whenever files below a folder changed, until `stop` is set.

    The first time comes when the system is already listening, so that no change after it is missed.

    Args:
        folder: What to follow.
        exclude: Files and folders whose changes do not count: the store itself.
        every_s: Yield after so long without news too; some network folders tell none.
        stop: Ends the iteration within half a second.
        again: Asked every half second: True yields once more, when the last change could not be followed.
        clock: Seconds.

    Raises:
        ConfigError: The system cannot watch the folder.
    """
    from watchfiles import watch

    if not os.path.isdir(folder):
        raise ConfigError(f"{folder} is no folder that can be watched.", fix="Name a folder that is there.")
    counts = _Relevant(folder, exclude)
    last: float | None = None
    try:
        for changed in watch(
            os.path.abspath(folder),
            watch_filter=lambda _, path: counts(path),
            debounce=SETTLE_MS,
            rust_timeout=_TICK_MS,
            stop_event=stop,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        ):
            if changed or last is None or again() or clock() - last >= every_s:
                yield
                last = clock()
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"The folder {folder} cannot be watched: {error}.",
            fix="Raise fs.inotify.max_user_watches on Linux, or run mmrag sync by a timer.",
        ) from error


class _Relevant:
    """Tells whether a changed path can matter to a sync: some ignored files change every second."""

    def __init__(self, folder: Path, exclude: Sequence[Path]) -> None:
        self._root = Path(os.path.abspath(folder))
        self._left_out = [os.path.abspath(path) for path in exclude]

    def __call__(self, path: str) -> bool:
        if any(path == left or path.startswith(left + os.sep) for left in self._left_out):
            return False
        names = Path(path).relative_to(self._root).parts if path != str(self._root) else ()
        if not names or names[-1] == IGNORE_FILE:
            return True
        try:
            rules, prefix, folder = IgnoreRules.at_root(self._root), "", self._root
            for name in names[:-1]:
                if rules.ignores(prefix + name, folder=True):
                    return False
                prefix, folder = f"{prefix}{name}/", folder / name
                rules = rules.inside(folder, prefix)
            # A file that is gone may have been a folder: a pattern for folders must not hide that.
            return not rules.ignores(prefix + names[-1], folder=False)
        except (ConfigError, UnicodeError):
            return True  # The sync says what is wrong with the rules.
