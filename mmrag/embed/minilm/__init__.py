"""The embedded default embedder: all-MiniLM-L6-v2 in 8 bits, with its files beside this one.

`scripts/build_minilm.py` makes the files; NOTICE says where they come from.
"""

from mmrag.embed.minilm.embedder import MiniLMEmbedder, MiniLMOptions

__all__ = ["MiniLMEmbedder", "MiniLMOptions"]
