"""Ask servers that speak the interface of OpenAI: embedders, captioners and generators share it."""

from mmrag.remote.client import Client, Refused
from mmrag.remote.options import ServerOptions

__all__ = ["Client", "Refused", "ServerOptions"]
