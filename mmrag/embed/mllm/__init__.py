"""Multimodal LLMs as embedders: one engine, and a recipe for every published family."""

from mmrag.embed.mllm.options import MllmOptions

__all__ = ["MllmOptions"]
