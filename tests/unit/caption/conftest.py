"""A server for captioners: the one of the remote embedder."""

from ..embed.remote.conftest import FakeServer, server

__all__ = ["FakeServer", "server"]
