"""Where a server is and how patiently it is asked; no answer depends on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from mmrag.core.errors import ConfigError
from mmrag.core.finding import Finding

_REACH_S = 3.0


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """A server that speaks the interface of OpenAI.

    Args:
        url: Up to and with the version, such as `http://localhost:11434/v1`.
        key_file: A file that holds nothing but the API key; None for servers without keys.
        timeout_s: How long the server may be silent.
        tries: How often one request is sent at most, when the server is busy, fails or goes away.
        wait_s: The pause before the second try; it doubles with each, less a random part of up to a half.
        longest_wait_s: No pause is longer. A server that asks for more has refused.
        concurrency: How many requests are on their way at once.

    Raises:
        ConfigError: A value makes no sense.
    """

    url: str
    key_file: str | None = None
    timeout_s: float = 60.0
    tries: int = 6
    wait_s: float = 0.5
    longest_wait_s: float = 60.0
    concurrency: int = 4

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"{self.url!r} is no address of a server.",
                fix="Give one like http://localhost:11434/v1",
                where="url",
            )
        if parts.username or parts.password or parts.query:
            raise ConfigError(
                "The address of the server holds a name, a password or a query.",
                fix="Give the address alone, and put the key into a file: key_file.",
                where="url",
            )
        for name in ("tries", "concurrency"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name} is {value}.", fix="Give 1 or more.", where=name)
        for name in ("timeout_s", "wait_s", "longest_wait_s"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(f"{name} is {value}.", fix="Give a positive number.", where=name)

    @property
    def is_here(self) -> bool:
        """Whether the server runs on this machine."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def check(self) -> Iterator[Finding]:
        """Look whether the package, the key and the server are there; nothing is sent."""
        try:
            yield Finding("httpx2", "ok", version("httpx2"))
        except PackageNotFoundError:
            yield Finding("httpx2", "missing", "not installed", "Run: pip install 'mmrag[remote]'")
        if self.key_file is not None and not Path(self.key_file).expanduser().is_file():
            fix = "Put the key into that file, and nothing else."
            yield Finding("key", "missing", f"there is no file {self.key_file}", fix)
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=_REACH_S).close()
            yield Finding("server", "ok", f"{parts.hostname}:{port} takes connections")
        except OSError as error:
            fix = "Start the server, or correct the address in the recipe."
            yield Finding("server", "missing", f"{parts.hostname}:{port} cannot be reached: {error}", fix)
