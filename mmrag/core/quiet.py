"""Keep transformers from printing while it loads: what matters of it is checked and told by mmrag."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmrag.core.lazy import require


class _Silence:
    """How many are loading, and what the first of them found: the last one out puts it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loading = 0
        self._level = 0
        self._bar = True

    def enter(self, logging: Any) -> None:
        with self._lock:
            if not self._loading:
                self._level, self._bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
                logging.set_verbosity_error()
                logging.disable_progress_bar()
            self._loading += 1

    def leave(self, logging: Any) -> None:
        with self._lock:
            self._loading -= 1
            if not self._loading:
                logging.set_verbosity(self._level)
                if self._bar:
                    logging.enable_progress_bar()


# What it guards is one for the whole process, in transformers.
_silence = _Silence()


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence the log and the progress bars of transformers, and put them back as they were.

    Several threads may load at once: the bars come back when the last of them is done.
    """
    logging = require("transformers", extra="local", feature="A local model").utils.logging
    _silence.enter(logging)
    try:
        yield
    finally:
        _silence.leave(logging)
