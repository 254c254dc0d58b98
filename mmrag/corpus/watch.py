"""Follow a folder: say when something in it may have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mmrag.core.errors import ConfigError

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
        raise ConfigError(f"There is no folder {folder} to watch.", fix="Name a folder that is there.")
    left_out = [os.path.abspath(path) for path in exclude]
    last: float | None = None
    try:
        for changed in watch(
            os.path.abspath(folder),
            watch_filter=lambda _, path: not _is_below(path, left_out),
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


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)
