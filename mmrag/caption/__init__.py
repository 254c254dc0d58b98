"""Describe pictures in words, so that embedders and word searches of text find them."""

from mmrag.caption.options import MllmCaptionOptions, OpenAiCaptionOptions

__all__ = ["MllmCaptionOptions", "OpenAiCaptionOptions"]
