"""Any model in the format of sentence-transformers, by the modules and prompts that it brings."""

from mmrag.embed.st.options import SentenceTransformersOptions

__all__ = ["SentenceTransformersOptions"]
