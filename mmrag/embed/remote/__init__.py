"""Embedders on servers that speak the interface of OpenAI: vLLM, Ollama, Infinity, TEI, and paid ones."""

from mmrag.embed.remote.options import OpenAiOptions

__all__ = ["OpenAiOptions"]
