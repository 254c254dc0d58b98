"""Dual encoders: a tower for words, one for pictures or sounds, and one space."""

from mmrag.embed.dual.options import DualOptions

__all__ = ["DualOptions"]
