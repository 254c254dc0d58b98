"""Decide whether a request is worth sending again, and when."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mmrag.remote.options import ServerOptions

_BUSY = frozenset({408, 425, 429})
_OUT_OF_MONEY = "insufficient_quota"
"""OpenAI answers 429 for this too, and no pause mends it."""


def may_pass(status: int, code: str) -> bool:
    """Whether the same request may succeed later: the server is busy or fails."""
    return (status in _BUSY and code != _OUT_OF_MONEY) or status >= 500


class Pauses:
    """The pauses between tries: each twice the last, less a random part, or what the server asks for."""

    def __init__(self, options: ServerOptions, *, seed: int) -> None:
        self._options = options
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def after(self, tries: int, asked_s: float | None = None) -> float:
        """Return the pause after so many tries; never shorter than what the server asked for.

        Units:
            seconds
        """
        grown = min(self._options.wait_s * 2.0 ** (tries - 1), self._options.longest_wait_s)
        with self._lock:
            # Many clients that failed together must not come back together.
            share = self._random.uniform(0.5, 1.0)
        return grown * share if asked_s is None else asked_s + (1.0 - share) * self._options.wait_s


def asked_pause(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks a client to wait, None where it asks nothing.

    Source: RFC 9110, section 10.2.3; `retry-after-ms` is OpenAI's.
    """
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        said = headers.get("retry-after")
        if said is None:
            return None
        if said.strip()[:1].isdigit():
            return float(said)
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())
